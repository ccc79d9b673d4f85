"""Sources: one suite that every kind passes, then what is particular to files and queries."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import traceback
import unicodedata
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from partner_node.sources.duckdb.dialect import DUCKDB
from partner_node.sources.duckdb.errors import Problem, explain
from partner_node.sources.duckdb.queries import DUCKDB_QUERIES
from partner_node.sources.duckdb.source import DuckDBSource
from partner_node.sources.feature_query import check_feature_query
from partner_node.sources.row_rules import RowRules
from partner_node.sources.source import Chunk, Column, Source, numbers
from protocol.errors import SourceError
from tests import effort
from tests.partner_node.source_suite import (
    MEMBER,
    SourceSuite,
    Table,
    level,
    numbered,
    parquet_table,
    refusal,
    rows,
    write_csv,
)

SHARED_INVOICES = (
    Path(__file__).resolve().parents[3] / "shared" / "data" / "online_retail_invoices.csv"
)


def csv_source(path: Path | str, **options: Any) -> DuckDBSource:
    return DuckDBSource(**{"kind": "csv", "path": path, "id_column": "id", **options})


def parquet_source(path: Path | str, **options: Any) -> DuckDBSource:
    return DuckDBSource(**{"kind": "parquet", "path": path, "id_column": "id", **options})


class TestCsv(SourceSuite):
    def make(self, folder: Path, table: Table) -> Source:
        return csv_source(write_csv(folder / "customers.csv", table))


@pytest.mark.slow
class TestCompressedCsv(SourceSuite):
    def make(self, folder: Path, table: Table) -> Source:
        plain = write_csv(folder / "customers.csv", table)
        packed = folder / "customers.csv.gz"
        packed.write_bytes(gzip.compress(plain.read_bytes()))
        return csv_source(packed)


class TestParquet(SourceSuite):
    def make(self, folder: Path, table: Table) -> Source:
        pq.write_table(parquet_table(table), folder / "customers.parquet", row_group_size=2_000)
        return parquet_source(folder / "customers.parquet")


@pytest.mark.slow
class TestFeatureQuery(SourceSuite):
    def make(self, folder: Path, table: Table) -> Source:
        pq.write_table(parquet_table(table), folder / "customers.parquet", row_group_size=2_000)
        return parquet_source(folder / "customers.parquet", query="SELECT * FROM input")


@pytest.mark.slow
class TestSeveralFiles(SourceSuite):
    """A glob over two files; a table's first half is in the first."""

    last_of_four = 2

    def make(self, folder: Path, table: Table) -> Source:
        whole = parquet_table(table)
        half = whole.num_rows // 2
        pq.write_table(whole.slice(0, half), folder / "part-0.parquet")
        pq.write_table(whole.slice(half), folder / "part-1.parquet")
        return parquet_source(folder / "part-*.parquet")

    # Rows are counted within a file here.
    def test_a_missing_value_is_refused_with_count_and_first_row(self, tmp_path: Path) -> None:
        table: Table = {"id": list("abcd"), "x": [1.0, 1.0, 2.0, None]}
        error = refusal(self.make(tmp_path, table), ["x"])
        assert "1 missing" in error.message
        assert "row 2 of" in error.message
        assert "part-1.parquet" in error.message

    @pytest.mark.parametrize(
        ("bad", "word"), [("nan", "1 NaN"), ("inf", "1 infinite"), ("-inf", "1 infinite")]
    )
    def test_a_number_that_is_not_finite_is_refused(
        self, tmp_path: Path, bad: str, word: str
    ) -> None:
        table: Table = {"id": list("abc"), "x": [1.0, 2.0, float(bad)]}
        error = refusal(self.make(tmp_path, table), ["x"])
        assert error.code == "E-SOURCE-NULL"
        assert word in error.message
        assert "row 2 of" in error.message

    @pytest.mark.parametrize("bad", [None, ""])
    def test_a_missing_or_empty_id_is_refused(self, tmp_path: Path, bad: str | None) -> None:
        error = refusal(self.make(tmp_path, {"id": ["a", bad, "c"], "x": [1.0] * 3}), ["x"])
        assert error.code == "E-SOURCE-ID"
        assert "row 1 of" in error.message


@pytest.mark.slow
class TestParquetFolder(SourceSuite):
    """A folder with one file, in a folder of its own."""

    def make(self, folder: Path, table: Table) -> Source:
        place = folder / "customers" / "year=2026"
        place.mkdir(parents=True)
        pq.write_table(parquet_table(table), place / "part-0.parquet", row_group_size=2_000)
        return parquet_source(folder / "customers")


def duckdb_file(path: Path, table: Table, *, name: str = "customers") -> Path:
    with duckdb.connect(path) as connection:
        connection.register("rows", parquet_table(table))
        connection.execute(f"CREATE TABLE {name} AS FROM rows")
    return path


def duckdb_source(path: Path | str, **options: Any) -> DuckDBSource:
    return DuckDBSource(**{"kind": "duckdb", "path": path, "id_column": "id", **options})


@pytest.mark.slow
class TestDuckDB(SourceSuite):
    def make(self, folder: Path, table: Table) -> Source:
        path = duckdb_file(folder / "customers.duckdb", table)
        return duckdb_source(path, table=("customers",))


@pytest.mark.slow
class TestDuckDBQuery(SourceSuite):
    def make(self, folder: Path, table: Table) -> Source:
        path = duckdb_file(folder / "customers.duckdb", table)
        return duckdb_source(path, query="SELECT * FROM customers;")


# --- files -----------------------------------------------------------------------------------


def test_a_chunk_of_mismatched_shapes_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="shape"):
        Chunk(ids=np.array(["a"], dtype=object), values=np.zeros((2, 1)))


def test_describe_names_files_size_and_columns(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "c.csv", {"id": ["a"], "x": [1.0]})
    found = csv_source(path).describe()
    assert found.to_dict() == {
        "kind": "csv",
        "files": [str(path)],
        "n_bytes": path.stat().st_size,
        "id_column": "id",
        "columns": ["id", "x"],
        "query": False,
    }


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", "E-SOURCE-EMPTY", "0 bytes"),
        (b"\n\n", "E-SOURCE-EMPTY", "blank"),
        (b"id,x\n", "E-SOURCE-EMPTY", "no rows"),
        (b"id,x", "E-SOURCE-EMPTY", "no rows"),
        (b"\nid,x\na,1\n", "E-SOURCE-CSV", "first line is blank"),
        ("id,x\na,1\n".encode("utf-16"), "E-SOURCE-ENCODING", "UTF-16"),
        ("id,x\na,1\n".encode("utf-32"), "E-SOURCE-ENCODING", "UTF-32"),
        (b"id,x\na\0,1\n", "E-SOURCE-ENCODING", "byte 7 is NUL"),
        (b"id,x\n\xe9,1\n", "E-SOURCE-ENCODING", "line 2 is not UTF-8"),
        (b"id,x\na,1\nb,2,3\n", "E-SOURCE-CSV", "line 3: 3 values where the header has 2"),
        (b"id,x\na,1\nb\n", "E-SOURCE-CSV", "line 3: 1 values where the header has 2"),
        (b'id,x\na,1\n"b,2\n', "E-SOURCE-CSV", "not closed"),
        (b'"id"z,x\na,1\n', "E-SOURCE-CSV", "header"),
        (b"id,x\r\na,1\nb,2\r\n", "E-SOURCE-CSV", "line ends"),
        (b"id,x,x\na,1,2\n", "E-SOURCE-COLUMN", "columns 2 and 3"),
        (b"id,x,X\na,1,2\n", "E-SOURCE-COLUMN", "columns 2 and 3"),
        (b"id;x\na;1\n", "E-SOURCE-COLUMN", "no column 'id'"),
        (b"id,x\na,1\nb,abc\nc,2\n", "E-SOURCE-TYPE", "1 values are not numbers"),
        (b'id,x\na,1\nb,"1,5"\n', "E-SOURCE-TYPE", "row 2"),
        (b"id,x\na,1\nb,12 EUR\n", "E-SOURCE-TYPE", "row 2"),
        (b"sep=;\nid;x\na;1\n", "E-SOURCE-CSV", "'sep=;', which a spreadsheet writes for itself"),
        (b"id,x\na,1\nb,2024-01-01\n", "E-SOURCE-TYPE", "row 2"),
        (b"id,x\na,1e309\n", "E-SOURCE-NULL", "1 infinite"),
        (b"id,x\n" + b"a" * 3_000_000 + b",1\n", "E-SOURCE-CSV", "longer than 2 MB"),
    ],
)
def test_a_malformed_csv_file_is_refused_with_its_place_and_the_way_out(
    tmp_path: Path, content: bytes, code: str, words: str
) -> None:
    path = tmp_path / "customers.csv"
    path.write_bytes(content)
    error = refusal(csv_source(path), ["x"])
    assert error.code == code
    assert words in error.message
    assert "x" in error.message or str(path) in error.message


def test_a_header_with_another_delimiter_names_the_setting(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "c.csv", {"id": ["a"], "x": [1.5]}, delimiter=";")
    assert "delimiter" in refusal(csv_source(path), ["x"]).remedy
    assert rows(csv_source(path, delimiter=";"), ["x"]) == {"a": [1.5]}


@pytest.mark.parametrize(("written", "named"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_name_in_another_form_of_unicode_is_told_from_one_that_is_not_there(
    tmp_path: Path, written: Literal["NFC", "NFD"], named: Literal["NFC", "NFD"]
) -> None:
    """What one system writes and another types looks the same: "did you mean" says nothing."""
    path = write_csv(tmp_path / "c.csv", {"id": ["a"], unicodedata.normalize(written, "é"): [1.5]})
    error = refusal(csv_source(path), [unicodedata.normalize(named, "é")])
    assert error.code == "E-SOURCE-COLUMN"
    assert f"looks the same and has letters in {written} form of Unicode" in error.message


def test_invalid_utf8_far_into_a_csv_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_bytes(b"id,x\n" + b"".join(b"%07d,1\n" % i for i in range(150_000)) + b"\xe9,1\n")
    assert refusal(csv_source(path), ["x"]).code == "E-SOURCE-ENCODING"


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_bytes(b"\xef\xbb\xbfid,x\na,1\n")
    assert rows(csv_source(path), ["x"]) == {"a": [1.0]}


def test_a_column_without_a_name_is_called_by_its_position(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_bytes(b",id,x\n0,a,1\n")
    assert csv_source(path).columns() == ("column1", "id", "x")


def test_a_damaged_gzip_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.csv.gz"
    path.write_bytes(b"no gzip at all")
    assert refusal(csv_source(path), ["x"]).code == "E-SOURCE-FILE"


def test_column_names_with_quotes_and_blanks_work(tmp_path: Path) -> None:
    path = tmp_path / "it's a file.csv"
    path.write_text("""id,"a ""b"" c",it's;DROP\n1,2,3\n""", encoding="utf-8")
    assert rows(csv_source(path), ['a "b" c', "it's;DROP"]) == {"1": [2.0, 3.0]}


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    error = refusal(csv_source(tmp_path / "nowhere.csv"), ["x"])
    assert error.code == "E-SOURCE-MISSING"
    assert "nowhere.csv" in error.message


def test_a_glob_without_a_match_and_a_broken_link_are_missing(tmp_path: Path) -> None:
    assert refusal(csv_source(tmp_path / "*.csv"), ["x"]).code == "E-SOURCE-MISSING"
    (tmp_path / "link.csv").symlink_to(tmp_path / "gone.csv")
    assert refusal(csv_source(tmp_path / "link.csv"), ["x"]).code == "E-SOURCE-MISSING"
    assert refusal(csv_source("a\0b"), ["x"]).code == "E-SOURCE-MISSING"


def test_a_folder_without_a_file_of_the_kind_is_refused(tmp_path: Path) -> None:
    error = refusal(csv_source(tmp_path), ["x"])
    assert error.code == "E-SOURCE-MISSING"
    assert ".csv or .csv.gz" in error.message


def test_of_a_folder_all_files_of_the_kind_are_read_and_what_is_no_data_is_left_out(
    tmp_path: Path,
) -> None:
    for place in ("2026/01", "2026/02", ".hidden", "_temporary", "2026/_log"):
        (tmp_path / place).mkdir(parents=True)
    write_csv(tmp_path / "2026" / "01" / "a.csv", {"id": ["a"], "x": [1.0]})
    packed = write_csv(tmp_path / "2026" / "02" / "b", {"id": ["b"], "x": [2.0]})
    (tmp_path / "2026" / "02" / "B.CSV.GZ").write_bytes(gzip.compress(packed.read_bytes()))
    for left_out in (".hidden/c.csv", "_temporary/c.csv", "2026/_log/c.csv", ".c.csv", "_c.csv"):
        write_csv(tmp_path / left_out, {"other": ["c"]})
    (tmp_path / "notes.txt").write_text("no data")
    (tmp_path / "part.csv.tmp").write_text("half a file")
    source = csv_source(tmp_path)
    assert rows(source, ["x"]) == {"a": [1.0], "b": [2.0]}
    assert [Path(f).name for f in source.describe().files] == ["a.csv", "B.CSV.GZ"]


def test_a_file_that_comes_into_the_folder_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", numbered(100))
    source = csv_source(tmp_path)
    stream = source.chunks(numbers("visits"), max_rows=10)
    next(stream)
    write_csv(tmp_path / "b.csv", {**numbered(1), "id": ["new"]})
    with pytest.raises(SourceError, match="changed while"):
        list(stream)
    assert len(rows(source, ["visits"])) == 101


def test_a_folder_that_cannot_be_listed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)  # root may read everything
    error = refusal(parquet_source(tmp_path), ["x"])
    assert error.code == "E-SOURCE-FILE"
    assert "Permission denied" in error.message


def test_a_pipe_is_not_a_data_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    assert refusal(csv_source(tmp_path / "pipe.csv"), ["x"]).code == "E-SOURCE-FILE"


def test_an_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_csv(tmp_path / "c.csv", {"id": ["a"], "x": [1.0]})
    opened = Path.open

    def refuse(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self == path:
            raise PermissionError(13, "Permission denied")
        return opened(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything, so mode bits do not do
    error = refusal(csv_source(path), ["x"])
    assert error.code == "E-SOURCE-FILE"
    assert "Permission denied" in error.message


def test_no_kind_of_column_is_read_by_a_join_which_would_change_the_order_of_rows() -> None:
    rules = RowRules(dialect=DUCKDB, id_column="id", where="the test")
    wanted = [
        Column(name="x"),
        Column(name="x", optional=True),
        replace(MEMBER, name="b"),
        replace(MEMBER, name="b", optional=True),
        replace(MEMBER, name="t"),
        level("t", *(f"level {i}" for i in range(50)), others=True),
        Column(name="t", levels=tuple(tuple(f"{i} {j}" for j in range(20)) for i in range(3))),
    ]
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (id VARCHAR, x DOUBLE, b BOOLEAN, t VARCHAR)")
        connection.execute("INSERT INTO t SELECT range, range, range % 2, range FROM range(9999)")
        for column in wanted:
            sql = rules.select("t", [column])
            plan = str(connection.execute(f"EXPLAIN {sql}").fetchall())
            assert "JOIN" not in plan.upper(), sql


@pytest.mark.slow
def test_rows_of_several_files_come_in_their_order_whatever_is_read_of_them(
    tmp_path: Path,
) -> None:
    table: Table = {"id": list("abc"), "full": [True, True, False]}
    for i in range(25):  # each time new files: the first pass was the one to go wrong
        folder = tmp_path / str(i)
        folder.mkdir()
        source = TestSeveralFiles().make(folder, table)
        assert [*rows(source, [replace(MEMBER, name="full")])] == ["a", "b", "c"]


def test_a_file_name_that_is_itself_a_glob_is_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "c[1].csv", {"id": ["a"], "x": [1.0]})
    assert "rename" in refusal(csv_source(path), ["x"]).remedy


def test_files_with_different_headers_are_refused_by_name(tmp_path: Path) -> None:
    write_csv(tmp_path / "1.csv", {"id": ["a"], "x": [1.0]})
    write_csv(tmp_path / "2.csv", {"id": ["b"], "y": [1.0]})
    error = refusal(csv_source(tmp_path / "*.csv"), ["x"])
    assert error.code == "E-SOURCE-COLUMN"
    assert "2.csv" in error.message
    assert "column 2 is 'y' instead of 'x'" in error.message


@pytest.mark.parametrize("content", [b"garbage garbage", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_a_damaged_parquet_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.parquet"
    path.write_bytes(content)
    assert refusal(parquet_source(path), ["x"]).code == "E-SOURCE-FILE"


def test_a_parquet_file_damaged_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    rng = np.random.default_rng(5)
    table = pa.table({"id": [str(i) for i in range(5_000)], "x": rng.normal(size=5_000)})
    pq.write_table(table, path)
    data = bytearray(path.read_bytes())
    data[1_000:3_000] = b"\xff" * 2_000
    path.write_bytes(bytes(data))
    assert refusal(parquet_source(path), ["x"]).code.startswith("E-SOURCE-")


@pytest.mark.parametrize(
    "ids",
    [pa.array([1.0, 2.0]), pa.array([b"a", b"b"]), pa.array([[1], [2]]), pa.array([True, False])],
)
def test_ids_of_a_type_that_is_no_id_are_refused(tmp_path: Path, ids: pa.Array) -> None:
    pq.write_table(pa.table({"id": ids, "x": [1.0, 2.0]}), tmp_path / "c.parquet")
    error = refusal(parquet_source(tmp_path / "c.parquet"), ["x"])
    assert error.code == "E-SOURCE-TYPE"
    assert "'id'" in error.message


def test_whole_numbers_serve_as_ids_and_all_number_types_as_features(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": pa.array([10, 11], type=pa.int64()),
            "a": pa.array([1, 2], type=pa.uint8()),
            "b": pa.array([1.5, 2.5], type=pa.float32()),
            "c": pa.array([Decimal("1.25"), Decimal(2)], type=pa.decimal128(10, 2)),
        }
    )
    pq.write_table(table, tmp_path / "c.parquet")
    found = rows(parquet_source(tmp_path / "c.parquet"), ["a", "b", "c"])
    assert found == {"10": [1.0, 1.5, 1.25], "11": [2.0, 2.5, 2.0]}


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "c.csv", numbered(100))
    stream = csv_source(path).chunks(numbers("visits"), max_rows=10)
    next(stream)
    os.utime(path, ns=(1, 1))
    with pytest.raises(SourceError, match="changed while"):
        list(stream)


def test_a_changed_file_has_its_ids_checked_again(tmp_path: Path) -> None:
    source = csv_source(write_csv(tmp_path / "c.csv", {"id": ["a", "b"], "x": [1.0, 2.0]}))
    assert len(rows(source, ["x"])) == 2
    write_csv(tmp_path / "c.csv", {"id": ["a", "a", "b"], "x": [1.0, 2.0, 3.0]})
    assert refusal(source, ["x"]).code == "E-DUPLICATE"


def test_the_temporary_folder_is_made_private_and_what_does_not_fit_goes_there(
    tmp_path: Path,
) -> None:
    temporary = tmp_path / "state" / "temporary"
    n_rows = 300_000
    ids = [f"customer-with-a-long-name-{i:012d}" for i in range(n_rows)]
    pq.write_table(pa.table({"id": ids, "x": np.ones(n_rows)}), tmp_path / "c.parquet")
    source = parquet_source(
        tmp_path / "c.parquet", memory_bytes=24 << 20, threads=1, temp_folder=temporary
    )
    assert sum(c.n_rows for c in source.chunks(numbers("x"), max_rows=50_000)) == n_rows
    assert temporary.stat().st_mode & 0o777 == 0o700
    assert list(temporary.iterdir()) == []


def test_too_little_memory_is_refused_with_the_setting_to_raise(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "c.csv", numbered(20_000))
    error = refusal(csv_source(path, memory_bytes=1 << 20), ["visits"])
    assert error.code == "E-SOURCE-MEMORY"
    assert "memory_limit" in error.remedy


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bad", "query", "code"),
    [
        (b"canary-id,8675309x\n", None, "E-SOURCE-TYPE"),
        (b"canary-id,8675309\xe9\n", None, "E-SOURCE-ENCODING"),
        (b"canary-id,inf\n", None, "E-SOURCE-NULL"),
        (b"canary-id,8675309,2\n", None, "E-SOURCE-CSV"),
        (b"canary-id,8675309x\n", "SELECT id, CAST(x AS DOUBLE) AS x FROM input", "E-SOURCE-SQL"),
        (
            b"canary-id,8675309\n",
            "SELECT id, CAST(x AS BIGINT) * 2000000000000 AS x FROM input",
            "E-SOURCE-SQL",
        ),
    ],
)
def test_an_error_far_into_the_stream_is_ours_and_shows_no_value(
    tmp_path: Path, bad: bytes, query: str | None, code: str
) -> None:
    path = tmp_path / "c.csv"
    path.write_bytes(b"id,x\n" + b"".join(b"%07d,1\n" % i for i in range(300_000)) + bad)
    error = refusal(csv_source(path, query=query), ["x"])
    assert error.code == code
    shown = "".join(traceback.format_exception(error)) + error.diagnostics()
    assert "canary" not in shown
    assert "8675309" not in shown
    assert error.__context__ is None


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_damaged_files_give_our_errors_or_finite_numbers(
    tmp_path: Path, kind: Literal["csv", "parquet"]
) -> None:
    rng = effort.generator(f"damaged {kind}")
    pq.write_table(parquet_table(numbered(300)), tmp_path / "good.parquet")
    write_csv(tmp_path / "good.csv", numbered(300))
    good = (tmp_path / f"good.{kind}").read_bytes()
    refused, count = 0, effort.count(20, 60)
    for i in range(count):
        data = bytearray(good)
        for _ in range(int(rng.integers(1, 6))):
            position = int(rng.integers(0, len(data)))
            if rng.random() < 0.2:
                del data[position : position + int(rng.integers(1, 200))]
            else:
                data[position] = int(rng.choice([0, 10, 13, 34, 44, 127, 195, 255]))
        path = tmp_path / f"bad-{i}.{kind}"
        path.write_bytes(bytes(data))
        source = DuckDBSource(kind=kind, path=path, id_column="id")
        try:
            for chunk in source.chunks(numbers("visits", "spent"), max_rows=100):
                assert np.isfinite(chunk.values).all()
        except SourceError as error:
            assert error.code.startswith("E-SOURCE-") or error.code == "E-DUPLICATE"
            refused += 1
    assert refused > count // 2


# --- feature queries -------------------------------------------------------------------------

RFM = """
-- recency, frequency and monetary value; a cancellation is taken off the money
SELECT
    CustomerID,
    date_diff('day', max(day) FILTER (NOT cancelled), DATE '2011-12-10') AS recency,
    count(*) FILTER (NOT cancelled) AS frequency,
    sum(amount) AS monetary
FROM (
    SELECT
        CustomerID,
        CAST(strptime(InvoiceDate, '%m/%d/%Y %H:%M') AS DATE) AS day,
        starts_with(InvoiceNo, 'C') AS cancelled,
        CAST(Quantity AS DOUBLE) * CAST(UnitPrice AS DOUBLE) AS amount
    FROM input
)
GROUP BY CustomerID
HAVING count(*) FILTER (NOT cancelled) > 0 AND sum(amount) > 0
"""
INVOICES = """InvoiceNo,InvoiceDate,CustomerID,Country,Quantity,UnitPrice
536365,12/1/2010 8:26,17850,United Kingdom,4,2.50
536366,12/9/2011 18:05,17850,United Kingdom,1,5
C536367,12/10/2011 9:00,17850,United Kingdom,-2,2.50
536368,11/30/2011 23:59,00012,France,10,0.1
C536369,1/2/2011 0:00,13,Spain,-5,3
536370,2/1/2011 10:00,14,Spain,5,3
C536371,2/2/2011 10:00,14,Spain,-5,3
"""


def rfm_source(path: Path) -> DuckDBSource:
    return csv_source(path, id_column="CustomerID", query=RFM)


def test_recency_frequency_and_money_come_out_of_raw_invoices(tmp_path: Path) -> None:
    (tmp_path / "invoices.csv").write_text(INVOICES, encoding="utf-8")
    source = rfm_source(tmp_path / "invoices.csv")
    assert source.columns() == ("CustomerID", "recency", "frequency", "monetary")
    assert rows(source, ["recency", "frequency", "monetary"]) == {
        "17850": [1.0, 2.0, 10.0],  # bought on 9 December; 4*2.5 + 5 - 2*2.5
        "00012": [10.0, 1.0, 1.0],  # 13 only cancelled, 14 cancelled everything: both left out
    }


@pytest.mark.skipif(not SHARED_INVOICES.exists(), reason="needs the shared invoices")
def test_real_invoices_give_the_customers_that_bought_something() -> None:
    found = rows(rfm_source(SHARED_INVOICES), ["recency", "frequency", "monetary"])
    plain = duckdb.connect().execute(
        "SELECT CAST(CustomerID AS VARCHAR), count(*) FILTER (InvoiceNo NOT LIKE 'C%') AS n, "
        f"sum(Quantity * UnitPrice) AS m FROM read_csv('{SHARED_INVOICES}', "
        "types = {'InvoiceNo': 'VARCHAR', 'UnitPrice': 'DOUBLE'}) "
        "GROUP BY 1 HAVING n > 0 AND m > 0"
    )
    expected = {customer: (n, m) for customer, n, m in plain.fetchall()}
    assert len(expected) > 4_000
    assert found.keys() == expected.keys()
    for customer, (recency, frequency, monetary) in found.items():
        assert 0 <= recency <= 374
        assert frequency == expected[customer][0]
        assert monetary == pytest.approx(expected[customer][1], rel=1e-12)


def test_sums_of_fractions_come_out_the_same_in_every_pass(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    n_rows = 200_000
    table = pa.table(
        {"id": (rng.integers(0, 500, n_rows)).astype(str), "x": rng.lognormal(0, 8, n_rows)}
    )
    pq.write_table(table, tmp_path / "c.parquet", row_group_size=5_000)
    query = "SELECT id, sum(x) AS x FROM input GROUP BY id"
    passes = {
        b"".join(
            c.values.tobytes()
            for c in parquet_source(tmp_path / "c.parquet", query=query).chunks(
                numbers("x"), max_rows=64
            )
        )
        for _ in range(5)
    }
    assert len(passes) == 1


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id, x FROM input",
        "SELECT id, x FROM input;",
        "SELECT id, x FROM input -- the end",
        "FROM input",
        "TABLE input",
        "WITH a AS (SELECT * FROM input) SELECT id, x FROM a",
        "SELECT id, x FROM input UNION ALL SELECT id || '2', x FROM input",
        "SELECT DISTINCT ON (id) id, x FROM INPUT ORDER BY id, x",
        "SELECT id, (SELECT max(x) FROM input) AS x FROM input",
        "SELECT id, x + r AS x FROM input, range(1) AS t(r)",
    ],
)
def test_one_select_over_input_is_accepted(tmp_path: Path, query: str) -> None:
    pq.write_table(pa.table({"id": ["a", "b"], "x": [1.0, 2.0]}), tmp_path / "c.parquet")
    assert "a" in rows(parquet_source(tmp_path / "c.parquet", query=query), ["x"])


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "0 statements"),
        ("-- nothing", "0 statements"),
        ("SELEC id", "not SQL"),
        ("SELECT id FROM input; SELECT 1", "2 statements"),
        ("SELECT id FROM input; DROP VIEW input", "2 statements"),
        ("CREATE TABLE t AS FROM input", "CREATE"),
        ("COPY input TO 'out.csv'", "COPY"),
        ("COPY (SELECT 1) TO 'out.csv'", "COPY"),
        ("ATTACH 'other.db'", "ATTACH"),
        ("INSTALL httpfs", "LOAD"),
        ("LOAD httpfs", "LOAD"),
        ("PRAGMA database_list", "PRAGMA"),
        ("SET threads = 8", "SET"),
        ("RESET memory_limit", "SET"),
        ("USE other", "SET"),
        ("CALL pragma_version()", "CALL"),
        ("INSERT INTO input VALUES (1)", "INSERT"),
        ("UPDATE input SET x = 1", "UPDATE"),
        ("DELETE FROM input", "DELETE"),
        ("DROP VIEW input", "DROP"),
        ("ALTER VIEW input RENAME TO y", "ALTER"),
        ("EXPORT DATABASE 'x'", "EXPORT"),
        ("VACUUM", "VACUUM"),
        ("CHECKPOINT", "CALL"),
        ("BEGIN", "TRANSACTION"),
        ("EXPLAIN ANALYZE SELECT 1", "EXPLAIN"),
        ("PREPARE p AS SELECT 1", "PREPARE"),
        ("EXECUTE p", "EXECUTE"),
        ("PIVOT input ON x", "not a SELECT"),
        ("DESCRIBE input", "SHOW_REF"),
        ("SHOW TABLES", "SHOW_REF"),
        ("SELECT id FROM input WHERE x = $1", "parameter"),
        ("WITH a AS (COPY (SELECT 1) TO 'out.csv') SELECT * FROM a", "COPY"),
        ("WITH a AS (INSERT INTO input VALUES (1) RETURNING *) FROM a", "INSERT"),
        ("SELECT 1 WHERE EXISTS (WITH q AS (DELETE FROM input RETURNING *) FROM q)", "DELETE"),
        ("WITH a AS (UPDATE input SET x = 1 RETURNING *) FROM a", "UPDATE"),
        ("SELECT * FROM inptu", "did you mean input"),
        ("SELECT * FROM '/etc/passwd'", "/etc/passwd"),
        ("SELECT * FROM 'https://example.invalid/x.csv'", "example.invalid"),
        ("SELECT * FROM main.input", "only input"),
        ("SELECT * FROM information_schema.tables", "only input"),
        ("SELECT * FROM read_csv('/etc/passwd')", "read_csv"),
        ("SELECT * FROM read_text('/etc/passwd')", "read_text"),
        ("SELECT * FROM glob('/etc/*')", "glob"),
        ("SELECT * FROM query('SELECT 1')", "query"),
        ("SELECT * FROM query_table('input')", "query_table"),
        ("SELECT * FROM duckdb_settings()", "duckdb_settings"),
        ("SELECT (SELECT max(content) FROM read_text('/etc/passwd')) FROM input", "read_text"),
        ("SELECT id, random() AS x FROM input", "random"),
        ("SELECT id, x FROM input WHERE uuid() > 'a'", "uuid"),
        ("SELECT id, current_date - d AS x FROM input", "current_date"),
        ("SELECT id, CURRENT_TIMESTAMP FROM input", "current_timestamp"),
        ("SELECT id, date_diff('day', d, today()) AS x FROM input", "today"),
        ("SELECT id, now() FROM input", "now"),
        ("SELECT id, age(d) FROM input", "age"),
        ("SELECT list_transform([x], v -> v + random()) FROM input", "random"),
        ("SELECT id, x FROM input USING SAMPLE 10", "sample"),
        ("SELECT id, x FROM input TABLESAMPLE 10%", "sample"),
        ("SELECT id FROM input WHERE x = 1" + " OR x = 1" * 12_000, "characters"),
    ],
)
def test_a_query_that_writes_reaches_out_or_changes_is_refused(query: str, words: str) -> None:
    with pytest.raises(SourceError) as caught:
        check_feature_query(query)
    assert caught.value.code == "E-SOURCE-SQL"
    assert words.casefold() in caught.value.message.casefold()
    assert caught.value.remedy


@pytest.mark.parametrize("schema", [(), ("main",), ("sales",)])
@pytest.mark.parametrize("name", ["buyers", "BUYERS"])
def test_a_view_is_computed_on_one_thread(
    tmp_path: Path, schema: tuple[str, ...], name: str
) -> None:
    path = tmp_path / "c.duckdb"
    view = ".".join((*schema, "Buyers"))
    with duckdb.connect(path) as connection:
        connection.execute("CREATE SCHEMA sales; CREATE TABLE other AS SELECT 1 AS x")
        connection.execute(
            f"CREATE VIEW {view} AS SELECT 'a' AS id, CAST(current_setting('threads') AS INT) AS x"
        )
    source = duckdb_source(path, table=(*schema, name), threads=4)
    assert rows(source, ["x"]) == {"a": [1.0]}


def test_sums_in_a_view_come_out_the_same_and_in_the_same_order_in_every_pass(
    tmp_path: Path,
) -> None:
    with duckdb.connect(tmp_path / "c.duckdb") as connection:
        connection.execute(
            "CREATE TABLE lines AS SELECT 'c' || range % 60000 AS id, range * 0.1 AS x "
            "FROM range(600000)"
        )
        connection.execute("CREATE VIEW v AS SELECT id, sum(x) AS x FROM lines GROUP BY id")
    passes = set()
    for _ in range(5):
        source = duckdb_source(tmp_path / "c.duckdb", table=("v",))
        chunks = list(source.chunks(numbers("x"), max_rows=60_000))
        passes.add(
            (*np.concatenate([c.ids for c in chunks]), *(c.values.tobytes() for c in chunks))
        )
    assert len(passes) == 1


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_text('{other}')",
        "SELECT * FROM '{other}'",
        "WITH a AS (COPY (SELECT 1 AS id) TO '{out}') SELECT * FROM a",
        "SELECT * FROM read_csv('https://example.invalid/x.csv')",
    ],
)
def test_the_sandbox_holds_without_the_check_of_the_query(
    tmp_path: Path, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "partner_node.sources.duckdb.source.check_feature_query", lambda *_, **__: None
    )
    path = write_csv(tmp_path / "c.csv", {"id": ["a"], "x": [1.0]})
    other = write_csv(tmp_path / "other.csv", {"id": ["b"], "x": [1.0]})
    out = tmp_path / "out.csv"
    source = csv_source(path, query=query.format(other=other, out=out))
    assert refusal(source, ["x"]).code == "E-SOURCE-SQL"
    assert not out.exists()


def test_a_refused_query_reads_no_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        csv_source(tmp_path / "not there.csv", query="DROP VIEW input")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT id, y FROM input", "does not fit"),
        ("SELECT id, sum(x) AS x FROM input GROUP BY id", "does not fit"),
        ("SELECT id, no_such_function(x) AS x FROM input", "does not fit"),
        ("SELECT id, CAST(x AS DOUBLE) AS x FROM input", "line 2: a value of column 'x'"),
        (
            "SELECT id, strptime(x, '%Y') AS y, 1 AS x FROM input WHERE y > DATE '2020-01-01'",
            "fails",
        ),
    ],
)
def test_a_query_that_does_not_fit_the_data_is_explained(
    tmp_path: Path, query: str, words: str
) -> None:
    path = tmp_path / "c.csv"
    path.write_text("id,x\na,secretvalue\n", encoding="utf-8")
    error = refusal(csv_source(path, query=query), ["x"])
    assert error.code == "E-SOURCE-SQL"
    assert words in error.message
    assert "secretvalue" not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    ("row", "query", "code"),
    [
        # functions that quote their argument in an error of the kind that also names SQL mistakes
        ('1,"canary",5', "SELECT id, epoch(timezone(note, TIMESTAMP '2024-01-01')) AS x FROM input",
         "E-SOURCE-SQL"),
        ('1,"when casting from source column canary",q',
         "SELECT id, CAST(note || '' AS INTERVAL) AS i, 1 AS x FROM input WHERE i IS NOT NULL",
         "E-SOURCE-SQL"),
        # values that look like parts of DuckDB's messages
        ('1,"a\n  file = canary\n b",abc', "SELECT id, CAST(x AS DOUBLE) AS x, note FROM input",
         "E-SOURCE-SQL"),
        ('1,"a\n  file = canary\n b",5,9,9', None, "E-SOURCE-CSV"),
        ('1,"a\nX Error: CSV Error on Line: 8675309\n",5,9,9', None, "E-SOURCE-CSV"),
        ('1,"a\nExpected Number of Columns: 8675309 Found: 8675309\n",5,9,9', None, "E-SOURCE-CSV"),
        ('1,"Error when converting column ""canary""",q',
         "SELECT id, CAST(note AS DOUBLE) AS x FROM input", "E-SOURCE-SQL"),
    ],
)  # fmt: skip
def test_a_value_made_up_like_a_message_is_not_shown(
    tmp_path: Path, row: str, query: str | None, code: str
) -> None:
    path = tmp_path / "c.csv"
    path.write_text(f"id,note,x\n{row}\n", encoding="utf-8")
    error = refusal(csv_source(path, query=query), ["x"])
    assert error.code == code
    shown = "".join(traceback.format_exception(error)) + error.diagnostics()
    assert "canary" not in shown
    assert "8675309" not in shown


@pytest.mark.parametrize("kind", [duckdb.NotImplementedException, duckdb.BinderException])
def test_duckdbs_own_words_are_shown_of_a_query_that_is_only_bound(
    kind: type[duckdb.Error],
) -> None:
    problem = Problem(kind=kind, text="Binder Error: canary")
    bound = explain(problem, path="c.csv", with_query=True, binding=True)
    assert "canary" in bound.message
    assert "canary" not in explain(problem, path="c.csv", with_query=True).diagnostics()


def test_of_a_missing_column_the_way_out_is_the_setting_to_change(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "c.csv", {"id": ["a"], "visits": [1.0]})
    error = refusal(csv_source(path), ["visit"])
    assert 'in [data.columns]: FEATURE = "visits"' in error.remedy
    error = refusal(csv_source(path), ["frequency"])
    assert error.remedy == "there are: id, visits; name the one to read in [data.columns]"
    error = refusal(DuckDBSource(kind="csv", path=path, id_column="customer"), ["visits"])
    assert "[data] id_column" in error.remedy


@pytest.mark.parametrize(
    ("pattern", "known", "shown"),
    [
        ("  file = {}", ["/data/c.csv"], "/data/c.csv"),
        ('Error when converting column "{}"', ["spent"], "'spent'"),
        ("when casting from source column {}", ["total spent"], "'total spent'"),
    ],
)
def test_of_a_message_only_files_and_columns_that_we_know_are_shown(
    pattern: str, known: list[str], shown: str
) -> None:
    for name, kept in ((known[0], True), ("canary", False)):
        problem = Problem(kind=duckdb.ConversionException, text=pattern.format(name))
        if "file" in pattern:
            problem = replace(problem, text="Error when converting column\n" + problem.text)
        error = explain(problem, path="*.csv", with_query=True, files=known, columns=known)
        assert (shown in error.message) is kept
        assert "canary" not in error.message


def test_a_query_without_result_rows_is_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "c.csv", {"id": ["a"], "x": [1.0]})
    query = "SELECT id, CAST(x AS DOUBLE) AS x FROM input WHERE id = 'nobody'"
    assert refusal(csv_source(path, query=query), ["x"]).code == "E-SOURCE-EMPTY"


def test_a_query_with_two_columns_of_one_name_is_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "c.csv", {"id": ["a"], "x": [1.0]})
    error = refusal(csv_source(path, query="SELECT id, 1 AS x, 2 AS X FROM input"), ["x"])
    assert error.code == "E-SOURCE-COLUMN"


def test_only_the_columns_asked_for_are_read(tmp_path: Path) -> None:
    """The other column's pages are overwritten; reading without it still works."""
    path = tmp_path / "c.parquet"
    ids = [str(i) for i in range(1_000)]
    rng = np.random.default_rng(7)
    pq.write_table(
        pa.table({"id": ids, "x": np.ones(1_000), "private": rng.normal(size=1_000)}),
        path,
        use_dictionary=False,
    )
    column = pq.read_metadata(path).row_group(0).column(2)
    data = bytearray(path.read_bytes())
    start = column.data_page_offset
    data[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(bytes(data))
    assert len(rows(parquet_source(path), ["x"])) == 1_000
    assert refusal(parquet_source(path), ["private"]).code.startswith("E-SOURCE-")


# --- DuckDB's own files ------------------------------------------------------------------------


def test_a_table_is_found_in_its_schema_and_a_missing_one_is_refused_with_the_nearest(
    tmp_path: Path,
) -> None:
    path = tmp_path / "c.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute("CREATE SCHEMA sales; CREATE TABLE sales.buyers AS SELECT 'a' id, 1 x")
    assert rows(duckdb_source(path, table=("sales", "buyers")), ["x"]) == {"a": [1.0]}
    for table, near in ((("sales", "buyer"), "'sales.buyers'"), (("buyers",), "'sales.buyers'")):
        error = refusal(duckdb_source(path, table=table), ["x"])
        assert error.code == "E-SOURCE-MISSING"
        assert f"did you mean {near}" in error.message
    # schemas and tables of the sandbox itself are not the partner's
    assert refusal(duckdb_source(path, table=("pg_class",)), ["x"]).code == "E-SOURCE-MISSING"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_text('{other}')",
        "SELECT * FROM '{other}'",
        "SELECT * FROM outside",
        "WITH a AS (COPY (SELECT 1 AS id) TO '{out}') SELECT * FROM a",
        "WITH a AS (INSERT INTO customers VALUES ('b', 1) RETURNING *) SELECT * FROM a",
        "SELECT 1 AS id; DROP TABLE customers",
        "SELECT 1 AS id; ATTACH '{out}' AS other",
        "SELECT 1 AS id; INSTALL httpfs",
        "SELECT 1 AS id; SET enable_external_access = true",
    ],
)
@pytest.mark.parametrize("checked", [True, False])
def test_a_query_changes_nothing_in_a_database_and_reaches_nothing_beside_it(
    tmp_path: Path, query: str, checked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not checked:
        monkeypatch.setattr(
            "partner_node.sources.duckdb.source.check_feature_query", lambda *_, **__: None
        )
    other = write_csv(tmp_path / "other.csv", {"id": ["canary"], "x": [1.0]})
    out = tmp_path / "out.csv"
    path = tmp_path / "c.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE customers AS SELECT 'a' AS id, 1.0 AS x")
        connection.execute(f"CREATE VIEW outside AS SELECT * FROM read_text('{other}')")
    before = path.read_bytes()
    with pytest.raises(SourceError) as caught:
        rows(duckdb_source(path, query=query.format(other=other, out=out)), ["x"])
    assert caught.value.code.startswith("E-SOURCE-")
    assert "canary" not in "".join(traceback.format_exception(caught.value))
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.duckdb", "other.csv"]


def test_what_another_program_has_not_merged_yet_is_read_too_and_left_as_it_is(
    tmp_path: Path,
) -> None:
    path = tmp_path / "c.duckdb"
    program = (
        'import duckdb, os, sys; c = duckdb.connect(sys.argv[1]); c.execute("CREATE TABLE '
        "customers AS SELECT 'a' AS id, 1.5 AS x\"); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", program, path], check=True)
    log = Path(f"{path}.wal")
    before = path.read_bytes(), log.read_bytes()
    source = duckdb_source(path, table=("customers",))
    assert rows(source, ["x"]) == {"a": [1.5]}
    assert source.describe().files == (str(path), str(log))
    assert (path.read_bytes(), log.read_bytes()) == before


def test_a_database_that_is_open_for_writing_elsewhere_is_refused(tmp_path: Path) -> None:
    path = duckdb_file(tmp_path / "c.duckdb", {"id": ["a"], "x": [1.0]})
    program = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open'); input()"
    with subprocess.Popen(
        [sys.executable, "-uc", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        error = refusal(duckdb_source(path, table=("customers",)), ["x"])
        writer.communicate(b"\n")
    assert error.code == "E-SOURCE-FILE"
    assert "open for writing in another program" in error.message
    assert len(rows(duckdb_source(path, table=("customers",)), ["x"])) == 1


@pytest.mark.parametrize("content", [b"no database" * 1_000, b"SQLite format 3\0" + b"\0" * 4_000])
def test_a_file_that_is_no_duckdb_database_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.duckdb").write_bytes(content)
    error = refusal(duckdb_source(tmp_path / "c.duckdb", table=("customers",)), ["x"])
    assert error.code == "E-SOURCE-FILE"


def test_a_database_is_one_file(tmp_path: Path) -> None:
    for name in ("a.duckdb", "b.duckdb"):
        duckdb_file(tmp_path / name, {"id": ["a"], "x": [1.0]})
    source = duckdb_source(tmp_path / "*.duckdb", table=("customers",))
    assert "2 files" in refusal(source, ["x"]).message
    assert refusal(duckdb_source(tmp_path, table=("customers",)), ["x"]).code == "E-SOURCE-FILE"


def test_a_database_s_query_reads_its_tables_and_not_those_of_the_system() -> None:
    check_feature_query("SELECT * FROM sales.buyers JOIN input USING (id)", DUCKDB_QUERIES)
    for query in (
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM duckdb_settings",
        "SELECT * FROM pg_catalog.pg_class",
        "SELECT * FROM other.main.customers",
        "SELECT * FROM read_csv('x.csv')",
    ):
        with pytest.raises(SourceError) as caught:
            check_feature_query(query, DUCKDB_QUERIES)
        assert "own tables" in caught.value.message, query


@pytest.mark.parametrize("table", [None, ("customers",)])
def test_a_database_needs_either_a_table_or_a_query(table: tuple[str, ...] | None) -> None:
    with pytest.raises(ValueError, match="table or a query"):
        duckdb_source("c.duckdb", table=table, query=table and "SELECT 1")


def test_decimals_are_no_levels_and_the_way_out_is_a_cast(tmp_path: Path) -> None:
    table = pa.table({"id": ["a"], "stars": pa.array([Decimal("1.00")], pa.decimal128(5, 2))})
    pq.write_table(table, tmp_path / "c.parquet")
    error = refusal(parquet_source(tmp_path / "c.parquet"), [level("stars", "1", "2")])
    assert error.code == "E-SOURCE-TYPE"
    assert "DECIMAL" in error.message
    assert "CAST" in error.remedy
