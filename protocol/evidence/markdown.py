"""A document as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from protocol.evidence.document import NO_ADVICE, Document, Field, Grid, State
from protocol.markdown import plain


def as_markdown(document: Document, shown: Callable[[str], str]) -> str:
    """The document in CommonMark with tables.

    Args:
        shown: Escapes invisible characters.
    """
    return "\n".join(_lines(document, lambda text: plain(shown(text)))) + "\n"


def _lines(document: Document, safe: Callable[[str], str]) -> Iterator[str]:
    yield from (f"# {safe(document.title)}", "")
    yield from (f"**{safe(document.audience_words)}**", "")
    yield from (safe(document.about_words), "")
    yield from (safe(document.share_words), "")
    yield from (f"{safe(document.follows)} {NO_ADVICE}", "")
    for section in document.sections:
        yield from (f"## {safe(section.title)}", "")
        for field in section.fields:
            yield from _field(field, document, safe)


def _field(field: Field, document: Document, safe: Callable[[str], str]) -> Iterator[str]:
    yield from (f"### {safe(field.label)} ({safe(field.hook)})", "")
    if field.state is State.MISSING:
        yield from (f"**MISSING: {safe('; '.join(field.lacks))}**", "")
    if field.asks:
        yield from (f"*For a person to judge:* {safe(field.asks)}", "")
        if field.answer is None:
            yield from ("*Not answered.*", "")
        else:
            yield from (f"> {safe(field.answer.text)}", ">")
            yield from (f"> {safe(field.answer.words(document.made_at.date()))}", "")
        if field.lacks:
            yield from (f"**MISSING: {safe('; '.join(field.lacks))}**", "")
        if field.value.paragraphs or field.value.grid:
            yield from ("*Facts that bear on it:*", "")
    for paragraph in field.value.paragraphs:
        yield from (safe(paragraph), "")
    if field.value.grid is not None:
        yield from (*_grid(field.value.grid, safe), "")
    if field.sources:
        sources = (
            safe(words) + (f" (`{check}`)" if check else "")
            for words, check in document.source_lines(field)
        )
        yield from (f"<small>From: {'; '.join(sources)}</small>", "")


def _grid(grid: Grid, safe: Callable[[str], str]) -> Iterator[str]:
    yield "| " + " | ".join(map(safe, grid.headers)) + " |"
    yield "|" + " --- |" * len(grid.headers)
    for row in grid.rows:
        yield "| " + " | ".join(map(safe, row)) + " |"
