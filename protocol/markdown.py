"""Texts of people in Markdown."""

from __future__ import annotations

import re
from typing import Final

_MEANT: Final = re.compile(r"([\\`*_{}\[\]<>#|~!&])")
#: What begins an item of a list, a line across, or the line under a heading.
_BEGINS: Final = re.compile(r"^(\d{0,9})([-+=.)])(?=[ =-]|$)")


def plain(text: str) -> str:
    """A text in which nothing means anything to Markdown, on one line.

    Two blanks or a line break of somebody's text are one blank here: they say nothing.
    """
    return _BEGINS.sub(r"\1\\\2", _MEANT.sub(r"\\\1", " ".join(text.split())))
