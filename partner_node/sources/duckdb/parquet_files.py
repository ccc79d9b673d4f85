"""Several Parquet files as one relation, in which no value changes.

A Parquet file has its own schema, and DuckDB reads all files of a list by the schema of the first:
10.49 in the second file becomes 10 where the first has whole numbers, and the id "002" becomes 2.
Here the schemas are compared before a row is read: a column's values stay what they are in every
file, or the files are refused.
"""
# Names and paths go into SQL only through `quoted` and `listed`:
# ruff: noqa: S608

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final

from partner_node.sources.dialect import quoted
from partner_node.sources.duckdb.scans import listed
from partner_node.sources.row_rules import refuse_duplicate_names
from protocol.errors import SourceError

if TYPE_CHECKING:  # the table of kinds names this and imports no driver
    import duckdb

#: Digits that whole numbers of a type may have.
_DIGITS: Final = {
    "TINYINT": 3, "SMALLINT": 5, "INTEGER": 10, "BIGINT": 19,
    "UTINYINT": 3, "USMALLINT": 5, "UINTEGER": 10, "UBIGINT": 20,
}  # fmt: skip
#: Whole numbers that may have more digits than a double, which holds any number of so many.
_LONG: Final = {"BIGINT", "UBIGINT"}
_EXACT_DIGITS: Final = 15
_DECIMAL: Final = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_MAX_DIGITS: Final = 38
#: Days, and points in time without a zone: a day is its midnight.
_MOMENTS: Final = {"DATE", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP", "TIMESTAMP_NS"}
#: DuckDB's name for the type of a column that has no value in its file.
_NOTHING: Final = '"NULL"'


def parquet_scan(connection: duckdb.DuckDBPyConnection, paths: tuple[str, ...]) -> str:
    """SQL of the relation that Parquet files with the same columns are together.

    Files without rows give nothing to it, not even a type.

    Raises:
        SourceError: E-SOURCE-COLUMN, a file has other columns than the first; E-SOURCE-TYPE, a
            column has types of which none holds the values of all files.
        duckdb.Error: A file cannot be read.
    """
    by_name = False
    if len(paths) > 1:
        paths = _with_rows(connection, paths)
        by_name = not _are_alike(connection, paths)
        if by_name:
            _refuse_differences(connection, {path: _types(connection, path) for path in paths})
    return (
        f"read_parquet({listed(paths)}, hive_partitioning = false, "
        f"union_by_name = {'true' if by_name else 'false'})"
    )


def _are_alike(connection: duckdb.DuckDBPyConnection, paths: tuple[str, ...]) -> bool:
    """Whether all files have the same columns with the same types, by one look at their footers."""
    (found,) = connection.execute(
        "SELECT count(DISTINCT columns) FROM (SELECT list_sort(list(row(name, type, type_length, "
        "repetition_type, num_children, converted_type, scale, precision, "
        "CAST(logical_type AS VARCHAR)))) AS columns "
        f"FROM parquet_schema({listed(paths)}) GROUP BY file_name)"
    ).fetchone() or (0,)
    return int(found) == 1


def _with_rows(connection: duckdb.DuckDBPyConnection, paths: tuple[str, ...]) -> tuple[str, ...]:
    """The files that have rows; all of them when none has."""
    found = connection.execute(
        f"SELECT file_name FROM parquet_file_metadata({listed(paths)}) WHERE num_rows > 0"
    ).fetchall()
    filled = {name for (name,) in found}
    return tuple(path for path in paths if path in filled) or paths


def _types(connection: duckdb.DuckDBPyConnection, path: str) -> dict[str, str]:
    columns = connection.execute(
        f"DESCRIBE SELECT * FROM read_parquet({listed((path,))}, hive_partitioning = false)"
    ).fetchall()
    refuse_duplicate_names([str(name) for name, *_ in columns], path)
    return {str(name): str(kind) for name, kind, *_ in columns}


def _refuse_differences(
    connection: duckdb.DuckDBPyConnection, types: Mapping[str, Mapping[str, str]]
) -> None:
    first, *others = types
    for path in others:
        _refuse_other_columns(first, types[first], path, types[path])
    for name in types[first]:
        holders: dict[str, str] = {}  # a type of the column, and the first file that has it
        for path in types:
            holders.setdefault(types[path][name], path)
        inexact = _inexact(connection, name, types) if "DOUBLE" in holders else None
        if inexact is not None:
            raise SourceError(
                f"column {name!r} has type {types[inexact][name]} in {inexact} and doubles in "
                "other files: read as one, its longest numbers would change",
                code="E-SOURCE-TYPE",
                remedy="write the column with one type in all files",
            )
        if not same_values(holders):
            known, *more = (kind for kind in holders if kind != _NOTHING)
            other = next((kind for kind in more if not same_values((known, kind))), more[-1])
            raise SourceError(
                f"column {name!r} has type {known} in {holders[known]} and {other} in "
                f"{holders[other]}: read as one, values would change",
                code="E-SOURCE-TYPE",
                remedy="write the column with one type in all files",
            )


def _refuse_other_columns(
    first: str, expected: Mapping[str, str], path: str, found: Mapping[str, str]
) -> None:
    lacks = ", ".join(repr(name) for name in expected if name not in found)
    has = ", ".join(repr(name) for name in found if name not in expected)
    if lacks or has:
        told = [f"it lacks {lacks}"] * bool(lacks) + [f"{first} lacks {has}"] * bool(has)
        raise SourceError(
            f"{path} has other columns than {first}: {', and '.join(told)}",
            code="E-SOURCE-COLUMN",
            remedy="give all files the same columns, or narrow the glob",
        )


def _is_long(kind: str) -> bool:
    """Whether numbers of a type may have more digits than a double."""
    found = _DECIMAL.fullmatch(kind)
    return kind in _LONG or (found is not None and int(found[1]) > _EXACT_DIGITS)


def _inexact(
    connection: duckdb.DuckDBPyConnection, name: str, types: Mapping[str, Mapping[str, str]]
) -> str | None:
    """The first file with numbers in a column that no double holds; None when there is none.

    Ids and numbers of orders may be so long, and two of them would be one.
    """
    column = quoted(name)
    for path, columns in types.items():
        if _is_long(columns[name]):
            again = f"TRY_CAST(CAST({column} AS DOUBLE) AS {columns[name]})"
            (changed,) = connection.execute(
                f"SELECT count(*) FROM read_parquet({listed((path,))}, hive_partitioning = false) "
                f"WHERE {again} IS DISTINCT FROM {column}"
            ).fetchone() or (0,)
            if changed:
                return path
    return None


def same_values(types: Collection[str]) -> bool:
    """Whether values of all these types stay what they are in the type that DuckDB finds for all.

    Whole numbers and decimals beside doubles become doubles, as features are anyway. Whether each
    of them has so few digits that a double holds it is another question.
    """
    kinds = {*types} - {_NOTHING}
    if len(kinds) <= 1 or kinds <= _MOMENTS or kinds == {"FLOAT", "DOUBLE"}:
        return True
    decimals = [_DECIMAL.fullmatch(kind) for kind in kinds - _DIGITS.keys() - {"DOUBLE"}]
    sizes = [(int(found[1]) - int(found[2]), int(found[2])) for found in decimals if found]
    if len(sizes) < len(decimals):
        return False
    sizes += [(_DIGITS[kind], 0) for kind in kinds & _DIGITS.keys()]
    return "DOUBLE" in kinds or (
        max(before for before, _ in sizes) + max(after for _, after in sizes) <= _MAX_DIGITS
    )
