"""Deletion of files of segments and of records at the end of their agreed retention."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal, LiteralString, get_args

from machine.files import sync_folder
from partner_node.home import NodeHome
from partner_node.receipts.counted_sets import CountedSets
from partner_node.segments.export_records import Ending, ExportRecord, ExportRecords
from partner_node.segments.private_files import PrivateFiles, digest
from partner_node.store.node_store import NodeStore
from partner_node.store.times import moment as moment_of
from partner_node.store.times import stamp
from protocol.agreement.document import Agreement
from protocol.errors import AgreementError, RuleError

logger = logging.getLogger(__name__)

#: Where no record is kept that could be forgotten.
_NONE: Final = "9999"

#: Why a file past its retention stays where it is.
Kept = Literal["unreachable", "changed", "foreign"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """The result of `purge`.

    Attributes:
        deleted: Paths of the files that it deleted.
        unreachable: Paths of those whose folder is missing; they stay on record.
        changed: Paths of those that are not recognised as what was written; they stay on record.
        foreign: Paths outside a folder of which the node's may be a copy; they stay on record.
    """

    deleted: tuple[str, ...] = ()
    unreachable: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()

    @property
    def log_lines(self) -> list[str]:
        """What was deleted, a line each."""
        return [f"deleted {path}, which may not be kept any longer" for path in self.deleted]

    @property
    def words(self) -> list[str]:
        """What the person has to do, a line each."""
        return [
            *(
                f"{path}, a file about customers, may not be kept any longer, and its folder is "
                "not there now: bring the folder back, or make an empty one in its place when it "
                "is gone for good"
                for path in self.unreachable
            ),
            *(
                f"{path} may not be kept any longer, and is not what this node wrote there: does "
                "it still hold customers? Delete it if so; `fedseg-node retention strike FILE` "
                "takes it off the register if not"
                for path in self.changed
            ),
            *(
                f"{path} may not be kept any longer, and was written when this node had another "
                "folder, of which this one may be a copy: `fedseg-node retention apply "
                "--moved-from FOLDER` when the folder was moved; `retention strike FILE` when the "
                "file is the other one's"
                for path in self.foreign
            ),
        ]


def apply_retention(home: NodeHome, now: datetime) -> Purged:
    """`purge` for a node's folder, also when its agreements are in a bad way; raises as `purge`.

    Files are deleted then, and all records kept: nothing is known of how long those are kept of an
    agreement that cannot be read, or does not go with the others.
    """
    in_force: list[Agreement] = []
    try:
        if home.all_are_read():
            in_force = home.agreements_in_force()
    except AgreementError as error:
        logger.warning("records are kept, however old: %s: %s", error.code, error.message)
    with closing(home.store(home.keystore())) as store:
        return purge(store, in_force, now)


def purge(store: NodeStore, agreements: Sequence[Agreement], now: datetime) -> Purged:
    """Delete what is past its retention, and what killed processes left unfinished.

    A file that another program saved again is deleted when it still is a table of that release's
    segments. Any other file that was changed is left alone, and stays on record.

    Args:
        agreements: Those in force. Each says for how long its records are kept; without any, all
            are. What belongs to none of them is kept as long as any of them lets it be kept.

    Raises:
        RuleError: Files cannot be deleted (E-RETENTION); their records stay, for the next attempt.
    """
    left = PrivateFiles(store).sweep()
    deleted: list[str] = []
    kept: dict[Kept, list[str]] = {kind: [] for kind in get_args(Kept)}
    stuck = list(left.stuck)
    moment = stamp(now)
    exports = ExportRecords(store)
    exports.note_home()
    for path, versions in exports.by_path().items():
        if not overdue(versions, now):
            continue
        ending: Ending = "written again"
        if max(record.delete_by for record in versions) < moment:  # the last writing decides
            try:
                found = _removed(versions)
            except OSError as error:
                stuck.append(f"{path} cannot be deleted ({error.strerror})")
                continue
            if found != "deleted" and found != "missing":
                kept[found].append(path)
                continue
            ending = found
            deleted += [path] if ending == "deleted" else []
        with store.transaction():
            exports.end(path, ending, now, before=moment)
    if stuck:
        raise RuleError(
            "files about customers were to be deleted by now: " + "; ".join(dict.fromkeys(stuck)),
            code="E-RETENTION",
            remedy="delete them, or let this account do so",
        )
    kept_days = {one.id: one.retention.records_days for one in agreements}
    if kept_days:
        before = {name: stamp(now - timedelta(days=days)) for name, days in kept_days.items()}
        if _oldest_record(store) < max(before.values()):
            with store.transaction():
                _forget_records(store, before)
    CountedSets(store).sweep()
    return Purged(
        deleted=tuple(deleted),
        unreachable=tuple(dict.fromkeys(left.unreachable + tuple(kept["unreachable"]))),
        changed=tuple(kept["changed"]),
        foreign=tuple(dict.fromkeys(left.foreign + tuple(kept["foreign"]))),
    )


def overdue(records: Sequence[ExportRecord], now: datetime) -> list[ExportRecord]:
    """Records of files past their retention."""
    return [record for record in records if record.delete_by < stamp(now)]


def records_due(store: NodeStore, agreements: Sequence[Agreement]) -> datetime | None:
    """By when the oldest record is to be forgotten by every agreement; None for none.

    `purge` is called when the node serves and with each run: a day later it is late.
    """
    oldest = _oldest_record(store)
    days = max((one.retention.records_days for one in agreements), default=None)
    if days is None or oldest == _NONE:
        return None
    return moment_of(oldest) + timedelta(days=days + 1)


def _oldest_record(store: NodeStore) -> str:
    """When the oldest record that `_forget_records` may forget was made; late when none is."""
    ((oldest,),) = store.ask(
        "SELECT min(at) FROM (SELECT min(at) AS at FROM egress UNION ALL"
        " SELECT min(ended_at) FROM exports UNION ALL"
        " SELECT min(at) FROM manifests UNION ALL SELECT min(at) FROM refusals UNION ALL"
        " SELECT min(done_at) FROM requests WHERE done_at <> '' UNION ALL"
        " SELECT min(at) FROM told UNION ALL SELECT min(at) FROM feedback UNION ALL"
        " SELECT min(at) FROM counted_keys)"
    )
    return oldest or _NONE


def _forget_records(store: NodeStore, before: Mapping[str, str]) -> None:
    """Forget what left, was refused and was answered to customers; inside a transaction.

    What was spent is never forgotten.

    Args:
        before: The time before which records may be forgotten, by the id of their agreement. What
            is no agreement's is forgotten once every one of them lets it be.
    """
    runs_of: dict[str, list[str]] = {identity: [] for identity in before}
    for identity, run_id in _runs(store):
        runs_of.get(identity, []).append(run_id)
    for identity, moment in before.items():
        for statement in _OF_AGREEMENT:
            store.ask(statement, moment, identity)
        for statement in _OF_RUNS:
            store.ask(statement, moment, json.dumps(runs_of[identity]))
    earliest = min(before.values())
    for statement in _OF_NO_AGREEMENT:
        store.ask(statement, earliest, json.dumps(list(before)))
    for statement in _OF_OTHER_RUNS:
        store.ask(statement, earliest, json.dumps([run for own in runs_of.values() for run in own]))
    CountedSets(store).forget(before, runs_of)
    store.ask("DELETE FROM exports WHERE ended_at < ?", earliest)
    store.ask("DELETE FROM requests WHERE done_at <> '' AND done_at < ?", earliest)


_OF_AGREEMENT: Final[tuple[LiteralString, ...]] = (
    "DELETE FROM feedback WHERE at < ? AND agreement_id = ?",
    "DELETE FROM told WHERE at < ? AND agreement_id = ?",
)
_OF_NO_AGREEMENT: Final[tuple[LiteralString, ...]] = (
    "DELETE FROM feedback WHERE at < ? AND agreement_id NOT IN (SELECT value FROM json_each(?))",
    "DELETE FROM told WHERE at < ? AND agreement_id NOT IN (SELECT value FROM json_each(?))",
)
#: What a run that goes on wrote stays, as it may be asked for again.
_OF_RUNS: Final[tuple[LiteralString, ...]] = (
    "DELETE FROM egress WHERE at < ? AND hex(run_id) IN (SELECT value FROM json_each(?))",
    "DELETE FROM refusals WHERE at < ? AND hex(run_id) IN (SELECT value FROM json_each(?))",
    "DELETE FROM manifests WHERE at < ? AND hex(run_id) IN (SELECT value FROM json_each(?))"
    " AND run_id NOT IN (SELECT run_id FROM runs WHERE phase NOT IN ('done', 'aborted'))",
)
_OF_OTHER_RUNS: Final[tuple[LiteralString, ...]] = (
    "DELETE FROM egress WHERE at < ? AND hex(run_id) NOT IN (SELECT value FROM json_each(?))",
    "DELETE FROM refusals WHERE at < ? AND hex(run_id) NOT IN (SELECT value FROM json_each(?))",
    "DELETE FROM manifests WHERE at < ? AND hex(run_id) NOT IN (SELECT value FROM json_each(?))"
    " AND run_id NOT IN (SELECT run_id FROM runs WHERE phase NOT IN ('done', 'aborted'))",
)


def _runs(store: NodeStore) -> Iterator[tuple[str, str]]:
    """The id of each run's agreement, where that was kept, with the run's id (hex as SQLite's)."""
    ids: dict[bytes, str] = {}
    for agreement_hash, run_id in store.ask("SELECT agreement_hash, hex(run_id) FROM runs"):
        if agreement_hash not in ids:
            kept = store.agreement(agreement_hash)
            ids[agreement_hash] = "" if kept is None else kept.agreement.id
        yield ids[agreement_hash], run_id


def _removed(versions: Sequence[ExportRecord]) -> Kept | Literal["deleted", "missing"]:
    """Delete a file if it is recognised; returns what became of it. Raises OSError.

    Args:
        versions: The file's records, newest first.
    """
    path = Path(versions[0].path)
    if versions[0].foreign:
        return "foreign"
    if not path.parent.is_dir():
        return "unreachable"
    from partner_node.segments.segment_tables import is_table_of  # Arrow takes long to import

    try:
        if digest(path) not in {record.sha256 for record in versions} and not any(
            is_table_of(path, record.release_short) for record in versions
        ):
            return "changed"
        path.unlink()
        sync_folder(path.parent)
    except FileNotFoundError:
        return "missing"
    return "deleted"
