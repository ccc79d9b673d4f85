"""SQLite: the suite of all sources, then what is particular to it. Nothing is ever written."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from partner_node.sources.feature_query import check_feature_query
from partner_node.sources.files import find_files
from partner_node.sources.source import Column, Source, numbers
from partner_node.sources.sqlite.queries import SQLITE_QUERIES
from partner_node.sources.sqlite.source import SQLiteSource
from protocol.errors import SourceError
from tests.partner_node.source_suite import (
    MEMBER,
    SourceSuite,
    Table,
    level,
    numbered,
    refusal,
    rows,
)


def database(path: Path, table: Table, *, name: str = "customers", mode: str = "delete") -> Path:
    """A database with one table whose columns have no type, as SQLite allows."""
    columns = ", ".join(f'"{column}"' for column in table)
    values = ", ".join("?" * len(table))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute(f'CREATE TABLE "{name}" ({columns})')
        connection.executemany(
            f'INSERT INTO "{name}" VALUES ({values})', zip(*table.values(), strict=True)
        )
        connection.commit()
    return path


def source(path: Path, **options: Any) -> SQLiteSource:
    table = None if "query" in options else ("customers",)
    return SQLiteSource(**{"path": path, "id_column": "id", "table": table, **options})


class TestSQLite(SourceSuite):
    def make(self, folder: Path, table: Table) -> Source:
        return source(database(folder / "customers.db", table))

    # SQLite stores NaN as NULL.
    @pytest.mark.parametrize(
        ("bad", "word"), [("nan", "1 missing"), ("inf", "1 infinite"), ("-inf", "1 infinite")]
    )
    def test_a_number_that_is_not_finite_is_refused(
        self, tmp_path: Path, bad: str, word: str
    ) -> None:
        super().test_a_number_that_is_not_finite_is_refused(tmp_path, bad, word)


class TestSQLiteQuery(TestSQLite):
    def make(self, folder: Path, table: Table) -> Source:
        path = database(folder / "customers.db", table)
        return source(path, query="SELECT * FROM customers; -- all of them")


class TestSQLiteWithALog(TestSQLite):
    """A database with a write-ahead log, which nobody has open."""

    def make(self, folder: Path, table: Table) -> Source:
        return source(database(folder / "customers.db", table, mode="wal"))


def everything_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_reading_leaves_the_folder_as_it_was(tmp_path: Path, mode: str) -> None:
    path = database(tmp_path / "c.db", numbered(1_000), mode=mode)
    before = everything_in(tmp_path)
    stream = source(path).chunks(numbers("visits"), max_rows=10)
    next(stream)
    assert everything_in(tmp_path) == before
    del stream
    rows(source(path), ["visits"])
    source(path).describe()
    assert everything_in(tmp_path) == before


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM customers RETURNING id, x",
        "WITH a AS (DELETE FROM customers RETURNING id, x) SELECT * FROM a",
        "SELECT 1 AS id, 2 AS x; DROP TABLE customers",
        "SELECT 1 AS id, 2 AS x; ATTACH 'other.db' AS other",
        "ATTACH 'other.db' AS other",
        "VACUUM INTO 'other.db'",
        "PRAGMA journal_mode = wal",
        "SELECT id, load_extension('other') AS x FROM customers",
        "SELECT id, writefile('other', 'x') AS x FROM customers",
        "SELECT id, random() AS x FROM customers",
        "SELECT id, x FROM customers, pragma_table_info('customers')",
        "CREATE TABLE other AS SELECT 1",
    ],
)
@pytest.mark.parametrize("checked", [True, False])
def test_a_query_changes_nothing_and_calls_nothing_that_acts(
    tmp_path: Path, query: str, checked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the check of the query, the connection itself refuses."""
    monkeypatch.chdir(tmp_path)
    if not checked:
        monkeypatch.setattr(
            "partner_node.sources.sqlite.source.check_feature_query", lambda *_, **__: None
        )
    path = database(tmp_path / "c.db", {"id": ["a", "b"], "x": [1.0, 2.0]})
    before = everything_in(tmp_path)
    with pytest.raises(SourceError) as caught:
        rows(source(path, query=query), ["x"])
    assert caught.value.code == "E-SOURCE-SQL"
    assert everything_in(tmp_path) == before


@pytest.mark.parametrize(
    "sql",
    [
        "ATTACH 'other.db' AS other",
        "VACUUM INTO 'other.db'",
        "DELETE FROM customers",
        "CREATE TABLE other (x)",
        "CREATE TEMP TABLE other (x)",
    ],
)
def test_a_connection_without_its_authorizer_changes_nothing_either(
    tmp_path: Path, sql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = database(tmp_path / "c.db", {"id": ["a"], "x": [1.0]})
    before = everything_in(tmp_path)
    with source(path)._open() as opened:
        opened.connection.set_authorizer(None)
        with pytest.raises(sqlite3.OperationalError):
            opened.connection.execute("COMMIT")
            opened.connection.execute(sql)
    assert everything_in(tmp_path) == before


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id, julianday('now') - julianday(day) AS x FROM customers",
        "SELECT id, julianday() AS x FROM customers",
        "SELECT id, strftime('%J') AS x FROM customers",
        "SELECT id, date('NOW', 'start of month') AS x FROM customers",
        "SELECT id, unixepoch(' now ') AS x FROM customers",
        "SELECT id, date('now') AS x FROM customers",
        "SELECT id, CURRENT_DATE AS x FROM customers",
        "SELECT id, strftime('%s', 'now') AS x FROM customers",
        "SELECT id, last_insert_rowid() AS x FROM customers",
        "SELECT * FROM sqlite_schema",
        "SELECT * FROM temp.customers",
        "SELECT * FROM fts3tokenize('simple')",
        "SELECT id FROM customers WHERE x == = 1",
    ],
)
def test_a_query_that_changes_or_reads_something_else_is_refused_before_a_file_is_opened(
    query: str,
) -> None:
    with pytest.raises(SourceError) as caught:
        SQLiteSource(path="nowhere.db", id_column="id", query=query)
    assert caught.value.code == "E-SOURCE-SQL"
    assert caught.value.remedy


def test_a_query_in_sqlite_s_own_words_runs(tmp_path: Path) -> None:
    path = database(tmp_path / "c.db", {"id": ["a", "a"], "day": ["2026-01-01", "2026-02-01"]})
    query = (
        "WITH days AS (SELECT id, julianday('2026-03-01') - julianday(day) AS n "
        "FROM main.customers) SELECT id, min(n) AS x, count(*) FILTER (WHERE n > 30) AS y, "
        "(SELECT sum(value) FROM json_each('[1, 2]')) AS z FROM days GROUP BY id"
    )
    check_feature_query(query, SQLITE_QUERIES)
    assert rows(source(path, query=query), ["x", "y", "z"]) == {"a": [28.0, 1.0, 3.0]}


def test_whole_numbers_serve_as_ids_and_text_and_number_of_one_look_are_one_id(
    tmp_path: Path,
) -> None:
    path = database(tmp_path / "c.db", {"id": [10, 11], "x": [1, 2**40]})
    assert rows(source(path), ["x"]) == {"10": [1.0], "11": [2.0**40]}
    path = database(tmp_path / "d.db", {"id": [10, "10"], "x": [1, 2]})
    assert refusal(source(path), ["x"]).code == "E-DUPLICATE"


@pytest.mark.parametrize("bad", [1.5, b"abc"])
def test_an_id_that_is_no_text_or_integer_is_refused(tmp_path: Path, bad: object) -> None:
    error = refusal(source(database(tmp_path / "c.db", {"id": ["a", bad], "x": [1, 2]})), ["x"])
    assert error.code == "E-SOURCE-TYPE"
    assert "1 values of type REAL or BLOB" in error.message


def test_ids_that_a_column_takes_for_the_same_are_different_customers(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE customers (id TEXT COLLATE NOCASE, x REAL)")
        connection.execute("INSERT INTO customers VALUES ('a', 1), ('A', 2)")
        connection.commit()
    assert rows(source(path), ["x"]) == {"a": [1.0], "A": [2.0]}


@pytest.mark.parametrize(
    "asked",
    [
        MEMBER,
        replace(MEMBER, optional=True),
        level("member", "0", "1"),
        level("member", "0", "1", others=True),
        level("member", "0", "1", others=True, optional=True),
    ],
    ids=str,
)
def test_a_blob_is_no_level_whatever_it_spells(tmp_path: Path, asked: Column) -> None:
    path = tmp_path / "c.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE customers (id TEXT, member)")
        connection.execute("INSERT INTO customers VALUES ('a', 1), ('b', X'31'), ('c', X'FF')")
        connection.commit()
    error = refusal(source(path), [asked])
    assert error.code == "E-SOURCE-TYPE"
    assert "'member': 2 values are BLOBs" in error.message
    assert "row 2 of" in error.message
    assert 'CAST("member" AS TEXT)' in error.remedy
    query = "SELECT id, CAST(member AS TEXT) AS member FROM customers WHERE id < 'c'"
    assert rows(source(path, query=query), [asked]) == {"a": [1.0], "b": [1.0]}


def test_a_table_with_a_point_in_its_name_is_named_in_quotes(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute('CREATE TABLE "a.b" (id TEXT, x REAL)')
        connection.execute("INSERT INTO \"a.b\" VALUES ('a', 1)")
        connection.commit()
    error = refusal(source(path, table=("a", "b")), ["x"])
    assert error.code == "E-SOURCE-MISSING"
    assert "has no table 'a.b'; did you mean '\"a.b\"'?" in error.message
    assert 'there are: "a.b"' in error.remedy
    assert rows(source(path, table=("a.b",)), ["x"]) == {"a": [1.0]}


@pytest.mark.parametrize("bad", ["12.5", b"\x00\x01"])
def test_a_text_among_numbers_is_refused_with_count_and_first_row(
    tmp_path: Path, bad: object
) -> None:
    table: Table = {"id": list("abcd"), "x": [1.0, None, bad, bad]}
    error = refusal(source(database(tmp_path / "c.db", table)), ["x"])
    assert error.code == "E-SOURCE-TYPE"
    assert "2 values are not numbers, the first is row 3" in error.message


def test_an_id_that_is_not_utf8_is_refused_without_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE customers (id, x)")
        connection.execute("INSERT INTO customers VALUES (CAST(x'63616e617279e9' AS TEXT), 1)")
        connection.commit()
    error = refusal(source(path), ["x"])
    assert error.code == "E-SOURCE-ENCODING"
    assert "canary" not in "".join(traceback.format_exception(error))
    assert error.__context__ is None


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("SELECT id, abs(x) AS x FROM customers", [1, -(2**63)]),
        ("SELECT id, json_extract(x, '$.a') AS x FROM customers", ['{"a": 1}', "8675309{"]),
        ("SELECT id, sum(x) OVER () AS x FROM customers", [2**62, 2**62]),
    ],
)
def test_a_query_that_fails_on_a_value_does_not_show_it(
    tmp_path: Path, query: str, values: Sequence[object]
) -> None:
    path = database(tmp_path / "c.db", {"id": ["canary-id", "b"], "x": values})
    error = refusal(source(path, query=query), ["x"])
    assert error.code == "E-SOURCE-SQL"
    shown = "".join(traceback.format_exception(error)) + error.diagnostics()
    assert "canary" not in shown
    assert "8675309" not in shown
    assert error.__context__ is None


def test_a_query_that_does_not_fit_the_tables_is_explained(tmp_path: Path) -> None:
    path = database(tmp_path / "c.db", {"id": ["a"], "x": [1.0]})
    for query, words in (
        ("SELECT id, y FROM customers", "no such column: y"),
        ("SELECT id, x FROM buyers", "no such table: buyers"),
        ("SELECT id, median_of(x) AS x FROM customers", "no such function: median_of"),
    ):
        error = refusal(source(path, query=query), ["x"])
        assert error.code == "E-SOURCE-SQL"
        assert words in error.message
        assert error.__context__ is None


def test_a_table_that_is_not_there_is_refused_with_the_nearest(tmp_path: Path) -> None:
    path = database(tmp_path / "c.db", numbered(3))
    error = refusal(source(path, table=("custmers",)), ["visits"])
    assert error.code == "E-SOURCE-MISSING"
    assert "did you mean 'customers'" in error.message
    assert refusal(source(path, table=("temp", "customers")), ["x"]).code == "E-SOURCE-MISSING"
    assert len(rows(source(path, table=("main", "Customers")), ["visits"])) == 3


def test_a_view_is_as_good_as_a_table(tmp_path: Path) -> None:
    path = database(tmp_path / "c.db", numbered(3))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE VIEW loyal AS SELECT id, visits * 2 AS x FROM customers")
        connection.execute("CREATE VIEW moody AS SELECT id, random() AS x FROM customers")
        connection.commit()
    found = rows(source(path, table=("loyal",)), ["x"])
    assert found == {"C000000": [0.0], "C000001": [2.0], "C000002": [4.0]}
    with pytest.raises(SourceError):
        rows(source(path, table=("moody",)), ["x"])


def test_a_view_in_the_file_calls_no_function_of_ours(tmp_path: Path) -> None:
    """What somebody wrote into the database's schema is not trusted: SQLite's trusted_schema."""
    path = database(tmp_path / "c.db", {"id": ["a"], "day": ["05.01.2026"]})
    asked = "SELECT id, julianday(fedseg_day(day, '%d.%m.%Y')) AS x FROM customers"
    with closing(sqlite3.connect(path)) as connection:
        connection.create_function("fedseg_day", 2, lambda *_: None)
        connection.execute(f"CREATE VIEW days AS {asked}")
        connection.commit()
    with source(path)._open() as opened:
        assert opened.connection.execute(asked).fetchall() == [(b"a", 2461045.5)]
    assert refusal(source(path, table=("days",)), ["x"]).code == "E-SOURCE-FILE"


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_one_pass_sees_one_state_whoever_writes_meanwhile(tmp_path: Path, mode: str) -> None:
    path = database(tmp_path / "c.db", numbered(1_000), mode=mode)
    with closing(sqlite3.connect(path, timeout=0.1)) as writer:
        writer.execute("SELECT count(*) FROM customers").fetchall()  # a log now has its file
        reading = source(path)
        stream = reading.chunks(numbers("visits"), max_rows=10)
        found = [next(stream)]
        try:
            writer.execute("DELETE FROM customers WHERE visits > 50")
            writer.commit()
        except sqlite3.OperationalError:  # without a log, a writer waits for the reader
            writer.rollback()
            assert mode == "delete"
        found += stream
        assert sum(c.n_rows for c in found) == 1_000
        writer.execute("DELETE FROM customers WHERE visits > 50")
        writer.commit()
        assert len(rows(reading, ["visits"])) < 1_000


#: Another program writes, waits for no lock, and says what it could do.
WRITES = (
    "import sqlite3, sys\n"
    "connection = sqlite3.connect(sys.argv[1], timeout=0)\n"
    "try:\n"
    "    connection.execute('UPDATE customers SET visits = -1')\n"
    "    connection.commit()\n"
    "except sqlite3.OperationalError as error:\n"
    "    print(error)\n"
    "connection.close()\n"
)


def written_by_another_program(path: Path) -> str:
    command = [sys.executable, "-c", WRITES, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_pass_keeps_its_lock_whatever_else_looks_at_the_file(tmp_path: Path, mode: str) -> None:
    """A process that closes a file loses the locks that its SQLite holds on it: it reads torn."""
    path = database(tmp_path / "c.db", numbered(20_000), mode=mode)
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
        "c.execute('SELECT count(*) FROM customers').fetchall(); print(flush=True); input()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with owner:
        assert owner.stdout is not None
        owner.stdout.readline()  # a log now has its file
        expected = rows(source(path), ["visits"])
        stream = source(path).chunks(numbers("visits"), max_rows=100)
        found = [next(stream), next(stream)]
        find_files(str(path))
        source(path).describe()
        assert source(path).columns()[0] == "id"
        other = source(path).chunks(numbers("visits"), max_rows=100)
        assert sum(chunk.n_rows for chunk in other) == len(expected)
        owner.communicate("\n", timeout=60)
        assert written_by_another_program(path) == {"delete": "database is locked", "wal": ""}[mode]
        if mode == "wal":
            assert Path(f"{path}-wal").stat().st_size, "who closes last takes the log; we read it"
        found += stream
    values = [x for chunk in found for x in chunk.values[:, 0].tolist()]
    assert values == [value for (value,) in expected.values()]
    assert written_by_another_program(path) == ""
    assert set(map(tuple, rows(source(path), ["visits"]).values())) == {(-1.0,)}


def test_a_duplicate_that_comes_between_check_and_reading_is_not_in_the_pass(
    tmp_path: Path,
) -> None:
    path = database(tmp_path / "c.db", numbered(10), mode="wal")
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("SELECT count(*) FROM customers").fetchall()
        stream = source(path).chunks(numbers("visits"), max_rows=1)
        writer.execute("INSERT INTO customers SELECT * FROM customers")
        writer.commit()
        assert sum(chunk.n_rows for chunk in stream) == 10


def test_rows_are_counted_in_the_table_s_order_whatever_index_there_is(tmp_path: Path) -> None:
    path = database(tmp_path / "c.db", {"id": ["d", "c", "b", "c"], "x": [1.0] * 4})
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("CREATE INDEX by_id ON customers (id)")
        writer.commit()
    assert "rows 2 and 4" in refusal(source(path), ["x"]).message


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_changed_data_has_its_ids_checked_again_and_unchanged_data_not(
    tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = database(tmp_path / "c.db", numbered(100), mode=mode)
    reading = source(path)
    asked: list[str] = []
    ask = SQLiteSource._row

    def counted(self: SQLiteSource, opened: Any, sql: str) -> Any:
        asked.append(sql)
        return ask(self, opened, sql)

    monkeypatch.setattr(SQLiteSource, "_row", counted)
    rows(reading, ["visits"])
    assert asked
    asked.clear()
    rows(reading, ["spent"])
    assert not asked
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("INSERT INTO customers SELECT * FROM customers LIMIT 1")
        writer.commit()
    assert refusal(reading, ["visits"]).code == "E-DUPLICATE"


def test_a_database_with_a_log_that_changes_under_a_pass_is_refused(tmp_path: Path) -> None:
    path = database(tmp_path / "c.db", numbered(100), mode="wal")
    stream = source(path).chunks(numbers("visits"), max_rows=10)
    next(stream)
    os.utime(path, ns=(1, 1))
    with pytest.raises(SourceError, match="changed while"):
        list(stream)


def test_a_log_that_was_left_behind_is_refused_and_not_merged(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    program = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
        "c.execute('PRAGMA journal_mode = wal'); c.execute('CREATE TABLE customers (id, x)'); "
        "c.commit(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", program, path], check=True)
    Path(f"{path}-shm").unlink()
    before = everything_in(tmp_path)
    error = refusal(source(path), ["x"])
    assert error.code == "E-SOURCE-FILE"
    assert "c.db-wal" in error.message
    assert everything_in(tmp_path) == before


def test_a_database_that_was_left_in_the_midst_of_a_change_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    database(path, numbered(5_000))
    program = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
        "c.execute('PRAGMA cache_size = 1'); c.execute('UPDATE customers SET visits = 0'); "
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", program, path], check=True)
    before = everything_in(tmp_path)
    assert "c.db-journal" in before
    error = refusal(source(path), ["visits"])
    assert error.code == "E-SOURCE-FILE"
    assert "midst of a change" in error.message
    assert everything_in(tmp_path) == before


def test_a_database_that_is_locked_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("partner_node.sources.sqlite.source._LOCK_TIMEOUT_S", 0.1)
    path = database(tmp_path / "c.db", numbered(3))
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        error = refusal(source(path), ["visits"])
    assert error.code == "E-SOURCE-FILE"
    assert "locked" in error.message


@pytest.mark.parametrize("content", [b"no database" * 1_000, b"SQLite format 3\0" + b"\1" * 5_000])
def test_a_file_that_is_no_sqlite_database_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.db").write_bytes(content)
    assert refusal(source(tmp_path / "c.db"), ["x"]).code == "E-SOURCE-FILE"


def test_a_database_damaged_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = database(tmp_path / "c.db", numbered(5_000))
    data = bytearray(path.read_bytes())
    data[20_000:60_000] = b"\xff" * 40_000
    path.write_bytes(bytes(data))
    assert refusal(source(path), ["visits"]).code.startswith("E-SOURCE-")


def test_a_path_with_signs_of_an_address_is_the_path_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "a%20b#c"
    folder.mkdir()
    assert len(rows(source(database(folder / "c d.db", numbered(3))), ["visits"])) == 3
