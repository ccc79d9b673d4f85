"""The coordinator's state: agreements, runs and releases, in a database of SQLite or PostgreSQL.

A run is the list of inputs that its state machine took, each committed before anything follows
from it: after a crash the run is replayed to where it was. Masked messages are deleted when the
run ends.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, LiteralString

from coordinator.store.audit_log import AuditLog
from coordinator.store.hand_overs import KeptHandOvers, under_known
from coordinator.store.records import (
    FAILED,
    FINISHED,
    REQUESTED,
    RUNNING,
    RoundRow,
    RunRow,
    Traffic,
)
from coordinator.store.store_database import StoreDatabase, open_file
from coordinator.store.times import stamp_now
from protocol.agreement.document import Agreement
from protocol.agreement.hand_overs import HandOvers
from protocol.agreement.named_keys import check_named_keys
from protocol.agreement.stop import SignedStop
from protocol.errors import RunFailedError, StoreError, UsageError
from protocol.log import entries as kinds
from protocol.log.entries import code_in_log
from protocol.participants import Chain
from protocol.signed_agreement import SignedAgreement

_SELECT_RUNS: Final[LiteralString] = (
    "SELECT run_id, agreement_hash, state, progress, code, reason, attempts, created_at,"
    " updated_at, remedy, without FROM runs "
)


class CoordinatorStore:
    """The coordinator's database; safe for several processes and threads.

    Admitted nodes have a room of their own over it, `AdmittedNodes`.

    Args:
        database: Where it is kept.
    """

    def __init__(self, database: StoreDatabase) -> None:
        self._database = database
        self.log = AuditLog(database)

    @staticmethod
    def in_file(path: Path | str) -> CoordinatorStore:
        """The store in a file of SQLite, made where it is missing; or in ``:memory:``."""
        return CoordinatorStore(open_file(path))

    # --- the database --------------------------------------------------------------------------

    @property
    def path(self) -> str:
        """Where the database is, for people."""
        return self._database.path

    def mark(self) -> object | None:
        """What differs once it was written; as `StoreDatabase.mark`."""
        return self._database.mark()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One atomic change; as `StoreDatabase.transaction`.

        Raises:
            StoreError: It stores something that the audit log has no entry of (E-LOG-OWED).
        """
        with self._database.transaction():
            self.log.open_account()
            try:
                yield
                self.log.settle()
            finally:
                self.log.close_account()

    def ask(self, sql: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows; as `StoreDatabase.ask`.

        Raises:
            StoreError: It stores what the audit log is about outside a transaction, or changes
                that log (E-LOG-OWED); else as `StoreDatabase.ask`.
        """
        self.log.before(sql)
        return self._database.ask(sql, *values)

    def one(self, sql: LiteralString, *values: object) -> tuple[Any, ...] | None:
        """Run one statement and return its first row; None when it has none."""
        return next(iter(self.ask(sql, *values)), None)

    def check(self) -> None:
        """Raise StoreError when the database is damaged."""
        self._database.check()

    def snapshot(self) -> bytes:
        """The content as the bytes of a SQLite file, as one moment sees it."""
        return self._database.snapshot()

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    # --- agreements ----------------------------------------------------------------------------

    def add_agreement(self, signed: SignedAgreement) -> None:
        """Remember a fully signed agreement; one that is known stays as it is.

        Raises:
            AgreementError: A signature is missing or wrong; or it is new, and names a key that was
                handed over (E-KEY-ROTATED), or does not go with the hand-overs that are known.
        """
        agreement = signed.verify()
        with self.transaction():
            if self.has_agreement(agreement.hash):
                return
            check_named_keys(agreement, KeptHandOvers(self).load())
            self.ask(
                "INSERT INTO agreements VALUES (?, ?, ?, ?, ?, ?,"
                " (SELECT coalesce(max(number), 0) + 1 FROM agreements))"
                " ON CONFLICT (agreement_hash) DO NOTHING",
                agreement.hash,
                agreement.id,
                agreement.version,
                signed.to_bytes(),
                b"",
                now := stamp_now(),
            )
            self.log.append(
                kinds.AGREEMENT_KEPT,
                at=now,
                agreement=agreement.id,
                version=agreement.version,
                agreement_hash=agreement.hash.hex(),
            )

    def has_agreement(self, agreement_hash: bytes) -> bool:
        """Whether an agreement is published here."""
        row = self.one("SELECT 1 FROM agreements WHERE agreement_hash = ?", agreement_hash)
        return row is not None

    def agreements(self) -> list[SignedAgreement]:
        """All agreements, newest first, each as `under_known`."""
        rows = self.ask("SELECT envelope FROM agreements ORDER BY added_at DESC, number DESC")
        known = KeptHandOvers(self).load()
        found = (SignedAgreement.from_bytes(row[0], kept=True) for row in rows)
        return [replace(s, agreement=under_known(s.agreement, known)) for s in found]

    def agreement(self, agreement_hash: bytes) -> Agreement:
        """The agreement with a hash, under the keys in force; verified again."""
        row = self.one("SELECT envelope FROM agreements WHERE agreement_hash = ?", agreement_hash)
        if row is None:
            raise StoreError(f"no agreement {agreement_hash.hex()[:16]}… is stored")
        agreement = SignedAgreement.from_bytes(row[0], kept=True).verify()
        return agreement.with_hand_overs(KeptHandOvers(self).load())

    def agreement_of_run(self, run_id: bytes) -> Agreement:
        """The agreement of a run, under the keys in force when it was first driven.

        Before that, under those when it was requested.
        """
        row = self.one("SELECT agreement_hash, hand_overs FROM runs WHERE run_id = ?", run_id)
        if row is None:
            raise StoreError(f"there is no run {run_id.hex()}", code="E-RUN-UNKNOWN")
        agreement = self.agreement(bytes(row[0]))
        return agreement.with_hand_overs(HandOvers.from_bytes(bytes(row[1] or b"")))

    # --- runs ----------------------------------------------------------------------------------

    def request_run(
        self,
        run_id: bytes,
        agreement: Agreement,
        *,
        without: Sequence[str] = (),
        alongside: Callable[[], None] = lambda: None,
    ) -> None:
        """Note that a run is wanted.

        Args:
            without: Ids of partners that it is to go without.
            alongside: Notes more in the same transaction, once the run is noted.

        Raises:
            RuleError: A partner stopped the agreement (E-WITHDRAWN).
            UsageError: Another run under the agreement has not ended.
            StoreError: The agreement is not stored.
        """
        with self.transaction():
            hand_overs = self.agreement(agreement.hash).hand_overs
            self.check_startable(agreement)
            now = stamp_now()
            self.ask(
                "INSERT INTO runs (run_id, agreement_hash, links_at_start, state, progress, code,"
                " reason, attempts, created_at, updated_at, without, hand_overs, number)"
                " SELECT ?, agreement_hash, links, ?, '{}', '', '', 0, ?, ?, ?, ?,"
                " (SELECT coalesce(max(number), 0) + 1 FROM runs)"
                " FROM agreements WHERE agreement_hash = ?",
                run_id,
                REQUESTED,
                now,
                now,
                json.dumps(list(without)),
                hand_overs.to_bytes(),
                agreement.hash,
            )
            self.log.append(
                kinds.RUN_REQUESTED,
                at=now,
                run=run_id.hex(),
                agreement_hash=agreement.hash.hex(),
                without=", ".join(without),
            )
            alongside()

    def check_startable(self, agreement: Agreement) -> None:
        """Refuse a run under an agreement that was stopped, or beside another one.

        Raises:
            RuleError: A partner stopped the agreement (E-WITHDRAWN).
            UsageError: Another run under the agreement has not ended (E-RUN-ACTIVE).
        """
        self._check_not_stopped(agreement)
        for run in self.open_runs():
            if run.agreement_hash == agreement.hash:
                raise UsageError(
                    f"run {run.run_id.hex()[:8]} of agreement {agreement.id!r} has not ended",
                    code="E-RUN-ACTIVE",
                    remedy="wait for it: fedseg-coordinator run watch",
                )

    def has_chain(self, agreement: Agreement) -> bool:
        """Whether a participant set was ever signed under an agreement."""
        row = self.one("SELECT links FROM agreements WHERE agreement_hash = ?", agreement.hash)
        return row is not None and bool(Chain.from_bytes(row[0], agreement).links)

    def run(self, run_id: bytes) -> RunRow:
        """The run with an id; raises StoreError when there is none."""
        for run in self._runs("WHERE run_id = ?", run_id):
            return run
        raise StoreError(f"there is no run {run_id.hex()}", code="E-RUN-UNKNOWN")

    def stop_agreement(self, stop: SignedStop) -> list[bytes]:
        """Take a partner's signed stop: unfinished runs end, and no other begins.

        Returns:
            Ids of the runs that ended.

        Raises:
            StoreError: The agreement is not stored.
            AgreementError: The stop does not hold (E-AGR-PARTY, E-AGR-SIGNATURE).
        """
        agreement = self.agreement(stop.agreement_hash)
        stop.verify(agreement)
        refusal = stop.refusal(agreement)
        now = stamp_now()
        with self.transaction():
            if self._is_new_stop(stop, agreement):
                self.ask(
                    "INSERT INTO stops VALUES (?, ?, ?, ?,"
                    " (SELECT coalesce(max(number), 0) + 1 FROM stops))",
                    agreement.hash,
                    stop.partner,
                    now,
                    stop.to_bytes(),
                )
                self.log.append(
                    kinds.STOP, at=now, agreement_hash=agreement.hash.hex(), partner=stop.partner
                )
            ended = [run.run_id for run in self.open_runs() if run.agreement_hash == agreement.hash]
            for run_id in ended:
                self._end(run_id, FAILED, refusal.code, refusal.message, refusal.remedy, now)
        return ended

    def _is_new_stop(self, stop: SignedStop, agreement: Agreement) -> bool:
        row = self.one(
            "SELECT 1 FROM stops WHERE agreement_hash = ? AND partner = ?",
            agreement.hash,
            stop.partner,
        )
        return row is None

    def stops_of(self, agreement_hash: bytes) -> list[bytes]:
        """The envelopes of an agreement's stops, in the order in which they came."""
        rows = self.ask(
            "SELECT envelope FROM stops WHERE agreement_hash = ? ORDER BY number", agreement_hash
        )
        return [bytes(envelope) for (envelope,) in rows]

    def _check_not_stopped(self, agreement: Agreement) -> None:
        for envelope in self.stops_of(agreement.hash):
            raise SignedStop.from_bytes(envelope).refusal(agreement)

    def runs(self) -> list[RunRow]:
        """All runs, newest first."""
        return self._runs("ORDER BY created_at DESC, number DESC")

    def runs_of(self, agreement_hash: bytes) -> list[RunRow]:
        """The runs under an agreement, newest first."""
        return self._runs(
            "WHERE agreement_hash = ? ORDER BY created_at DESC, number DESC", agreement_hash
        )

    def open_runs(self) -> list[RunRow]:
        """Runs that have no final state yet, newest first."""
        return self._runs(
            "WHERE state NOT IN (?, ?) ORDER BY created_at DESC, number DESC", FINISHED, FAILED
        )

    def _runs(self, clause: LiteralString, *values: bytes | str) -> list[RunRow]:
        rows = self.ask(
            _SELECT_RUNS + clause,
            *values,
        )
        return [
            RunRow(
                run_id=row[0],
                agreement_hash=row[1],
                state=row[2],
                progress=json.loads(row[3]),
                code=row[4],
                reason=row[5],
                attempts=row[6],
                created_at=row[7],
                updated_at=row[8],
                remedy=row[9],
                without=tuple(json.loads(row[10])),
            )
            for row in rows
        ]

    def begin_attempt(self, run_id: bytes) -> int:
        """Note that a process drives the run now; returns how many have.

        The run's keys are those in force when the first one does.

        Raises:
            RunFailedError: The run has ended; it does not begin again.
        """
        with self.transaction():
            self.check_not_ended(run_id)
            self.ask(
                "UPDATE runs SET state = ?, attempts = attempts + 1, updated_at = ?"
                " WHERE run_id = ?",
                RUNNING,
                stamp_now(),
                run_id,
            )
            row = self.run(run_id)
            if row.attempts == 1:  # a key may have been handed over since it was requested
                self.ask(
                    "UPDATE runs SET hand_overs = ? WHERE run_id = ?",
                    self.agreement(row.agreement_hash).hand_overs.to_bytes(),
                    run_id,
                )
        return self.run(run_id).attempts

    def report_progress(self, run_id: bytes, progress: dict[str, Any]) -> None:
        """Say where the run stands."""
        with self.transaction():
            self.ask(
                "UPDATE runs SET progress = ?, updated_at = ? WHERE run_id = ?",
                json.dumps(progress),
                stamp_now(),
                run_id,
            )

    def chain_at_start(self, run_id: bytes, agreement: Agreement) -> Chain:
        """The participant-set chain as it was when the run was requested."""
        row = self.one("SELECT links_at_start FROM runs WHERE run_id = ?", run_id)
        return Chain.from_bytes(b"" if row is None else row[0], agreement)

    def last_release(self, run_id: bytes, agreement: Agreement) -> bytes:
        """The envelope of the last release under an agreement before a run; empty when none is.

        One run under an agreement goes on at a time, so whatever is not its own came before.
        """
        row = self.one(
            "SELECT envelope FROM releases WHERE agreement_hash = ? AND run_id <> ?"
            " ORDER BY number DESC LIMIT 1",
            agreement.hash,
            run_id,
        )
        return b"" if row is None else bytes(row[0])

    def append_input(self, run_id: bytes, kind: str, data: bytes, chain: Chain) -> None:
        """Remember an input and the chain that it leads to, before anything follows from it."""
        with self.transaction():
            self.check_not_ended(run_id)
            self._log_roster(chain)
            self.ask(
                "INSERT INTO inputs SELECT ?, coalesce(max(number), 0) + 1, ?, ?"
                " FROM inputs WHERE run_id = ?",
                run_id,
                kind,
                data,
                run_id,
            )
            self.ask(
                "UPDATE agreements SET links = ? WHERE agreement_hash = ?",
                chain.to_bytes(),
                chain.agreement_hash,
            )

    def _log_roster(self, chain: Chain) -> None:
        """Log the newest set of participants, where a chain has one more than what is stored."""
        row = self.one(
            "SELECT links FROM agreements WHERE agreement_hash = ?", chain.agreement_hash
        )
        if row is None or not chain.links or chain.to_bytes() == bytes(row[0]):
            self.log.unchanged(kinds.ROSTER)
            return
        self.log.append(
            kinds.ROSTER,
            at=stamp_now(),
            agreement_hash=chain.agreement_hash.hex(),
            run_hash=chain.last.run_hash.hex(),
            partners=len(chain.last.members),
            head=chain.head.hex(),
        )

    def inputs(self, run_id: bytes) -> list[tuple[str, bytes]]:
        """Kind and data of every input of a run, in order."""
        return self.ask("SELECT kind, data FROM inputs WHERE run_id = ? ORDER BY number", run_id)

    def save_round(self, run_id: bytes, row: RoundRow) -> None:
        """Remember how a round went."""
        with self.transaction():
            self.ask(
                "INSERT INTO rounds VALUES (?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (run_id, round) DO NOTHING",
                run_id,
                row.round,
                row.partners,
                row.seconds,
                row.inertia,
                row.length,
                row.asked,
            )

    def rounds(self, run_id: bytes) -> list[RoundRow]:
        """How a run's rounds went, in order."""
        rows = self.ask(
            "SELECT round, partners, seconds, inertia, length, asked FROM rounds WHERE run_id = ?"
            " ORDER BY round",
            run_id,
        )
        return [
            RoundRow(round=r, partners=p, seconds=s, inertia=i, length=n, asked=a)
            for r, p, s, i, n, a in rows
        ]

    def save_traffic(self, run_id: bytes, traffic: Sequence[Traffic]) -> None:
        """Remember what each partner exchanged."""
        with self.transaction():
            for t in traffic:
                self.ask(
                    "INSERT INTO traffic VALUES (?, ?, ?, ?, ?)"
                    " ON CONFLICT (run_id, partner) DO UPDATE SET"
                    " messages = traffic.messages + excluded.messages,"
                    " bytes_up = traffic.bytes_up + excluded.bytes_up,"
                    " bytes_down = traffic.bytes_down + excluded.bytes_down",
                    run_id,
                    t.partner,
                    t.messages,
                    t.bytes_up,
                    t.bytes_down,
                )

    def traffic(self, run_id: bytes) -> list[Traffic]:
        """What each partner exchanged in a run."""
        rows = self.ask(
            "SELECT partner, messages, bytes_up, bytes_down FROM traffic WHERE run_id = ?"
            " ORDER BY partner",
            run_id,
        )
        return [
            Traffic(partner=row[0], messages=row[1], bytes_up=row[2], bytes_down=row[3])
            for row in rows
        ]

    def save_release(self, run_id: bytes, envelope: bytes, agreement_hash: bytes) -> None:
        """Keep a run's release; before any partner gets it, as the next run has to start from it.

        Raises:
            RunFailedError: The run has ended.
        """
        with self.transaction():
            self._keep_release(run_id, envelope, agreement_hash)

    def _keep_release(self, run_id: bytes, envelope: bytes, agreement_hash: bytes) -> None:
        self.check_not_ended(run_id)
        if self.one("SELECT 1 FROM releases WHERE run_id = ?", run_id) is not None:
            return
        self.ask(
            "INSERT INTO releases VALUES (?, ?, ?, ?,"
            " (SELECT coalesce(max(number), 0) + 1 FROM releases))",
            run_id,
            agreement_hash,
            envelope,
            now := stamp_now(),
        )
        self.log.append(
            kinds.RELEASED,
            at=now,
            run=run_id.hex(),
            agreement_hash=agreement_hash.hex(),
            sha256=hashlib.sha256(envelope).hexdigest(),
        )

    def finish(self, run_id: bytes, envelope: bytes, agreement_hash: bytes) -> None:
        """End a run with its release; the messages it took are deleted."""
        with self.transaction():
            self._keep_release(run_id, envelope, agreement_hash)
            self._end(run_id, FINISHED, "", "", "", stamp_now())

    def fail(self, run_id: bytes, code: str, reason: str, remedy: str = "") -> None:
        """End a run without a release; the messages it took are deleted."""
        with self.transaction():
            self._end(run_id, FAILED, code, reason, remedy, stamp_now())

    def acknowledge(self, run_id: bytes, partner: str) -> None:
        """Note that a partner knows how a run ended: it has the release, or was told to stop."""
        with self.transaction():
            self.ask(
                "INSERT INTO farewells VALUES (?, ?) ON CONFLICT (run_id, partner) DO NOTHING",
                run_id,
                partner,
            )

    def has_acknowledged(self, run_id: bytes, partner: str) -> bool:
        """Whether a partner knows how a run ended."""
        row = self.one("SELECT 1 FROM farewells WHERE run_id = ? AND partner = ?", run_id, partner)
        return row is not None

    def unacknowledged(self, agreement_hash: bytes, partner: str, *, at_most: int) -> list[RunRow]:
        """The newest ended runs under an agreement whose end a partner does not know; oldest first.

        Of the newest `at_most` ended runs only.
        """
        ended = [run for run in self.runs_of(agreement_hash) if run.ended][:at_most]
        rows = self.ask("SELECT run_id FROM farewells WHERE partner = ?", partner)
        known = {row[0] for row in rows}
        return [run for run in reversed(ended) if run.run_id not in known]

    def check_not_ended(self, run_id: bytes) -> None:
        """Raise RunFailedError when the run has ended, also by the operator, with its reason."""
        row = self.run(run_id)
        if row.ended:
            raise RunFailedError(
                row.reason or f"the run has {row.state}",
                code=row.code or "E-ENDED",
                remedy=row.remedy,
            )

    def _end(
        self, run_id: bytes, state: str, code: str, reason: str, remedy: str, now: str
    ) -> None:
        if not self.run(run_id).ended:
            self.ask(
                "UPDATE runs SET state = ?, code = ?, reason = ?, remedy = ?, updated_at = ?"
                " WHERE run_id = ?",
                state,
                code,
                reason,
                remedy,
                now,
                run_id,
            )
            self.log.append(
                kinds.RUN_ENDED,
                at=now,
                run=run_id.hex(),
                run_hash="",
                phase=state,
                code=code_in_log(code),
            )
        self.ask("DELETE FROM inputs WHERE run_id = ?", run_id)
        self._database.wipe_at_commit()

    def release(self, run_id: bytes) -> bytes:
        """The envelope of a run's release; raises StoreError when it has none."""
        row = self.one("SELECT envelope FROM releases WHERE run_id = ?", run_id)
        if row is None:
            raise StoreError(f"run {run_id.hex()} has no release", code="E-NO-RELEASE")
        envelope: bytes = row[0]
        return envelope

    def releases(self) -> list[tuple[bytes, str, bytes]]:
        """Run id, time and envelope of every release, newest first."""
        return self.ask(
            "SELECT run_id, released_at, envelope FROM releases"
            " ORDER BY released_at DESC, number DESC"
        )
