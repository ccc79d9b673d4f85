"""CSV files, Parquet files and DuckDB's own database files as a `Source`, read through DuckDB.

DuckDB runs in a sandbox (`duckdb_sandbox`) with the named files alone; a database file is attached
read-only. What does not fit into the memory limit goes to a temporary folder that is removed after
each pass.
"""
# Names and paths go into SQL only through `quoted` and `literal`:
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from partner_node.sources.chunking import chunks_of_batches
from partner_node.sources.data_file import DataFile
from partner_node.sources.dialect import INPUT, literal, quoted, table_relation
from partner_node.sources.duckdb.dialect import DUCKDB
from partner_node.sources.duckdb.errors import READ_ERRORS, Problem, explain, reads_text_as_number
from partner_node.sources.duckdb.parquet_files import parquet_scan
from partner_node.sources.duckdb.queries import DUCKDB_QUERIES
from partner_node.sources.duckdb.sandbox import (
    DEFAULT_MEMORY_BYTES,
    DEFAULT_TEMP_BYTES,
    DEFAULT_THREADS,
    Sandbox,
    close_sandbox,
    lock_settings,
)
from partner_node.sources.duckdb.scans import FOLDERS, Kind, csv_scan
from partner_node.sources.feature_query import OVER_FILES, check_feature_query
from partner_node.sources.files import (
    find_files,
    find_log,
    read_common_header,
    refuse_missing_header,
)
from partner_node.sources.line_rules import LineRules
from partner_node.sources.row_rules import RowRules, no_table, refuse_duplicate_names
from partner_node.sources.source import Chunk, Column, Description
from partner_node.sources.text_table import TEXT_ROWS, TextTable, text_batches
from partner_node.sources.transactions import READ
from protocol.errors import SourceError

_FEATURES: Final = "_features"
_DATABASE: Final = "_data"


@dataclass(frozen=True, slots=True)
class _Opened:
    connection: duckdb.DuckDBPyConnection
    names: tuple[str, ...]
    types: tuple[str, ...]
    relation: str
    files: tuple[DataFile, ...]


class DuckDBSource:
    """Customers in files, one row each, or made so by a feature query.

    Columns of a CSV file are text until they are asked for as features, so that an id such as
    ``00123`` stays what it is. A feature query therefore casts what it computes with:
    ``SUM(CAST(Quantity AS DOUBLE))``. It runs on one thread, and so does a view of a database, so
    that rows come in the same order and sums of fractions come out the same in every round.

    Args:
        kind: ``csv`` (header line, UTF-8, may be gzip-compressed as ``.gz``), ``parquet``, or
            ``duckdb`` (a database file).
        path: A file; of CSV and Parquet also a glob or a folder. All files must have the same
            columns.
        id_column: Column with the customers' ids: text, integer or UUID.
        query: One SELECT that gives one row a customer, or None. It reads the view ``input``, in
            a database the database's own tables.
        lines: The rules for the invoice lines of which the query makes customers; or None.
        unique: Whether ids that occur twice are refused.
        table: The table of a database when there is no query, with its schema or without.
        delimiter: One character between the values of a CSV file.
        memory_bytes: DuckDB's memory limit.
        threads: Threads that DuckDB reads with when there is no query and no view.
        temp_folder: Folder for data that do not fit into memory; None for the system's.
        temp_bytes: Largest size of DuckDB's data there.

    Raises:
        SourceError: E-SOURCE-SQL, the feature query is not one repeatable SELECT.
    """

    def __init__(
        self,
        *,
        kind: Kind,
        path: str | Path,
        id_column: str,
        query: str | None = None,
        lines: LineRules | None = None,
        unique: bool = True,
        table: tuple[str, ...] | None = None,
        delimiter: str = ",",
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
        threads: int = DEFAULT_THREADS,
        temp_folder: Path | None = None,
        temp_bytes: int = DEFAULT_TEMP_BYTES,
    ) -> None:
        if query is not None:
            check_feature_query(query, DUCKDB_QUERIES if kind == "duckdb" else OVER_FILES)
        if kind == "duckdb" and (table is None) == (query is None):
            raise ValueError("a database needs a table or a query, not both")
        self._kind = kind
        self._path = str(path)
        self._query = query
        self._lines = lines
        self._table = table or ()
        self._delimiter = delimiter
        self._sandbox = Sandbox(
            memory_bytes=memory_bytes,
            threads=threads if query is None else 1,
            temp_folder=temp_folder,
            temp_bytes=temp_bytes,
        )
        self._rules = RowRules(
            dialect=DUCKDB,
            id_column=id_column,
            where=f"table {'.'.join(table)} of {path}"
            if table
            else str(path)
            if query is None
            else "the feature query's result",
            needed=READ if lines is not None else "",
            unique=unique,
        )
        self._checked: tuple[tuple[DataFile, ...], tuple[Column, ...]] | None = None
        self._parquet: dict[tuple[DataFile, ...], str] = {}

    def columns(self) -> tuple[str, ...]:
        with self._open(self.files()) as opened:
            return opened.names

    def describe(self) -> Description:
        files = self.files()
        with self._open(files) as opened:
            return Description(
                kind=self._kind,
                files=tuple(file.path for file in files),
                n_bytes=sum(file.size for file in files),
                id_column=self._rules.id_column,
                columns=opened.names,
                query=self._query is not None,
            )

    def chunks(self, columns: Sequence[Column], *, max_rows: int) -> Iterator[Chunk]:
        if max_rows < 1:
            raise ValueError(f"max_rows is {max_rows}, at least 1 is needed")
        files = self.files()
        wanted = tuple(columns)
        if self._checked != (files, wanted):
            with self._open(files) as opened:
                self._check_columns(opened, wanted)
                if self._checked is None or self._checked[0] != files:
                    self._rules.check_ids(
                        lambda sql: self._row(opened, sql),
                        opened.relation,
                        lambda condition: self._first_place(files, condition),
                        no_id=lambda: self._line_refusal(files),
                    )
            self._checked = (files, wanted)
        return self._stream(files, wanted, max_rows)

    @contextmanager
    def open_texts(self) -> Iterator[TextTable]:
        files = self.files()
        with self._open(files) as opened:

            def read(columns: Sequence[str]) -> Generator[pa.RecordBatch, None, None]:
                selected = [f"{DUCKDB.id_text(c)} AS c{i}" for i, c in enumerate(columns)]
                sql = f"SELECT {', '.join(selected)} FROM {opened.relation}"
                yield from text_batches(columns, self._batches(opened, sql, files, (), TEXT_ROWS))

            types = dict(zip(opened.names, opened.types, strict=True))
            yield TextTable(types=types, read=read)
        self._refuse_changed(files)

    def files(self) -> tuple[DataFile, ...]:
        """The files as they are now; of a database also its write-ahead log."""
        found = find_files(self._path, folder=FOLDERS[self._kind])
        if self._kind != "duckdb":
            return found
        if len(found) > 1:
            raise SourceError(
                f"{self._path}: {len(found)} files match, a database is one file",
                code="E-SOURCE-FILE",
                remedy="name one file as [data] path",
            )
        return found + find_log(found[0].path + ".wal")

    def _stream(
        self, files: tuple[DataFile, ...], wanted: tuple[Column, ...], max_rows: int
    ) -> Iterator[Chunk]:
        def problem(row: int, column: Column) -> SourceError:
            return self._unusable(files, row, column)

        with self._open(files, numbers=_numeric(wanted)) as opened:
            sql = self._rules.select(opened.relation, wanted)
            batches = self._batches(opened, sql, files, wanted, max_rows)
            yield from self._rules.usable(
                chunks_of_batches(batches, len(wanted), max_rows), wanted, problem
            )
        self._refuse_changed(files)

    def _refuse_changed(self, files: tuple[DataFile, ...]) -> None:
        if self.files() != files:
            raise SourceError(
                f"{self._path} changed while it was read",
                code="E-SOURCE-FILE",
                remedy="write new data under another name and rename it when it is complete",
            )

    def _batches(
        self,
        opened: _Opened,
        sql: str,
        files: tuple[DataFile, ...],
        wanted: tuple[Column, ...],
        max_rows: int,
    ) -> Iterator[Any]:
        problem: Problem | None = None
        reader: Iterator[Any] = iter(())
        try:
            reader = iter(opened.connection.sql(sql).to_arrow_reader(max_rows))
        except READ_ERRORS as error:
            problem = Problem.of(error)
        while problem is None:
            try:
                batch = next(reader)
            except StopIteration:
                return
            except READ_ERRORS as error:
                problem = Problem.of(error)
            else:
                yield batch
        raise self._explain(problem, files, wanted)

    # --- opening -----------------------------------------------------------------------------

    @contextmanager
    def _open(
        self,
        files: tuple[DataFile, ...],
        *,
        numbers: Sequence[str] = (),
        query: bool = True,
    ) -> Iterator[_Opened]:
        """Yield a sandboxed connection with the files as `input`, or with the database.

        Args:
            numbers: Columns that the CSV reader itself reads as numbers.
            query: False to see the files without the feature query.
        """
        text = self._query if query else None
        problem: Problem | None = None
        missing: SourceError | None = None
        with self._sandbox.temporary() as temporary:
            with ExitStack() as stack:
                try:
                    connection = stack.enter_context(self._sandbox.connect(temporary))
                    relation = self._show(connection, files, () if text else numbers)
                    if text is not None:
                        if self._lines is not None:
                            self._check_lines(connection, self._lines)
                        connection.execute(f"CREATE TEMP VIEW {_FEATURES} AS {text}")
                        relation = _FEATURES
                    elif self._table:
                        missing = self._no_table(connection)
                    if missing is None:
                        names, types = self._columns_of(connection, text or f"FROM {relation}")
                except READ_ERRORS as error:
                    problem = Problem.of(error)
                if problem is None and missing is None:
                    yield _Opened(connection, names, types, relation, files)
            if problem is not None:
                raise self._explained(problem, files, binding=True)
            if missing is not None:
                raise missing

    def _show(
        self,
        connection: duckdb.DuckDBPyConnection,
        files: tuple[DataFile, ...],
        numbers: Sequence[str],
    ) -> str:
        """Attach the data and close the sandbox; returns the relation to read without a query."""
        if self._kind == "duckdb":
            connection.execute(
                f"ATTACH {literal(files[0].path)} AS {_DATABASE} (READ_ONLY, TYPE duckdb)"
            )
        close_sandbox(connection, [file.path for file in files])
        if self._kind == "duckdb":
            connection.execute(f"USE {_DATABASE}")
            if self._is_view(connection):
                connection.execute("SET threads = 1")
        else:
            scan = self._scan(connection, files, numbers)
            connection.execute(f"CREATE TEMP VIEW {INPUT} AS SELECT * FROM {scan}")
        lock_settings(connection)
        if self._table:
            return table_relation(self._table)
        return INPUT if self._lines is None else self._lines.relation

    def _check_lines(self, connection: duckdb.DuckDBPyConnection, lines: LineRules) -> None:
        found = connection.sql(f"FROM {lines.relation}")
        types = {name: str(t.id) for name, t in zip(found.columns, found.types, strict=True)}
        missing = lines.missing_column(types)
        if self._kind == "csv" and missing is not None:
            self._refuse_no_header(tuple(types), missing)
        lines.check_columns(types)

    def _is_view(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """Whether a view is read, whose order of rows several threads would change."""
        views = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables "
            f"WHERE table_catalog = '{_DATABASE}' AND table_type = 'VIEW'"
        ).fetchall()
        return self._is_named_in(views)

    def _no_table(self, connection: duckdb.DuckDBPyConnection) -> SourceError | None:
        """The error to raise when the database has no table of the configured name."""
        rows = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables "
            f"WHERE table_catalog = '{_DATABASE}'"
        ).fetchall()
        if self._is_named_in(rows):
            return None
        return no_table(self._table, self._path, {(str(s), str(n)) for s, n in rows})

    def _is_named_in(self, tables: Iterable[tuple[Any, ...]]) -> bool:
        """Whether the configured table is one of these; DuckDB ignores case."""
        folded = {(str(schema).casefold(), str(name).casefold()) for schema, name in tables}
        table = tuple(part.casefold() for part in self._table)
        return (table if len(table) == 2 else ("main", *table)) in folded

    def _columns_of(
        self, connection: duckdb.DuckDBPyConnection, select: str
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        found = connection.sql(select)
        names = tuple(found.columns)
        refuse_duplicate_names(names, "the feature query" if self._query else self._path)
        return names, tuple(str(kind.id) for kind in found.types)

    def _scan(
        self,
        connection: duckdb.DuckDBPyConnection,
        files: tuple[DataFile, ...],
        numbers: Sequence[str],
    ) -> str:
        paths = tuple(file.path for file in files)
        if self._kind == "parquet":
            if files not in self._parquet:  # many files' types are not compared in every pass
                if len(files) > 1:
                    self._parquet.clear()
                self._parquet[files] = parquet_scan(connection, paths)
            return self._parquet[files]
        names = read_common_header(files, self._delimiter)
        types = {name: "DOUBLE" if name in numbers else "VARCHAR" for name in names}
        return csv_scan(paths, types, self._delimiter)

    # --- checks ------------------------------------------------------------------------------

    def _check_columns(self, opened: _Opened, wanted: tuple[Column, ...]) -> None:
        types = dict(zip(opened.names, opened.types, strict=True))
        if self._kind == "csv" and self._rules.id_column not in types and self._query is None:
            self._refuse_no_header(opened.names, self._rules.id_column)
        self._rules.check_columns(types, wanted)
        # Columns of a CSV file are text until read; `_stream` reports what is not a number.
        self._rules.check_types(
            types, () if self._kind == "csv" and self._query is None else wanted
        )

    def _refuse_no_header(self, names: tuple[str, ...], missing: str) -> None:
        """Refuse a first line that is no header, or is separated by something else.

        Args:
            missing: A column that it does not name.
        """
        refuse_missing_header(self._path, names, f"column {missing!r}")
        if len(names) == 1:
            other = next((c for c in ";\t|," if c in names[0] and c != self._delimiter), None)
            if other is not None:
                raise SourceError(
                    f"{self._path} has no column {missing!r}",
                    code="E-SOURCE-COLUMN",
                    remedy=f"the header looks separated by {other!r}: set [data] delimiter to it",
                )

    def _unusable(self, files: tuple[DataFile, ...], row: int, column: Column) -> SourceError:
        counts: tuple[Any, ...] = ()
        place, numeric = f"row {row}", _numeric((column,))
        with suppress(SourceError), self._open(files, numbers=numeric) as opened:
            counts = self._row(opened, self._rules.unusable_counts(opened.relation, column))
            place = self._first_place(files, self._rules.unusable(column), numbers=numeric)
        return self._rules.unusable_error(column, counts, place)

    def _line_refusal(self, files: tuple[DataFile, ...]) -> SourceError | None:
        """What is wrong with the invoice lines; None when there are none."""
        lines = self._lines
        if lines is None:
            return None
        with self._open(files, query=False) as opened:
            return lines.refusal(
                lambda sql: self._row(opened, sql),
                lambda condition: self._first_place(files, condition, lines=lines),
            )

    def _first_place(
        self,
        files: tuple[DataFile, ...],
        condition: str,
        *,
        numbers: Sequence[str] = (),
        lines: LineRules | None = None,
    ) -> str:
        """Where the first row that meets a condition is: file and row, counted from 1.

        Args:
            lines: Given for a condition on invoice lines, and not on what the query makes.
        """
        whole = self._kind == "duckdb" or (self._query is not None and lines is None)
        where = self._rules.where if lines is None else f"{lines.relation} in {self._path}"
        for group in [files] if whole else [(file,) for file in files]:
            with self._open(group, numbers=numbers, query=lines is None) as opened:
                relation = opened.relation if lines is None else lines.relation
                (row,) = self._row(opened, self._rules.first_row(relation, condition))
            if row is not None:
                return f"row {row} of {where if whole else group[0].path}"
        return "unknown"

    def _row(self, opened: _Opened, sql: str) -> tuple[Any, ...]:
        """The single row of an aggregate."""
        try:
            return opened.connection.execute(sql).fetchone() or ()
        except READ_ERRORS as error:
            problem = Problem.of(error)
        raise self._explained(problem, opened.files)

    # --- explaining --------------------------------------------------------------------------

    def _explain(
        self, problem: Problem, files: tuple[DataFile, ...], wanted: tuple[Column, ...]
    ) -> SourceError:
        if self._query is None and self._kind == "csv" and reads_text_as_number(problem):
            with suppress(StopIteration):
                return self._text_in_numbers(files, wanted)
        return self._explained(problem, files)

    def _explained(
        self, problem: Problem, files: tuple[DataFile, ...], *, binding: bool = False
    ) -> SourceError:
        columns: tuple[str, ...] = ()
        if binding and self._kind == "csv":  # DuckDB lists candidates for unknown columns
            refuse_missing_header(
                self._path,
                read_common_header(files, self._delimiter),
                "columns that the feature query reads",
            )
        if not binding and self._kind != "duckdb":
            with suppress(SourceError), self._open(files, query=False) as opened:
                columns = opened.names
        return explain(
            problem,
            path=self._path,
            with_query=self._query is not None,
            binding=binding,
            files=[file.path for file in files],
            columns=columns,
        )

    def _text_in_numbers(
        self, files: tuple[DataFile, ...], wanted: tuple[Column, ...]
    ) -> SourceError:
        names = _numeric(wanted)
        with self._open(files) as opened:
            counts = self._row(
                opened,
                "SELECT "
                + ", ".join(f"count(*) FILTER ({_not_a_number(name)})" for name in names)
                + f" FROM {opened.relation}",
            )
        column, count = next((c, n) for c, n in zip(names, counts, strict=True) if n)
        return self._rules.not_numbers_error(
            column,
            count,
            self._first_place(files, _not_a_number(column)),
            "write numbers like 1234.5 (point, no thousands separator, no unit), or convert them "
            "in a feature query",
        )


def _numeric(columns: Sequence[Column]) -> tuple[str, ...]:
    return tuple(column.name for column in columns if not column.levels)


def _not_a_number(column: str) -> str:
    return f"{quoted(column)} IS NOT NULL AND TRY_CAST({quoted(column)} AS DOUBLE) IS NULL"
