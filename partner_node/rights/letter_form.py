"""How letters to customers are written: as text, and as one page of HTML."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Final

from machine.text import shown

_WIDTH: Final = 80
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE: Final = (
    "body{font:1rem/1.5 sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}p,li{overflow-wrap:anywhere}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a letter.

    Attributes:
        paragraphs: Texts that are said first.
        items: Then a list.
    """

    title: str
    paragraphs: tuple[str, ...]
    items: tuple[str, ...] = ()


def as_text(title: str, sections: Iterable[Section]) -> str:
    """A letter as plain text."""
    lines = [*_filled(title), ""]
    for section in sections:
        lines += [section.title, "-" * len(section.title)]
        for paragraph in section.paragraphs:
            lines += _filled(paragraph)
        for item in section.items:
            lines += _filled(item, first="- ", rest="  ")
        lines.append("")
    return "\n".join(lines)


def as_html(title: str, sections: Iterable[Section]) -> str:
    """A letter as one page that loads nothing and has no script."""
    title = _escaped(title)
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>",
    ]
    for section in sections:
        parts.append(f"<h2>{_escaped(section.title)}</h2>")
        parts += [f"<p>{_escaped(text)}</p>" for text in section.paragraphs]
        if section.items:
            items = "".join(f"<li>{_escaped(item)}</li>" for item in section.items)
            parts.append(f"<ul>{items}</ul>")
    return "\n".join([*parts, "</body></html>", ""])


def _escaped(text: str) -> str:
    return escape(shown(text))


def _filled(text: str, *, first: str = "", rest: str = "") -> list[str]:
    return textwrap.wrap(
        shown(text),
        _WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_on_hyphens=False,
        break_long_words=False,
    )
