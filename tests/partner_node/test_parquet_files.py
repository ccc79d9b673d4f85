"""Several Parquet files with schemas of their own: values stay what they are, or are refused."""

from __future__ import annotations

from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from partner_node.consent.settings import Holds
from partner_node.sources.duckdb.parquet_files import parquet_scan, same_values
from partner_node.sources.duckdb.source import DuckDBSource
from partner_node.sources.source import numbers
from protocol.errors import SourceError
from tests.partner_node import consents as c

#: Columns of each type, with values at the type's ends.
COLUMNS = {
    "nothing": pa.nulls(1),
    "int8": pa.array([-128, 127], pa.int8()),
    "int16": pa.array([-(2**15), 2**15 - 1], pa.int16()),
    "int32": pa.array([-(2**31), 2**31 - 1], pa.int32()),
    "int64": pa.array([-(2**53), 2**53], pa.int64()),
    "uint8": pa.array([0, 255], pa.uint8()),
    "uint32": pa.array([0, 2**32 - 1], pa.uint32()),
    "uint64": pa.array([0, 2**53], pa.uint64()),
    "float": pa.array([0.1, -(2.0**30)], pa.float32()),
    "double": pa.array([0.1, 10.49, 1e300]),
    "decimal(10,2)": pa.array([Decimal("99999999.99")], pa.decimal128(10, 2)),
    "decimal(10,4)": pa.array([Decimal("999999.9999")], pa.decimal128(10, 4)),
    "decimal(38,0)": pa.array([Decimal(10**37)], pa.decimal128(38, 0)),
    "decimal(38,10)": pa.array([Decimal("1.0000000001")], pa.decimal128(38, 10)),
    "text": pa.array(["002", "1.50"]),
    "boolean": pa.array([True, False]),
    "date": pa.array([0, 20_000], pa.date32()),
    "seconds": pa.array([1_700_000_001], pa.timestamp("s")),
    "moment": pa.array([1_700_000_001_000_001], pa.timestamp("us")),
    "nanoseconds": pa.array([1_700_000_001_000_000_001], pa.timestamp("ns")),
    "moment in UTC": pa.array([1_700_000_001_000_001], pa.timestamp("us", "UTC")),
    "bytes": pa.array([b"002"]),
    "list": pa.array([[1, 2]]),
}


def write(folder: Path, **files: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, columns in files.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    return folder


def rows(folder: Path, *columns: str) -> dict[str, list[float]]:
    source = DuckDBSource(kind="parquet", path=folder, id_column="id")
    found: dict[str, list[float]] = {}
    for chunk in source.chunks(numbers(*columns), max_rows=100):
        found |= dict(zip(chunk.ids.tolist(), chunk.values.tolist(), strict=True))
    return found


def refusal(folder: Path, *columns: str) -> SourceError:
    with pytest.raises(SourceError) as caught:
        rows(folder, *columns)
    return caught.value


def test_whole_numbers_in_the_first_file_cut_nothing_off_the_second(tmp_path: Path) -> None:
    place = write(
        tmp_path / "in",
        a={"id": ["A1"], "net": pa.array([10], pa.int64())},
        b={"id": ["A2", "A3"], "net": [10.49, 0.5]},
    )
    assert rows(place, "net") == {"A1": [10.0], "A2": [10.49], "A3": [0.5]}


def test_long_numbers_beside_doubles_are_refused_and_others_are_not(tmp_path: Path) -> None:
    """Numbers of orders, say: two beyond 2^53 would be one."""
    last = 2**53
    for largest in (last, last + 1, -last - 1):
        place = write(
            tmp_path / str(largest),
            a={"id": ["A1"], "net": pa.array([largest], pa.int64())},
            b={"id": ["A2"], "net": [0.5]},
        )
        if largest == last:
            assert rows(place, "net") == {"A1": [float(last)], "A2": [0.5]}
            continue
        error = refusal(place, "net")
        assert error.code == "E-SOURCE-TYPE"
        assert f"BIGINT in {place / 'a.parquet'}" in error.message
        assert "its longest numbers would change" in error.message


def test_a_file_that_changes_its_types_is_looked_at_anew(tmp_path: Path) -> None:
    parts = {"a": {"id": ["A1"], "x": [1.5]}, "b": {"id": ["A2"], "x": [2.5]}}
    source = DuckDBSource(kind="parquet", path=write(tmp_path / "in", **parts), id_column="id")
    assert sum(c.n_rows for c in source.chunks(numbers("x"), max_rows=9)) == 2
    write(tmp_path / "in", b={"id": ["A2"], "x": ["text"]})
    with pytest.raises(SourceError, match="'x' has type DOUBLE in"):
        list(source.chunks(numbers("x"), max_rows=9))


def test_decimals_keep_all_their_places(tmp_path: Path) -> None:
    place = write(
        tmp_path / "in",
        a={"id": ["A1"], "net": COLUMNS["decimal(10,2)"]},
        b={"id": ["A2"], "net": COLUMNS["decimal(10,4)"]},
    )
    assert rows(place, "net") == {"A1": [99999999.99], "A2": [999999.9999]}


@pytest.mark.parametrize("first", ["a", "b"])
def test_ids_that_are_numbers_in_one_file_and_text_in_another_are_refused(
    tmp_path: Path, first: str
) -> None:
    other = {"a": "b", "b": "a"}[first]
    place = write(
        tmp_path / "in",
        **{
            first: {"id": pa.array([100], pa.int64()), "net": [1.0]},
            other: {"id": ["002"], "net": [1.0]},
        },
    )
    error = refusal(place, "net")
    assert error.code == "E-SOURCE-TYPE"
    assert "'id'" in error.message
    assert f"BIGINT in {place / first}.parquet" in error.message
    assert f"VARCHAR in {place / other}.parquet" in error.message
    assert "one type" in error.remedy


def test_a_file_without_rows_gives_no_type(tmp_path: Path) -> None:
    """As pandas writes an empty month: no column has a type, or all are text."""
    place = write(
        tmp_path / "in",
        a={"id": pa.nulls(0), "net": pa.nulls(0)},
        b={"id": pa.array([], pa.string()), "net": pa.array([], pa.string())},
        c={"id": pa.array([2], pa.int64()), "net": [0.5]},
    )
    assert rows(place, "net") == {"2": [0.5]}


def test_files_that_are_all_empty_give_no_rows(tmp_path: Path) -> None:
    empty = {"id": pa.nulls(0), "net": pa.nulls(0)}
    place = write(tmp_path / "in", a=empty, b=empty)
    assert refusal(place, "net").code in ("E-SOURCE-EMPTY", "E-SOURCE-TYPE")


def test_a_column_that_a_file_lacks_is_named_with_the_file(tmp_path: Path) -> None:
    place = write(
        tmp_path / "in",
        a={"id": ["A1"], "orders": [1], "net": [1.0]},
        b={"id": ["A2"], "orders": [1]},
    )
    error = refusal(place, "orders", "net")
    assert error.code == "E-SOURCE-COLUMN"
    assert f"{place / 'b.parquet'} has other columns" in error.message
    assert "lacks 'net'" in error.message


def test_a_column_that_the_first_file_lacks_is_named_too(tmp_path: Path) -> None:
    place = write(tmp_path / "in", a={"id": ["A1"]}, b={"id": ["A2"], "net": [1.0]})
    error = refusal(place)
    assert error.code == "E-SOURCE-COLUMN"
    assert f"{place / 'a.parquet'} lacks 'net'" in error.message


def test_a_file_that_is_cut_off_is_named(tmp_path: Path) -> None:
    part = {"id": ["A1"], "x": [1.5]}
    place = write(tmp_path / "in", a=part, b=part | {"id": ["A2"]})
    whole = (place / "b.parquet").read_bytes()
    (place / "b.parquet").write_bytes(whole[: len(whole) // 2])
    error = refusal(place, "x")
    assert error.code == "E-SOURCE-FILE"
    assert f"{place / 'b.parquet'} cannot be read" in error.message


def test_columns_may_stand_in_another_order(tmp_path: Path) -> None:
    place = write(
        tmp_path / "in",
        a={"id": ["A1"], "x": [1.0], "y": [2.0]},
        b={"y": [4.0], "id": ["A2"], "x": [3.0]},
    )
    assert rows(place, "x", "y") == {"A1": [1.0, 2.0], "A2": [3.0, 4.0]}


@pytest.mark.slow
@pytest.mark.parametrize("one", COLUMNS)
def test_what_is_read_together_is_what_each_file_says_alone(tmp_path: Path, one: str) -> None:
    """Every type beside every other: as text for ids and levels, as a double for numbers."""
    accepted = set()
    with duckdb.connect() as connection:
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        for number, other in enumerate(COLUMNS):
            place = write(tmp_path / str(number), a={"x": COLUMNS[one]}, b={"x": COLUMNS[other]})
            paths = tuple(str(place / f"{name}.parquet") for name in "ab")
            try:
                scan = parquet_scan(connection, paths)
            except SourceError as error:
                assert error.code == "E-SOURCE-TYPE"
                continue
            accepted.add(other)
            alone = [parquet_scan(connection, (path,)) for path in paths]
            for seen in _ways_to_see(connection, alone):
                together = connection.execute(f"SELECT {seen} FROM {scan}").fetchall()
                separate = [
                    row
                    for s in alone
                    for row in connection.execute(f"SELECT {seen} FROM {s}").fetchall()
                ]
                assert together == separate, (one, other, seen)
    assert {one, "nothing"} <= accepted or one == "nothing"


@pytest.mark.parametrize("holds", ["objections", "births"])
def test_a_list_of_people_is_judged_by_no_other_ids_than_it_holds(
    tmp_path: Path, holds: Holds
) -> None:
    """The id "002" read as 2 would be nobody's, and whoever objected would be counted."""
    place = write(
        tmp_path / "in",
        a={"subject": pa.array([100], pa.int64()), "born": ["1970"]},
        b={"subject": ["002"], "born": ["1970"]},
    )
    crm = c.write_csv(tmp_path / "crm.csv", [c.given("002"), c.given("100")])
    people = c.consents(f"{place}/*.parquet", kind="parquet", name="people", holds=holds)
    for path in place.iterdir():
        c.changed(path)
    youngest = None if holds == "births" else 18
    gate = c.gate_of(c.consents(crm), people, youngest_customer=youngest)
    with pytest.raises(SourceError) as caught:
        gate.snapshot(c.NOW)
    assert caught.value.code == "E-CONSENT-SOURCE"
    assert "consent source 'people': column 'subject' has type BIGINT" in caught.value.message


def _ways_to_see(connection: duckdb.DuckDBPyConnection, scans: list[str]) -> list[str]:
    """How values are compared: text says all of whole numbers and words, a double of the rest."""
    kinds = {str(connection.sql(f"SELECT x FROM {scan}").types[0]) for scan in scans} - {'"NULL"'}
    if all("INT" in kind for kind in kinds) or len(kinds) == 1:
        return ["CAST(x AS VARCHAR)"]
    if any("TIMESTAMP" in kind for kind in kinds):
        return ["CAST(x AS TIMESTAMP_NS)"]
    return ["CAST(x AS DOUBLE)"]


def test_numbers_and_words_are_never_read_as_one() -> None:
    numbers_ = ("BIGINT", "DOUBLE", "DECIMAL(10,2)", "BOOLEAN")
    for number, word in product(numbers_, ("VARCHAR", "BLOB", "DATE", "UUID")):
        assert not same_values((number, word))
    assert not same_values(("BOOLEAN", "BIGINT"))
    assert not same_values(("DECIMAL(38,0)", "DECIMAL(10,4)"))
    assert not same_values(("TIMESTAMP", "TIMESTAMP WITH TIME ZONE"))
