"""The DuckDB that the gate keeps: nothing of a pass is there in the next, and nothing opens it."""

from __future__ import annotations

import gc
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from partner_node.consent import workspace as module
from partner_node.consent.workspace import Workspace
from partner_node.sources.duckdb.sandbox import Sandbox
from protocol.errors import FedsegError
from tests.partner_node import consents as c

READ = "SELECT count(*) FROM read_csv('{}')"


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(c.write_csv(tmp_path / "crm.csv", [c.given("a")]))


def count_of(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Notes each DuckDB that is opened."""
    opened: list[object] = []
    connect = Sandbox.connect

    def noted(self: Sandbox, temporary: str) -> duckdb.DuckDBPyConnection:
        opened.append(temporary)
        return connect(self, temporary)

    monkeypatch.setattr(Sandbox, "connect", noted)
    return opened


def test_one_duckdb_serves_passes_over_the_same_files(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = count_of(monkeypatch)
    workspace = Workspace(Sandbox())
    for _ in range(3):
        with workspace.session((file,)) as session:
            assert session.execute(READ.format(file)).fetchall()
    assert len(opened) == 1
    with workspace.session(()) as session, pytest.raises(duckdb.PermissionException):
        session.execute(READ.format(file)).fetchall()
    assert len(opened) == 2


def test_nothing_of_a_session_is_in_the_next(file: str) -> None:
    workspace = Workspace(Sandbox())
    with workspace.session((file,)) as session:
        session.execute("CREATE TEMP TABLE t AS SELECT 1")
        session.execute("CREATE TEMP VIEW v AS SELECT 2")
        session.register("r", pa.table({"x": [3]}))
        assert session.execute("FROM r").fetchall() == [(3,)]
        with workspace.session((file,)) as other:
            _has_nothing(other)
    with workspace.session((file,)) as session:
        _has_nothing(session)


def _has_nothing(session: duckdb.DuckDBPyConnection) -> None:
    for name in "tvr":
        with pytest.raises(duckdb.CatalogException):
            session.execute(f"FROM {name}")
    for kind in ("tables", "views"):
        sql = f"SELECT count(*) FROM duckdb_{kind}() WHERE NOT internal"
        assert session.execute(sql).fetchall() == [(0,)]


def test_every_session_is_shut_in(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    other = c.write_csv(tmp_path / "other.csv", [c.given("b")])
    workspace = Workspace(Sandbox())
    for _ in range(2):
        with workspace.session((file,)) as session:
            for sql in (f"FROM read_csv('{other}')", f"COPY (SELECT 1) TO '{tmp_path}/out.csv'",
                        "SET enable_external_access = true", "SET TimeZone = 'Asia/Tokyo'",
                        "SET GLOBAL memory_limit = '1GB'", "INSTALL httpfs"):  # fmt: skip
                with pytest.raises(duckdb.Error):
                    session.execute(sql).fetchall()
            zone = session.execute("SELECT current_setting('TimeZone')").fetchall()
            assert zone == [("UTC",)]
    assert not (tmp_path / "out.csv").exists()


def test_a_session_that_fails_or_held_much_is_not_gone_on_with(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = count_of(monkeypatch)
    workspace = Workspace(Sandbox())

    def fail() -> None:
        with workspace.session((file,)):
            raise FedsegError("no")

    with pytest.raises(FedsegError):
        fail()
    monkeypatch.setattr(module, "_BRIEF_S", 0)
    for rows, total in ((10, 2), (10, 2), (9_000_000, 2), (10, 3), (10, 3)):
        with workspace.session((file,)) as session:
            session.execute(f"CREATE TEMP TABLE t AS SELECT hash(i) FROM range({rows}) r(i)")
            assert len(opened) == total


def test_sessions_within_each_other_have_a_duckdb_each(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = count_of(monkeypatch)
    workspace = Workspace(Sandbox())
    with workspace.session((file,)) as one:
        with workspace.session(()) as two:
            assert two.execute("SELECT 2").fetchall() == [(2,)]
        assert one.execute(READ.format(file)).fetchall()
    assert len(opened) == 2


def test_its_temporary_folder_goes_with_it(file: str, tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    workspace = Workspace(Sandbox(temp_folder=folder))
    for _ in range(2):
        with workspace.session((file,)):
            pass
        (own,) = folder.iterdir()
        assert list(own.iterdir()) == []
        assert own.stat().st_mode & 0o777 == 0o700
    del workspace
    gc.collect()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_a_file_that_changes_and_looks_the_same_is_read_anew(tmp_path: Path, kind: str) -> None:
    """Size, time and number of a file may stay; what it says counts."""

    def write(subject: str) -> Path:
        row = c.given(subject)
        if kind == "csv":
            return c.write_csv(tmp_path / "t", [row])
        if kind == "jsonl":
            return c.write_jsonl(tmp_path / "t", [row])
        return c.write_parquet(tmp_path / "t", **{name: [value] for name, value in row.items()})

    def state() -> tuple[int, int, int]:
        found = (tmp_path / "t").stat()
        return found.st_size, found.st_mtime_ns, found.st_ino

    gate = c.gate_of(c.consents(write("a"), kind=kind))
    before = state()
    assert gate.snapshot(c.NOW).allowed(c.ids_of("a", "b")).tolist() == [True, False]
    write("b")
    assert state() == before
    assert gate.snapshot(c.NOW).allowed(c.ids_of("a", "b")).tolist() == [False, True]


def test_a_snapshot_is_asked_while_the_next_is_taken(tmp_path: Path) -> None:
    path = c.write_csv(tmp_path / "t.csv", [c.given("a")])
    gate = c.gate_of(c.consents(path))
    one = gate.snapshot(c.NOW)
    c.write_csv(path, [c.given("b")])
    two = gate.snapshot(datetime(2026, 3, 1, 12, tzinfo=UTC))
    many = c.ids_of("a", "b", *map(str, range(2_000)))
    assert one.allowed(many).nonzero()[0].tolist() == [0]
    assert two.allowed(many).nonzero()[0].tolist() == [1]
