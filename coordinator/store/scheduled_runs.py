"""What became of agreed moments, and who paused a schedule and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.times import moment as moment_of
from coordinator.store.times import stamp
from protocol.agreement.document import Agreement
from protocol.agreement.schedule import Moment
from protocol.errors import StoreError, UsageError
from protocol.log import entries as kinds
from protocol.log.entries import code_in_log

_SELECT: Final[LiteralString] = "SELECT moment, run_id, code, reason, noted_at FROM scheduled "


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledRow:
    """One agreed moment that the schedule looked at.

    Attributes:
        at: The moment, as `stamp` writes it.
        run_id: Of the run that it started; empty while it has started none.
        code, reason: Why it started none when it looked last; empty once it has.
    """

    at: str
    run_id: bytes
    code: str
    reason: str
    noted_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseRow:
    """One pause or its end.

    Attributes:
        paused: Whether the schedule stands still since then.
    """

    at: str
    paused: bool
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {"at": self.at, "paused": self.paused, "reason": self.reason}


class ScheduledRuns:
    """The agreed moments in the coordinator's database, by the agreement's id.

    A moment that two versions of an agreement have is one.
    """

    def __init__(self, store: CoordinatorStore) -> None:
        self._store = store

    def begin(self, run_id: bytes, agreement: Agreement, moment: Moment, *, now: datetime) -> None:
        """Request the run of a moment; both are on record, or neither.

        Raises:
            UsageError: The moment has a run already (E-SCHEDULED), or another run goes on
                (E-RUN-ACTIVE).
            RuleError: A partner stopped the agreement (E-WITHDRAWN).
        """

        def note() -> None:
            self._store.ask(
                "INSERT INTO scheduled VALUES (?, ?, ?, ?, '', '', ?)"
                " ON CONFLICT (agreement_id, moment) DO UPDATE SET run_id = excluded.run_id,"
                " agreement_hash = excluded.agreement_hash, code = '', reason = '',"
                " noted_at = excluded.noted_at WHERE scheduled.run_id IS NULL",
                agreement.id,
                stamp(moment.at),
                agreement.hash,
                run_id,
                stamp(now),
            )
            row = self.row(agreement.id, moment)
            if row is None or row.run_id != run_id:
                raise UsageError(
                    f"the run of {moment.words} was started already", code="E-SCHEDULED"
                )
            self._log(agreement, moment, run=run_id.hex(), code="", now=now)

        self._store.request_run(run_id, agreement, alongside=note)

    def hold(
        self, agreement: Agreement, moment: Moment, *, code: str, reason: str, now: datetime
    ) -> None:
        """Note why a moment's run does not begin now; unless it has one."""
        with self._store.transaction():
            before = self.row(agreement.id, moment)
            if before is not None and before.run_id:
                return
            self._store.ask(
                "INSERT INTO scheduled VALUES (?, ?, ?, NULL, ?, ?, ?)"
                " ON CONFLICT (agreement_id, moment) DO UPDATE SET code = excluded.code,"
                " reason = excluded.reason, noted_at = excluded.noted_at"
                " WHERE scheduled.run_id IS NULL",
                agreement.id,
                stamp(moment.at),
                agreement.hash,
                code,
                reason,
                stamp(now),
            )
            if before is not None and before.code == code:
                self._store.log.unchanged(kinds.SCHEDULED)
            else:
                self._log(agreement, moment, run="", code=code_in_log(code), now=now)

    def _log(
        self, agreement: Agreement, moment: Moment, *, run: str, code: str, now: datetime
    ) -> None:
        self._store.log.append(
            kinds.SCHEDULED,
            at=stamp(now),
            agreement=agreement.id,
            moment=stamp(moment.at),
            run=run,
            code=code,
        )

    def row(self, agreement_id: str, moment: Moment) -> ScheduledRow | None:
        """What became of a moment; None when the schedule never looked at it."""
        row = self._store.one(
            _SELECT + "WHERE agreement_id = ? AND moment = ?", agreement_id, stamp(moment.at)
        )
        return None if row is None else _row(row)

    def runs(self) -> dict[bytes, str]:
        """The moment of every run that a schedule started, by the run's id."""
        rows = self._store.ask("SELECT run_id, moment FROM scheduled WHERE run_id IS NOT NULL")
        return {bytes(run_id): at for run_id, at in rows}

    def latest(self, agreement: Agreement) -> datetime | None:
        """When a run or a moment of a version last changed here; None before the first."""
        rows = self._store.ask(
            "SELECT max(updated_at) FROM runs WHERE agreement_hash = ? UNION ALL"
            " SELECT max(noted_at) FROM scheduled WHERE agreement_hash = ?",
            agreement.hash,
            agreement.hash,
        )
        return max((moment_of(at) for (at,) in rows if at is not None), default=None)

    def published_at(self, agreement_hash: bytes) -> datetime:
        """When an agreement was published here; raises StoreError when it was not."""
        row = self._store.one(
            "SELECT added_at FROM agreements WHERE agreement_hash = ?", agreement_hash
        )
        if row is None:
            raise StoreError(f"no agreement {agreement_hash.hex()[:16]}… is stored")
        return moment_of(row[0])

    def stopped_at(self, agreement_hash: bytes) -> datetime | None:
        """When the first stop of an agreement came here; None when none did."""
        row = self._store.one(
            "SELECT min(noted_at) FROM stops WHERE agreement_hash = ?", agreement_hash
        )
        return None if row is None or row[0] is None else moment_of(row[0])

    def note_pause(
        self, agreement_id: str, *, paused: bool, reason: str, now: datetime
    ) -> PauseRow | None:
        """Pause a schedule or end the pause.

        Returns:
            The change; None where it was so already.
        """
        change = PauseRow(at=stamp(now), paused=paused, reason=reason)
        with self._store.transaction():
            if self.paused(agreement_id) == paused:
                return None
            self._store.ask(
                "INSERT INTO schedule_pauses (number, agreement_id, at, paused, reason) VALUES"
                " ((SELECT coalesce(max(number), 0) + 1 FROM schedule_pauses), ?, ?, ?, ?)",
                agreement_id,
                change.at,
                int(paused),
                reason,
            )
            self._store.log.append(
                kinds.SCHEDULE_PAUSED, at=change.at, agreement=agreement_id, paused=paused
            )
        return change

    def pauses(self, agreement_id: str) -> Sequence[PauseRow]:
        """Every pause and its end, the oldest first."""
        rows = self._store.ask(
            "SELECT at, paused, reason FROM schedule_pauses WHERE agreement_id = ? ORDER BY number",
            agreement_id,
        )
        return [PauseRow(at=at, paused=bool(paused), reason=reason) for at, paused, reason in rows]

    def paused(self, agreement_id: str) -> bool:
        """Whether a schedule stands still now."""
        changes = self.pauses(agreement_id)
        return bool(changes) and changes[-1].paused


def _row(row: tuple[str, bytes | None, str, str, str]) -> ScheduledRow:
    return ScheduledRow(
        at=row[0], run_id=bytes(row[1] or b""), code=row[2], reason=row[3], noted_at=row[4]
    )
