"""SQL by which DuckDB reads files; paths and names go into it only through `literal`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from partner_node.sources.dialect import literal

#: Kinds that `DuckDBSource` reads.
Kind = Literal["csv", "parquet", "duckdb"]
#: Suffixes of the files that are read from a folder; a folder cannot be a database.
FOLDERS: Final[Mapping[Kind, tuple[str, ...]]] = {
    "csv": (".csv", ".csv.gz"),
    "parquet": (".parquet",),
    "duckdb": (),
}


def csv_scan(paths: tuple[str, ...], types: Mapping[str, str], delimiter: str) -> str:
    """SQL: CSV files with all their columns, each with the type that it is read as."""
    return (
        f"read_csv({listed(paths)}, auto_detect = false, header = true, "
        f"columns = {_named(types)}, delim = {literal(delimiter)}, quote = '\"', escape = '\"', "
        "nullstr = '', strict_mode = true, hive_partitioning = false, union_by_name = false)"
    )


def json_scan(paths: tuple[str, ...], types: Mapping[str, str]) -> str:
    """JSON lines, of which the named columns are read."""
    return f"read_json({listed(paths)}, format = 'newline_delimited', columns = {_named(types)})"


def texts(columns: tuple[str, ...]) -> dict[str, str]:
    """Types of columns that are all read as text."""
    return dict.fromkeys(columns, "VARCHAR")


def listed(paths: tuple[str, ...]) -> str:
    """Files' names as a list in SQL."""
    return "[" + ", ".join(map(literal, paths)) + "]"


def _named(types: Mapping[str, str]) -> str:
    columns = (f"{literal(name)}: '{kind}'" for name, kind in types.items())
    return "{" + ", ".join(columns) + "}"
