"""Tables of consents, objections and births in databases.

They are read like customers' features, by the same code and under the same rules (`sources`):
read-only, one state of the data, no value in an error. Rows are streamed as text into the gate's
own DuckDB, where the same SQL as for files judges them.
"""
# Only names made here go into SQL, others through `quoted`:
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import duckdb
import pyarrow as pa

from partner_node.consent.file_tables import FileTable
from partner_node.consent.id_set import IdHash
from partner_node.consent.kinds import KINDS
from partner_node.consent.settings import (
    UPDATED,
    ConsentSource,
)
from partner_node.consent.tables import (
    SECTION,
    ConsentTable,
    rows_of,
)
from partner_node.consent.verdicts import Wanted, moment_of
from partner_node.sources.data_file import DataFile
from partner_node.sources.dialect import quoted
from partner_node.sources.duckdb.sandbox import Sandbox
from partner_node.sources.file_places import File
from partner_node.sources.kind import ColumnTypes, Means, Rows
from partner_node.sources.kinds import open_table
from partner_node.sources.text_table import TextTable
from protocol.agreement.document import CLOCK_SKEW
from protocol.errors import SourceError


class DatabaseTable(ConsentTable):
    """One table or view of a database.

    Args:
        types: Which types its columns may have.
        limits: What reading a file of DuckDB may take of this machine.
    """

    def __init__(self, source: ConsentSource, types: ColumnTypes, limits: Sandbox) -> None:
        super().__init__(source, types)
        self._database = open_table(
            source.kind,
            source.place,
            Rows(id_column=self._column("subject"), table=source.table),
            Means(
                memory_bytes=limits.memory_bytes,
                threads=limits.threads,
                temp_folder=limits.temp_folder,
                temp_bytes=limits.temp_bytes,
            ),
        )

    def files(self) -> tuple[DataFile, ...]:
        """No files: the database itself ensures that one state is read."""
        return ()

    def check_reachable(self) -> None:
        """Refuse a database that cannot be reached, and columns that are missing or wrong.

        Raises:
            SourceError: E-CONSENT-SOURCE.
        """
        with self._opened() as table:
            self.selected(table.types)

    def changed_at(self) -> datetime | None:
        """When its heartbeat was touched; None without one, where `judge` finds it in the rows."""
        return self._beat

    def newest_row(self, connection: duckdb.DuckDBPyConnection, now: datetime) -> datetime | None:
        """When the table was last updated, by its rows; None where it has a heartbeat.

        Raises:
            SourceError: It cannot be read (E-CONSENT-SOURCE), or no row says it (E-CONSENT-STALE).
        """
        with self._opened() as table:
            return self._newest(connection, table, now)

    def judge(
        self,
        connection: duckdb.DuckDBPyConnection,
        files: tuple[DataFile, ...],
        into: str,
        wanted: Wanted,
        *,
        ids: IdHash | str,
    ) -> datetime | None:
        """Make the table `into`; see `ConsentTable.judge`.

        Raises:
            SourceError: Likewise, and if no row says how fresh the table is (E-CONSENT-STALE; not
                for one customer).
        """
        with self._opened() as table:
            newest = None if isinstance(ids, str) else self._newest(connection, table, wanted.now)
            select = f"SELECT {self.selected(table.types)} FROM {_ARRIVED}"
            columns = self._columns(table.types)
            with self._arriving(connection, table, columns):
                kept = partial(rows_of, connection, select, f"{into}_rows", ids)
                rows = self._read(files, kept)
                nobody = self._read(
                    files, partial(self._judge_rows, connection, rows, into, wanted)
                )
            if nobody:
                with self._arriving(connection, table, columns):
                    self._refuse_nobody(connection, files, rows)
        return newest

    def _newest(
        self, connection: duckdb.DuckDBPyConnection, table: TextTable, now: datetime
    ) -> datetime | None:
        """The newest time in the column that says how fresh the table is.

        Times that are unreadable, without a zone or in the future are ignored.
        """
        if self._source.heartbeat is not None:
            return None
        part = UPDATED if UPDATED in self._source.columns else "time"
        column = self._column(part)
        self._text(column, part, table.types)
        subject = self._column("subject")
        sql = (
            f"SELECT epoch_us(max(moment) FILTER (moment <= $1)) "
            f"FROM (SELECT {moment_of(quoted(column))} AS moment FROM {_ARRIVED})"
        )
        with self._arriving(connection, table, tuple(dict.fromkeys((subject, column)))):
            ((found,),) = self._read(
                (), lambda: connection.execute(sql, [now + CLOCK_SKEW]).fetchall()
            )
        if found is None:
            raise SourceError(
                f"consent source {self.name!r}: no row of {self._source.where} says when it was "
                f"brought up to date: column {column!r} holds no time, with a zone, that has come",
                code="E-CONSENT-STALE",
                remedy=f"name a column with that time as columns.updated in {SECTION}, or a "
                "heartbeat file",
            )
        return datetime.fromtimestamp(found / 1e6, UTC)

    def _columns(self, types: Mapping[str, str]) -> tuple[str, ...]:
        """Columns to read, the ids' first."""
        return tuple(column for column in self._wanted_columns() if column in types)

    @contextmanager
    def _arriving(
        self, connection: duckdb.DuckDBPyConnection, table: TextTable, columns: tuple[str, ...]
    ) -> Iterator[None]:
        """Stream the table's rows into `connection` as the relation `_ARRIVED`, readable once.

        Raises:
            SourceError: They could not be read to the end; discard what was made of them.
        """
        problems: list[SourceError] = []
        rows = _until_problem(table, columns, problems)
        schema = pa.schema([(column, pa.string()) for column in columns])
        connection.register(_ARRIVED, pa.RecordBatchReader.from_batches(schema, rows))
        try:
            yield
        finally:
            connection.unregister(_ARRIVED)
            rows.close()
        if problems:
            raise problems[0]

    @contextmanager
    def _opened(self) -> Iterator[TextTable]:
        """Open the table; errors of its source are raised as errors of this table."""
        problem: SourceError | None = None
        try:
            with self._database.open_texts() as table:
                yield table
        except SourceError as error:
            if error.code in ("E-CONSENT-SOURCE", "E-CONSENT-STALE"):  # already about this table
                raise
            problem = self._problem(error.message, _here(error.remedy))
        if problem is not None:
            raise problem


_ARRIVED: Final = "arrived"


def _until_problem(
    table: TextTable, columns: Sequence[str], problems: list[SourceError]
) -> Generator[Any, None, None]:
    """The rows up to a problem, which is stored instead of raised in the middle of a query."""
    try:
        yield from table.read(columns)
    except SourceError as error:
        problems.append(error)


def _here(remedy: str) -> str:
    """A source's remedy, with [data] replaced by the section that names this table."""
    return remedy if "memory_limit" in remedy else remedy.replace("[data]", SECTION)


def make_table(source: ConsentSource, limits: Sandbox) -> ConsentTable:
    """Make the table that a configuration names, in a file or a database; opens nothing yet."""
    read_as = KINDS[source.kind].read_as
    if isinstance(read_as, ColumnTypes):
        return DatabaseTable(source, read_as, limits)
    if not isinstance(source.place, File):
        raise TypeError(f"a table in files needs files, not {source.place.name}")
    return FileTable(source, source.place, read_as)
