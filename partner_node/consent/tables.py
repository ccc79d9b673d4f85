"""Base of tables of consents, objections and births; see `file_tables` and `database_tables`.

Everything is read as text through DuckDB and judged in `verdicts`; nothing of it leaves the node,
and no value of a table is in an error.
"""
# Names and texts go into SQL only through `quoted` and `literal`:
# ruff: noqa: S608

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import duckdb

from partner_node.consent.id_set import IdHash
from partner_node.consent.settings import (
    BIRTH,
    CONSTANT,
    NEEDED,
    OPTIONAL,
    UPDATED,
    ConsentSource,
    Holds,
)
from partner_node.consent.verdicts import (
    Wanted,
    judge_births,
    judge_consents,
    judge_objections,
)
from partner_node.sources.data_file import DataFile
from partner_node.sources.dialect import literal, quoted
from partner_node.sources.duckdb.dialect import DUCKDB
from partner_node.sources.duckdb.errors import READ_ERRORS, Problem, explain
from partner_node.sources.kind import ColumnTypes
from partner_node.sources.row_rules import meant
from protocol.errors import SourceError

_T = TypeVar("_T")

SECTION: Final = "[[consent.sources]]"
_TIMES: Final = ("time", "until", UPDATED)
#: An unusable id is NULL among the rows.
_NOBODY: Final = "subject IS NULL"


class ConsentTable(ABC):
    """One table of consents, objections or births.

    Args:
        types: Types that its columns may have.
    """

    def __init__(self, source: ConsentSource, types: ColumnTypes) -> None:
        self._source = source
        self._types = types

    @property
    def source(self) -> ConsentSource:
        """Its settings."""
        return self._source

    @property
    def holds(self) -> Holds:
        """What its rows are: consents, objections or births."""
        return self._source.holds

    @property
    def name(self) -> str:
        """Its name, for messages."""
        return self._source.name

    @abstractmethod
    def files(self) -> tuple[DataFile, ...]:
        """Its files as they are now; raises SourceError (E-CONSENT-SOURCE)."""

    @abstractmethod
    def check_reachable(self) -> None:
        """Refuse a table that is missing; raises SourceError (E-CONSENT-SOURCE)."""

    @abstractmethod
    def changed_at(self) -> datetime | None:
        """When the table was last updated; raises SourceError (E-CONSENT-SOURCE).

        Returns:
            None where this follows from its rows alone, and `judge` returns it.
        """

    @property
    def _beat(self) -> datetime | None:
        """When its heartbeat was touched; None when it has none."""
        heartbeat = self._source.heartbeat
        if heartbeat is None:
            return None
        try:
            return datetime.fromtimestamp(heartbeat.stat().st_mtime, UTC)
        except OSError as error:
            raise self._problem(
                f"the heartbeat {heartbeat} cannot be looked at: {error.strerror}",
                f"correct heartbeat in {SECTION}, or leave it out",
            ) from error

    @abstractmethod
    def judge(
        self,
        connection: duckdb.DuckDBPyConnection,
        files: tuple[DataFile, ...],
        into: str,
        wanted: Wanted,
        *,
        ids: IdHash | str,
    ) -> datetime | None:
        """Make the table `into` of ``subject, reason`` by the rules of `verdicts`.

        Args:
            ids: The hash of customers' ids that ``subject`` holds; or one customer's id: then
                there are verdicts on that customer alone, and its rows are in ``<into>_rows``.

        Returns:
            When the table was last updated, where this follows from its rows alone.

        Raises:
            SourceError: The table cannot be read, lacks a column, or has rows without an id
                (E-CONSENT-SOURCE).
        """

    def _judge_rows(
        self, connection: duckdb.DuckDBPyConnection, rows: str, into: str, wanted: Wanted
    ) -> int:
        """Make `into` from the rows; returns the number of rows in it without an id."""
        if self.holds == "consents":
            judge_consents(connection, rows, into, wanted)
        elif self.holds == "births":
            judge_births(connection, rows, into, wanted)
        else:
            judge_objections(connection, rows, into)
        return int(row(connection, f"SELECT count(*) FROM {into} WHERE {_NOBODY}")[0])

    def _refuse_nobody(
        self, connection: duckdb.DuckDBPyConnection, files: tuple[DataFile, ...], rows: str
    ) -> None:
        place, count = self._read(
            files,
            lambda: row(
                connection,
                "SELECT min(r), count(*) FROM "
                f"(SELECT row_number() OVER () AS r, subject FROM {rows}) WHERE {_NOBODY}",
            ),
        )
        raise self._problem(
            f"{count} rows of {self._source.where} name no customer, the first is row {place}: "
            "whoever they are about would be counted or left out wrongly",
            f"give every row its customer's id in column {self._column('subject')!r}, or leave it "
            "out of the export",
        )

    def _read(
        self,
        files: tuple[DataFile, ...],
        action: Callable[[], _T],
        header: tuple[str, ...] = (),
    ) -> _T:
        """Run `action`, which reads this table, with DuckDB's errors turned into ours."""
        try:
            return action()
        except READ_ERRORS as error:
            problem = Problem.of(error)
        # Not chained to DuckDB's error, which quotes the line.
        explained = explain(
            problem,
            path=self._source.place.name,
            with_query=False,
            files=[file.path for file in files],
            columns=header,
        )
        raise self._problem(explained.message, explained.remedy)

    def _column(self, part: str) -> str:
        return self._source.columns.get(part, part)

    def selected(self, types: Mapping[str, str]) -> str:
        """SQL: the columns that `verdicts` needs, all as text."""
        if self.holds == "consents":
            return self._consents(types)
        if self.holds == "births":
            return ", ".join(
                f"{self._text(self._column(part), part, types)} AS {part}" for part in BIRTH
            )
        return self._objections(types)

    def _consents(self, types: Mapping[str, str]) -> str:
        selected = []
        for part in (*NEEDED, *OPTIONAL):
            if part in self._source.constants:
                selected.append(f"{literal(self._source.constants[part])} AS {part}")
            elif part in OPTIONAL and part not in self._source.columns and part not in types:
                selected.append(f"NULL::VARCHAR AS {part}")
            else:
                text = self._text(self._column(part), part, types)
                selected.append(f"{self._event(text) if part == 'event' else text} AS {part}")
        return ", ".join(selected)

    def _event(self, text: str) -> str:
        if not self._source.events:
            return text
        cases = " ".join(
            f"WHEN {literal(own)} THEN {literal(term)}" for own, term in self._source.events.items()
        )
        return f"CASE {text} {cases} ELSE {text} END"

    def _objections(self, types: Mapping[str, str]) -> str:
        subject = self._text(self._column("subject"), "subject", types)
        flags = ", ".join(self._text(flag, "a flag", types) for flag in self._source.flags)
        return f"{subject} AS subject, CAST([{flags}] AS VARCHAR[]) AS flags"

    def _text(self, column: str, part: str, types: Mapping[str, str]) -> str:
        """SQL: a column as text; SourceError when it is missing or of an unsuitable type."""
        kind = types.get(column)
        if kind is None:
            raise self._no_column(column, part, types)
        if part == "subject" and self._types.ids and kind not in self._types.ids:
            needed = "ids must be text, integers or UUIDs, as in the data"
        elif part in _TIMES and self._types.times and kind not in self._types.times:
            needed = "it must be text or a timestamp with time zone"
        elif self._types.nested.fullmatch(kind):
            needed = "it must be one value a row"
        else:
            return f"CAST({quoted(column)} AS VARCHAR)"
        raise self._problem(
            f"column {column!r} of {self._source.where} has type {kind.upper()}, {needed}",
            "export it so"
            if not self._source.table
            else "give it that type in a view, and name the view as table",
        )

    def _no_column(self, column: str, part: str, types: Mapping[str, str]) -> SourceError:
        return self._problem(
            f"{self._source.where} has no column {column!r} for {part}"
            + meant(column, tuple(types)),
            f"there are: {', '.join(list(types)[:20])}; name the right one under columns in "
            f"{SECTION}"
            + (", or say what holds for all rows under constants" if part in CONSTANT else ""),
        )

    def _wanted_columns(self) -> tuple[str, ...]:
        """Columns that are needed, the ids' first."""
        if self.holds == "births":
            wanted = [self._column(part) for part in BIRTH]
        elif self.holds == "objections":
            wanted = [self._column("subject"), *self._source.flags]
        else:
            parts = [p for p in (*NEEDED, *OPTIONAL) if p not in self._source.constants]
            wanted = [self._column(part) for part in parts]
        return tuple(dict.fromkeys(wanted))

    def _problem(self, what: str, remedy: str) -> SourceError:
        return SourceError(
            f"consent source {self.name!r}: {what}", code="E-CONSENT-SOURCE", remedy=remedy
        )

    def changing(self) -> SourceError:
        """The error for a table that kept changing while it was read."""
        return self._problem(
            f"{self._source.place.name} changed while it was read, several times",
            "write it under another name and rename it when it is complete",
        )


def rows_of(
    connection: duckdb.DuckDBPyConnection, select: str, kept: str, ids: IdHash | str
) -> str:
    """SQL: the relation of a query's rows, with ids hashed; or of one customer's rows.

    Args:
        kept: The table in which one customer's rows are kept.

    Raises:
        duckdb.Error: They cannot be read.
    """
    if isinstance(ids, IdHash):
        known = f"CASE WHEN NOT {DUCKDB.bad_id('subject')} THEN {ids.of('subject')} END"
        return f"(SELECT * REPLACE ({known} AS subject) FROM ({select}))"
    connection.execute(f"CREATE TEMP TABLE {kept} AS FROM ({select}) WHERE subject = $1", [ids])
    return kept


def row(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    """The single row of an aggregate."""
    (found,) = connection.execute(sql).fetchall()
    return tuple(found)
