"""A SQLite database as a `Source`, read with Python's own sqlite3.

The file is opened read-only, and no file beside it is written. An authorizer allows one SELECT, and
no function with side effects or a changing value; no database can be attached and no extension
loaded. One pass is one transaction, so it sees one state of the data, whoever writes meanwhile.
"""
# Names go into SQL only through `quoted`:
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pyarrow as pa

from partner_node.sources.chunking import chunk_of_rows, nothing, started
from partner_node.sources.data_file import DataFile
from partner_node.sources.dialect import quoted, table_relation
from partner_node.sources.feature_query import check_feature_query
from partner_node.sources.files import find_files, find_log
from partner_node.sources.line_rules import LineRules
from partner_node.sources.row_rules import RowRules, no_table, refuse_duplicate_names
from partner_node.sources.source import Chunk, Column, Description
from partner_node.sources.sqlite.dialect import SQLITE
from partner_node.sources.sqlite.errors import READ_ERRORS, Problem, explain
from partner_node.sources.sqlite.header import logged
from partner_node.sources.sqlite.line_functions import written_day, written_number
from partner_node.sources.sqlite.queries import SQLITE_CHANGES, SQLITE_QUERIES
from partner_node.sources.text_table import TEXT_ROWS, TextTable, text_batches
from partner_node.sources.transactions import READ
from protocol.errors import SourceError

_FEATURES: Final = "_features"
_LOCK_TIMEOUT_S: Final = 10.0
_ALLOWED: Final = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_RECURSIVE,
        sqlite3.SQLITE_TRANSACTION,
    }
)


@dataclass(frozen=True, slots=True)
class _Opened:
    connection: sqlite3.Connection
    names: tuple[str, ...]
    relation: str
    unlocked: bool


class SQLiteSource:
    """Customers in a table of a SQLite database, or from a feature query.

    Each value in SQLite has its own type, whatever its column declares. Values of features must be
    numbers, ids texts or integers; a text that looks like a number is refused.

    Args:
        path: The database's file.
        id_column: Column with the customers' ids.
        table: The table, with its schema or without; None when there is a query.
        query: One SELECT over the database's tables that gives one row a customer, or None.
        lines: The rules for the invoice lines of which the query makes customers; or None.
        unique: Whether ids that occur twice are refused.

    Raises:
        SourceError: E-SOURCE-SQL, the feature query is not one repeatable SELECT.
    """

    def __init__(
        self,
        *,
        path: str | Path,
        id_column: str,
        table: tuple[str, ...] | None = None,
        query: str | None = None,
        lines: LineRules | None = None,
        unique: bool = True,
    ) -> None:
        if (table is None) == (query is None):
            raise ValueError("a database needs a table or a query, not both")
        if query is not None:
            check_feature_query(query, SQLITE_QUERIES)
        self._path = str(path)
        self._table = table or ()
        self._query = query
        self._lines = lines
        self._rules = RowRules(
            dialect=SQLITE,
            id_column=id_column,
            where=f"table {'.'.join(table)} of {path}" if table else "the feature query's result",
            needed=READ if lines is not None else "",
            unique=unique,
        )
        self._checked: tuple[DataFile, ...] | None = None

    def columns(self) -> tuple[str, ...]:
        with self._open() as opened:
            return opened.names

    def describe(self) -> Description:
        files = self.files()
        with self._open() as opened:
            return Description(
                kind="sqlite",
                files=tuple(file.path for file in files),
                n_bytes=sum(file.size for file in files),
                id_column=self._rules.id_column,
                columns=opened.names,
                query=self._query is not None,
            )

    def chunks(self, columns: Sequence[Column], *, max_rows: int) -> Iterator[Chunk]:
        if max_rows < 1:
            raise ValueError(f"max_rows is {max_rows}, at least 1 is needed")
        return started(self._stream(tuple(columns), max_rows))

    def _stream(self, wanted: tuple[Column, ...], max_rows: int) -> Generator[Chunk, None, None]:
        def problem(row: int, column: Column) -> SourceError:
            return self._unusable(opened, column, row)

        before = self.files()
        with self._open() as opened:
            self._rules.check_columns(dict.fromkeys(opened.names, ""), wanted)
            # The transaction may or may not see what was written while it began.
            state = before if self.files() == before else None
            if state is None or self._checked != state:
                self._check_ids(opened)
                self._checked = state
            yield nothing(len(wanted))
            rows = self._rows(opened, self._rules.select(opened.relation, wanted), max_rows)
            with closing(rows):  # before its connection
                chunks = (chunk_of_rows(found, len(wanted)) for found in rows)
                yield from self._rules.usable(self._decoded(chunks), wanted, problem)
            self._refuse_changed(opened, before)

    @contextmanager
    def open_texts(self) -> Iterator[TextTable]:
        before = self.files()
        with self._open() as opened:

            def read(columns: Sequence[str]) -> Generator[pa.RecordBatch, None, None]:
                selected = [f"CAST({quoted(column)} AS TEXT)" for column in columns]
                selected.append(_no_text(columns))
                sql = f"SELECT {', '.join(selected)} FROM {opened.relation}"
                with closing(self._rows(opened, sql, TEXT_ROWS)) as rows:
                    yield from text_batches(columns, self._texts(columns, rows))

            yield TextTable(types=dict.fromkeys(opened.names, ""), read=read)
            self._refuse_changed(opened, before)

    def _texts(
        self, columns: Sequence[str], rows: Iterator[Sequence[Sequence[Any]]]
    ) -> Iterator[pa.RecordBatch]:
        """Convert rows of bytes to columns of text; raises SourceError on invalid values."""
        for found in rows:
            *values, wrong = zip(*found, strict=True)
            if any(wrong):
                raise SourceError(
                    f"{self._rules.where} has ids of type REAL or BLOB in column {columns[0]!r}, "
                    "or BLOBs beside them",
                    code="E-SOURCE-TYPE",
                    remedy="store ids as texts or integers, and other values as texts or numbers",
                )
            try:
                texts = [pa.array(column, pa.binary()).cast(pa.string()) for column in values]
            except pa.ArrowInvalid:
                texts = []
            if not texts:
                raise self._explained(Problem(name="UTF8", text=""))
            yield pa.RecordBatch.from_arrays(texts, names=list(columns))

    def _refuse_changed(self, opened: _Opened, before: tuple[DataFile, ...]) -> None:
        """Refuse a database, opened without a lock, that changed while it was read."""
        if opened.unlocked and self.files()[0] != before[0]:
            raise SourceError(
                f"{self._path} changed while it was read",
                code="E-SOURCE-FILE",
                remedy="try again when the program that writes it has ended",
            )

    def _decoded(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        problem: Problem | None = None
        while problem is None:
            try:
                chunk = next(chunks)
            except StopIteration:
                return
            except UnicodeDecodeError as error:
                problem = Problem.of(error)
            else:
                yield chunk
        raise self._explained(problem)

    def _rows(
        self, opened: _Opened, sql: str, max_rows: int
    ) -> Generator[Sequence[Sequence[Any]], None, None]:
        problem: Problem | None = None
        with closing(opened.connection.cursor()) as cursor:
            try:
                cursor.execute(sql)
            except READ_ERRORS as error:
                problem = Problem.of(error)
            while problem is None:
                try:
                    found = cursor.fetchmany(max_rows)
                except READ_ERRORS as error:
                    problem = Problem.of(error)
                else:
                    if not found:
                        return
                    yield found
        raise self._explained(problem)

    # --- opening -----------------------------------------------------------------------------

    def files(self) -> tuple[DataFile, ...]:
        """The database's file as it is now, and its write-ahead log."""
        found = find_files(self._path)
        if len(found) > 1:
            raise SourceError(
                f"{self._path}: {len(found)} files match, a database is one file",
                code="E-SOURCE-FILE",
                remedy="name one file as [data] path",
            )
        return found + find_log(found[0].path + "-wal")

    @contextmanager
    def _open(self) -> Iterator[_Opened]:
        """Yield a read-only connection in a transaction, with the feature query as a view."""
        path = self.files()[0].path
        _refuse_unfinished(path)
        with logged(Path(path)) as with_log:
            # With a log that nobody has open now, opening as usual would create files beside it,
            # owned by this account, which may lock out its own program later.
            unlocked = with_log and not Path(path + "-wal").exists()
            with self._connected(path, unlocked=unlocked) as opened:
                yield opened

    @contextmanager
    def _connected(self, path: str, *, unlocked: bool) -> Iterator[_Opened]:
        address = f"file:{quote(path)}?mode=ro" + ("&immutable=1" if unlocked else "")
        problem: Problem | None = None
        prepared: _Opened | SourceError | None = None
        connection: sqlite3.Connection | None = None
        try:
            try:
                connection = sqlite3.connect(
                    address,
                    uri=True,
                    timeout=_LOCK_TIMEOUT_S,
                    isolation_level=None,
                    check_same_thread=False,
                    cached_statements=0,
                )
                prepared = self._prepare(connection, unlocked)
            except READ_ERRORS as error:
                problem = Problem.of(error)
            if problem is not None:
                raise self._explained(problem, binding=True)
            if not isinstance(prepared, _Opened):
                raise prepared or SourceError(f"{self._path} cannot be opened")
            yield prepared
        finally:
            if connection is not None:
                connection.close()

    def _prepare(self, connection: sqlite3.Connection, unlocked: bool) -> _Opened | SourceError:
        """Begin the transaction, find the columns, and allow only reading from then on."""
        connection.text_factory = bytes
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        for sql in ("PRAGMA trusted_schema = OFF", "PRAGMA mmap_size = 0", "BEGIN"):
            connection.execute(sql).close()
        connection.create_function("fedseg_day", 2, written_day, deterministic=True)
        connection.create_function("fedseg_number", 1, written_number, deterministic=True)
        missing = self._no_table(connection)
        if missing is not None:
            return missing
        opened = self._view(connection, unlocked)
        connection.execute("PRAGMA query_only = ON").close()
        connection.set_authorizer(_authorize)
        return opened

    def _no_table(self, connection: sqlite3.Connection) -> SourceError | None:
        """The error to raise when the database has no table of the configured name."""
        rows = connection.execute(
            "SELECT name FROM main.sqlite_schema WHERE type IN ('table', 'view') "
            "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        ).fetchall()
        tables = {("main", row[0].decode("utf-8", "replace")) for row in rows}
        name = tuple(part.casefold() for part in self._table)
        known = {tuple(part.casefold() for part in table) for table in tables}
        if not name or (name if len(name) == 2 else ("main", *name)) in known:
            return None
        return no_table(self._table, self._path, tables)

    def _view(self, connection: sqlite3.Connection, unlocked: bool) -> _Opened:
        if self._query is None:
            relation, name = table_relation(self._table), self._table[-1]
            row = connection.execute(
                "SELECT type FROM main.sqlite_schema WHERE lower(name) = lower(?)", (name,)
            ).fetchone()
            if row == (b"table",):
                relation += " NOT INDEXED"  # the same order of rows for every query
        else:
            if self._lines is not None:
                sql = f"SELECT * FROM {self._lines.relation} LIMIT 0"
                with closing(connection.execute(sql)) as cursor:
                    self._lines.check_columns(dict.fromkeys((c[0] for c in cursor.description), ""))
            connection.execute(f"CREATE TEMP VIEW {_FEATURES} AS {self._query}")
            relation = name = _FEATURES
        columns = connection.execute(f"PRAGMA table_xinfo({quoted(name)})").fetchall()
        names = tuple(row[1].decode("utf-8", "replace") for row in columns if row[6] != 1)
        refuse_duplicate_names(names, self._rules.where)
        return _Opened(connection, names, relation, unlocked)

    # --- checks ------------------------------------------------------------------------------

    def _check_ids(self, opened: _Opened) -> None:
        column = quoted(self._rules.id_column)
        (wrong,) = self._row(
            opened,
            f"SELECT count(*) FILTER (WHERE typeof({column}) IN ('real', 'blob')) "
            f"FROM {opened.relation}",
        )
        if wrong:
            raise self._rules.no_id_type(f"{wrong} values of type REAL or BLOB")
        if self._lines is not None:
            customer = quoted(self._lines.line.of.customer)
            (wrong,) = self._row(
                opened,
                f"SELECT count(*) FILTER (WHERE typeof({customer}) IN ('real', 'blob')) "
                f"FROM {self._lines.relation}",
            )
            if wrong:
                raise self._lines.no_ids(f"{wrong} values of type REAL or BLOB")
        self._rules.check_ids(
            lambda sql: self._row(opened, sql),
            opened.relation,
            lambda condition: self._place(opened, condition),
            no_id=lambda: self._line_refusal(opened),
        )

    def _line_refusal(self, opened: _Opened) -> SourceError | None:
        """What is wrong with the invoice lines; None when there are none."""
        lines = self._lines
        if lines is None:
            return None
        return lines.refusal(
            lambda sql: self._row(opened, sql),
            lambda condition: self._place_in(opened, lines.relation, condition),
        )

    def _unusable(self, opened: _Opened, column: Column, row: int) -> SourceError:
        """The error for a column with a value that it may not hold."""
        name = quoted(column.name)
        if column.levels:
            blob = SQLITE.no_text.format(name)
            (blobs,) = self._row(
                opened, f"SELECT count(*) FILTER (WHERE {blob}) FROM {opened.relation}"
            )
            if blobs:
                return SourceError(
                    f"column {column.name!r}: {blobs} values are BLOBs, which are no levels, the "
                    f"first is {self._place(opened, blob)}",
                    code="E-SOURCE-TYPE",
                    remedy="store texts or numbers in the column, or convert it in a feature "
                    f"query: {SQLITE.text_cast.format(name)}",
                )
        no_number = f"typeof({name}) IN ('text', 'blob')"
        (texts,) = self._row(
            opened, f"SELECT count(*) FILTER (WHERE {no_number}) FROM {opened.relation}"
        )
        if texts and not column.levels:
            return self._rules.not_numbers_error(
                column.name,
                texts,
                self._place(opened, no_number),
                "store numbers in the column, or convert it in a feature query: "
                f"{SQLITE.number_cast.format(name)}, which makes 0 of what is no number",
            )
        counts = self._row(opened, self._rules.unusable_counts(opened.relation, column))
        return self._rules.unusable_error(column, counts, f"row {row} of {self._rules.where}")

    def _place(self, opened: _Opened, condition: str) -> str:
        (row,) = self._row(opened, self._rules.first_row(opened.relation, condition))
        return f"row {row} of {self._rules.where}"

    def _place_in(self, opened: _Opened, relation: str, condition: str) -> str:
        (row,) = self._row(opened, self._rules.first_row(relation, condition))
        return f"row {row} of {relation} in {self._path}"

    def _row(self, opened: _Opened, sql: str) -> tuple[Any, ...]:
        """The single row of an aggregate."""
        try:
            with closing(opened.connection.execute(sql)) as cursor:
                return cursor.fetchone() or ()
        except READ_ERRORS as error:
            problem = Problem.of(error)
        raise self._explained(problem)

    def _explained(self, problem: Problem, *, binding: bool = False) -> SourceError:
        return explain(
            problem, path=self._path, with_query=self._query is not None, binding=binding
        )


def _no_text(columns: Sequence[str]) -> str:
    """SQL: whether an id, which comes first, is a fraction, or any value is a BLOB."""
    blobs = " OR ".join(f"typeof({quoted(column)}) = 'blob'" for column in columns)
    return f"typeof({quoted(columns[0])}) = 'real' OR {blobs}"


def _authorize(
    action: int, first: str | None, second: str | None, database: str | None, view: str | None
) -> int:
    """Allow parts of a statement that read, and functions without side effects."""
    if action == sqlite3.SQLITE_FUNCTION:
        allowed = (second or "").casefold() not in SQLITE_CHANGES
    else:
        allowed = action in _ALLOWED
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def _refuse_unfinished(path: str) -> None:
    """Refuse a database that was left with an unmerged log: it needs recovery before reading."""
    log, shared = Path(path + "-wal"), Path(path + "-shm")
    if find_log(str(log)) and not shared.exists():
        raise SourceError(
            f"{path} was copied or left with changes in {log.name} that are not in it yet",
            code="E-SOURCE-FILE",
            remedy="open it once with the program that writes it, which puts them there",
        )
