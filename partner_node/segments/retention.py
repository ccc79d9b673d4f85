"""Deletion of files of segments and of records at the end of their agreed retention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from machine.files import sync_folder
from partner_node.segments.export_records import ExportRecord, ExportRecords
from partner_node.segments.private_files import PrivateFiles, digest
from partner_node.store.node_store import NodeStore
from partner_node.store.times import stamp
from protocol.agreement.document import Agreement
from protocol.errors import RuleError
from protocol.partner_state import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """The result of `purge`.

    Attributes:
        deleted: Paths of the files that it deleted.
        unreachable: Paths of those whose folder is missing; they stay on record.
    """

    deleted: tuple[str, ...]
    unreachable: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        """What the person has to do, a line each."""
        return [
            f"{path}, a file about customers, may not be kept any longer, and its folder is not "
            "there now: bring the folder back, or make an empty one in its place when it is gone "
            "for good"
            for path in self.unreachable
        ]


def purge(store: NodeStore, agreement: Agreement, now: datetime) -> Purged:
    """Delete what is past its retention, and what killed processes left unfinished.

    A file that was changed since it was written is left alone.

    Raises:
        RuleError: Files cannot be deleted (E-RETENTION); their records stay, for the next attempt.
    """
    left = PrivateFiles(store).sweep()
    deleted: list[str] = []
    unreachable = list(left.unreachable)
    stuck = list(left.stuck)
    moment = stamp(now)
    exports = ExportRecords(store)
    records = exports.all()
    last: dict[str, str] = {}
    for record in records:  # for a file that was written again the last writing decides
        last[record.path] = max(record.delete_by, last.get(record.path, ""))
    for record in overdue(records, now):
        path = Path(record.path)
        if last[record.path] < moment:
            try:
                if not path.parent.is_dir():
                    unreachable.append(record.path)
                    continue
                if _delete(path, record.sha256):
                    deleted.append(record.path)
            except OSError as error:
                stuck.append(f"{path} cannot be deleted ({error.strerror})")
                continue
        with store.transaction():
            exports.forget(record.path, before=moment)
    if stuck:
        raise RuleError(
            "files about customers were to be deleted by now: " + "; ".join(dict.fromkeys(stuck)),
            code="E-RETENTION",
            remedy="delete them, or let this account do so",
        )
    before = stamp(now - timedelta(days=agreement.retention.records_days))
    if _oldest_record(store) < before:
        with store.transaction():
            _forget_records(store, before=before)
    return Purged(deleted=tuple(deleted), unreachable=tuple(dict.fromkeys(unreachable)))


def overdue(records: Sequence[ExportRecord], now: datetime) -> list[ExportRecord]:
    """Records of files past their retention."""
    return [record for record in records if record.delete_by < stamp(now)]


def _oldest_record(store: NodeStore) -> str:
    """When the oldest record that `_forget_records` may forget was made; late when none is."""
    ((oldest,),) = store.ask(
        "SELECT min(at) FROM (SELECT min(at) AS at FROM egress UNION ALL"
        " SELECT min(at) FROM manifests UNION ALL SELECT min(at) FROM refusals UNION ALL"
        " SELECT min(done_at) FROM requests WHERE done_at <> '' UNION ALL"
        " SELECT min(at) FROM feedback)"
    )
    return oldest or "9999"


def _forget_records(store: NodeStore, *, before: str) -> None:
    """Forget what left, was refused and was answered to customers; inside a transaction.

    What was spent is never forgotten.
    """
    store.ask("DELETE FROM egress WHERE at < ?", before)
    store.ask(
        "DELETE FROM manifests WHERE at < ? AND run_id NOT IN"
        " (SELECT run_id FROM runs WHERE phase NOT IN (?, ?))",
        before,
        Phase.DONE,
        Phase.ABORTED,
    )
    store.ask("DELETE FROM refusals WHERE at < ?", before)
    store.ask("DELETE FROM feedback WHERE at < ?", before)
    store.ask("DELETE FROM requests WHERE done_at <> '' AND done_at < ?", before)


def _delete(path: Path, sha256: str) -> bool:
    """Delete a file if it is unchanged; returns whether it was. Raises OSError."""
    try:
        if digest(path) != sha256:
            return False
        path.unlink()
        sync_folder(path.parent)
    except FileNotFoundError:
        return False
    return True
