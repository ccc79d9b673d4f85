"""Manifests on disk, and what was decided about those that were held for approval.

A manifest is written in the transaction that stores its message, so whatever is killed finds both
or neither. The message's bytes are not here: they lie sealed in the run's state.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, LiteralString

from partner_node.egress.manifest import Manifest
from partner_node.four_eyes import both, refuse_same_person
from partner_node.store.node_store import NodeStore
from protocol.agreement.governance import EGRESS
from protocol.errors import RuleError, StoreError, UsageError
from protocol.log.entries import DECISION, FIRST_WORD
from protocol.partner_state import Phase

#: Where a message stands.
FREE: Final = "free"
WAITING: Final = "waiting"
APPROVED: Final = "approved"
REFUSED: Final = "refused"
EXPIRED: Final = "expired"
OVER: Final = "over"

_SELECT: Final[LiteralString] = (
    "SELECT m.number, m.at, m.manifest, m.expires_at, m.decision, m.decided_at, m.decided_by,"
    " m.people, m.first_by, m.first_account, r.phase,"
    " (SELECT count(*) FROM egress e WHERE e.manifest = m.number)"
    " FROM manifests m LEFT JOIN runs r ON r.run_id = m.run_id "
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A manifest as it is on disk.

    Attributes:
        number: Names it for the person at this machine.
        at: When the message was made.
        expires_at: Until when it waits for approval; None when it needs none.
        decision: `APPROVED` or `REFUSED`; None when nobody has decided.
        decided_at: When; None when nobody has.
        decided_by: Who, both where two approved it; empty when nobody has, or an earlier version
            did not note it.
        people: How many different people have to approve it, one or two.
        first_by: Who approved it first while it waits for the second; else empty.
        first_account: The mark of that person's account; empty for somebody at the machine.
        run_over: Whether its run has ended at this node.
        times: How often the message has left.
    """

    number: int
    at: str
    manifest: Manifest
    expires_at: str | None
    decision: str | None
    decided_at: str | None
    decided_by: str
    people: int
    first_by: str
    first_account: str
    run_over: bool
    times: int

    def state(self, now: str) -> str:
        """Where it stands now.

        Of a held message: what was decided; else whether its time is up or its run has ended.
        """
        if self.expires_at is None:
            return FREE
        if self.decision is not None:
            return self.decision
        if now >= self.expires_at:
            return EXPIRED
        return OVER if self.run_over else WAITING


class Manifests:
    """The manifests in a node's state database."""

    def __init__(self, store: NodeStore) -> None:
        self._store = store

    def add(
        self, manifest: Manifest, slot: bytes, *, now: str, expires_at: str | None, people: int
    ) -> int:
        """Write a manifest down, held when it has a time to wait; in a transaction. Its number.

        Args:
            people: How many different ones have to approve it.
        """
        self._store.ask(
            "INSERT INTO manifests (at, run_id, slot, sha256, manifest, expires_at, people)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            now,
            manifest.run_id,
            slot,
            manifest.sha256,
            json.dumps(manifest.to_dict()),
            expires_at,
            people,
        )
        (number,) = self._store.ask("SELECT number FROM manifests WHERE slot = ?", slot)[0]
        return int(number)

    def of_slot(self, slot: bytes) -> Written | None:
        """The manifest of the one message for `slot`."""
        return self._first("WHERE m.slot = ?", slot)

    def get(self, number: int) -> Written:
        """The manifest with a number; raises UsageError when there is none."""
        found = self._first("WHERE m.number = ?", number)
        if found is None:
            raise UsageError(
                f"there is no message number {number}",
                code="E-EGRESS-UNKNOWN",
                remedy="`fedseg-node egress list` shows the numbers",
            )
        return found

    def of_run(self, run_id: bytes) -> list[Written]:
        """Every message of a run, oldest first."""
        return self._all("WHERE m.run_id = ? ORDER BY m.number", run_id)

    def held(self) -> list[Written]:
        """Every message that was held for approval, oldest first."""
        return self._all("WHERE m.expires_at IS NOT NULL ORDER BY m.number")

    def decide(
        self,
        number: int,
        decision: str,
        *,
        now: str,
        by: str,
        account: str,
        counts: Callable[[str, str], bool],
    ) -> Written:
        """Approve or refuse a message that waits; inside a transaction.

        Where two people have to approve it the first approval is noted and it waits on; one person
        is enough to refuse.

        Args:
            by: Who decides.
            account: The mark of that person's account.
            counts: Whether the first approval of somebody with an account counts still; where it
                does not, this one is the first.

        Raises:
            UsageError: There is no such message.
            RuleError: It does not wait, or not any more (E-EGRESS-DECIDED), or the same person
                approves it twice (E-FOUR-EYES); nothing changes.
        """
        found = self.get(number)
        state = found.state(now)
        if state != WAITING:
            raise RuleError(
                f"message {number} does not wait for approval: {_why_not(found, state)}",
                code="E-EGRESS-DECIDED",
                remedy="what was decided stays; `fedseg-node egress list` shows what waits",
            )
        if decision == APPROVED and found.people > 1:
            if not found.first_by or not counts(found.first_by, found.first_account):
                self._store.ask(
                    "UPDATE manifests SET first_by = ?, first_account = ? WHERE number = ?",
                    by, account, number,
                )  # fmt: skip
                self._store.log.append(
                    FIRST_WORD, at=now, act=EGRESS, about=found.manifest.sha256, by=by
                )
                return self.get(number)
            refuse_same_person(f"message {number}", found.first_by, by)
            by = both(found.first_by, by)
        self._store.ask(
            "UPDATE manifests SET decision = ?, decided_at = ?, decided_by = ?, first_by = '',"
            " first_account = '' WHERE number = ? AND decision IS NULL",
            decision,
            now,
            by,
            number,
        )
        self._store.log.append(
            DECISION,
            at=now,
            message=number,
            run=found.manifest.run_id.hex(),
            sha256=found.manifest.sha256,
            decision=decision,
            by=by,
        )
        return self.get(number)

    def _first(self, where: LiteralString, value: object) -> Written | None:
        return next(iter(self._all(where, value)), None)

    def _all(self, where: LiteralString, *values: object) -> list[Written]:
        return [_written(row) for row in self._store.ask(_SELECT + where, *values)]


def _written(row: tuple[Any, ...]) -> Written:
    try:
        manifest = Manifest.from_dict(json.loads(row[2]))
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"the manifest of message {row[0]} cannot be read: {type(error).__name__}",
            remedy="somebody changed node.db by hand: restore a backup and find out who",
        ) from error
    return Written(
        number=row[0],
        at=row[1],
        manifest=manifest,
        expires_at=row[3],
        decision=row[4],
        decided_at=row[5],
        decided_by=row[6],
        people=row[7],
        first_by=row[8],
        first_account=row[9],
        run_over=row[10] in (Phase.DONE, Phase.ABORTED),
        times=row[11],
    )


def _why_not(found: Written, state: str) -> str:
    return {
        FREE: "it needed none",
        APPROVED: f"it was approved at {found.decided_at}",
        REFUSED: f"it was refused at {found.decided_at}",
        EXPIRED: f"its time was up at {found.expires_at}",
        OVER: "its run has ended",
    }[state]
