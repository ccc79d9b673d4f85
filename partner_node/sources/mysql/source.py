"""A MySQL or MariaDB database as a `Source`.

One pass is one transaction, REPEATABLE READ and READ ONLY, begun WITH CONSISTENT SNAPSHOT: it sees
one state of the data, and the server itself refuses every change. That holds only for transactional
engines, so tables of others are refused. A value that the server converts to another with a mere
warning ends the pass.
"""
# Names go into SQL only through `quoted` and `literal`:
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import pyarrow as pa

from partner_node.sources.chunking import chunk_of_rows, nothing, started
from partner_node.sources.data_file import DataFile
from partner_node.sources.dialect import literal, quoted, table_relation
from partner_node.sources.feature_query import check_feature_query, without_end
from partner_node.sources.line_rules import LineRules
from partner_node.sources.mysql.connection import Row, Stage, Transaction, connected
from partner_node.sources.mysql.dialect import MYSQL
from partner_node.sources.mysql.errors import Problem, explain, garbled
from partner_node.sources.mysql.queries import (
    MYSQL_QUERIES,
    SERVER_SCHEMAS,
    Named,
    named_in,
    plain_query,
)
from partner_node.sources.row_rules import RowRules, no_table, refuse_duplicate_names
from partner_node.sources.servers import Server
from partner_node.sources.source import Chunk, Column, Description
from partner_node.sources.text_table import TEXT_ROWS, TextTable, text_batches
from partner_node.sources.transactions import READ
from protocol.errors import SourceError

#: Transactional engines, whose tables are seen in one state, in lower case.
_ENGINES: Final = ("innodb", "rocksdb")


@dataclass(frozen=True, slots=True)
class _Opened:
    transaction: Transaction
    types: dict[str, str]
    relation: str


class MySQLSource:
    """Customers in a table of a MySQL or MariaDB database, or from a feature query.

    Args:
        server: The server and the account.
        id_column: Column with the customers' ids: text or integer.
        table: The table or view, with its schema or without; None when there is a query.
        query: One SELECT over the database's tables that gives one row a customer, or None.
        lines: The rules for the invoice lines of which the query makes customers; or None.
        unique: Whether ids that occur twice are refused.

    Raises:
        SourceError: E-SOURCE-SQL, the feature query is not one repeatable SELECT.
    """

    def __init__(
        self,
        *,
        server: Server,
        id_column: str,
        table: tuple[str, ...] | None = None,
        query: str | None = None,
        lines: LineRules | None = None,
        unique: bool = True,
    ) -> None:
        if (table is None) == (query is None):
            raise ValueError("a database needs a table or a query, not both")
        schema_and_name = (table[0] if len(table) == 2 else "", table[-1]) if table else None
        self._named = Named(tables=frozenset({schema_and_name} if schema_and_name else ()))
        self._query: str | None = None
        self._lines = lines
        if query is not None:
            self._query = plain_query(query)
            check_feature_query(self._query, MYSQL_QUERIES)
            self._named = named_in(self._query)
        self._server = server
        self._table = table or ()
        self._rules = RowRules(
            dialect=MYSQL,
            id_column=id_column,
            where=f"table {'.'.join(table)} of {server.name}"
            if table
            else "the feature query's result",
            needed=READ if lines is not None else "",
            unique=unique,
        )

    def columns(self) -> tuple[str, ...]:
        with self._open() as opened:
            return tuple(opened.types)

    def files(self) -> tuple[DataFile, ...]:
        """None: a server does not tell cheaply whether its data have changed."""
        return ()

    def describe(self) -> Description:
        return Description(
            kind="mysql",
            files=(),
            n_bytes=0,
            id_column=self._rules.id_column,
            columns=self.columns(),
            query=self._query is not None,
        )

    def chunks(self, columns: Sequence[Column], *, max_rows: int) -> Iterator[Chunk]:
        if max_rows < 1:
            raise ValueError(f"max_rows is {max_rows}, at least 1 is needed")
        return started(self._stream(tuple(columns), max_rows))

    def _stream(self, wanted: tuple[Column, ...], max_rows: int) -> Generator[Chunk, None, None]:
        with self._open() as opened:
            self._rules.check_columns(opened.types, wanted)
            self._rules.check_types(opened.types, wanted)
            # There is no cheap way to find out whether the data changed since the last pass.
            self._rules.check_ids(
                opened.transaction.row,
                opened.relation,
                lambda condition: self._place(opened, condition),
                lambda condition: self._rows_that(opened, condition, 2),
                no_id=lambda: self._line_refusal(opened),
            )
            yield nothing(len(wanted))
            sql = self._rules.select(opened.relation, wanted)
            with closing(opened.transaction.rows(sql, max_rows)) as rows:
                chunks = (self._chunk(found, len(wanted)) for found in rows)
                yield from self._rules.usable(chunks, wanted, self._unusable)
            self._refuse_warnings(opened)

    def _chunk(self, rows: list[Row], n_features: int) -> Chunk:
        """A chunk from rows; raises SourceError if they are not of the expected types."""
        code = ""
        try:
            return chunk_of_rows(rows, n_features)
        except UnicodeDecodeError:
            code = "E-SOURCE-ENCODING"
        except (ValueError, TypeError, AttributeError, IndexError):
            code = "E-SOURCE-TYPE"
        raise self._unreadable(code)  # outside: the error raised inside quotes the value

    def _unusable(self, row: int, column: Column) -> SourceError:
        """The error for a column with a value that it may not hold; asked over a new connection."""
        counts: Sequence[Any] = ()
        with suppress(SourceError), self._open() as opened:
            counts = opened.transaction.row(self._rules.unusable_counts(opened.relation, column))
        return self._rules.unusable_error(column, counts, f"row {row} of {self._rules.where}")

    def _line_refusal(self, opened: _Opened) -> SourceError | None:
        """What is wrong with the invoice lines; None when there are none."""
        lines = self._lines
        if lines is None:
            return None
        where = f"{lines.relation} in {self._server.name}"
        return lines.refusal(
            opened.transaction.row,
            lambda condition: (
                f"row {self._rows_that(opened, condition, 1, lines.relation)[0]} of {where}"
            ),
        )

    @contextmanager
    def open_texts(self) -> Iterator[TextTable]:
        """Open the table for reading as text; see `TextSource`.

        A TIMESTAMP is a point in time: its text ends with the session's zone, UTC.
        """
        with self._open() as opened:

            def read(columns: Sequence[str]) -> Generator[pa.RecordBatch, None, None]:
                selected = (_as_text(column, opened.types.get(column, "")) for column in columns)
                sql = f"SELECT {', '.join(selected)} FROM {opened.relation}"
                with closing(opened.transaction.rows(sql, TEXT_ROWS)) as rows:
                    yield from text_batches(columns, self._texts(columns, rows))
                self._refuse_warnings(opened)

            yield TextTable(types=opened.types, read=read)

    def _texts(
        self, columns: Sequence[str], batches: Iterator[list[Row]]
    ) -> Iterator[pa.RecordBatch]:
        for rows in batches:
            texts: list[pa.Array] = []
            with suppress(pa.ArrowException, ValueError, TypeError):
                texts = [
                    pa.array(column, pa.binary()).cast(pa.string())
                    for column in zip(*rows, strict=True)
                ]
            if len(texts) != len(columns):
                raise self._unreadable("E-SOURCE-ENCODING")
            yield pa.RecordBatch.from_arrays(texts, names=list(columns))

    def _unreadable(self, code: str) -> SourceError:
        if code == "E-SOURCE-ENCODING":
            return SourceError(
                f"{self._rules.where}: a customer's id, or another text, is not UTF-8",
                code=code,
                remedy="correct the column's CHARACTER SET, and what was written under another one",
            )
        return SourceError(
            f"{self._rules.where}: the server sends what is no number where one was asked for",
            code=code,
            remedy="see whether it is a server of MySQL or MariaDB, and not something in between",
        )

    def _refuse_warnings(self, opened: _Opened) -> None:
        """Refuse the rows read if the server converted values in them to others."""
        if found := opened.transaction.warnings():
            raise garbled(found, data=self._rules.where, with_query=self._query is not None)

    # --- opening -----------------------------------------------------------------------------

    @contextmanager
    def _open(self) -> Iterator[_Opened]:
        """Yield a transaction, with the table or the feature query to read from."""
        with connected(self._server, self._explain) as transaction:
            transaction.begin()
            if self._query is None:
                relation = table_relation(self._table)
            else:
                if self._lines is not None:
                    lines = self._columns_of(transaction, self._lines.relation)
                    self._lines.check_columns(dict(lines))
                self._check_functions(transaction)
                relation = f"(\n{without_end(self._query)}\n) AS features"
            columns = self._columns_of(transaction, relation)
            refuse_duplicate_names([name for name, _ in columns], self._rules.where)
            if self._check_engines(transaction) and self._query is None:
                relation += " USE INDEX ()"  # the same order of rows for every query
            yield _Opened(transaction, dict(columns), relation)

    def _columns_of(self, transaction: Transaction, relation: str) -> list[tuple[str, str]]:
        try:
            return transaction.columns(relation)
        except SourceError as error:
            if error.code != "E-SOURCE-MISSING":
                raise
        rows = transaction.ask_server(
            "SELECT table_schema, table_name FROM information_schema.tables "
            f"WHERE table_schema NOT IN ({', '.join(map(literal, sorted(SERVER_SCHEMAS)))})"
        )
        tables = {(_told(schema), _told(name)) for schema, name in rows}
        raise no_table(self._table, self._server.name, tables, usual_schema=self._server.database)

    def _check_engines(self, transaction: Transaction) -> bool:
        """Refuse tables that a transaction does not see in one state.

        Returns:
            Whether at least one of the names is a table, not a view.
        """
        names = " OR ".join(
            f"(table_schema = {literal(schema or self._server.database)} "
            f"AND table_name = {literal(name)})"
            for schema, name in sorted(self._named.tables)
        )
        if not names:
            return False
        rows = transaction.ask_server(
            "SELECT table_schema, table_name, engine FROM information_schema.tables "
            f"WHERE table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') AND ({names})"
        )
        for schema, name, engine in rows:
            if _told(engine).casefold() not in _ENGINES:
                raise SourceError(
                    f"table {_told(schema)}.{_told(name)} of {self._server.name} is kept by "
                    f"{_told(engine) or 'no engine'}, where a pass could see two states of it",
                    code="E-SOURCE-DATABASE",
                    remedy="ALTER TABLE … ENGINE = InnoDB, or have a copy of it in InnoDB",
                )
        return bool(rows)

    def _check_functions(self, transaction: Transaction) -> None:
        """Refuse functions not known to be without side effects."""
        if not self._named.functions:
            return
        names = ", ".join(sorted({literal(name) for _, name in self._named.functions}))
        rows = transaction.ask_server(
            "SELECT lower(routine_schema), lower(routine_name) FROM information_schema.routines "
            "WHERE routine_type = 'FUNCTION' AND is_deterministic = 'YES' "
            f"AND sql_data_access <> 'MODIFIES SQL DATA' AND lower(routine_name) IN ({names})"
        )
        declared = {(_told(schema), _told(name)) for schema, name in rows}
        unknown = sorted(
            name
            for schema, name in self._named.functions
            if (schema or self._server.database.casefold(), name) not in declared
        )
        if unknown:
            raise SourceError(
                f"the feature query calls {', '.join(unknown)}, and neither MySQL nor the server "
                "says that it only computes",
                code="E-SOURCE-SQL",
                remedy="write it without; a function of your own that only computes can be "
                "declared DETERMINISTIC, and the account needs EXECUTE on it",
            )

    def _place(self, opened: _Opened, condition: str) -> str:
        (row,) = self._rows_that(opened, condition, 1)
        return f"row {row} of {self._rules.where}"

    def _rows_that(
        self, opened: _Opened, condition: str, count: int, relation: str | None = None
    ) -> tuple[int, ...]:
        """The numbers of the first rows that meet a condition, counted from 1.

        They are counted here, as MariaDB's ``row_number() OVER ()`` uses another order.
        """
        sql = f"SELECT CASE WHEN {condition} THEN 1 END FROM {relation or opened.relation}"
        with closing(opened.transaction.rows(sql, TEXT_ROWS)) as batches:
            met = (value is not None for rows in batches for (value,) in rows)
            found = tuple(islice((n for n, is_met in enumerate(met, start=1) if is_met), count))
        if len(found) < count:  # it reported at least `count` before
            raise self._unreadable("E-SOURCE-TYPE")
        return found

    def _explain(self, problem: Problem, *, stage: Stage) -> SourceError:
        return explain(
            problem,
            where=self._server.name,
            data=self._rules.where,
            with_query=self._query is not None,
            stage=stage,
        )


def _as_text(column: str, kind: str) -> str:
    text = f"CAST({quoted(column)} AS CHAR)"
    return f"concat({text}, '+00:00')" if kind == "timestamp" else text


def _told(name: object) -> str:
    """A name returned by the server, as text."""
    return bytes(name).decode("utf-8", "replace") if isinstance(name, bytes) else ""
