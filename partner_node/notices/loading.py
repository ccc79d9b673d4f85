"""What a page that people published loads, sends or runs: none of it is ours."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Final

_ELEMENTS: Final = frozenset({
    "applet", "audio", "base", "embed", "form", "frame", "iframe", "image", "img", "input", "link",
    "object", "script", "source", "track", "video",
})  # fmt: skip
_ATTRIBUTES: Final = frozenset({"background", "ping", "src", "srcset", "poster", "http-equiv"})
#: Of a style, what names another file.
_FETCHES: Final = re.compile(r"url\s*\(|@import|image-set|\\", re.IGNORECASE)
#: What our own pages say there, which forbids them to load anything.
_POLICY: Final = "content-security-policy"


class _Loading(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: dict[str, None] = {}
        self._styles = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._styles = tag == "style"
        if tag in _ELEMENTS:
            self.found[tag] = None
        for name, value in attrs:
            said = value or ""
            if name == "http-equiv" and said.lower() == _POLICY:
                continue
            if name.startswith("on") or name in _ATTRIBUTES or _names_file(name, said):
                self.found[name] = None

    def handle_data(self, data: str) -> None:
        if self._styles and _FETCHES.search(data):
            self.found["style"] = None

    def handle_endtag(self, tag: str) -> None:
        self._styles = False


def loaded_by(page: str) -> list[str]:
    """Elements and attributes of a page that may load, send or run something; none of ours do."""
    found = _Loading()
    found.feed(page)
    return list(found.found)


def _names_file(name: str, value: str) -> bool:
    is_script = name == "href" and value.strip().lower().startswith(("javascript:", "data:"))
    return is_script or (name == "style" and _FETCHES.search(value) is not None)
