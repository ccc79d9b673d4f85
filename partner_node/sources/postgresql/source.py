"""A PostgreSQL database as a `Source`, streamed over ADBC.

One pass is one transaction, REPEATABLE READ and READ ONLY: it sees one state of the data, and the
server itself refuses every change. Functions that a feature query calls are looked up in the
server's catalogue first: none with side effects, or whose value may change, is run.
"""
# Names go into SQL only through `quoted` and `literal`:
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final, Literal

import pyarrow as pa

from partner_node.sources.chunking import chunks_of_batches, nothing, started
from partner_node.sources.data_file import DataFile
from partner_node.sources.dialect import literal, quoted, table_relation
from partner_node.sources.feature_query import check_feature_query, functions_of, without_end
from partner_node.sources.line_rules import LineRules
from partner_node.sources.postgresql.connection import Transaction, connected
from partner_node.sources.postgresql.dialect import POSTGRESQL
from partner_node.sources.postgresql.errors import Problem, explain
from partner_node.sources.postgresql.queries import POSTGRESQL_QUERIES
from partner_node.sources.row_rules import RowRules, no_table, refuse_duplicate_names
from partner_node.sources.servers import Server
from partner_node.sources.source import Chunk, Column, Description
from partner_node.sources.text_table import TextTable, text_batches
from partner_node.sources.transactions import READ
from protocol.errors import SourceError

#: Settings for the same order of a table's rows in every query.
_BY_TABLE: Final = {
    "enable_indexscan": "off",
    "enable_indexonlyscan": "off",
    "enable_bitmapscan": "off",
}


@dataclass(frozen=True, slots=True)
class _Opened:
    transaction: Transaction
    types: dict[str, str]
    relation: str


class PostgreSQLSource:
    """Customers in a table of a PostgreSQL database, or from a feature query.

    Args:
        server: The server and the account.
        id_column: Column with the customers' ids: text, integer or UUID.
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
        self._functions: frozenset[tuple[str, str]] = frozenset()
        if query is not None:
            check_feature_query(query, POSTGRESQL_QUERIES)
            self._functions = functions_of(query, POSTGRESQL_QUERIES)
        self._server = server
        self._table = table or ()
        self._query = query
        self._lines = lines
        self._rules = RowRules(
            dialect=POSTGRESQL,
            id_column=id_column,
            where=f"table {'.'.join(table)} of {server.name}"
            if table
            else "the feature query's result",
            needed=READ if lines is not None else "",
            unique=unique,
        )
        self._checked: str | None = None

    def columns(self) -> tuple[str, ...]:
        with self._open() as opened:
            return tuple(opened.types)

    def files(self) -> tuple[DataFile, ...]:
        """None: a server does not tell cheaply whether its data have changed."""
        return ()

    def describe(self) -> Description:
        return Description(
            kind="postgresql",
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
        def problem(row: int, column: Column) -> SourceError:
            counts = opened.transaction.row(self._rules.unusable_counts(opened.relation, column))
            place = f"row {row} of {self._rules.where}"
            return self._rules.unusable_error(column, counts, place)

        with self._open() as opened:
            self._rules.check_columns(opened.types, wanted)
            self._rules.check_types(opened.types, wanted)
            # The same data are visible as long as no transaction has ended since.
            ((state,),) = opened.transaction.ask_server(
                "SELECT concat(pg_postmaster_start_time(), ' ', pg_current_snapshot())"
            )
            if self._checked != state:
                self._rules.check_ids(
                    opened.transaction.row,
                    opened.relation,
                    lambda condition: self._place(opened, condition),
                    no_id=lambda: self._line_refusal(opened),
                )
                self._checked = str(state)
            yield nothing(len(wanted))
            sql = self._rules.select(opened.relation, wanted)
            batches = opened.transaction.batches(sql)
            try:
                yield from self._rules.usable(
                    chunks_of_batches(batches, len(wanted), max_rows), wanted, problem
                )
            finally:
                batches.close()

    @contextmanager
    def open_texts(self) -> Iterator[TextTable]:
        with self._open() as opened:

            def read(columns: Sequence[str]) -> Generator[pa.RecordBatch, None, None]:
                selected = [
                    f"CAST({quoted(column)} AS text) AS c{i}" for i, column in enumerate(columns)
                ]
                batches = opened.transaction.batches(
                    f"SELECT {', '.join(selected)} FROM {opened.relation}"
                )
                with closing(batches):
                    yield from text_batches(columns, batches)

            yield TextTable(types=opened.types, read=read)

    # --- opening -----------------------------------------------------------------------------

    @contextmanager
    def _open(self) -> Iterator[_Opened]:
        """Yield a transaction, with the table or the feature query to read from."""
        with connected(self._server, self._explain) as transaction:
            transaction.begin({} if self._query else _BY_TABLE)
            if self._query is None:
                self._check_table(transaction)
                relation = table_relation(self._table)
            else:
                if self._lines is not None:
                    lines = transaction.columns(f"SELECT * FROM {self._lines.relation}")
                    self._lines.check_columns(dict(lines))
                self._check_functions(transaction)
                relation = f"(\n{without_end(self._query)}\n) AS features"
            columns = transaction.columns(f"SELECT * FROM {relation}")
            refuse_duplicate_names([name for name, _ in columns], self._rules.where)
            yield _Opened(transaction, dict(columns), relation)

    def _check_table(self, transaction: Transaction) -> None:
        """Refuse a table that is missing, or that this account may not see."""
        name = literal(table_relation(self._table))
        if transaction.ask_server(f"SELECT to_regclass({name}) IS NOT NULL") == [(True,)]:
            return
        rows = transaction.ask_server(
            "SELECT table_schema::text, table_name::text FROM information_schema.tables "
            "WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
        )
        tables = {(str(schema), str(name)) for schema, name in rows}
        raise no_table(self._table, self._server.name, tables, usual_schema="public")

    def _check_functions(self, transaction: Transaction) -> None:
        """Refuse functions that the server declares volatile: they have side effects, or change."""
        if not self._functions:
            return
        called = " OR ".join(
            f"(lower(p.proname) = {literal(name)} AND "
            + (
                f"lower(n.nspname) = {literal(schema)})"
                if schema
                else "pg_function_is_visible(p.oid))"
            )
            for schema, name in sorted(self._functions)
        )
        found = transaction.ask_server(
            "SELECT DISTINCT p.proname::text FROM pg_catalog.pg_proc AS p "
            "JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace "
            f"WHERE p.provolatile = 'v' AND ({called}) ORDER BY 1"
        )
        if found:
            raise SourceError(
                f"the feature query calls {', '.join(str(n) for (n,) in found)}, which the server "
                "says may act or change from round to round",
                code="E-SOURCE-SQL",
                remedy="write it without; a function of your own that only computes can be "
                "declared IMMUTABLE or STABLE",
            )

    def _place(self, opened: _Opened, condition: str) -> str:
        (row,) = opened.transaction.row(self._rules.first_row(opened.relation, condition))
        return f"row {row} of {self._rules.where}"

    def _line_refusal(self, opened: _Opened) -> SourceError | None:
        """What is wrong with the invoice lines; None when there are none."""
        lines = self._lines
        if lines is None:
            return None
        return lines.refusal(
            opened.transaction.row,
            lambda condition: self._place_in(opened, lines.relation, condition),
        )

    def _place_in(self, opened: _Opened, relation: str, condition: str) -> str:
        (row,) = opened.transaction.row(self._rules.first_row(relation, condition))
        return f"row {row} of {relation} in {self._server.name}"

    def _explain(
        self, problem: Problem, *, stage: Literal["own", "binding", "reading"]
    ) -> SourceError:
        return explain(
            problem,
            where=self._server.name,
            data=self._rules.where,
            with_query=self._query is not None,
            stage=stage,
        )
