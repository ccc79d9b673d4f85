"""Nothing is kept longer than agreed, and nothing else is deleted."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from partner_node.segments import retention
from partner_node.segments.export_records import ExportRecord, ExportRecords
from partner_node.segments.retention import Purged, overdue, purge
from partner_node.store.node_store import NodeStore
from partner_node.store.records import EgressRecord
from partner_node.store.refusals import Refusals
from partner_node.store.times import stamp
from protocol.errors import RuleError
from protocol.messages import Open, sign_request
from simulations.federation import EphemeralSealer, Federation
from tests.federations import small_federation

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
NOTHING = Purged(deleted=(), unreachable=())


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
    assert purge(store, fed.agreement, NOW).deleted == (str(old),)
    assert not old.exists()
    assert young.exists()
    assert [r.path for r in ExportRecords(store).all()] == [str(young)]
    assert purge(store, fed.agreement, NOW) == NOTHING


def test_a_file_that_is_not_as_it_was_written_is_left_alone(
    store: NodeStore, fed: Federation, tmp_path: Path
) -> None:
    path = written(store, tmp_path / "a.csv", days=-1)
    path.write_text("somebody's own notes")
    gone = written(store, tmp_path / "b.csv", days=-1)
    gone.unlink()
    assert purge(store, fed.agreement, NOW) == NOTHING
    assert path.read_text() == "somebody's own notes"
    assert ExportRecords(store).all() == []


def test_a_file_whose_folder_is_not_there_is_named_until_it_can_be_looked_at(
    store: NodeStore, fed: Federation, tmp_path: Path
) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    path = written(store, stick / "a.csv", days=-1)
    stick.rename(tmp_path / "pulled")
    for _ in range(2):
        found = purge(store, fed.agreement, NOW)
        assert found == Purged(deleted=(), unreachable=(str(path),))
        assert str(path) in found.words[0]
        assert "bring the folder back" in found.words[0]
    (tmp_path / "pulled").rename(stick)
    assert purge(store, fed.agreement, NOW).deleted == (str(path),)
    assert not path.exists()
    gone = written(store, path, days=-1)
    gone.unlink()
    stick.rmdir()
    assert purge(store, fed.agreement, NOW).unreachable == (str(gone),)
    stick.mkdir()  # empty: gone for good
    assert purge(store, fed.agreement, NOW) == NOTHING
    assert ExportRecords(store).all() == []


def test_a_file_that_was_written_again_is_kept_as_long_as_its_last_writing(
    store: NodeStore, fed: Federation, tmp_path: Path
) -> None:
    path = written(store, tmp_path / "a.csv", days=-1)
    written(store, path, days=30)
    assert purge(store, fed.agreement, NOW) == NOTHING
    assert path.exists()
    (left,) = ExportRecords(store).all()
    assert left.delete_by == stamp(NOW + timedelta(days=30))
    assert purge(store, fed.agreement, NOW + timedelta(days=31)).deleted == (str(path),)


def test_records_are_forgotten_but_what_was_spent(store: NodeStore, fed: Federation) -> None:
    days = fed.agreement.retention.records_days
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
                    sha256="0",
                    customers=None,
                )
            )
            Refusals(store).add("E-CODE", bytes([int(age * 10) % 256]) * 16, now=at)
            store.ask(
                "INSERT INTO requests (kind, pseudonym, received_on, due_on, done_at, receipt)"
                " VALUES ('object', 'aa', '2026-01-01', '2026-02-01', ?, '{}')", at,
            )  # fmt: skip
    with store.transaction():
        store.ask(
            "INSERT INTO requests (kind, pseudonym, received_on, due_on, done_at, receipt)"
            " VALUES ('erase', 'bb', '2000-01-01', '2000-02-01', '', '{}')"
        )
    purge(store, fed.agreement, NOW)
    assert len(store.egress()) == len(Refusals(store).all()) == 1
    assert store.ask("SELECT kind FROM requests ORDER BY kind") == [("erase",), ("object",)]


@pytest.mark.parametrize("phase", ["greeted", "ready", "running", "done", "aborted"])
def test_what_a_run_wrote_down_is_kept_until_it_has_ended_however_old_it_is(
    store: NodeStore, fed: Federation, phase: str
) -> None:
    """Without its manifest, what was held could leave unseen, and what left could differ."""
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
    purge(store, fed.agreement, NOW)
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
