"""Nothing is kept longer than agreed, and nothing else is deleted."""

# Fixtures of another file are imported, and named again by the tests that want them:
# ruff: noqa: F811

from __future__ import annotations

import hashlib
import shutil
import threading
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from partner_node import serving
from partner_node.home import NodeHome
from partner_node.register.requests import RightsRegister
from partner_node.segments import private_files, retention
from partner_node.segments.export_records import ExportRecord, ExportRecords
from partner_node.segments.private_files import Leftovers, PrivateFiles
from partner_node.segments.retention import Purged, overdue, purge
from partner_node.store.node_store import NodeStore
from partner_node.store.records import EgressRecord
from partner_node.store.refusals import Refusals
from partner_node.store.times import stamp
from protocol.errors import RuleError
from protocol.messages import Open, sign_request
from simulations.federation import EphemeralSealer, Federation
from tests.federations import small_federation
from tests.partner_node.test_rights import ours, released, shell  # noqa: F401 - fixtures
from tests.shell import Shell

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
NOTHING = Purged()


@pytest.fixture
def store(tmp_path: Path) -> NodeStore:
    return NodeStore(tmp_path / "node.db", EphemeralSealer())


@pytest.fixture(scope="module")
def fed() -> Federation:
    return small_federation()


def written(store: NodeStore, path: Path, *, days: float, text: str = "a,S1\n") -> Path:
    """A file of segments that may be kept for so many days from now on."""
    path.write_text(text)
    with store.transaction():
        ExportRecords(store).add(
            ExportRecord(
                at=stamp(NOW - timedelta(days=90)),
                release=b"r" * 32,
                use="own-marketing",
                path=str(path),
                n_rows=1,
                sha256=hashlib.sha256(text.encode()).hexdigest(),
                delete_by=stamp(NOW + timedelta(days=days)),
            )
        )
    return path


def test_a_file_is_deleted_when_its_day_is_over_and_no_sooner(
    store: NodeStore, fed: Federation, tmp_path: Path
) -> None:
    old = written(store, tmp_path / "old.csv", days=-0.001)
    young = written(store, tmp_path / "young.csv", days=0.001)
    assert [r.path for r in overdue(ExportRecords(store).all(), NOW)] == [str(old)]
    assert purge(store, [fed.agreement], NOW).deleted == (str(old),)
    assert not old.exists()
    assert young.exists()
    assert [r.path for r in ExportRecords(store).all()] == [str(young)]
    assert purge(store, [fed.agreement], NOW) == NOTHING


def test_a_file_that_is_not_recognised_is_left_alone_and_named_until_somebody_decided(
    store: NodeStore, fed: Federation, tmp_path: Path
) -> None:
    path = written(store, tmp_path / "a.csv", days=-1)
    path.write_text("somebody's own notes")
    gone = written(store, tmp_path / "b.csv", days=-1)
    gone.unlink()
    for _ in range(2):
        found = purge(store, [fed.agreement], NOW)
        assert found == Purged(changed=(str(path),))
        assert str(path) in found.words[0]
        assert "retention strike" in found.words[0]
    assert path.read_text() == "somebody's own notes"
    assert [r.path for r in ExportRecords(store).all()] == [str(path)]
    path.unlink()
    assert purge(store, [fed.agreement], NOW) == NOTHING
    assert ExportRecords(store).all() == []
    assert {one.record.path: one.ending for one in ExportRecords(store).ended()} == {
        str(gone): "missing",
        str(path): "missing",
    }


HEADER = "customer_id,segment_id,segment_name,distance,release"
SHORT = (b"r" * 32).hex()[:16]
SAVED_AGAIN = {
    "ends of lines": f"{HEADER}\na,S1,x,0.1,{SHORT}\n",
    "delimiters": f"{HEADER}\r\na,S1,x,0.1,{SHORT}\r\n".replace(",", ";"),
    "a mark": f"\ufeff{HEADER}\r\na,S1,x,0.1,{SHORT}\r\n",
    "a column more": f"note,{HEADER}\r\nnew,a,S1,x,0.1,{SHORT}\r\n",
    "columns less": f"release,segment_id,customer_id\r\n{SHORT},S1,a\r\n",
}


@pytest.mark.parametrize("change", SAVED_AGAIN)
def test_a_file_that_was_saved_again_is_deleted_while_it_is_known_by_its_columns(
    store: NodeStore, fed: Federation, tmp_path: Path, change: str
) -> None:
    path = written(store, tmp_path / "a.csv", days=-1)
    path.write_text(SAVED_AGAIN[change], newline="")
    assert purge(store, [fed.agreement], NOW) == Purged(deleted=(str(path),))
    assert not path.exists()


@pytest.mark.parametrize(
    "text", [f"{HEADER}\r\na,S1,x,0.1,{'0' * 16}\r\n", "id,release\r\na,1\r\n"]
)
def test_a_table_of_something_else_in_the_place_of_a_file_is_not_deleted(
    store: NodeStore, fed: Federation, tmp_path: Path, text: str
) -> None:
    path = written(store, tmp_path / "a.csv", days=-1)
    path.write_text(text, newline="")
    assert purge(store, [fed.agreement], NOW) == Purged(changed=(str(path),))
    assert path.exists()


@pytest.mark.parametrize("release", [SHORT, "0" * 16])
def test_a_parquet_file_that_was_saved_again_is_known_by_its_columns(
    store: NodeStore, fed: Federation, tmp_path: Path, release: str
) -> None:
    path = written(store, tmp_path / "a.parquet", days=-1)
    columns = {"note": ["x"], "customer_id": ["a"], "segment_id": ["S1"], "release": [release]}
    pq.write_table(pa.table(columns), path)
    purge(store, [fed.agreement], NOW)
    assert path.exists() == (release != SHORT)


def test_what_was_deleted_when_stays_on_record_as_long_as_other_records(
    store: NodeStore, fed: Federation, tmp_path: Path
) -> None:
    path = written(store, tmp_path / "a.csv", days=-1)
    purge(store, [fed.agreement], NOW)
    (ended,) = ExportRecords(store).ended()
    assert (ended.at, ended.ending, ended.record.path) == (stamp(NOW), "deleted", str(path))
    days = timedelta(days=fed.agreement.retention.records_days)
    purge(store, [fed.agreement], NOW + days)
    assert ExportRecords(store).ended() == [ended]
    purge(store, [fed.agreement], NOW + days + timedelta(seconds=1))
    assert ExportRecords(store).ended() == []


def test_without_an_agreement_files_go_and_records_stay(store: NodeStore, tmp_path: Path) -> None:
    path = written(store, tmp_path / "a.csv", days=-1)
    assert purge(store, [], NOW).deleted == (str(path),)
    purge(store, [], NOW + timedelta(days=100_000))
    assert len(ExportRecords(store).ended()) == 1


# --- a folder that was copied or moved -----------------------------------------------------------


def in_folder(folder: Path) -> NodeStore:
    folder.mkdir(exist_ok=True)
    return NodeStore(folder / "node.db", EphemeralSealer(), folder=folder)


def test_a_copied_folder_deletes_its_own_files_and_none_of_the_original(
    fed: Federation, tmp_path: Path
) -> None:
    with closing(in_folder(tmp_path / "node")) as original:
        inside = written(original, tmp_path / "node" / "in.csv", days=-1)
        outside = written(original, tmp_path / "out.csv", days=-1)
    shutil.copytree(tmp_path / "node", tmp_path / "copy")
    copy = in_folder(tmp_path / "copy")
    found = purge(copy, [fed.agreement], NOW)
    assert found == Purged(deleted=(str(tmp_path / "copy" / "in.csv"),), foreign=(str(outside),))
    assert "may be a copy" in found.words[0]
    assert inside.exists()
    assert outside.exists()
    with copy.transaction():
        assert ExportRecords(copy).moved_from(tmp_path / "elsewhere") == 0
        assert ExportRecords(copy).moved_from(tmp_path / "node") == 1
    assert purge(copy, [fed.agreement], NOW).deleted == (str(outside),)


def test_paths_that_earlier_versions_recorded_are_found_and_become_relative(
    fed: Federation, tmp_path: Path
) -> None:
    store = in_folder(tmp_path / "node")
    paths = [tmp_path / "node" / "in.csv", tmp_path / "out.csv"]
    for path in paths:
        written(store, path, days=1)
    for path in paths:
        store.ask(
            "UPDATE exports SET path = ?, home = '' WHERE path LIKE ?", str(path), f"%{path.name}"
        )
    assert {r.path for r in ExportRecords(store).all()} == {str(path) for path in paths}
    with store.transaction():
        ExportRecords(store).rewrite(str(paths[0]), n_rows=7, sha256="00", now=NOW)
    assert {r.n_rows for r in ExportRecords(store).all()} == {1, 7}
    purge(store, [fed.agreement], NOW)
    assert store.ask("SELECT path FROM exports ORDER BY number") == [("in.csv",), (str(paths[1]),)]
    assert not any(record.foreign for record in ExportRecords(store).all())


def test_what_a_killed_process_left_is_not_deleted_by_a_copy_of_its_folder(tmp_path: Path) -> None:
    original = in_folder(tmp_path / "node")
    with PrivateFiles(original).held() as files, pytest.MonkeyPatch.context() as patch:
        patch.setattr(private_files, "_settle", lambda *_: None)  # as if killed
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        for name in ("node/in.csv", "out.csv"):
            with suppress(KeyboardInterrupt), files.replacing(tmp_path / name) as draft:
                draft.path.write_text("a")
                raise KeyboardInterrupt
    left = sorted(tmp_path.rglob(".fedseg-*"))
    assert len(left) == 2
    sealer = original.sealer
    original.close()
    shutil.copytree(tmp_path / "node", tmp_path / "copy")
    copy = NodeStore(tmp_path / "copy" / "node.db", sealer, folder=tmp_path / "copy")
    found = PrivateFiles(copy).sweep()
    (outside,) = [path for path in left if path.parent == tmp_path]
    assert found == Leftovers(foreign=(str(outside),))
    assert "may be a copy" in found.words[0]
    assert all(path.exists() for path in left)
    assert not list((tmp_path / "copy").glob(".fedseg-*"))
    outside.unlink()
    assert PrivateFiles(copy).sweep() == Leftovers()
    assert copy.ask("SELECT * FROM drafts") == []


def test_a_file_whose_folder_is_not_there_is_named_until_it_can_be_looked_at(
    store: NodeStore, fed: Federation, tmp_path: Path
) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    path = written(store, stick / "a.csv", days=-1)
    stick.rename(tmp_path / "pulled")
    for _ in range(2):
        found = purge(store, [fed.agreement], NOW)
        assert found == Purged(unreachable=(str(path),))
        assert str(path) in found.words[0]
        assert "bring the folder back" in found.words[0]
    (tmp_path / "pulled").rename(stick)
    assert purge(store, [fed.agreement], NOW).deleted == (str(path),)
    assert not path.exists()
    gone = written(store, path, days=-1)
    gone.unlink()
    stick.rmdir()
    assert purge(store, [fed.agreement], NOW).unreachable == (str(gone),)
    stick.mkdir()  # empty: gone for good
    assert purge(store, [fed.agreement], NOW) == NOTHING
    assert ExportRecords(store).all() == []


def test_a_file_that_was_written_again_is_kept_as_long_as_its_last_writing(
    store: NodeStore, fed: Federation, tmp_path: Path
) -> None:
    path = written(store, tmp_path / "a.csv", days=-1)
    written(store, path, days=30)
    assert purge(store, [fed.agreement], NOW) == NOTHING
    assert path.exists()
    (left,) = ExportRecords(store).all()
    assert left.delete_by == stamp(NOW + timedelta(days=30))
    assert purge(store, [fed.agreement], NOW + timedelta(days=31)).deleted == (str(path),)


def test_a_file_whose_rewriting_was_killed_is_known_by_its_earlier_record(
    store: NodeStore, fed: Federation, tmp_path: Path
) -> None:
    path = written(store, tmp_path / "a.csv", days=-2, text="of the release before")
    written(store, path, days=-1, text="of the newest release")
    path.write_text("of the release before")  # the second one was on record, and never appeared
    assert purge(store, [fed.agreement], NOW) == Purged(deleted=(str(path),))
    assert ExportRecords(store).all() == []


def test_records_are_forgotten_but_what_was_spent(store: NodeStore, fed: Federation) -> None:
    days, register = fed.agreement.retention.records_days, RightsRegister(store)
    for age in (days + 0.1, days - 0.1):
        at = stamp(NOW - timedelta(days=age))
        with store.transaction():
            store.save_egress(
                EgressRecord(
                    at=at,
                    run_id=bytes(16),
                    what="x",
                    round=0,
                    n_bytes=1,
                    sha256="00",
                    customers=None,
                )
            )
            Refusals(store).add("E-CODE", bytes([int(age * 10) % 256]) * 16, now=at)
            number = register.receive("object", "aa", date(2026, 1, 1), now=NOW)
            register.answer(number, {}, NOW - timedelta(days=age))
    with store.transaction():
        register.receive("erase", "bb", date(2000, 1, 1), now=NOW)
    purge(store, [fed.agreement], NOW)
    assert len(store.egress()) == len(Refusals(store).all()) == 1
    assert store.ask("SELECT kind FROM requests ORDER BY kind") == [("erase",), ("object",)]


@pytest.mark.parametrize("phase", ["greeted", "ready", "running", "done", "aborted"])
@pytest.mark.parametrize("known", [True, False], ids=["in force", "of old"])
def test_what_a_run_wrote_down_is_kept_until_it_has_ended_however_old_it_is(
    store: NodeStore, fed: Federation, phase: str, known: bool
) -> None:
    """Without its manifest, what was held could leave unseen, and what left could differ."""
    if known:
        with store.transaction():
            store.keep_agreement(fed.signed, now=stamp(NOW))
    days = fed.agreement.retention.records_days
    ids = {"of the run": b"\x01" * 16, "of no run": b"\x02" * 16}
    state = {"run_id": ids["of the run"].hex(), "run_hash": "", "phase": phase, "round": 0}
    with store.transaction():
        store.save_run(
            state | {"aborted_with": ""}, agreement_hash=fed.agreement.hash, now=stamp(NOW)
        )
        for what, run_id in ids.items():
            for age in (days + 0.1, days - 0.1):
                store.ask(
                    "INSERT INTO manifests (at, run_id, slot, sha256, manifest)"
                    " VALUES (?, ?, ?, '', '{}')",
                    stamp(NOW - timedelta(days=age)), run_id, f"{what}, {age}".encode(),
                )  # fmt: skip
    purge(store, [fed.agreement], NOW)
    left = [slot.decode() for (slot,) in store.ask("SELECT slot FROM manifests ORDER BY number")]
    ended = phase in ("done", "aborted")
    assert left == [
        *([] if ended else [f"of the run, {days + 0.1}"]),
        f"of the run, {days - 0.1}",
        f"of no run, {days - 0.1}",
    ]


def test_what_cannot_be_deleted_keeps_the_node_out_of_runs(
    fed: Federation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = fed.nodes[1]
    old = written(node.store, tmp_path / "old.csv", days=-1)
    node._clock = lambda: NOW
    request = Open(agreement_hash=fed.agreement.hash, run_id=b"\x07" * 16)
    message = sign_request(request, fed.coordinator_key)
    unlink = Path.unlink

    def refuse(self: Path, missing_ok: bool = False) -> None:
        if self == old:
            raise PermissionError(1, "not permitted")
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(retention.Path, "unlink", refuse)
    with pytest.raises(RuleError) as caught:
        node.handle(message)
    assert caught.value.code == "E-RETENTION"
    assert "old.csv" in caught.value.message
    assert [r.path for r in ExportRecords(node.store).all()] == [str(old)]
    assert node.store.run_by_id(b"\x07" * 16) is None
    monkeypatch.undo()
    node._clock = lambda: NOW
    assert node.handle(message)
    assert not old.exists()


def test_the_shorter_time_of_two_versions_counts(fed: Federation) -> None:
    from partner_node.segments.exports import _kept_for

    agreed = fed.agreement
    longer = replace(agreed, retention=replace(agreed.retention, assignments_days=30))
    assert _kept_for(longer, agreed) == _kept_for(agreed, longer) == timedelta(days=1)
    assert _kept_for(longer, replace(agreed, id="another")) == timedelta(days=30)
    assert _kept_for(longer, None) == timedelta(days=30)


# --- while no run begins -------------------------------------------------------------------------


def overdue_files(folder: Path) -> list[Path]:
    """Have every file on a node's register be past its retention."""
    home = NodeHome.load(folder)
    with closing(home.store(home.keystore())) as store, store.transaction():
        store.ask("UPDATE exports SET delete_by = '2020-01-01T00:00:00+00:00'")
        return [Path(record.path) for record in ExportRecords(store).all()]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["a command", "serving"])
def test_retention_acts_when_no_run_begins_and_what_it_did_can_be_shown(
    shell: Shell, ours: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    files = overdue_files(ours)
    assert len(files) == 2
    files[0].write_text("somebody's own notes")
    if how == "serving":
        monkeypatch.setattr(serving, "serve_link", lambda *_, **__: None)
        serving.serve_node(ours, threading.Event())
    else:
        done = shell.json("retention", "apply", "--dir", ours)
        assert (done["deleted"], done["changed"]) == ([str(files[1])], [str(files[0])])
    assert [path.exists() for path in files] == [True, False]
    listed = shell.json("retention", "list", "--dir", ours)
    assert [(one["how"], one["file"]) for one in listed["ended"]] == [("deleted", str(files[1]))]
    assert [one["file"] for one in listed["files"]] == [str(files[0])]
    told = shell("retention", "list", "--dir", ours).out
    assert "deleted" in told
    assert "retention strike" in shell("retention", "apply", "--dir", ours).err


def test_a_node_that_waits_deletes_again_and_again_whatever_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[datetime] = []
    often = threading.Event()

    def apply(_: NodeHome, now: datetime) -> Purged:
        calls.append(now)
        if len(calls) == 2:
            raise RuleError("a file is stuck", code="E-RETENTION", remedy="delete it")
        if len(calls) == 3:
            often.set()
        return NOTHING

    monkeypatch.setattr(serving, "apply_retention", apply)
    monkeypatch.setattr(NodeHome, "current", lambda home: home)
    monkeypatch.setattr(serving, "authority_ends_soon", lambda *_: [])
    home = NodeHome(
        directory=tmp_path,
        config=SimpleNamespace(coordinator=SimpleNamespace(root_certificates=tmp_path)),
    )  # type: ignore[arg-type]
    with serving.keeping_house(home, every_s=0.0):
        assert often.wait(60)
    assert "housekeeping" not in {thread.name for thread in threading.enumerate()}
