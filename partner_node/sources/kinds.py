"""Where customers come from: files and databases behind one `Source`."""

from typing import Protocol

from partner_node.sources.duckdb.sandbox import Sandbox
from partner_node.sources.duckdb.source import DuckDBSource
from partner_node.sources.settings import DataSection, LimitsSection, PostgreSQLServer
from partner_node.sources.source import Source
from partner_node.sources.text_table import TextSource


class OwnSource(Source, TextSource, Protocol):
    """Where a partner's customers come from; read as numbers, or as the text that it holds."""


def open_source(data: DataSection, limits: LimitsSection) -> OwnSource:
    """The source that a node's configuration names; nothing is opened yet.

    Raises:
        SourceError: E-SOURCE-SQL, the feature query is not one repeatable SELECT.
    """
    if data.kind == "postgresql":
        from partner_node.sources.postgresql.source import PostgreSQLSource  # loads its driver

        if data.server is None:
            raise ValueError("a PostgreSQL source needs a server")
        return PostgreSQLSource(
            server=data.server, id_column=data.id_column, table=data.table, query=data.query
        )
    if data.path is None:
        raise ValueError(f"a source of kind {data.kind} needs a path")
    if data.kind == "sqlite":
        from partner_node.sources.sqlite.source import SQLiteSource

        return SQLiteSource(
            path=data.path, id_column=data.id_column, table=data.table, query=data.query
        )
    return DuckDBSource(
        kind=data.kind,
        path=data.path,
        id_column=data.id_column,
        table=data.table,
        query=data.query,
        delimiter=data.delimiter,
        memory_bytes=data.memory_bytes,
        threads=limits.threads,
        temp_folder=data.temp_folder,
        temp_bytes=limits.temp_bytes,
    )


def open_table(
    *,
    path: str,
    server: PostgreSQLServer | None,
    sqlite: bool,
    table: tuple[str, ...],
    id_column: str,
    limits: Sandbox,
) -> TextSource:
    """A table of a database, for reading as text; nothing is opened yet.

    Args:
        path: The database's file; unused with a `server`.
        server: The PostgreSQL server; None for a file.
        sqlite: Whether the file is SQLite's; else it is DuckDB's.
        id_column: The column with customers' ids.
        limits: What reading a file of DuckDB may take of this machine.
    """  # fmt: skip
    if server is not None:
        from partner_node.sources.postgresql.source import PostgreSQLSource  # loads its driver

        return PostgreSQLSource(server=server, id_column=id_column, table=table)
    if sqlite:
        from partner_node.sources.sqlite.source import SQLiteSource

        return SQLiteSource(path=path, id_column=id_column, table=table)
    return DuckDBSource(
        kind="duckdb",
        path=path,
        id_column=id_column,
        table=table,
        memory_bytes=limits.memory_bytes,
        threads=limits.threads,
        temp_folder=limits.temp_folder,
        temp_bytes=limits.temp_bytes,
    )
