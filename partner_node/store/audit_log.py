"""The audit log in a node's state database: entries and hashes, added and never changed.

An entry belongs to the transaction of what it records, so whatever is killed finds both or
neither. Triggers of the connection count what rows are about to be written that the log is about;
a transaction that has no entry for each of them is rolled back, so no room can forget one.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from typing import Any, Final, LiteralString

from machine.database import Database
from protocol.errors import StoreError
from protocol.log import entries as kinds
from protocol.log.entries import Entry
from protocol.log.rows import LogRows

#: Refusals that the log takes on one day, so that whoever sends nonsense cannot fill the disk.
MAX_REFUSALS_A_DAY: Final = 100

#: Which rows owe the log an entry, of which kind; what is not here is not in the log.
_OWING: Final[tuple[LiteralString, ...]] = (
    "INSERT ON main.agreements BEGIN SELECT fedseg_owes('agreement-kept')",
    "INSERT ON main.signed BEGIN SELECT fedseg_owes('agreement-signed')",
    "INSERT ON main.stops BEGIN SELECT fedseg_owes('stop')",
    "INSERT ON main.ledger BEGIN SELECT fedseg_owes('question')",
    # The same message again is the same bytes. Greetings lead to nothing unless a roster follows,
    # and whoever sends requests has as many as it likes: they would fill a disk that forgets none.
    "INSERT ON main.egress WHEN NEW.what NOT LIKE 'HELLO%' AND NOT EXISTS (SELECT 1 FROM egress"
    " WHERE manifest = NEW.manifest AND number < NEW.number) BEGIN SELECT fedseg_owes('left')",
    "INSERT ON main.refusals BEGIN SELECT fedseg_owes('refused')",
    "UPDATE OF decision ON main.manifests WHEN NEW.decision IS NOT OLD.decision"
    " BEGIN SELECT fedseg_owes('decision')",
    "INSERT ON main.releases BEGIN SELECT fedseg_owes('release')",
    "INSERT ON main.runs WHEN NEW.run_hash <> x'' AND NEW.phase IN ('done', 'aborted')"
    " BEGIN SELECT fedseg_owes('run-ended')",
    "UPDATE OF phase ON main.runs WHEN NEW.run_hash <> x'' AND NEW.phase IN ('done', 'aborted')"
    " AND NEW.phase <> OLD.phase BEGIN SELECT fedseg_owes('run-ended')",
    "INSERT ON main.exports BEGIN SELECT fedseg_owes('export')",
    "INSERT ON main.requests BEGIN SELECT fedseg_owes('request')",
    "UPDATE OF done_at, extended_on ON main.requests BEGIN SELECT fedseg_owes('request')",
    "INSERT ON main.builds BEGIN SELECT fedseg_owes('build')",
    "INSERT ON main.chains WHEN NEW.links <> x'' BEGIN SELECT fedseg_owes('roster')",
    "UPDATE OF links ON main.chains WHEN NEW.links <> OLD.links BEGIN SELECT fedseg_owes('roster')",
    "INSERT ON main.confirmations BEGIN SELECT fedseg_owes('first-word')",
    "UPDATE OF first_by ON main.manifests WHEN NEW.first_by <> '' AND NEW.first_by <> OLD.first_by"
    " BEGIN SELECT fedseg_owes('first-word')",
    "INSERT ON main.caps BEGIN SELECT fedseg_owes('cap')",
    "INSERT ON main.refused_hand_overs WHEN NEW.refused_by = 'here'"
    " BEGIN SELECT fedseg_owes('key-forked')",
    "INSERT ON main.notices BEGIN SELECT fedseg_owes('notice')",
    "INSERT ON main.staff BEGIN SELECT fedseg_owes('staff')",
    "DELETE ON main.staff BEGIN SELECT fedseg_owes('staff')",
    "UPDATE OF role ON main.staff BEGIN SELECT fedseg_owes('staff')",
    "INSERT ON main.training BEGIN SELECT fedseg_owes('training')",
    "INSERT ON main.authorities BEGIN SELECT fedseg_owes('authority')",
    "UPDATE OF ended_at ON main.exports WHEN NEW.ended_at IS NOT OLD.ended_at"
    " BEGIN SELECT fedseg_owes('export-ended')",
    "UPDATE OF sha256 ON main.exports WHEN NEW.sha256 <> OLD.sha256"
    " BEGIN SELECT fedseg_owes('export-rewritten')",
    "INSERT ON main.counted_sets BEGIN SELECT fedseg_owes('counted')",
    "INSERT ON main.counted_kept BEGIN SELECT fedseg_owes('receipts')",
    "INSERT ON main.forks BEGIN SELECT fedseg_owes('log-forked')",
    "UPDATE OF accepted_at ON main.forks BEGIN SELECT fedseg_owes('log-accepted')",
)
_NEVER: Final[tuple[LiteralString, ...]] = (
    "UPDATE ON main.log_entries", "DELETE ON main.log_entries",
    "UPDATE ON main.log_hashes", "DELETE ON main.log_hashes",
    "UPDATE ON main.seals", "DELETE ON main.seals",
    "UPDATE ON main.seal_hashes", "DELETE ON main.seal_hashes",
    "UPDATE ON main.cosignatures", "DELETE ON main.cosignatures",
)  # fmt: skip
#: Which entries, and how many. The expressions are those of the schema's index, or it is not used.
_OF_KIND: Final[LiteralString] = (
    "SELECT count(*), min(number), max(number) FROM log_entries"
    " WHERE json_extract(CAST(entry AS TEXT), '$.kind') = ?"
)
_NUMBERED: Final[LiteralString] = "SELECT number, entry FROM log_entries WHERE number >= ?"
_NEWEST: Final[LiteralString] = " ORDER BY number DESC LIMIT ?"
_AND_KIND: Final[LiteralString] = " AND json_extract(CAST(entry AS TEXT), '$.kind') = ?"
_UNDER: Final[LiteralString] = " AND json_extract(CAST(entry AS TEXT), '$.agreement') = ?"
_OF_VERSION: Final[LiteralString] = " AND json_extract(CAST(entry AS TEXT), '$.agreement_hash') = ?"
#: Whether anything happened here before there was a log.
_EARLIER: Final[LiteralString] = (
    "SELECT EXISTS (SELECT 1 FROM agreements) OR EXISTS (SELECT 1 FROM signed)"
    " OR EXISTS (SELECT 1 FROM runs) OR EXISTS (SELECT 1 FROM egress)"
    " OR EXISTS (SELECT 1 FROM ledger) OR EXISTS (SELECT 1 FROM requests)"
    " OR EXISTS (SELECT 1 FROM exports) OR EXISTS (SELECT 1 FROM refusals)"
)


class AuditLog(LogRows):
    """The log of one node.

    Args:
        database: At its newest schema.
        party: Whose log it is, for its first entry.
    """

    def __init__(self, database: Database, *, party: str) -> None:
        super().__init__(database, command="fedseg-node log show")
        self._database = database
        self._party = party
        self._owed: Counter[str] = Counter()
        self._has_begun = False
        self._earlier = False
        owing = weakref.WeakMethod(self._owe)  # SQLite holds a function where no collector looks

        def owe(kind: str) -> None:
            noted = owing()
            if noted is not None:
                noted(kind)

        database.define("fedseg_owes", owe)
        for number, what in enumerate(_OWING):
            database.ask(f"CREATE TEMP TRIGGER owe_{number:d} AFTER {what}; END")
        for number, never in enumerate(_NEVER):
            database.ask(
                f"CREATE TEMP TRIGGER never_{number:d} BEFORE {never}"
                " BEGIN SELECT RAISE(ABORT, 'the log is only added to'); END"
            )

    # --- writing -------------------------------------------------------------------------------

    def append(self, kind: str, *, at: str, **about: Any) -> int:
        """Add an entry; inside the transaction of what it records.

        Args:
            kind: One of `protocol.log.entries.KINDS`.
            about: Its fields.

        Returns:
            Its number, from 0.

        Raises:
            StoreError: There is no transaction (E-LOG-OWED).
            MalformedError: The fields are not those of the kind.
        """
        if not self._database.in_transaction:
            raise _owed(f"an entry of kind {kind} outside of a transaction")
        entry = Entry(at, kind, about)
        if not entry.is_known:
            raise _owed(f"an entry of the unknown kind {kind}")
        if not self.size:
            self._begin(at)
        number = self.add(entry.to_bytes())
        self._owed[kind] -= 1
        return number

    def append_refusal(self, code: str, run_id: bytes, *, at: str) -> None:
        """Add a refusal, unless the log has as many of that day as it takes.

        The first one too many is replaced by an entry that says that more are left out.
        """
        day = at[:10]
        self._database.ask("DELETE FROM log_refusals WHERE day <> ?", day)
        ((times,),) = self._database.ask(
            "INSERT INTO log_refusals VALUES (?, 1) ON CONFLICT (day) DO UPDATE SET"
            " times = times + 1 RETURNING times",
            day,
        )
        if times <= MAX_REFUSALS_A_DAY:
            self.append(kinds.REFUSED, at=at, run=run_id.hex(), code=code)
            return
        if times == MAX_REFUSALS_A_DAY + 1:
            self.append(kinds.REFUSALS_LEFT_OUT, at=at, day=day)
        self._owed[kinds.REFUSED] -= 1

    def open_account(self) -> None:
        """A transaction begins: nothing is owed."""
        self._owed.clear()
        if not self._has_begun:
            self._has_begun = self.size > 0
            ((earlier,),) = self._database.ask(_EARLIER)
            self._earlier = bool(earlier)

    @property
    def account(self) -> Counter[str]:
        """What is owed now; to be set where a part of a transaction is undone."""
        return self._owed.copy()

    @account.setter
    def account(self, owed: Counter[str]) -> None:
        self._owed = owed

    def settle(self) -> None:
        """A transaction is about to be committed.

        Raises:
            StoreError: It writes something that the log has no entry of (E-LOG-OWED).
        """
        owed = sorted(kind for kind, count in self._owed.items() if count > 0)
        if owed:
            raise _owed(f"the log has no entry of what is about to be stored: {', '.join(owed)}")

    def _owe(self, kind: str) -> None:
        if not self._database.in_transaction:
            raise _owed(f"a row that owes the log an entry of kind {kind}, outside a transaction")
        self._owed[kind] += 1

    def _begin(self, at: str) -> None:
        """Have the log begin with an entry that says whose it is."""
        ((schema,),) = self._database.ask("PRAGMA user_version")
        about = {
            "party": self._party,
            "program": metadata.version("fedseg"),
            "schema": schema,
            "earlier": self._earlier,
        }
        self.add(Entry(at, kinds.BEGUN, about).to_bytes())

    # --- reading -------------------------------------------------------------------------------

    def numbered(
        self, *, since: int = 0, kinds: Sequence[str] = (), last: int | None = None
    ) -> list[tuple[int, bytes]]:
        """Entries with their numbers, oldest first.

        Args:
            since: From this number on.
            kinds: Of these kinds alone, found by an index; of all when empty.
            last: Of all these only so many, the newest.
        """
        few = -1 if last is None else last
        if not kinds:
            rows = self._database.ask(_NUMBERED + _NEWEST, since, few)
        else:
            found = (
                row
                for kind in dict.fromkeys(kinds)
                for row in self._database.ask(_NUMBERED + _AND_KIND + _NEWEST, since, kind, few)
            )
            rows = sorted(found, reverse=True)[: None if last is None else last]
        return [(number, bytes(entry)) for number, entry in reversed(rows)]

    def of_kind(
        self, kind: str, *, agreement: str | None = None, agreement_hash: str | None = None
    ) -> tuple[int, int, int] | None:
        """How many entries of a kind there are, and the first and the last one's number.

        None where there is none. It reads an index, not the entries, unless a hash is named.

        Args:
            agreement: Of those that name an agreement by its id, only this one's.
            agreement_hash: Of those that name one by its hash, only this one's.
        """
        if agreement is not None:
            found = self._database.one(_OF_KIND + _UNDER, kind, agreement)
        elif agreement_hash is not None:
            found = self._database.one(_OF_KIND + _OF_VERSION, kind, agreement_hash)
        else:
            found = self._database.one(_OF_KIND, kind)
        return None if found is None or not found[0] else (found[0], found[1], found[2])


def _owed(what: str) -> StoreError:
    return StoreError(
        f"nothing was stored: {what}",
        code="E-LOG-OWED",
        remedy="this is a defect, or somebody changed the program: report this line",
    )
