"""A notice as HTML, as Markdown and as JSON values; all three with the same words in one order."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from machine.text import shown
from partner_node.notices.notice import Notice
from protocol.markdown import plain

_TEMPLATES: Final = Path(__file__).parent / "templates"


@cache
def templates() -> Environment:
    """The templates of pages; every value in them is escaped."""
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters["visible"] = shown
    return made


@cache
def asset(name: str) -> str:
    """A style or script that stands in a page itself."""
    return (_TEMPLATES / name).read_text(encoding="utf-8").strip()


def policy(*, styles: tuple[str, ...], scripts: tuple[str, ...] = ()) -> str:
    """The Content-Security-Policy of a page that loads nothing: only what it holds, by its hash."""
    parts = ["default-src 'none'", f"style-src {_hashes(styles)}"]
    if scripts:
        parts.append(f"script-src {_hashes(scripts)}")
    return "; ".join([*parts, "base-uri 'none'", "form-action 'none'"])


def _hashes(texts: tuple[str, ...]) -> str:
    digests = (hashlib.sha256(text.encode("utf-8")).digest() for text in texts)
    return " ".join(f"'sha256-{base64.b64encode(one).decode('ascii')}'" for one in digests)


def as_html(notice: Notice) -> str:
    """The notice as one page that loads nothing and has no script."""
    style = asset("pages.css")
    return (
        templates()
        .get_template("notice.html")
        .render(notice=notice, style=style, policy=policy(styles=(style,)))
    )


def as_markdown(notice: Notice) -> str:
    """The notice as Markdown."""
    return "\n".join(_markdown(notice)) + "\n"


def _markdown(notice: Notice) -> Iterator[str]:
    yield f"# {_escaped(notice.title)}\n"
    yield f"## {_escaped(notice.first_title)}\n"
    for question, answer in notice.first:
        yield f"**{_escaped(question)}**  \n{_escaped(answer)}\n"
    yield f"## {_escaped(notice.detail_title)}\n"
    for section in notice.sections:
        yield f"### {_escaped(section.title)}\n"
        yield from (f"{_escaped(text)}\n" for text in section.before)
        yield from (f"- {_escaped(text)}" for text in section.items)
        if section.items:
            yield ""
        yield from (f"{_escaped(text)}\n" for text in section.after)
    yield f"{_escaped(notice.closing)}\n"
    yield f"`{notice.mark}`"


def _escaped(text: str) -> str:
    return plain(shown(text))


def to_dict(notice: Notice) -> dict[str, Any]:
    """The notice as JSON values."""
    return {
        "language": notice.language,
        "version": notice.version,
        "title": notice.title,
        "first": [{"question": q, "answer": a} for q, a in notice.first],
        "sections": [
            {
                "key": one.key,
                "title": one.title,
                "before": list(one.before),
                "items": list(one.items),
                "after": list(one.after),
            }
            for one in notice.sections
        ],
        "closing": notice.closing,
        "mark": str(notice.mark),
        "facts": notice.facts.to_dict(),
        "facts_sha256": notice.facts.hash.hex(),
        "readability": {"first": notice.of_first.to_dict(), "all": notice.of_all.to_dict()},
        "as_they_stand": list(notice.as_they_stand),
        "not_stated": list(notice.not_stated),
    }
