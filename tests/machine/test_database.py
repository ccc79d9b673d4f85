from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from machine.database import Database, LostDatabaseError
from protocol.errors import StoreError
from tests.machine.given_away import noting_who_gets, to_owner_of

FIRST = "CREATE TABLE t (x INTEGER) STRICT; PRAGMA user_version = 1;"
SECOND = "ALTER TABLE t ADD COLUMN y TEXT; PRAGMA user_version = 2;"


def opened(path: Path | str, *migrations: str, made_before: bool = False) -> Database:
    return Database(
        path,
        name="a state",
        migrations=migrations or (FIRST,),  # type: ignore[arg-type]
        remedy="mend it",
        made_before=made_before,
    )


def test_what_is_committed_is_synced_and_what_is_deleted_overwritten(tmp_path: Path) -> None:
    database = opened(tmp_path / "x.db")
    for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("secure_delete", 1)):
        assert database.one(f"PRAGMA {pragma}") == (value,)  # type: ignore[arg-type]


def test_no_other_user_can_read_a_file_of_the_database_whatever_folder_it_is_in(
    tmp_path: Path,
) -> None:
    tmp_path.chmod(0o755)
    database = opened(tmp_path / "x.db")
    with database.transaction():
        database.ask("INSERT INTO t VALUES (1)")
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert modes == dict.fromkeys(("x.db", "x.db-wal", "x.db-shm"), 0o600)


def test_what_is_wiped_is_in_no_file_of_the_database(tmp_path: Path) -> None:
    database = opened(tmp_path / "x.db", "CREATE TABLE t (x TEXT); PRAGMA user_version = 1;")

    def traces() -> bool:
        return any(b"a secret text" in file.read_bytes() for file in tmp_path.iterdir())

    with database.transaction():
        database.ask("INSERT INTO t VALUES ('a secret text')")
    assert traces()
    with database.transaction():
        database.ask("DELETE FROM t")
        database.wipe_at_commit()
    assert not traces()


def test_a_transaction_that_fails_changes_nothing_and_wipes_nothing(tmp_path: Path) -> None:
    database = opened(tmp_path / "x.db")
    with pytest.raises(ZeroDivisionError), database.transaction():
        database.ask("INSERT INTO t VALUES (1)")
        raise ZeroDivisionError
    assert database.ask("SELECT x FROM t") == []
    with database.transaction():
        database.ask("INSERT INTO t VALUES (2)")
    assert database.ask("SELECT x FROM t") == [(2,)]


def test_an_earlier_versions_file_is_brought_up_to_date_and_keeps_its_rows(tmp_path: Path) -> None:
    early = opened(tmp_path / "x.db", FIRST)
    with early.transaction():
        early.ask("INSERT INTO t VALUES (7)")
    early.close()
    late = opened(tmp_path / "x.db", FIRST, SECOND)
    assert late.ask("SELECT x, y FROM t") == [(7, None)]
    late.close()
    with pytest.raises(StoreError, match="a state has schema 2, this fedseg knows 1") as caught:
        opened(tmp_path / "x.db", FIRST)
    assert caught.value.remedy == "install the newer fedseg again"


def test_a_file_whose_content_was_moved_is_changed_by_nobody_any_more(tmp_path: Path) -> None:
    """Also not by a process that has it open, and would wait for the one that moves it."""
    with closing(opened(tmp_path / "x.db")) as other:
        with closing(opened(tmp_path / "x.db")) as database, database.transaction():
            database.retire()

        def change() -> None:
            with other.transaction():
                other.ask("INSERT INTO t VALUES (1)")

        for action in (change, lambda: opened(tmp_path / "x.db")):
            with pytest.raises(StoreError) as caught:
                action()
            assert caught.value.remedy
        assert other.ask("SELECT * FROM t") == []


def test_a_move_that_fails_retires_nothing(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "x.db")) as database:
        with pytest.raises(KeyError), database.transaction():
            database.retire()
            raise KeyError
        with database.transaction():
            database.ask("INSERT INTO t VALUES (1)")


def test_a_migration_that_is_interrupted_leaves_the_version_before(tmp_path: Path) -> None:
    opened(tmp_path / "x.db", FIRST).close()
    with pytest.raises(StoreError, match="no such table"):
        opened(tmp_path / "x.db", FIRST, "ALTER TABLE t ADD COLUMN y TEXT; DROP TABLE gone;")
    raw = sqlite3.connect(tmp_path / "x.db")
    assert raw.execute("PRAGMA user_version").fetchone() == (1,)
    assert [row[1] for row in raw.execute("PRAGMA table_info(t)")] == ["x"]
    raw.close()


def test_a_file_that_is_no_database_is_named_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError) as caught:
        opened(path)
    assert str(path) in caught.value.message
    assert caught.value.remedy == "mend it"


def test_opening_a_database_takes_no_lock_of_another_connection_away(tmp_path: Path) -> None:
    """Else another process would take its own connection for the last one, and remove the log."""
    path = tmp_path / "x.db"
    add = (
        "import contextlib, sqlite3, sys\n"
        "with contextlib.closing(sqlite3.connect(sys.argv[1])) as connection, connection:\n"
        "    connection.execute('INSERT INTO t VALUES (1)')\n"
    )
    with closing(opened(path)) as database:
        for rows, made_before in ((1, False), (2, True), (3, False)):
            with closing(opened(path, made_before=made_before)):
                subprocess.run([sys.executable, "-c", add, str(path)], check=True, timeout=60)
                assert path.with_name("x.db-wal").exists()
            assert database.one("SELECT count(*) FROM t") == (rows,)


@pytest.mark.parametrize(
    ("left", "how"), [("nothing", "missing"), ("no bytes", "empty"), ("no schema", "empty")]
)
def test_a_database_that_was_made_before_is_not_made_again(
    tmp_path: Path, left: str, how: str
) -> None:
    path = tmp_path / "x%20#.db"
    opened(path).close()
    opened(path, made_before=True).close()
    if left == "no schema":
        with closing(sqlite3.connect(path)) as raw:
            raw.executescript("DROP TABLE t; PRAGMA user_version = 0; PRAGMA journal_mode = DELETE")
    else:
        path.unlink()
    if left == "no bytes":
        path.touch()
        path.with_name(path.name + "-wal").write_bytes(b"a log")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(LostDatabaseError, match=f"a state .* is {how}") as caught:
        opened(path, made_before=True)
    assert (caught.value.code, caught.value.remedy) == ("E-STATE-LOST", "mend it")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_file_that_is_no_database_was_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_text("no database " * 99)
    with pytest.raises(StoreError, match="not a database") as caught:
        opened(path, made_before=True)
    assert caught.value.code == "E-STORE"


@pytest.mark.parametrize("root", [True, False])
def test_what_root_makes_belongs_to_whoever_has_the_folder(tmp_path: Path, root: bool) -> None:
    with noting_who_gets(root=root) as given:
        for _ in range(2):
            opened(tmp_path / "a.db").close()
    made = to_owner_of(tmp_path, tmp_path / "a.db")
    assert given == (made if root else []), "the file that is there stays whose it is"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_service_of_a_folder_can_write_what_root_made_there(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    os.chown(folder, 12_345, 12_346)
    database = opened(folder / "x.db")
    with database.transaction():
        database.ask("INSERT INTO t VALUES (1)")
    files = [file.stat() for file in folder.iterdir()]
    assert files
    assert {(file.st_uid, file.st_gid) for file in files} == {(12_345, 12_346)}


def test_a_state_that_was_written_has_another_mark(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    reader, writer = opened(path), opened(path)
    before = reader.mark()
    reader.ask("SELECT * FROM t")
    assert before is not None and reader.mark() == before
    with writer.transaction():
        writer.ask("INSERT INTO t VALUES (1)")
    written = reader.mark()
    assert written != before
    reader.close()
    writer.close()  # the last one: what the log had is in the file
    for at, told in ((path, True), (":memory:", False)):
        with closing(opened(at)) as again:
            assert (again.mark() is not None) is told
            assert again.mark() not in (before, written)
