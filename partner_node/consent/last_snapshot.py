"""The last snapshot of a gate, which holds as long as judging its tables anew would find the same.

That is: every byte of the tables' files and every wish are what they were, and none of the times in
them has arrived meanwhile. Files are compared by a hash of what is in them, so a withdrawal counts
however it was written. A table in a database is always asked anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from partner_node.consent.tables import ConsentTable
from partner_node.kept_room import KeptRoom
from partner_node.sources.data_file import digest_of

if TYPE_CHECKING:
    from partner_node.consent.gate import Snapshot

#: The end of time, where nothing lies ahead.
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class TablesState:
    """All that a snapshot follows from, but for the time.

    Attributes:
        files: Hash of each table's files and of what is in them.
        wishes: Hash of the customers who are left out by their own wishes.
    """

    files: tuple[bytes | None, ...]
    wishes: bytes

    @staticmethod
    def of(tables: Sequence[ConsentTable], wished: Sequence[str]) -> TablesState | None:
        """The state now; None where a table is in a database, or a file cannot be read.

        Args:
            wished: The customers who are left out by their own wishes, in order.

        Raises:
            SourceError: A file cannot be found (E-CONSENT-SOURCE).
        """
        found = [table.files() for table in tables]
        if not all(found):
            return None
        files = tuple(digest_of(of_one) for of_one in found)
        if None in files:
            return None
        wishes = hashlib.sha256()
        for subject in wished:
            wishes.update(hashlib.sha256(subject.encode("utf-8", "surrogatepass")).digest())
        return TablesState(files=files, wishes=wishes.digest())


class LastSnapshot:
    """The last snapshot of a gate.

    Args:
        room: One that does not fit in it is not kept.
    """

    def __init__(self, room: KeptRoom) -> None:
        self._room = room
        self._kept: tuple[TablesState, Snapshot, datetime] | None = None

    def again(self, state: TablesState | None, now: datetime) -> Snapshot | None:
        """The snapshot, if it would be the same now; else it is forgotten."""
        kept = self._kept  # which another thread may forget
        if kept is not None and state is not None:
            known, snapshot, until = kept
            if state == known and snapshot.taken_at <= now < until:
                return snapshot
        self.forget()
        return None

    def keep(self, state: TablesState | None, snapshot: Snapshot, *, until: datetime) -> None:
        """Keep a snapshot.

        Args:
            state: What it follows from, looked at before and after; None keeps nothing.
            until: The first moment at which the same tables may be judged differently.
        """
        if state is not None and self._room.take(self, snapshot.named.n_bytes):
            self._kept = (state, snapshot, until)

    def forget(self) -> None:
        """Forget it."""
        self._kept = None
        self._room.take(self, 0)
