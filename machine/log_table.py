"""Entries of an audit log for people, as a table; what an entry means is not known here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from machine.shown import Shown
from machine.tables import filled_table
from machine.text import minute, shown

_HASH: Final = re.compile(r"[0-9a-f]{32,}")
_DIGITS: Final = 16


def entries_shown(found: Sequence[tuple[int, Mapping[str, Any]]], size: int) -> Shown:
    """Entries with their numbers.

    Args:
        found: Of each its fields, among them `at` and `kind`.
        size: How many the log has.
    """
    rows = [(str(n), minute(one["at"]), one["kind"], _about(one)) for n, one in found]
    table = filled_table(
        "Audit log", ("no.", "time", "kind", "about"), rows, whole=("no.", "time", "kind")
    )
    return Shown(
        values={"size": size, "entries": [{"number": n, **one} for n, one in found]},
        parts=[*([table] if rows else []), f"{entries_words(len(rows))} of {size:,}."],
    )


def entries_words(count: int) -> str:
    """How many entries, for people.

    >>> entries_words(1), entries_words(2_000)
    ('1 entry', '2,000 entries')
    """
    return f"{count:,} " + ("entry" if count == 1 else "entries")


def _about(entry: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {_words(value)}"
        for name, value in entry.items()
        if name not in ("at", "kind") and value not in ("", None)
    )


def _words(value: object) -> str:
    """A field for people: of a hash the first digits, which name it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    return text[:_DIGITS] if _HASH.fullmatch(text) else shown(text)
