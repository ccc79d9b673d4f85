"""The audit log for people: its entries as a table."""

from __future__ import annotations

import re
from typing import Final

from machine.shown import Shown
from machine.tables import filled_table
from machine.text import minute, shown
from partner_node.store.audit_log import AuditLog
from protocol.log.entries import Entry

_HASH: Final = re.compile(r"[0-9a-f]{32,}")
_DIGITS: Final = 16


def log_shown(log: AuditLog, *, since: int, kind: str | None, last: int | None) -> Shown:
    """Entries from a number on, of one kind where it is named; the newest of them, if so many."""
    size = log.size
    numbered = log.numbered(since=since, kind=kind, last=last)
    found = [(number, Entry.from_bytes(data)) for number, data in numbered]
    rows = [(str(n), minute(one.at), one.kind, _about(one)) for n, one in found]
    table = filled_table(
        "Audit log", ("no.", "time", "kind", "about"), rows, whole=("no.", "time", "kind")
    )
    return Shown(
        values={"size": size, "entries": [{"number": n, **one.to_dict()} for n, one in found]},
        parts=[*([table] if rows else []), f"{entries_words(len(rows))} of {size:,}."],
    )


def entries_words(count: int) -> str:
    """How many entries, for people."""
    return f"{count:,} " + ("entry" if count == 1 else "entries")


def _about(entry: Entry) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {_words(value)}"
        for name, value in entry.about.items()
        if value not in ("", None)
    )


def _words(value: object) -> str:
    """A field for people: of a hash the first digits, which name it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    return text[:_DIGITS] if _HASH.fullmatch(text) else shown(text)
