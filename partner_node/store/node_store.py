"""A node's state on disk: chain, runs, releases and what left the machine. SQLite.

Everything that a reply depends on is committed, and synced, before the reply leaves. One request
is one transaction, so a node that is killed at any moment finds either the state before it or the
state after it. Run states hold secrets and are sealed with the node's state key; what an ended
run forgets is wiped from the file too, so that the state key alone does not bring it back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, LiteralString, Protocol

from machine.database import Database
from partner_node.store.audit_log import AuditLog
from partner_node.store.records import EgressRecord, RunRecord
from partner_node.store.schema import MIGRATIONS
from partner_node.store.times import moment
from protocol.agreement.document import Agreement
from protocol.agreement.stop import SignedStop
from protocol.errors import FedsegError, StoreError
from protocol.log import entries as kinds
from protocol.log.entries import code_in_log
from protocol.participants import Chain
from protocol.partner_state import SUPERSEDED, Phase, ended_from_outside
from protocol.signed_agreement import SignedAgreement

#: Greetings kept that no roster followed, so that whoever only opens runs cannot fill the disk.
MAX_GREETINGS: Final = 64
#: Of one message, how many of its latest repetitions stay on record beside the first sending.
MAX_REPETITIONS: Final = 16

#: How a message begins, for people, that opens a run.
_GREETING: Final = "HELLO"
_SELECT_RUN: Final[LiteralString] = (
    "SELECT run_id, run_hash, agreement_hash, phase, round, reason, started_at, updated_at, sealed,"
    " data_changed_at FROM runs WHERE "
)
_SELECT_UNFINISHED: Final[LiteralString] = (
    "SELECT run_id FROM runs WHERE phase NOT IN (?2, ?3) AND "
)


class Sealer(Protocol):
    """Encrypts what must not lie on disk in clear."""

    def seal(self, data: bytes, context: bytes) -> bytes:
        """Encrypt and authenticate `data`, bound to `context`."""
        ...

    def unseal(self, sealed: bytes, context: bytes) -> bytes:
        """The data that `seal` encrypted for the same context; raises KeystoreError."""
        ...


class NodeStore(Database):
    """The state database of one node; safe for several processes and threads.

    Rows that others than a run need have a room each (`Ledger`, `Refusals`, `ExportRecords`,
    `Manifests`, `RightsRegister`, `Scores`): it is made over this database, and what it writes
    belongs to the transaction that was opened here.

    Args:
        path: Database file, or ``:memory:``.
        sealer: Encrypts run states.
        folder: The node's folder; paths inside it are recorded relative to it.
        made_before: Whether the file must be there already, with a schema.
        party: Whose node it is; the audit log begins with it.
    """

    def __init__(
        self,
        path: Path | str,
        sealer: Sealer,
        *,
        folder: Path | None = None,
        made_before: bool = False,
        party: str = "",
    ) -> None:
        self._sealer = sealer
        self._log: AuditLog | None = None
        self.folder = None if folder is None else folder.resolve()
        super().__init__(
            path,
            name="node state",
            migrations=MIGRATIONS,
            remedy="see that the disk has room and the folder is ours; when the file is damaged, "
            "restore it from a backup: a new one means new runs only",
            made_before=made_before,
        )
        self._log = AuditLog(self, party=party)

    @property
    def log(self) -> AuditLog:
        """The audit log; an entry belongs to the transaction of what it records."""
        if self._log is None:
            raise StoreError("the node's state is not open")
        return self._log

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """As `Database.transaction`; rolled back, too, where the audit log lacks an entry.

        Raises:
            StoreError: It lacks one (E-LOG-OWED).
        """
        with super().transaction():
            log = self._log  # there is none while the schema is made
            if log is not None:
                log.open_account()
            yield
            if log is not None:
                log.settle()

    @contextmanager
    def part(self) -> Iterator[None]:
        """A part of a transaction, undone alone when it raises: the rest may be committed."""
        owed = self.log.account
        self.ask("SAVEPOINT part")
        try:
            yield
        except FedsegError:
            self.ask("ROLLBACK TO part")
            self.ask("RELEASE part")
            self.log.account = owed
            raise
        self.ask("RELEASE part")

    @property
    def sealer(self) -> Sealer:
        """What encrypts for this database."""
        return self._sealer

    # --- chain ---------------------------------------------------------------------------------

    def chain(self, agreement: Agreement) -> Chain:
        """The participant-set chain signed under an agreement."""
        row = self.one("SELECT links FROM chains WHERE agreement_hash = ?", agreement.hash)
        return Chain.from_bytes(b"" if row is None else row[0], agreement)

    def save_chain(self, chain: Chain, *, now: str) -> None:
        """Remember the chain; inside a transaction."""
        links = chain.to_bytes()
        before = self.one("SELECT links FROM chains WHERE agreement_hash = ?", chain.agreement_hash)
        if before is not None and bytes(before[0]) == links:
            return
        if links:
            self.log.append(
                kinds.ROSTER,
                at=now,
                agreement_hash=chain.agreement_hash.hex(),
                run_hash=chain.last.run_hash.hex(),
                partners=len(chain.last.members),
                head=chain.head.hex(),
            )
        self.ask(
            "INSERT INTO chains VALUES (?, ?)"
            " ON CONFLICT (agreement_hash) DO UPDATE SET links = excluded.links",
            chain.agreement_hash,
            links,
        )

    # --- runs ----------------------------------------------------------------------------------

    def run_by_id(self, run_id: bytes) -> RunRecord | None:
        """The run with an id."""
        return self._run("run_id = ?", run_id)

    def agreement_of_run(self, run_id: bytes) -> bytes | None:
        """The hash of the agreement that a run is under; None when there is no such run."""
        row = self.one("SELECT agreement_hash FROM runs WHERE run_id = ?", run_id)
        return None if row is None else bytes(row[0])

    def run_id_of(self, run_hash: bytes) -> bytes:
        """The id of the run with a run hash; empty when there is none."""
        row = self.one("SELECT run_id FROM runs WHERE run_hash = ?", run_hash)
        return b"" if row is None else bytes(row[0])

    def run_hashes(self, agreement_hash: bytes) -> list[bytes]:
        """The run hash of every run under an agreement; empty where no roster has come."""
        rows = self.ask("SELECT run_hash FROM runs WHERE agreement_hash = ?", agreement_hash)
        return [run_hash for (run_hash,) in rows]

    def excused(self, agreement_hash: bytes) -> list[bytes]:
        """Run hashes that name this node, but whose roster never came here."""
        rows = self.ask("SELECT run_hash FROM excused WHERE agreement_hash = ?", agreement_hash)
        return [run_hash for (run_hash,) in rows]

    def excuse(self, run_hash: bytes, agreement_hash: bytes, *, now: str) -> None:
        """Remember a run whose roster never came here; inside a transaction."""
        self.ask("INSERT OR IGNORE INTO excused VALUES (?, ?, ?)", run_hash, agreement_hash, now)

    def runs(self) -> list[RunRecord]:
        """All runs, newest first."""
        ids = self.ask("SELECT run_id FROM runs ORDER BY started_at DESC, rowid DESC")
        found = [self.run_by_id(row[0]) for row in ids]
        return [run for run in found if run is not None]

    def latest_moment(self, agreement_hash: bytes) -> datetime | None:
        """When a run under an agreement last changed here; None before the first."""
        row = self.one("SELECT max(updated_at) FROM runs WHERE agreement_hash = ?", agreement_hash)
        return None if row is None or row[0] is None else moment(row[0])

    def save_run(
        self, state: dict[str, Any], *, agreement_hash: bytes, now: str, reason: str = ""
    ) -> None:
        """Remember a run's state; inside a transaction."""
        run_id = bytes.fromhex(state["run_id"])
        is_over = Phase(state["phase"]).over
        if is_over and state["run_hash"]:
            before = self.one("SELECT phase FROM runs WHERE run_id = ?", run_id)
            if before is None or before[0] != state["phase"]:
                self.log.append(
                    kinds.RUN_ENDED,
                    at=now,
                    run=run_id.hex(),
                    run_hash=state["run_hash"],
                    phase=state["phase"],
                    code=code_in_log(reason or state["aborted_with"]),
                )
        sealed = self._sealer.seal(json.dumps(state).encode("ascii"), b"run" + run_id)
        self.ask(
            "INSERT INTO runs (run_id, run_hash, agreement_hash, phase, round, reason, started_at,"
            " updated_at, sealed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (run_id) DO UPDATE SET run_hash = excluded.run_hash,"
            " phase = excluded.phase, round = excluded.round, reason = excluded.reason,"
            " updated_at = excluded.updated_at, sealed = excluded.sealed",
            run_id,
            bytes.fromhex(state["run_hash"]),
            agreement_hash,
            state["phase"],
            state["round"],
            reason or state["aborted_with"],
            now,
            now,
            sealed,
        )
        if is_over:
            self.wipe_at_commit()

    def note_data(self, run_id: bytes, stamp: str, *, now: str) -> bool:
        """Note what the data's files look like during a run; inside a transaction.

        Args:
            stamp: Follows from their sizes and times.

        Returns:
            Whether they have changed since it was last noted in this run.
        """
        row = self.one("SELECT data_stamp FROM runs WHERE run_id = ?", run_id)
        before = "" if row is None else row[0]
        if before == stamp:
            return False
        self.ask("UPDATE runs SET data_stamp = ? WHERE run_id = ?", stamp, run_id)
        if before:
            self.ask("UPDATE runs SET data_changed_at = ? WHERE run_id = ?", now, run_id)
        return bool(before)

    def forget_greetings(self, agreement_hash: bytes) -> None:
        """Forget the oldest runs that never got a roster, beyond `MAX_GREETINGS`; in a transaction.

        Of those under one agreement. With them goes what is on record of their HELLO; no customer
        was counted in any.
        """
        runs = self.ask(
            "SELECT run_id FROM runs WHERE run_hash = x'' AND agreement_hash = ?"
            " ORDER BY rowid DESC LIMIT -1 OFFSET ?",
            agreement_hash,
            MAX_GREETINGS,
        )
        for (run_id,) in runs:
            self.ask("DELETE FROM egress WHERE run_id = ?", run_id)
            self.ask("DELETE FROM manifests WHERE run_id = ?", run_id)
            self.ask("DELETE FROM runs WHERE run_id = ?", run_id)
        if runs:
            self.wipe_at_commit()

    def end_older_runs(self, run_id: bytes, *, now: str) -> list[bytes]:
        """End unfinished runs opened before run `run_id` under its agreement; in a transaction.

        Returns:
            Ids of the runs that ended.
        """
        return self._end_runs(
            "agreement_hash = (SELECT agreement_hash FROM runs WHERE run_id = ?1)"
            " AND rowid < (SELECT rowid FROM runs WHERE run_id = ?1)",
            run_id,
            now=now,
        )

    def end_runs_outside(self, in_force: Collection[bytes], *, now: str) -> list[bytes]:
        """End every unfinished run under an agreement that is not in force; in a transaction.

        Args:
            in_force: The hashes of those that are.

        Returns:
            Ids of the runs that ended.
        """
        rows = self.ask("SELECT DISTINCT agreement_hash FROM runs")
        return [
            run_id
            for (agreement_hash,) in rows
            if agreement_hash not in in_force
            for run_id in self._end_runs("agreement_hash = ?1", agreement_hash, now=now)
        ]

    def end_runs_of(self, agreement_hash: bytes, *, now: str, code: str) -> list[bytes]:
        """End every unfinished run under an agreement for the reason `code`; in a transaction.

        Returns:
            Ids of the runs that ended.
        """
        return self._end_runs("agreement_hash = ?1", agreement_hash, now=now, code=code)

    def end_all_runs(self, *, now: str, code: str) -> list[bytes]:
        """End every unfinished run for the reason `code`; in a transaction.

        Returns:
            Ids of the runs that ended.
        """
        hashes = self.ask("SELECT DISTINCT agreement_hash FROM runs")
        return [
            run_id
            for (agreement_hash,) in hashes
            for run_id in self.end_runs_of(agreement_hash, now=now, code=code)
        ]

    def _end_runs(
        self, where: LiteralString, value: bytes, *, now: str, code: str = SUPERSEDED
    ) -> list[bytes]:
        rows = self.ask(_SELECT_UNFINISHED + where, value, Phase.DONE, Phase.ABORTED)
        for (run_id,) in rows:
            record = self.run_by_id(run_id)
            if record is not None:
                state = ended_from_outside(record.state, code=code)
                self.save_run(state, agreement_hash=record.agreement_hash, now=now)
        return [run_id for (run_id,) in rows]

    def _run(self, where: LiteralString, value: bytes) -> RunRecord | None:
        row = self.one(
            _SELECT_RUN + where,
            value,
        )
        if row is None:
            return None
        return RunRecord(
            run_id=row[0],
            run_hash=row[1],
            agreement_hash=row[2],
            phase=row[3],
            round=row[4],
            reason=row[5],
            started_at=row[6],
            updated_at=row[7],
            state=json.loads(self._sealer.unseal(row[8], b"run" + row[0])),
            data_changed_at=row[9],
        )

    # --- agreements ----------------------------------------------------------------------------

    def keep_agreement(self, signed: SignedAgreement, *, now: str) -> None:
        """Keep an agreement that is installed, or has a release; inside a transaction.

        It is the latest one then; since when it is kept stays as it was.
        """
        agreement = signed.agreement
        latest = self.one(
            "SELECT agreement_hash, envelope FROM agreements ORDER BY rowid DESC LIMIT 1"
        )
        if latest == (agreement.hash, signed.to_bytes()):
            return
        self.log.append(
            kinds.AGREEMENT_KEPT,
            at=now,
            agreement=agreement.id,
            version=agreement.version,
            agreement_hash=agreement.hash.hex(),
        )
        self.ask(
            "INSERT OR REPLACE INTO agreements VALUES (?1, coalesce("
            "(SELECT kept_at FROM agreements WHERE agreement_hash = ?1), ?2), ?3)",
            signed.agreement.hash,
            now,
            signed.to_bytes(),
        )

    def kept_since(self, agreement_hash: bytes) -> datetime | None:
        """Since when an agreement is kept; None when it is not."""
        row = self.one("SELECT kept_at FROM agreements WHERE agreement_hash = ?", agreement_hash)
        return None if row is None else moment(row[0])

    def latest_agreement(self, agreement_id: str) -> SignedAgreement | None:
        """The agreement with an id that was kept last; raises AgreementError."""
        return next(self.versions(agreement_id), None)

    def versions(self, agreement_id: str) -> Iterator[SignedAgreement]:
        """Every agreement with an id that was kept, the last one first; raises AgreementError."""
        kept = self._agreements("SELECT envelope FROM agreements ORDER BY rowid DESC")
        return (signed for signed in kept if signed.agreement.id == agreement_id)

    def agreements(self) -> list[SignedAgreement]:
        """Every agreement that was kept, the last one last; raises AgreementError."""
        return list(self._agreements("SELECT envelope FROM agreements ORDER BY rowid"))

    def _agreements(self, select: LiteralString) -> Iterator[SignedAgreement]:
        for (envelope,) in self.ask(select):
            yield SignedAgreement.from_bytes(envelope, kept=True)

    def agreement(self, agreement_hash: bytes) -> SignedAgreement | None:
        """The agreement with a hash, when it was kept; raises AgreementError."""
        row = self.one("SELECT envelope FROM agreements WHERE agreement_hash = ?", agreement_hash)
        return None if row is None else SignedAgreement.from_bytes(row[0], kept=True)

    def runs_answered(self) -> list[tuple[Agreement, int]]:
        """Each agreement with how many runs under it were answered here, oldest first."""
        rows = self.ask(
            "SELECT agreement_hash, count(*) FROM runs WHERE round >= 0"
            " GROUP BY agreement_hash ORDER BY min(started_at)"
        )
        kept = [(self.agreement(agreement_hash), runs) for agreement_hash, runs in rows]
        return [(signed.agreement, runs) for signed, runs in kept if signed is not None]

    def note_signed(self, agreement_hash: bytes, *, now: str, by: str) -> None:
        """Remember when an agreement was first signed here, and by whom; inside a transaction."""
        if self.signed_at(agreement_hash) is not None:
            return
        self.ask("INSERT INTO signed VALUES (?, ?, ?)", agreement_hash, now, by)
        self.log.append(kinds.AGREEMENT_SIGNED, at=now, agreement_hash=agreement_hash.hex(), by=by)

    def signed_at(self, agreement_hash: bytes) -> str | None:
        """When an agreement was first signed here; None when it was not, or is not known."""
        row = self.one("SELECT at FROM signed WHERE agreement_hash = ?", agreement_hash)
        return None if row is None else str(row[0])

    def signed_by(self, agreement_hash: bytes) -> str:
        """Who first signed an agreement here; empty when nobody did, or it was not noted."""
        row = self.one("SELECT signed_by FROM signed WHERE agreement_hash = ?", agreement_hash)
        return "" if row is None else str(row[0])

    def note_stop(self, stop: SignedStop, *, now: str) -> None:
        """Remember a partner's stop, which was verified; inside a transaction."""
        added = self.ask(
            "INSERT OR IGNORE INTO stops VALUES (?, ?, ?, ?) RETURNING 1",
            stop.agreement_hash,
            stop.partner,
            now,
            stop.to_bytes(),
        )
        if added:
            self.log.append(
                kinds.STOP,
                at=now,
                agreement_hash=stop.agreement_hash.hex(),
                partner=stop.partner,
            )

    def stop_of(self, agreement_hash: bytes) -> SignedStop | None:
        """The first stop of an agreement; None while no partner stopped it."""
        return next(iter(self.stops_of(agreement_hash)), None)

    def stops_of(self, agreement_hash: bytes) -> list[SignedStop]:
        """All stops of an agreement, in the order in which they came."""
        rows = self.ask(
            "SELECT envelope FROM stops WHERE agreement_hash = ? ORDER BY rowid", agreement_hash
        )
        return [SignedStop.from_bytes(envelope) for (envelope,) in rows]

    # --- releases and egress -------------------------------------------------------------------

    def save_release(
        self, run_hash: bytes, agreement_hash: bytes, envelope: bytes, *, now: str
    ) -> None:
        """Remember a release; inside a transaction."""
        added = self.ask(
            "INSERT OR IGNORE INTO releases VALUES (?, ?, ?, ?) RETURNING 1",
            run_hash,
            agreement_hash,
            now,
            envelope,
        )
        if added:
            self.log.append(
                kinds.RELEASE,
                at=now,
                run_hash=run_hash.hex(),
                agreement_hash=agreement_hash.hex(),
                sha256=hashlib.sha256(envelope).hexdigest(),
            )

    def releases(self) -> list[tuple[str, bytes]]:
        """When each release was received and its envelope, newest first."""
        return self.ask(
            "SELECT received_at, envelope FROM releases ORDER BY received_at DESC, rowid DESC"
        )

    def last_release(self, chain: Chain) -> bytes | None:
        """The envelope of the release of the latest run in a chain; None when there is none."""
        places = {link.run_hash: place for place, link in enumerate(chain.links)}
        rows = self.ask(
            "SELECT run_hash, envelope FROM releases WHERE agreement_hash = ?", chain.agreement_hash
        )
        latest = max(rows, key=lambda row: places.get(row[0], -1), default=None)
        return None if latest is None else latest[1]

    def save_egress(self, record: EgressRecord) -> None:
        """Log a message that is about to leave; inside a transaction.

        Of many repetitions of one message only the latest stay, beside the first sending; the audit
        log has the first sending alone, and no greeting.
        """
        is_greeting = record.what.startswith(_GREETING)
        if not is_greeting and not self.one(
            "SELECT 1 FROM egress WHERE manifest = ? LIMIT 1", record.manifest
        ):
            self.log.append(
                kinds.LEFT,
                at=record.at,
                run=record.run_id.hex(),
                round=record.round,
                what=record.what,
                bytes=record.n_bytes,
                sha256=record.sha256,
                message=record.manifest,
            )
        self.ask(
            "INSERT INTO egress (at, run_id, what, round, n_bytes, sha256, customers, manifest)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            record.at,
            record.run_id,
            record.what,
            record.round,
            record.n_bytes,
            record.sha256,
            record.customers,
            record.manifest,
        )
        self.ask(
            "DELETE FROM egress WHERE manifest = ?1 AND number NOT IN (SELECT number FROM egress"
            " WHERE manifest = ?1 ORDER BY number DESC LIMIT ?2)"
            " AND number > (SELECT min(number) FROM egress WHERE manifest = ?1)",
            record.manifest,
            MAX_REPETITIONS,
        )

    def note_beside(self, manifest: int, n_bytes: int, sha256: str, words: str) -> None:
        """Note what leaves beside a message, with its last sending; inside a transaction.

        Args:
            manifest: The message's number.
            sha256: Of what leaves beside it, in hex.
            words: What that says, for people.
        """
        self.ask(
            "UPDATE egress SET beside_bytes = ?, beside_sha256 = ?, beside = ? WHERE number ="
            " (SELECT max(number) FROM egress WHERE manifest = ?)",
            n_bytes, sha256, words, manifest,
        )  # fmt: skip

    def egress(self) -> list[EgressRecord]:
        """Everything that left this node, oldest first."""
        rows = self.ask(
            "SELECT at, run_id, what, round, n_bytes, sha256, customers, manifest, beside_bytes,"
            " beside_sha256, beside FROM egress ORDER BY number"
        )
        return [
            EgressRecord(
                at=at,
                run_id=run_id,
                what=what,
                round=number,
                n_bytes=n_bytes,
                sha256=sha256,
                customers=customers,
                manifest=manifest,
                beside_bytes=beside_bytes,
                beside_sha256=beside_sha256,
                beside=beside,
            )
            for (
                at, run_id, what, number, n_bytes, sha256, customers, manifest, beside_bytes,
                beside_sha256, beside,
            ) in rows
        ]  # fmt: skip
