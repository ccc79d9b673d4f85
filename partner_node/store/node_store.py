"""A node's state on disk: chain, runs, releases and what left the machine. SQLite.

Everything that a reply depends on is committed, and synced, before the reply leaves. One request
is one transaction, so a node that is killed at any moment finds either the state before it or the
state after it. Run states hold secrets and are sealed with the node's state key; what an ended
run forgets is wiped from the file too, so that the state key alone does not bring it back.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Final, LiteralString, Protocol

from machine.database import Database
from partner_node.store.records import EgressRecord, ExportRecord, Refusal, RunRecord
from partner_node.store.schema import MIGRATIONS
from partner_node.store.times import moment
from protocol.agreement.document import Agreement
from protocol.agreement.stop import SignedStop
from protocol.errors import StoreError
from protocol.participants import Chain
from protocol.partner_state import SUPERSEDED, Phase, ended_from_outside
from protocol.privacy.ledger import Charge, check_affordable, spent_of
from protocol.signed_agreement import SignedAgreement

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


class NodeStore(Database):
    """The state database of one node; safe for several processes and threads.

    Args:
        path: Database file, or ``:memory:``.
        sealer: Encrypts run states.
    """

    def __init__(self, path: Path | str, sealer: Sealer) -> None:
        self._sealer = sealer
        super().__init__(
            path,
            name="node state",
            migrations=MIGRATIONS,
            remedy="see that the disk has room and the folder is ours; when the file is damaged, "
            "restore it from a backup: a new one means new runs only",
        )

    @property
    def sealer(self) -> Sealer:
        """What encrypts for this database."""
        return self._sealer

    # --- chain ---------------------------------------------------------------------------------

    def chain(self, agreement: Agreement) -> Chain:
        """The participant-set chain signed under an agreement."""
        row = self.one("SELECT links FROM chains WHERE agreement_hash = ?", agreement.hash)
        return Chain.from_bytes(b"" if row is None else row[0], agreement)

    def save_chain(self, chain: Chain) -> None:
        """Remember the chain; inside a transaction."""
        self.ask(
            "INSERT INTO chains VALUES (?, ?)"
            " ON CONFLICT (agreement_hash) DO UPDATE SET links = excluded.links",
            chain.agreement_hash,
            chain.to_bytes(),
        )

    # --- runs ----------------------------------------------------------------------------------

    def run_by_id(self, run_id: bytes) -> RunRecord | None:
        """The run with an id."""
        return self._run("run_id = ?", run_id)

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
        sealed = self._sealer.seal(json.dumps(state).encode("ascii"), b"run" + run_id)
        self.ask(
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
        if Phase(state["phase"]).over:
            self.wipe_at_commit()

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
        rows = self.ask(_SELECT_UNFINISHED + where, Phase.DONE, Phase.ABORTED, value)
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
        )

    # --- agreements ----------------------------------------------------------------------------

    def keep_agreement(self, signed: SignedAgreement, *, now: str) -> None:
        """Keep an agreement for as long as there are releases under it; inside a transaction."""
        self.ask(
            "INSERT OR IGNORE INTO agreements VALUES (?, ?, ?)",
            signed.agreement.hash,
            now,
            signed.to_bytes(),
        )

    def agreement(self, agreement_hash: bytes) -> SignedAgreement | None:
        """The agreement with a hash, when it was kept; raises AgreementError."""
        row = self.one("SELECT envelope FROM agreements WHERE agreement_hash = ?", agreement_hash)
        return None if row is None else SignedAgreement.from_bytes(row[0])

    def note_stop(self, stop: SignedStop, *, now: str) -> None:
        """Remember a partner's stop, which was verified; inside a transaction."""
        self.ask(
            "INSERT OR IGNORE INTO stops VALUES (?, ?, ?, ?)",
            stop.agreement_hash,
            stop.partner,
            now,
            stop.to_bytes(),
        )

    def stop_of(self, agreement_hash: bytes) -> SignedStop | None:
        """The first stop of an agreement; None while no partner stopped it."""
        row = self.one(
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
        rows = self.ask(_SELECT_CHARGES + where, value)
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
        if self.one("SELECT 1 FROM ledger WHERE context = ?", charge.context) is not None:
            return
        check_affordable(agreement.privacy, spent=self.spent(agreement), more=charge.cost)
        self.record_charge(charge, agreement, now=now)

    def charged_under(self) -> dict[str, int]:
        """What was charged under each agreement, by its id, in units of 2^-60 of rho."""
        found: dict[str, int] = {}
        for identity, cost in self.ask("SELECT agreement_id, cost FROM ledger ORDER BY number"):
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
        self.ask(
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
        self.ask(
            "INSERT OR IGNORE INTO releases VALUES (?, ?, ?, ?)",
            run_hash,
            agreement_hash,
            now,
            envelope,
        )

    def releases(self) -> list[tuple[str, bytes]]:
        """When each release was received and its envelope, newest first."""
        return self.ask(
            "SELECT received_at, envelope FROM releases ORDER BY received_at DESC, rowid DESC"
        )

    def save_egress(self, record: EgressRecord) -> None:
        """Log a message that is about to leave; inside a transaction."""
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

    def egress(self) -> list[EgressRecord]:
        """Everything that left this node, oldest first."""
        rows = self.ask(
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
        self.ask(
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
        rows = self.ask(
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
        self.ask("DELETE FROM exports WHERE path = ? AND delete_by < ?", path, before)

    def oldest_record(self) -> str:
        """When the oldest record that `forget_records` may forget was made; late when none is."""
        ((oldest,),) = self.ask(
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
        self.ask("DELETE FROM egress WHERE at < ?", before)
        self.ask(
            "DELETE FROM manifests WHERE at < ? AND run_id NOT IN"
            " (SELECT run_id FROM runs WHERE phase NOT IN (?, ?))",
            before,
            Phase.DONE,
            Phase.ABORTED,
        )
        self.ask("DELETE FROM refusals WHERE at < ?", before)
        self.ask("DELETE FROM feedback WHERE at < ?", before)
        self.ask("DELETE FROM requests WHERE done_at <> '' AND done_at < ?", before)

    def rewrite_export(self, path: str, *, n_rows: int, sha256: str) -> None:
        """Note that a file of customers' segments was written again; inside a transaction."""
        self.ask("UPDATE exports SET n_rows = ?, sha256 = ? WHERE path = ?", n_rows, sha256, path)

    def save_refusal(self, code: str, run_id: bytes, *, now: str) -> None:
        """Remember that a request was refused; inside a transaction. The oldest are forgotten."""
        self.ask(
            "INSERT INTO refusals VALUES (?, ?, ?, 1) ON CONFLICT (run_id, code)"
            " DO UPDATE SET at = excluded.at, times = times + 1",
            run_id,
            code,
            now,
        )
        self.ask(
            "DELETE FROM refusals WHERE rowid NOT IN"
            " (SELECT rowid FROM refusals ORDER BY at DESC, rowid DESC LIMIT ?)",
            MAX_REFUSALS,
        )

    def refusals(self) -> list[Refusal]:
        """Requests that were refused, newest first."""
        rows = self.ask("SELECT at, code, run_id, times FROM refusals ORDER BY at DESC, rowid DESC")
        return [
            Refusal(at=at, code=code, run_id=run_id, times=times)
            for at, code, run_id, times in rows
        ]
