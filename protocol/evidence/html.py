"""A document as one HTML page, which is ready for print: it loads nothing and has no script."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import escape
from typing import Final

from protocol.evidence.document import NO_ADVICE, Document, Field, Grid, State
from protocol.evidence.style import STYLE

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
#: A table of more rows may be split between pages, between its rows.
_ROWS_ON_A_PAGE: Final = 12
_CODE: Final = re.compile(r"`([^`<>]+)`")
_PARTS: Final = (State.FACT, State.ANSWERED, State.JUDGEMENT, State.MISSING)


def as_html(document: Document, shown: Callable[[str], str]) -> str:
    """The page.

    Args:
        shown: Escapes invisible characters.
    """
    return "\n".join([*_lines(document, lambda text: _marked(escape(shown(text)))), ""])


def _marked(text: str) -> str:
    """An escaped text with what stands between backquotes as code."""
    return _CODE.sub(r"<code>\1</code>", text)


def _lines(document: Document, safe: Callable[[str], str]) -> Iterator[str]:
    title = safe(document.title)
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield '<meta name="viewport" content="width=device-width">'
    yield f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<header>"
    yield f"<h1>{title}</h1>"
    yield f'<p class="audience">{safe(document.audience_words)}</p>'
    yield f'<p class="about">{safe(document.about_words)}</p>'
    yield from _meter(document)
    yield f"<p>{safe(document.share_words)}</p>"
    yield from _open(document, safe)
    yield "</header>\n<main>"
    for number, section in enumerate(document.sections):
        yield f'<section aria-labelledby="s{number}">'
        yield f'<h2 id="s{number}">{safe(section.title)}</h2>'
        for field in section.fields:
            yield from _field(field, document, safe)
        yield "</section>"
    yield "</main>\n<footer>"
    yield f"<p>{safe(document.follows)} {NO_ADVICE}</p>\n</footer>\n</body>\n</html>"


def _meter(document: Document) -> Iterator[str]:
    counts = document.counts
    yield '<div class="meter" aria-hidden="true">'
    for state in _PARTS:
        if counts[state]:
            part = 100 * counts[state] / counts["fields"]
            yield f'<span class="{state}" style="width:{part:.2f}%"></span>'
    yield "</div>"


def _open(document: Document, safe: Callable[[str], str]) -> Iterator[str]:
    """What is missing, first of all, with a way to each."""
    missing = document.of(State.MISSING)
    if not missing:
        return
    yield '<ul class="open">'
    for field in missing:
        yield f'<li><a href="#{safe(_id(field))}">Missing: {safe(field.label)}</a></li>'
    yield "</ul>"


def _field(field: Field, document: Document, safe: Callable[[str], str]) -> Iterator[str]:
    rows = 0 if field.value.grid is None else len(field.value.grid.rows)
    long = " long" if rows > _ROWS_ON_A_PAGE else ""
    yield f'<div class="field{long}" id="{safe(_id(field))}">'
    yield f'<h3>{safe(field.label)}<span class="hook">{safe(field.hook)}</span></h3>\n<div>'
    if field.asks:
        yield from _judgement(field, document, safe)
    if field.lacks:
        yield f'<p class="blank">MISSING: {safe("; ".join(field.lacks))}</p>'
    if field.asks and (field.value.paragraphs or field.value.grid):
        yield '<p class="bears">Facts that bear on it:</p>'
    yield from (f"<p>{safe(paragraph)}</p>" for paragraph in field.value.paragraphs)
    if field.value.grid is not None:
        yield from _grid(field.value.grid, field.label, safe)
    if field.sources:
        sources = "; ".join(
            safe(words) + (f" (<code>{safe(check)}</code>)" if check else "")
            for words, check in document.source_lines(field)
        )
        yield f'<p class="from">From: {sources}</p>'
    yield "</div>\n</div>"


def _judgement(field: Field, document: Document, safe: Callable[[str], str]) -> Iterator[str]:
    yield f'<div class="{"judge" if field.answer is None else "said"}">'
    yield f"<p><strong>For a person:</strong> {safe(field.asks)}</p>"
    if field.answer is None:
        yield '<div class="lines" aria-hidden="true"></div>'
    else:
        yield f"<p>{safe(field.answer.text)}</p>"
        yield f"<p><em>{safe(field.answer.words(document.made_at.date()))}</em></p>"
    yield "</div>"


def _grid(grid: Grid, label: str, safe: Callable[[str], str]) -> Iterator[str]:
    # A reader without a mouse has to reach what does not fit beside the rest.
    yield f'<div class="wide" tabindex="0" role="group" aria-label="{safe(label)}"><table>'
    yield "<thead><tr>"
    yield "".join(f'<th scope="col">{safe(header)}</th>' for header in grid.headers)
    yield "</tr></thead>\n<tbody>"
    for row in grid.rows:
        yield "<tr>" + "".join(f"<td>{safe(cell)}</td>" for cell in row) + "</tr>"
    yield "</tbody></table></div>"


def _id(field: Field) -> str:
    return "f-" + field.key.replace(".", "-")
