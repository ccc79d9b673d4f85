"""Who may read files and folders, by their modes as they are now."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path


def modes_words(places: Sequence[Path]) -> str:
    """The mode of each, and whether it is closed to others; empty where one is not there."""
    found = []
    for place in places:
        try:
            mode = stat.S_IMODE(place.stat().st_mode)
        except OSError:
            return ""
        closed = "closed to other accounts" if not mode & 0o077 else "OPEN TO OTHER ACCOUNTS"
        found.append(f"{place.name} has mode {mode:04o}, {closed}")
    return "; ".join(found) + "."
