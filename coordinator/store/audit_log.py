"""The coordinator's audit log: entries and hashes in its state, added and never changed.

An entry belongs to the transaction of what it records, so whatever is killed finds both or
neither; a transaction that stores what the log is about (`owing`) and has no entry of it is rolled
back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from typing import Any, Final, LiteralString

from coordinator.store.acting import acts_now
from coordinator.store.owing import changes_the_log, owed_by
from coordinator.store.schema import MIGRATIONS
from coordinator.store.store_database import StoreDatabase
from protocol.errors import StoreError
from protocol.log import entries as entry_kinds
from protocol.log.entries import KINDS, Entry
from protocol.log.rows import LogRows

#: Whose log it is, in its name and its first entry; no partner may be called so.
PARTY: Final = "coordinator"
_NUMBERED: Final[LiteralString] = "SELECT number, entry FROM log_entries WHERE number >= ?"
_OF_KIND: Final[LiteralString] = (
    "SELECT number, entry FROM log_kinds JOIN log_entries USING (number)"
    " WHERE kind = ? AND number >= ?"
)
_NEWEST: Final[LiteralString] = " ORDER BY number DESC LIMIT ?"
_MOST: Final = 2**53
#: Whether anything happened here before there was a log.
_EARLIER: Final[LiteralString] = (
    "SELECT (SELECT count(*) FROM agreements) + (SELECT count(*) FROM admitted)"
    " + (SELECT count(*) FROM runs) + (SELECT count(*) FROM enrolled)"
)


class AuditLog(LogRows):
    """The log of the coordinator.

    Args:
        database: At its newest schema.
    """

    def __init__(self, database: StoreDatabase) -> None:
        super().__init__(database, command="fedseg-coordinator log show")
        self._database = database
        self._owed: Counter[str] = Counter()
        self._inside = False
        self._has_begun = False
        self._earlier = False

    # --- writing -------------------------------------------------------------------------------

    def append(self, kind: str, *, at: str, **about: Any) -> int:
        """Add an entry; inside the transaction of what it records.

        A kind that says who did it, `by`, has whoever acts now (`acting`).

        Args:
            kind: One of `protocol.log.entries.KINDS`.
            about: Its other fields.

        Returns:
            Its number, from 0.

        Raises:
            StoreError: There is no transaction (E-LOG-OWED).
            MalformedError: The fields are not those of the kind.
        """
        if not self._inside:
            raise _owed(f"an entry of kind {kind} outside of a transaction")
        if "by" in KINDS[kind]:
            about.setdefault("by", acts_now())
        entry = Entry(at, kind, about)
        if not self._has_begun:
            self._begin(at)
        number = self._add(entry)
        self._owed[kind] -= 1
        return number

    def unchanged(self, kind: str) -> None:
        """A statement that owes an entry of a kind changed nothing: it owes none."""
        self._owed[kind] -= 1

    def before(self, sql: str) -> None:
        """A statement is about to be run.

        Raises:
            StoreError: It owes an entry and there is no transaction, or it changes the log
                (E-LOG-OWED).
        """
        if changes_the_log(sql):
            raise _owed("the log is only added to")
        kind = owed_by(sql)
        if not kind:
            return
        if not self._inside:
            raise _owed(f"what owes the log an entry of kind {kind}, outside a transaction")
        self._owed[kind] += 1

    def open_account(self) -> None:
        """A transaction begins: nothing is owed."""
        self._owed.clear()
        self._inside = True
        if not self._has_begun:
            self._has_begun = self.size > 0
        if not self._has_begun:
            ((earlier,),) = self._database.ask(_EARLIER)
            self._earlier = earlier > 0

    def settle(self) -> None:
        """A transaction is about to be committed.

        Raises:
            StoreError: It stores something that the log has no entry of (E-LOG-OWED).
        """
        owed = sorted(kind for kind, count in self._owed.items() if count > 0)
        if owed:
            raise _owed(f"the log has no entry of what is about to be stored: {', '.join(owed)}")

    def close_account(self) -> None:
        """The transaction ended, whichever way."""
        self._inside = False
        self._has_begun = False  # as it may be undone: the next one looks

    def _begin(self, at: str) -> None:
        """Have the log begin with an entry that says whose it is."""
        about = {
            "party": PARTY,
            "program": metadata.version("fedseg"),
            "schema": len(MIGRATIONS),
            "earlier": self._earlier,
        }
        self._add(Entry(at, entry_kinds.BEGUN, about))
        self._has_begun = True

    def _add(self, entry: Entry) -> int:
        number = self.add(entry.to_bytes())
        self._database.ask("INSERT INTO log_kinds VALUES (?, ?)", entry.kind, number)
        return number

    # --- reading -------------------------------------------------------------------------------

    def numbered(
        self, *, since: int = 0, kinds: Sequence[str] = (), last: int | None = None
    ) -> list[tuple[int, bytes]]:
        """See `protocol.log.rows.NumberedLog`."""
        few = _MOST if last is None else last
        if not kinds:
            rows = self._database.ask(_NUMBERED + _NEWEST, since, few)
        else:
            found = (
                row
                for kind in dict.fromkeys(kinds)
                for row in self._database.ask(_OF_KIND + _NEWEST, kind, since, few)
            )
            rows = sorted(found, reverse=True)[: None if last is None else last]
        return [(int(number), bytes(entry)) for number, entry in reversed(rows)]

    def of_kind(self, kind: str) -> tuple[int, int, int] | None:
        """How many entries of a kind there are, and the first and the last one's number."""
        row = self._database.one(
            "SELECT count(*), min(number), max(number) FROM log_kinds WHERE kind = ?", kind
        )
        return None if row is None or not row[0] else (row[0], row[1], row[2])


def _owed(what: str) -> StoreError:
    return StoreError(
        f"nothing was stored: {what}",
        code="E-LOG-OWED",
        remedy="this is a defect, or somebody changed the program: report this line",
    )
