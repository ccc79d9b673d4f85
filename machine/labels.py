"""Labels on what a process tells of itself: ids and codes, never a free text."""

from __future__ import annotations

import re
from typing import Final

#: Stands for what is no id and no code.
OTHER: Final = "other"
_LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}|")


def label(text: str) -> str:
    """The text if it is an id or a code, or empty; else `OTHER`.

    >>> label("E-RUN-OTHER"), label("north"), label("Anna, of Castle Street")
    ('E-RUN-OTHER', 'north', 'other')
    """
    return text if _LABEL.fullmatch(text) else OTHER
