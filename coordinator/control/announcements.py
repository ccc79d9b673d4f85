"""What happened that partners are told: a numbered line for each partner that it concerns.

A line only wakes a node, which asks for the rest by calls of its own. So old lines may be deleted,
and a node that was away loses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from coordinator.store.coordinator_store import CoordinatorStore

ADMITTED: Final = "admitted"
PROPOSED: Final = "proposed"
COMPLETE: Final = "complete"
STOPPED: Final = "stopped"
CHECK: Final = "check"
RELEASED: Final = "released"
BUILD: Final = "build"
RUN: Final = "run"
HAND_OVER: Final = "hand-over"
AUTHORITIES: Final = "authorities"
#: Told to nobody: it has streams look again whether their callers may still listen.
REMOVED: Final = "removed"

#: Kinds that come again and again, and say no more the second time: the last one is kept.
_LAST_ALONE: Final = frozenset({RUN, CHECK, AUTHORITIES})
#: Lines kept, of all partners.
_KEPT: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One announcement to one partner.

    Attributes:
        agreement_hash: What it is about; empty otherwise.
    """

    number: int
    kind: str
    agreement_hash: bytes


class Announcements:
    """The announcements in the coordinator's database."""

    def __init__(self, store: CoordinatorStore) -> None:
        self._store = store

    def add(self, kind: str, partners: Sequence[str], agreement_hash: bytes = b"") -> None:
        """Announce something to partners; inside a transaction."""
        for partner in partners:
            self._store.ask(
                "INSERT INTO announcements (number, partner, kind, agreement_hash)"
                " VALUES ((SELECT coalesce(max(number), 0) + 1 FROM announcements), ?, ?, ?)",
                partner,
                kind,
                agreement_hash,
            )
            if kind in _LAST_ALONE:  # after the new one, which has to have a number of its own
                self._store.ask(
                    "DELETE FROM announcements"
                    " WHERE partner = ? AND kind = ? AND agreement_hash = ? AND number < ?",
                    partner, kind, agreement_hash, self.last(),
                )  # fmt: skip
        self._store.ask(
            "DELETE FROM announcements WHERE number <="
            " (SELECT number FROM announcements ORDER BY number DESC LIMIT 1 OFFSET ?)",
            _KEPT,
        )

    def last(self) -> int:
        """The number of the last announcement to anybody; 0 before the first."""
        row = self._store.one("SELECT coalesce(max(number), 0) FROM announcements")
        return 0 if row is None else int(row[0])

    def after(self, number: int, partner: str) -> list[Line]:
        """A partner's announcements with greater numbers, in order."""
        rows = self._store.ask(
            "SELECT number, kind, agreement_hash FROM announcements"
            " WHERE partner = ? AND number > ? ORDER BY number",
            partner,
            number,
        )
        return [Line(number=n, kind=kind, agreement_hash=bytes(about)) for n, kind, about in rows]
