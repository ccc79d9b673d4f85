"""How DuckDB reads files as a relation; paths and names go into SQL only through `literal`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from partner_node.sources.dialect import literal

#: What `DuckDBSource` reads.
Kind = Literal["csv", "parquet", "duckdb"]
#: How names of the files end that are read of a folder; a folder is no database.
FOLDERS: Final[Mapping[Kind, tuple[str, ...]]] = {
    "csv": (".csv", ".csv.gz"),
    "parquet": (".parquet",),
    "duckdb": (),
}


def csv_scan(paths: tuple[str, ...], types: Mapping[str, str], delimiter: str) -> str:
    """CSV files whose columns are all named, each with the type that it is read as."""
    return (
        f"read_csv({_listed(paths)}, auto_detect = false, header = true, "
        f"columns = {_named(types)}, delim = {literal(delimiter)}, quote = '\"', escape = '\"', "
        "nullstr = '', strict_mode = true, hive_partitioning = false, union_by_name = false)"
    )


def parquet_scan(paths: tuple[str, ...]) -> str:
    """Parquet files with the same columns."""
    return f"read_parquet({_listed(paths)}, hive_partitioning = false, union_by_name = false)"


def json_scan(paths: tuple[str, ...], types: Mapping[str, str]) -> str:
    """JSON lines, of which the named columns are read."""
    return f"read_json({_listed(paths)}, format = 'newline_delimited', columns = {_named(types)})"


def texts(columns: tuple[str, ...]) -> dict[str, str]:
    """Columns that are read as text."""
    return dict.fromkeys(columns, "VARCHAR")


def _listed(paths: tuple[str, ...]) -> str:
    return "[" + ", ".join(map(literal, paths)) + "]"


def _named(types: Mapping[str, str]) -> str:
    columns = (f"{literal(name)}: '{kind}'" for name, kind in types.items())
    return "{" + ", ".join(columns) + "}"
