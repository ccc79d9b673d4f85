"""Kinds of source read through DuckDB: CSV files, Parquet files, its own databases."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from partner_node.sources.duckdb.dialect import DUCKDB as DIALECT
from partner_node.sources.duckdb.dialect import LINES
from partner_node.sources.duckdb.parquet_files import parquet_scan
from partner_node.sources.duckdb.scans import FOLDERS, Kind, csv_scan, texts
from partner_node.sources.file_places import DATABASE_FILE, File, FilePlaces
from partner_node.sources.kind import DUCKDB_MEANS, ColumnTypes, FileFormat, Means, Rows, SourceKind

if TYPE_CHECKING:
    from partner_node.sources.kind import OwnSource

_FILES: Final = "A file, a glob, or a folder: all files of the kind in it, at any depth."
_NO_TABLE: Final[Mapping[str, str]] = {
    "table": "name the file by path instead",
    "--table": "leave it out; --data names the file",
}
#: Types of columns in a table of consents, also in the gate's own DuckDB.
CONSENT_TYPES: Final = ColumnTypes(
    ids=DIALECT.id_types,
    times=frozenset({"varchar", "timestamp with time zone"}),
    nested=re.compile(r"list|array|struct|map|union|blob"),
)


def _open(kind: Kind, place: File, rows: Rows, means: Means) -> OwnSource:
    from partner_node.sources.duckdb.source import DuckDBSource  # imports its driver

    return DuckDBSource(
        kind=kind,
        path=place.path,
        id_column=rows.id_column,
        table=rows.table,
        query=rows.query,
        lines=rows.lines,
        unique=rows.unique,
        delimiter=place.delimiter,
        memory_bytes=means.memory_bytes,
        threads=means.threads,
        temp_folder=means.temp_folder,
        temp_bytes=means.temp_bytes,
    )


CSV: Final = SourceKind(
    name="csv",
    place=FilePlaces(comment=_FILES, delimited=True, folder=FOLDERS["csv"]),
    open=partial(_open, "csv"),
    dialect=DIALECT,
    lines=LINES,
    means=DUCKDB_MEANS,
    instead=_NO_TABLE,
    consents=FileFormat(
        scan=lambda _, paths, columns, delimiter: csv_scan(paths, texts(columns), delimiter),
        suffixes=(".csv", ".txt"),
        header=True,
    ),
    hint="header line, UTF-8, may be .gz",
    own_lines='# Between the values of a CSV file.\n# delimiter = ","\n',
    query_note="# Columns of a CSV file are text in it: CAST(Quantity AS DOUBLE).\n",
)
PARQUET: Final = SourceKind(
    name="parquet",
    place=FilePlaces(comment=_FILES, folder=FOLDERS["parquet"]),
    open=partial(_open, "parquet"),
    dialect=DIALECT,
    lines=LINES,
    means=DUCKDB_MEANS,
    instead=_NO_TABLE,
    consents=FileFormat(
        scan=lambda connection, paths, *_: parquet_scan(connection, paths), suffixes=(".parquet",)
    ),
)
DUCKDB: Final = SourceKind(
    name="duckdb",
    place=FilePlaces(comment=DATABASE_FILE),
    open=partial(_open, "duckdb"),
    dialect=DIALECT,
    lines=LINES,
    has_tables=True,
    means=DUCKDB_MEANS,
    consents=CONSENT_TYPES,
)
