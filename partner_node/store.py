"""A node's state on disk: chain, runs, releases and what left the machine. SQLite.

Everything that a reply depends on is committed, and synced, before the reply leaves. One request
is one transaction, so a node that is killed at any moment finds either the state before it or the
state after it. Run states hold secrets and are sealed with the node's state key; what an ended
run forgets is wiped from the file too, so that the state key alone does not bring it back.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from typing import Any, Final, LiteralString, Protocol

from protocol.agreement.document import Agreement
from protocol.agreement.stop import SignedStop
from protocol.clustering.plan import restore_plan
from protocol.errors import StoreError
from protocol.participants import Chain
from protocol.partner_round import ABORTED, DONE, SUPERSEDED, ended_from_outside
from protocol.privacy.ledger import Charge, check_affordable, spent_of
from protocol.signed_agreement import SignedAgreement

#: Each ends with the version that it makes.
_MIGRATIONS: Final[tuple[LiteralString, ...]] = (
    """
    CREATE TABLE chains (agreement_hash BLOB PRIMARY KEY, links BLOB NOT NULL) STRICT;
    CREATE TABLE runs (
        run_id BLOB PRIMARY KEY,
        run_hash BLOB,
        agreement_hash BLOB NOT NULL,
        phase TEXT NOT NULL,
        round INTEGER NOT NULL,
        reason TEXT NOT NULL,
        started_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        sealed BLOB NOT NULL
    ) STRICT;
    CREATE INDEX runs_by_hash ON runs (run_hash);
    CREATE TABLE releases (
        run_hash BLOB PRIMARY KEY,
        agreement_hash BLOB NOT NULL,
        received_at TEXT NOT NULL,
        envelope BLOB NOT NULL
    ) STRICT;
    CREATE TABLE egress (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        run_id BLOB NOT NULL,
        what TEXT NOT NULL,
        round INTEGER NOT NULL,
        n_bytes INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        customers INTEGER
    ) STRICT;
    PRAGMA user_version = 1;
    """,
    """
    CREATE TABLE agreements (
        agreement_hash BLOB PRIMARY KEY,
        kept_at TEXT NOT NULL,
        envelope BLOB NOT NULL
    ) STRICT;
    PRAGMA user_version = 2;
    """,
    """
    CREATE TABLE refusals (
        run_id BLOB NOT NULL,
        code TEXT NOT NULL,
        at TEXT NOT NULL,
        times INTEGER NOT NULL,
        PRIMARY KEY (run_id, code)
    ) STRICT;
    PRAGMA user_version = 3;
    """,
    """
    CREATE TABLE ledger (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        agreement_id TEXT NOT NULL,
        run_id BLOB NOT NULL,
        round INTEGER NOT NULL,
        context BLOB NOT NULL UNIQUE,
        asked TEXT NOT NULL,
        sensitivity_squared TEXT NOT NULL,
        group_size INTEGER NOT NULL,
        share_variance TEXT NOT NULL,
        honest INTEGER NOT NULL,
        cost TEXT NOT NULL
    ) STRICT;
    PRAGMA user_version = 4;
    """,
    """
    ALTER TABLE ledger ADD COLUMN colluding INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE excused (
        run_hash BLOB PRIMARY KEY,
        agreement_hash BLOB NOT NULL,
        at TEXT NOT NULL
    ) STRICT;
    PRAGMA user_version = 5;
    """,
    """
    CREATE TABLE stops (
        agreement_hash BLOB NOT NULL,
        partner TEXT NOT NULL,
        noted_at TEXT NOT NULL,
        envelope BLOB NOT NULL,
        PRIMARY KEY (agreement_hash, partner)
    ) STRICT;
    PRAGMA user_version = 6;
    """,
    """
    CREATE TABLE exports (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        release BLOB NOT NULL,
        use TEXT NOT NULL,
        path TEXT NOT NULL,
        n_rows INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        delete_by TEXT NOT NULL
    ) STRICT;
    PRAGMA user_version = 7;
    """,
    """
    CREATE TABLE wishes (
        pseudonym TEXT NOT NULL,
        wish TEXT NOT NULL,
        at TEXT NOT NULL,
        sealed BLOB NOT NULL,
        PRIMARY KEY (pseudonym, wish)
    ) STRICT;
    CREATE TABLE requests (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        pseudonym TEXT NOT NULL,
        received_on TEXT NOT NULL,
        due_on TEXT NOT NULL,
        done_at TEXT NOT NULL,
        receipt TEXT NOT NULL
    ) STRICT;
    PRAGMA user_version = 8;
    """,
    """
    CREATE TABLE manifests (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        run_id BLOB NOT NULL,
        slot BLOB NOT NULL UNIQUE,
        sha256 TEXT NOT NULL,
        manifest TEXT NOT NULL,
        expires_at TEXT,
        decision TEXT,
        decided_at TEXT
    ) STRICT;
    ALTER TABLE egress ADD COLUMN manifest INTEGER;
    CREATE INDEX egress_by_manifest ON egress (manifest);
    PRAGMA user_version = 9;
    """,
    """
    CREATE TABLE feedback (
        pseudonym TEXT NOT NULL,
        kind TEXT NOT NULL,
        at TEXT NOT NULL,
        segment TEXT NOT NULL,
        PRIMARY KEY (pseudonym, kind, at)
    ) STRICT;
    PRAGMA user_version = 10;
    """,
    """
    ALTER TABLE feedback ADD COLUMN score REAL;
    ALTER TABLE feedback ADD COLUMN question TEXT;
    PRAGMA user_version = 11;
    """,
    """
    CREATE TABLE drafts (number INTEGER PRIMARY KEY AUTOINCREMENT, sealed BLOB NOT NULL) STRICT;
    PRAGMA user_version = 12;
    """,
)


_STAMP: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
#: The longest wait for a lock of the database file, and the pause where SQLite does not wait.
_LOCK_WAIT_S: Final = 60.0
_LOCK_PAUSE_S: Final = 0.05
#: Refusals kept, so that whoever sends nonsense cannot fill the disk.
MAX_REFUSALS: Final = 100

_SELECT_RUN: Final[LiteralString] = (
    "SELECT run_id, run_hash, agreement_hash, phase, round, reason, started_at, updated_at, sealed"
    " FROM runs WHERE "
)


_SELECT_CHARGES: Final[LiteralString] = (
    "SELECT run_id, round, context, asked, sensitivity_squared, group_size, share_variance,"
    " honest, cost, colluding FROM ledger WHERE "
)
_SELECT_UNFINISHED: Final[LiteralString] = "SELECT run_id FROM runs WHERE phase NOT IN (?, ?) AND "


class Sealer(Protocol):
    """Encrypts what must not lie on disk in clear."""

    def seal(self, data: bytes, context: bytes) -> bytes:
        """Encrypt and authenticate `data`, bound to `context`."""
        ...

    def unseal(self, sealed: bytes, context: bytes) -> bytes:
        """The data that `seal` encrypted for the same context; raises KeystoreError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run as the store knows it; `state` is what `PartnerRound.to_dict` gave."""

    run_id: bytes
    run_hash: bytes
    agreement_hash: bytes
    phase: str
    round: int
    reason: str
    started_at: str
    updated_at: str
    state: dict[str, Any]

    @property
    def rounds_answered(self) -> int:
        """Sum queries answered; the approval of the release, the last round, is none."""
        plan = self.state.get("plan")
        approved = plan is not None and restore_plan(plan).result is not None
        return self.round + (0 if approved else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressRecord:
    """One message that left this node.

    Attributes:
        what: Kind of message, in words.
        customers: How many of the partner's customers are counted in it; None when none are.
        manifest: Number of its manifest; None for what left before there were any.
    """

    at: str
    run_id: bytes
    what: str
    round: int
    n_bytes: int
    sha256: str
    customers: int | None
    manifest: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRecord:
    """One file of customers' segments that was written here.

    Attributes:
        release: Hash of the release.
        use: What it was written for, as agreed.
        path: Where it was written, absolute.
        n_rows: Customers in it.
        sha256: Of the file, in hexadecimal.
        delete_by: Until when it may be kept, as `stamp` writes times.
    """

    at: str
    release: bytes
    use: str
    path: str
    n_rows: int
    sha256: str
    delete_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Requests that this node refused.

    Attributes:
        at: When the last of them came.
        code: Why.
        run_id: Of the run that they were about; empty when they did not say.
        times: How many came.
    """

    at: str
    code: str
    run_id: bytes
    times: int


class NodeStore:
    """The state database of one node; safe for several processes and threads.

    Args:
        path: Database file, or ``:memory:``.
        sealer: Encrypts run states.
    """

    def __init__(self, path: Path | str, sealer: Sealer) -> None:
        self._path = str(path)
        self._sealer = sealer
        self._lock = RLock()
        self._wipe = False
        try:
            self._connection = sqlite3.connect(
                path, isolation_level=None, timeout=_LOCK_WAIT_S, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise self._error(error) from error
        try:
            self._write_ahead()
            self._rows("PRAGMA synchronous = FULL")
            self._rows("PRAGMA secure_delete = ON")
            self._migrate()
        except BaseException:
            self._connection.close()
            raise

    def _write_ahead(self) -> None:
        """Switch to the write-ahead log.

        SQLite waits for locks by itself, but not for this one, which every process that opens a
        new file at the same moment wants.
        """
        deadline = time.monotonic() + _LOCK_WAIT_S
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.Error as error:
                busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > deadline:
                    raise self._error(error) from error
                time.sleep(_LOCK_PAUSE_S)

    @property
    def path(self) -> str:
        """The database file, or ``:memory:``."""
        return self._path

    @property
    def sealer(self) -> Sealer:
        """What encrypts for this database."""
        return self._sealer

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One atomic change; committed and synced at the end, rolled back on an exception."""
        with self._lock:
            self._rows("BEGIN IMMEDIATE")
            try:
                yield
                self._rows("COMMIT")
            except BaseException:
                self._wipe = False
                if self._connection.in_transaction:
                    self._rows("ROLLBACK")
                raise
            if self._wipe:
                # The log holds old pages until they are moved and it is cut to nothing.
                self._rows("PRAGMA wal_checkpoint(TRUNCATE)")
                self._wipe = False

    # --- chain ---------------------------------------------------------------------------------

    def chain(self, agreement: Agreement) -> Chain:
        """The participant-set chain signed under an agreement."""
        row = self._one("SELECT links FROM chains WHERE agreement_hash = ?", agreement.hash)
        return Chain.from_bytes(b"" if row is None else row[0], agreement)

    def save_chain(self, chain: Chain) -> None:
        """Remember the chain; inside a transaction."""
        self._rows(
            "INSERT INTO chains VALUES (?, ?)"
            " ON CONFLICT (agreement_hash) DO UPDATE SET links = excluded.links",
            chain.agreement_hash,
            chain.to_bytes(),
        )

    # --- runs ----------------------------------------------------------------------------------

    def run_by_id(self, run_id: bytes) -> RunRecord | None:
        """The run with an id."""
        return self._run("run_id = ?", run_id)

    def run_by_hash(self, run_hash: bytes) -> RunRecord | None:
        """The run with a run hash."""
        return self._run("run_hash = ?", run_hash)

    def run_id_of(self, run_hash: bytes) -> bytes:
        """The id of the run with a run hash; empty when there is none."""
        row = self._one("SELECT run_id FROM runs WHERE run_hash = ?", run_hash)
        return b"" if row is None else bytes(row[0])

    def run_hashes(self, agreement_hash: bytes) -> list[bytes]:
        """The run hash of every run under an agreement; empty where no roster has come."""
        rows = self._rows("SELECT run_hash FROM runs WHERE agreement_hash = ?", agreement_hash)
        return [run_hash for (run_hash,) in rows]

    def excused(self, agreement_hash: bytes) -> list[bytes]:
        """Run hashes that name this node, but whose roster never came here."""
        rows = self._rows("SELECT run_hash FROM excused WHERE agreement_hash = ?", agreement_hash)
        return [run_hash for (run_hash,) in rows]

    def excuse(self, run_hash: bytes, agreement_hash: bytes, *, now: str) -> None:
        """Remember a run whose roster never came here; inside a transaction."""
        self._rows("INSERT OR IGNORE INTO excused VALUES (?, ?, ?)", run_hash, agreement_hash, now)

    def runs(self) -> list[RunRecord]:
        """All runs, newest first."""
        ids = self._rows("SELECT run_id FROM runs ORDER BY started_at DESC, rowid DESC")
        found = [self.run_by_id(row[0]) for row in ids]
        return [run for run in found if run is not None]

    def latest_moment(self, agreement_hash: bytes) -> datetime | None:
        """When a run under an agreement last changed here; None before the first."""
        row = self._one("SELECT max(updated_at) FROM runs WHERE agreement_hash = ?", agreement_hash)
        return None if row is None or row[0] is None else moment(row[0])

    def save_run(
        self, state: dict[str, Any], *, agreement_hash: bytes, now: str, reason: str = ""
    ) -> None:
        """Remember a run's state; inside a transaction."""
        run_id = bytes.fromhex(state["run_id"])
        sealed = self._sealer.seal(json.dumps(state).encode("ascii"), b"run" + run_id)
        self._rows(
            "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
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
        self._wipe = self._wipe or state["phase"] in (DONE, ABORTED)

    def end_older_runs(self, run_id: bytes, *, now: str) -> list[bytes]:
        """End every unfinished run that was opened before run `run_id`; inside a transaction.

        Returns:
            Ids of the runs that ended.
        """
        return self._end_runs("rowid < (SELECT rowid FROM runs WHERE run_id = ?)", run_id, now=now)

    def end_runs_of_other_agreements(self, agreement_hash: bytes, *, now: str) -> list[bytes]:
        """End every unfinished run under another agreement; inside a transaction.

        Returns:
            Ids of the runs that ended.
        """
        return self._end_runs("agreement_hash <> ?", agreement_hash, now=now)

    def end_runs_of(self, agreement_hash: bytes, *, now: str, code: str) -> list[bytes]:
        """End every unfinished run under an agreement for the reason `code`; in a transaction.

        Returns:
            Ids of the runs that ended.
        """
        return self._end_runs("agreement_hash = ?", agreement_hash, now=now, code=code)

    def _end_runs(
        self, where: LiteralString, value: bytes, *, now: str, code: str = SUPERSEDED
    ) -> list[bytes]:
        rows = self._rows(_SELECT_UNFINISHED + where, DONE, ABORTED, value)
        for (run_id,) in rows:
            record = self.run_by_id(run_id)
            if record is not None:
                state = ended_from_outside(record.state, code=code)
                self.save_run(state, agreement_hash=record.agreement_hash, now=now)
        return [run_id for (run_id,) in rows]

    def _run(self, where: LiteralString, value: bytes) -> RunRecord | None:
        row = self._one(
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
        )

    # --- agreements ----------------------------------------------------------------------------

    def keep_agreement(self, signed: SignedAgreement, *, now: str) -> None:
        """Keep an agreement for as long as there are releases under it; inside a transaction."""
        self._rows(
            "INSERT OR IGNORE INTO agreements VALUES (?, ?, ?)",
            signed.agreement.hash,
            now,
            signed.to_bytes(),
        )

    def agreement(self, agreement_hash: bytes) -> SignedAgreement | None:
        """The agreement with a hash, when it was kept; raises AgreementError."""
        row = self._one("SELECT envelope FROM agreements WHERE agreement_hash = ?", agreement_hash)
        return None if row is None else SignedAgreement.from_bytes(row[0])

    def note_stop(self, stop: SignedStop, *, now: str) -> None:
        """Remember a partner's stop, which was verified; inside a transaction."""
        self._rows(
            "INSERT OR IGNORE INTO stops VALUES (?, ?, ?, ?)",
            stop.agreement_hash,
            stop.partner,
            now,
            stop.to_bytes(),
        )

    def stop_of(self, agreement_hash: bytes) -> SignedStop | None:
        """The first stop of an agreement; None while no partner stopped it."""
        row = self._one(
            "SELECT envelope FROM stops WHERE agreement_hash = ? ORDER BY rowid LIMIT 1",
            agreement_hash,
        )
        return None if row is None else SignedStop.from_bytes(row[0])

    # --- ledger --------------------------------------------------------------------------------

    def charges(self, agreement_id: str | None = None) -> list[Charge]:
        """Every charge, oldest first; under all versions of one agreement when it is named."""
        return self._charges("?1 IS NULL OR agreement_id = ?1 ORDER BY number", agreement_id)

    def charge_of(self, context: bytes) -> Charge | None:
        """What was charged for the answer that a context names; None when nothing was."""
        return next(iter(self._charges("context = ?1", context)), None)

    def _charges(self, where: LiteralString, value: object) -> list[Charge]:
        rows = self._rows(_SELECT_CHARGES + where, value)
        return [
            Charge(
                run_id=row[0],
                round=row[1],
                context=row[2],
                asked=row[3],
                sensitivity_squared=int(row[4]),
                group=row[5],
                share_variance=int(row[6]),
                honest=row[7],
                cost=int(row[8]),
                colluding=row[9],
            )
            for row in rows
        ]

    def charge(self, charge: Charge, agreement: Agreement, *, now: str) -> None:
        """Take a charge when the budget holds it; inside a transaction.

        The same context is charged once: it gets the same bytes again.

        Raises:
            RuleError: The budget does not hold it (E-BUDGET-SPENT); nothing is charged.
        """
        if agreement.privacy is None:
            raise StoreError("an agreement on exact totals has no budget")
        if self._one("SELECT 1 FROM ledger WHERE context = ?", charge.context) is not None:
            return
        check_affordable(agreement.privacy, spent=self.spent(agreement), more=charge.cost)
        self.record_charge(charge, agreement, now=now)

    def charged_under(self) -> dict[str, int]:
        """What was charged under each agreement, by its id, in units of 2^-60 of rho."""
        found: dict[str, int] = {}
        for identity, cost in self._rows("SELECT agreement_id, cost FROM ledger ORDER BY number"):
            found[identity] = found.get(identity, 0) + int(cost)
        return found

    def spent(self, agreement: Agreement) -> int:
        """What was charged under all versions of an agreement, for what is promised now."""
        if agreement.privacy is None:
            return 0
        return spent_of(
            self.charges(agreement.id),
            agreement.privacy,
            colluding=agreement.secure_sum.max_colluding,
        )

    def record_charge(self, charge: Charge, agreement: Agreement, *, now: str) -> None:
        """Write down what has been spent, whether the budget holds it or not; in a transaction."""
        self._rows(
            "INSERT INTO ledger (at, agreement_id, run_id, round, context, asked,"
            " sensitivity_squared, group_size, share_variance, honest, cost, colluding)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            now,
            agreement.id,
            charge.run_id,
            charge.round,
            charge.context,
            charge.asked,
            str(charge.sensitivity_squared),
            charge.group,
            str(charge.share_variance),
            charge.honest,
            str(charge.cost),
            charge.colluding,
        )

    # --- releases and egress -------------------------------------------------------------------

    def save_release(
        self, run_hash: bytes, agreement_hash: bytes, envelope: bytes, *, now: str
    ) -> None:
        """Remember a release; inside a transaction."""
        self._rows(
            "INSERT OR IGNORE INTO releases VALUES (?, ?, ?, ?)",
            run_hash,
            agreement_hash,
            now,
            envelope,
        )

    def releases(self) -> list[tuple[str, bytes]]:
        """When each release was received and its envelope, newest first."""
        return self._rows(
            "SELECT received_at, envelope FROM releases ORDER BY received_at DESC, rowid DESC"
        )

    def save_egress(self, record: EgressRecord) -> None:
        """Log a message that is about to leave; inside a transaction."""
        self._rows(
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

    def egress(self) -> list[EgressRecord]:
        """Everything that left this node, oldest first."""
        rows = self._rows(
            "SELECT at, run_id, what, round, n_bytes, sha256, customers, manifest FROM egress"
            " ORDER BY number"
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
            )
            for at, run_id, what, number, n_bytes, sha256, customers, manifest in rows
        ]

    def save_export(self, record: ExportRecord) -> None:
        """Log a file of customers' segments that is about to appear; inside a transaction."""
        self._rows(
            "INSERT INTO exports (at, release, use, path, n_rows, sha256, delete_by)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            record.at,
            record.release,
            record.use,
            record.path,
            record.n_rows,
            record.sha256,
            record.delete_by,
        )

    def exports(self) -> list[ExportRecord]:
        """Every file of customers' segments that was written, newest first."""
        rows = self._rows(
            "SELECT at, release, use, path, n_rows, sha256, delete_by FROM exports"
            " ORDER BY number DESC"
        )
        return [
            ExportRecord(
                at=at,
                release=release,
                use=use,
                path=path,
                n_rows=n_rows,
                sha256=sha256,
                delete_by=delete_by,
            )
            for at, release, use, path, n_rows, sha256, delete_by in rows
        ]

    def forget_exports(self, path: str, *, before: str) -> None:
        """Forget files at `path` that were to be deleted before a time; inside a transaction."""
        self._rows("DELETE FROM exports WHERE path = ? AND delete_by < ?", path, before)

    def oldest_record(self) -> str:
        """When the oldest record that `forget_records` may forget was made; late when none is."""
        ((oldest,),) = self._rows(
            "SELECT min(at) FROM (SELECT min(at) AS at FROM egress UNION ALL"
            " SELECT min(at) FROM manifests UNION ALL SELECT min(at) FROM refusals UNION ALL"
            " SELECT min(done_at) FROM requests WHERE done_at <> '' UNION ALL"
            " SELECT min(at) FROM feedback)"
        )
        return oldest or "9999"

    def forget_records(self, *, before: str) -> None:
        """Forget what left, was refused and was answered to customers; inside a transaction.

        What was spent is never forgotten.
        """
        self._rows("DELETE FROM egress WHERE at < ?", before)
        self._rows(
            "DELETE FROM manifests WHERE at < ? AND run_id NOT IN"
            " (SELECT run_id FROM runs WHERE phase NOT IN (?, ?))",
            before,
            DONE,
            ABORTED,
        )
        self._rows("DELETE FROM refusals WHERE at < ?", before)
        self._rows("DELETE FROM feedback WHERE at < ?", before)
        self._rows("DELETE FROM requests WHERE done_at <> '' AND done_at < ?", before)

    def rewrite_export(self, path: str, *, n_rows: int, sha256: str) -> None:
        """Note that a file of customers' segments was written again; inside a transaction."""
        self._rows("UPDATE exports SET n_rows = ?, sha256 = ? WHERE path = ?", n_rows, sha256, path)

    def save_refusal(self, code: str, run_id: bytes, *, now: str) -> None:
        """Remember that a request was refused; inside a transaction. The oldest are forgotten."""
        self._rows(
            "INSERT INTO refusals VALUES (?, ?, ?, 1) ON CONFLICT (run_id, code)"
            " DO UPDATE SET at = excluded.at, times = times + 1",
            run_id,
            code,
            now,
        )
        self._rows(
            "DELETE FROM refusals WHERE rowid NOT IN"
            " (SELECT rowid FROM refusals ORDER BY at DESC, rowid DESC LIMIT ?)",
            MAX_REFUSALS,
        )

    def refusals(self) -> list[Refusal]:
        """Requests that were refused, newest first."""
        rows = self._rows(
            "SELECT at, code, run_id, times FROM refusals ORDER BY at DESC, rowid DESC"
        )
        return [
            Refusal(at=at, code=code, run_id=run_id, times=times)
            for at, code, run_id, times in rows
        ]

    def ask(self, sql: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        """One statement, for tables that have a file of their own; raises StoreError."""
        return self._rows(sql, *values)

    def check(self) -> None:
        """Raise StoreError when the database file is damaged."""
        row = self._one("PRAGMA integrity_check")
        if row is None or row[0] != "ok":
            raise StoreError(f"node state is damaged: {row and row[0]}")

    def query(self, sql: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement for a part of the node with records of its own; see `Manifests`.

        Raises:
            StoreError: The database does not take it.
        """
        return self._rows(sql, *values)

    def _one(self, sql: LiteralString, *values: bytes) -> tuple[Any, ...] | None:
        return next(iter(self._rows(sql, *values)), None)

    def _rows(self, sql: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement; raises StoreError."""
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _error(self, error: sqlite3.Error) -> StoreError:
        return StoreError(
            f"node state {self._path!r}: {error}",
            remedy="see that the disk has room and the folder is ours; when the file is damaged, "
            "restore it from a backup: a new one means new runs only",
        )

    def _migrate(self) -> None:
        if self._version() == len(_MIGRATIONS):
            return  # without a lock: the node may hold it while it reads its customers
        with self.transaction():
            version = self._version()
            if version > len(_MIGRATIONS):
                raise StoreError(
                    f"node state has schema {version}, this fedseg knows {len(_MIGRATIONS)}",
                    remedy="install the newer fedseg again",
                )
            for script in _MIGRATIONS[version:]:
                for statement in script.split(";"):
                    self._rows(statement)

    def _version(self) -> int:
        (version,) = self._rows("PRAGMA user_version")[0]
        return int(version)


def stamp(at: datetime) -> str:
    """A time (UTC) as it is stored."""
    return at.strftime(_STAMP)


def moment(text: str) -> datetime:
    """The time that `stamp` wrote."""
    return datetime.strptime(text, _STAMP).replace(tzinfo=UTC)
