"""Loading numeric files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partner_node.sources.files import read_csv_header
from protocol.errors import SourceError
from simulations.datasets import load_matrices, load_matrix

SHARED = Path(__file__).parents[3] / "shared" / "data" / "dp_kmeans"
ROWS_BY_NAME = {
    "iris": (150, 4),
    "yeast": (1_484, 8),
    "synth_4_4": (10_001, 4),
    "synth_16_4": (10_001, 4),
    "synth_16_16": (10_000, 16),
    "blobs_16_16": (20_000, 16),
    "g2_16": (2_048, 16),
    "g2_64": (2_048, 64),
    "letter": (20_000, 16),
}


def written(tmp_path: Path, data: bytes, name: str = "data.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "columns", "values"),
    [
        (b"1,2\n3,4\n", ("x1", "x2"), [[1, 2], [3, 4]]),
        (b"a,b\n1,2\n", ("a", "b"), [[1, 2]]),
        (b"a\tb\n1\t-2e3\n", ("a", "b"), [[1, -2000]]),
        (b"a;b\n1;2.5\n", ("a", "b"), [[1, 2.5]]),
        (b"a;b\n1,5;2\n", ("a", "b"), [[1.5, 2]]),
        (b"\xef\xbb\xbfa,b\r\n1,2\r\n", ("a", "b"), [[1, 2]]),
        (b"\n\na,b\n\n1,2\n\n3,4", ("a", "b"), [[1, 2], [3, 4]]),
        (b"1,2\r3,4\r", ("x1", "x2"), [[1, 2], [3, 4]]),
        (b'"net spend","basket, items"\n"1","2"\n', ("net spend", "basket, items"), [[1, 2]]),
        (b" 1 , 2 \n", ("x1", "x2"), [[1, 2]]),
        (b"1\n2\n3\n", ("x1",), [[1], [2], [3]]),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_header_delimiter_and_decimals_are_told_from_the_content(tmp_path, data, columns, values):
    matrix = load_matrix(written(tmp_path, data))
    assert matrix.columns == columns
    assert matrix.values.tolist() == values
    assert matrix.values.dtype == np.float64
    assert matrix.values.flags.c_contiguous


@pytest.mark.parametrize("data", [b"1,2\n3,4\n", b"a,b\n1,2\n3,4\n"])
def test_gzip_is_told_from_the_content_not_from_the_name(tmp_path, data):
    path = written(tmp_path, gzip.compress(data), "plain.csv")
    assert load_matrix(path).values.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", "E-SOURCE-EMPTY", "no rows"),
        (b"\n \n", "E-SOURCE-EMPTY", "no rows"),
        (b"a,b\n", "E-SOURCE-EMPTY", "no rows"),
        (b"1,2\n3\n", "E-SOURCE-RAGGED", "line 2: 1 values, but the first line has 2"),
        (b"1,2\n3,4,5\n", "E-SOURCE-RAGGED", "line 2: 3 values"),
        (b"1,2\n3,x\n", "E-SOURCE-TEXT", "line 2, column 'x2': 'x' is not a number"),
        (b"a,b\n1,2\n\n3,\n", "E-SOURCE-TEXT", "line 4, column 'b': the value is missing"),
        (b"1,name\n3,4\n", "E-SOURCE-TEXT", "line 1, column 'x2': 'name'"),
        (b"1,2\n3,1_0\n", "E-SOURCE-TEXT", "'1_0' is not a number"),
        (b"1,2\n3,0x10\n", "E-SOURCE-TEXT", "'0x10' is not a number"),
        (b"a,b\n1,nan\n", "E-SOURCE-NOT-FINITE", "line 2, column 'b': nan"),
        (b"1,2\n-inf,1\n", "E-SOURCE-NOT-FINITE", "line 2, column 'x1': -inf"),
        (b"1e400,2\n", "E-SOURCE-NOT-FINITE", "line 1, column 'x1'"),
        (b"a,a\n1,2\n", "E-SOURCE-COLUMNS", "'a' stands twice"),
        (b"column2,\n1,2\n", "E-SOURCE-COLUMNS", "'column2' stands twice"),
        (b"\xff\xfe1,2\n", "E-SOURCE-FILE", "UTF-8"),
        (gzip.compress(b"1,2\n3,4\n", mtime=0)[:-6], "E-SOURCE-FILE", "cannot be read"),
        (b"\x1f\x8b not gzip", "E-SOURCE-FILE", "cannot be read"),
        (b"PAR1 not parquet", "E-SOURCE-FILE", "Parquet"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_a_faulty_file_is_refused_with_line_and_column(tmp_path, data, code, words):
    path = written(tmp_path, data)
    with pytest.raises(SourceError) as caught:
        load_matrix(path)
    assert caught.value.code == code
    assert words in caught.value.message
    assert str(path) in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize("header", ["a,b", ",a", "a,", ",", ",,", "a,,c", ",customer_id,spend"])
def test_a_column_without_a_name_is_called_as_at_a_node(tmp_path, header):
    row = ",".join(str(i) for i in range(header.count(",") + 1))
    path = written(tmp_path, f"{header}\n{row}\n".encode())
    assert load_matrix(path).columns == read_csv_header(str(path), ",")


def test_a_fault_far_down_a_long_file_is_found(tmp_path):
    data = b"a,b\n" + b"1.5,2.5\n" * 200_000 + b"1.5,oops\n"
    with pytest.raises(SourceError, match="line 200002, column 'b': 'oops'"):
        load_matrix(written(tmp_path, data))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"absent\.csv") as caught:
        load_matrix(tmp_path / "absent.csv")
    assert caught.value.code == "E-SOURCE-FILE"


def test_parquet_files_are_read_whatever_their_name(tmp_path):
    path = tmp_path / "data.bin"
    pa_parquet.write_table(pa.table({"a": [1, 2], "b": [0.5, 1.5]}), path)
    matrix = load_matrix(path)
    assert matrix.columns == ("a", "b")
    assert matrix.values.tolist() == [[1, 0.5], [2, 1.5]]


@pytest.mark.parametrize(
    ("column", "code", "words"),
    [
        (["x", "y"], "E-SOURCE-TEXT", "column 'b' holds string"),
        ([1.0, None], "E-SOURCE-TEXT", "row 2, column 'b': the value is missing"),
        ([float("nan"), 1.0], "E-SOURCE-NOT-FINITE", "row 1, column 'b': nan"),
    ],
)
def test_a_faulty_parquet_column_is_refused(tmp_path, column, code, words):
    path = tmp_path / "data.parquet"
    pa_parquet.write_table(pa.table({"a": [1, 2], "b": column}), path)
    with pytest.raises(SourceError) as caught:
        load_matrix(path)
    assert caught.value.code == code
    assert words in caught.value.message


def test_an_empty_parquet_file_is_refused(tmp_path):
    path = tmp_path / "data.parquet"
    pa_parquet.write_table(pa.table({"a": pa.array([], pa.float64())}), path)
    with pytest.raises(SourceError) as caught:
        load_matrix(path)
    assert caught.value.code == "E-SOURCE-EMPTY"


def test_files_of_several_partners_must_have_the_same_columns(tmp_path):
    first = written(tmp_path, b"a,b\n1,2\n", "first.csv")
    same = written(tmp_path, b"a,b\n3,4\n", "same.csv")
    other = written(tmp_path, b"a,c\n3,4\n", "other.csv")
    assert [m.values.tolist() for m in load_matrices([first, same])] == [[[1, 2]], [[3, 4]]]
    with pytest.raises(SourceError, match=r"other\.csv has columns") as caught:
        load_matrices([first, other])
    assert caught.value.code == "E-SOURCE-COLUMNS"


@settings(max_examples=60)
@given(data=st.binary(max_size=60) | st.text("0123456789.,;-e\n\t\"' anif", max_size=60))
def test_any_bytes_give_a_finite_matrix_or_our_error(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz") / "data"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    try:
        matrix = load_matrix(path)
    except SourceError:
        return
    assert np.isfinite(matrix.values).all()
    assert matrix.values.shape[1] == len(matrix.columns) > 0


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
@pytest.mark.parametrize("name", ROWS_BY_NAME)
def test_the_development_sets_are_read_whole(name):
    matrix = load_matrix(SHARED / f"{name}.csv.gz")
    assert matrix.values.shape == ROWS_BY_NAME[name]


def test_columns_are_left_out_of_csv_and_parquet_whatever_they_hold(tmp_path):
    data = b'id,a,when,b\n"x,1",1,2026-01-01,2\n,3,nan,4\n'
    kept = load_matrix(written(tmp_path, data), drop=["when", "id"])
    pa_parquet.write_table(
        pa.table({"a": [1, 3], "id": ["x", None], "b": [2.0, 4.0], "when": [None, None]}),
        tmp_path / "t.parquet",
    )
    for matrix in (kept, load_matrix(tmp_path / "t.parquet", drop=["id", "when"])):
        assert matrix.columns == ("a", "b")
        assert matrix.values.tolist() == [[1, 2], [3, 4]]
    assert load_matrix(written(tmp_path, b"c1,2\nc2,3\n"), drop=["x1"]).columns == ("x2",)


def test_faults_are_still_placed_in_the_columns_that_are_kept(tmp_path):
    path = written(tmp_path, b"id,a,b\nx,1,2\ny,3,oops\n")
    with pytest.raises(SourceError, match=r"line 3, column 'b': 'oops'"):
        load_matrix(path, drop=["id"])


def test_a_column_that_is_not_there_cannot_be_left_out(tmp_path):
    with pytest.raises(SourceError, match="did you mean 'a'") as caught:
        load_matrix(written(tmp_path, b"a,bb\n1,2\n"), drop=["aa"])
    assert caught.value.code == "E-SOURCE-COLUMNS"
