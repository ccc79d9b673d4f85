"""The rules that every kind of source keeps: its columns, its ids, its values.

A rule is asked in SQL, written for each database by its `Dialect`, and broken with the same words
and codes everywhere. What is wrong is named by counts and by a row's number, counted from 1, never
by an id or a value.
"""
# Names go into SQL only through `quoted`:
# ruff: noqa: S608

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from partner_node.sources.dialect import Dialect, quoted
from partner_node.sources.source import Chunk
from protocol.errors import SourceError

#: Gives the single row of an aggregate over the source.
Ask = Callable[[str], tuple[Any, ...]]
#: Says where the first row is that meets a condition, as ``row 3 of customers.csv``.
Place = Callable[[str], str]

MAX_NAMES_SHOWN: Final = 20
#: Schemas whose tables are found without naming them.
_USUAL_SCHEMAS: Final = ("main", "public")


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRules:
    """The rules for the rows of one source.

    Attributes:
        dialect: How the source's database writes them.
        id_column: Column with the customers' ids.
        where: The source in messages: a file, a table or the feature query's result.
    """

    dialect: Dialect
    id_column: str
    where: str

    def check_columns(self, types: Mapping[str, str], wanted: Sequence[str]) -> None:
        """Refuse columns that are missing, and an id column that is a feature too.

        Args:
            types: Type of each column there is.
            wanted: The features' columns.

        Raises:
            SourceError: E-SOURCE-COLUMN.
        """
        for column in (self.id_column, *wanted):
            if column not in types:
                raise self._no_column(column, tuple(types))
        if self.id_column in wanted:
            raise SourceError(
                f"column {self.id_column!r} holds the ids and cannot be a feature too",
                code="E-SOURCE-COLUMN",
                remedy="map the feature to another column in [data.columns]",
            )

    def check_types(self, types: Mapping[str, str], wanted: Sequence[str]) -> None:
        """Refuse an id column that holds no ids and features that are no numbers.

        Raises:
            SourceError: E-SOURCE-TYPE.
        """
        if types[self.id_column].casefold() not in self.dialect.id_types:
            raise self.no_id_type(f"type {types[self.id_column].upper()}")
        for column in wanted:
            if types[column].casefold() not in self.dialect.number_types:
                raise SourceError(
                    f"column {column!r} of {self.where} has type {types[column].upper()}, "
                    "a feature must be numeric",
                    code="E-SOURCE-TYPE",
                    remedy="cast it in a feature query: "
                    + self.dialect.number_cast.format(quoted(column)),
                )

    def check_ids(self, ask: Ask, relation: str, place: Place) -> None:
        """Refuse rows without an id, and ids that occur twice.

        Raises:
            SourceError: E-SOURCE-EMPTY, E-SOURCE-ID or E-DUPLICATE.
        """
        text = self.dialect.id_text(self.id_column)
        found = ask(
            "SELECT coalesce(sum(n), 0), coalesce(sum(n) FILTER (WHERE bad), 0), "
            "count(*) FILTER (WHERE NOT bad AND n > 1), "
            "coalesce(sum(n) FILTER (WHERE NOT bad AND n > 1), 0) "
            f"FROM (SELECT count(*) AS n, {self.dialect.bad_id('id')} AS bad "
            f"FROM (SELECT {text} AS id FROM {relation}) AS ids GROUP BY id) AS counted"
        )
        n_rows, n_bad, n_twice, n_twice_rows = (int(value) for value in found)
        if n_rows == 0:
            raise SourceError(
                f"{self.where} gives no rows",
                code="E-SOURCE-EMPTY",
                remedy="check the data, or the conditions of the feature query",
            )
        if n_bad:
            raise SourceError(
                f"id column {self.id_column!r}: {n_bad} of {n_rows} rows have no usable id "
                "(missing, empty or with a NUL character), the first is "
                + place(self.dialect.bad_id(text)),
                code="E-SOURCE-ID",
                remedy="give every customer an id, or leave these rows out",
            )
        if n_twice:
            first, second = ask(
                "SELECT min(r), min(r) FILTER (WHERE r > first) "
                "FROM (SELECT r, min(r) OVER () AS first "
                f"FROM (SELECT row_number() OVER () AS r, {text} AS id FROM {relation}) AS ids "
                f"WHERE id = (SELECT {text} FROM {relation} "
                f"GROUP BY {text} HAVING count(*) > 1 LIMIT 1)) AS twice"
            )
            raise SourceError(
                f"id column {self.id_column!r}: {n_twice} customer ids occur more than once "
                f"({n_twice_rows} of {n_rows} rows), first in rows {first} and {second} of "
                f"{self.where}",
                code="E-DUPLICATE",
                remedy="keep one row a customer, or combine them in a feature query with GROUP BY",
            )

    def select(self, relation: str, wanted: Sequence[str]) -> str:
        """The query that gives ids as text and features as doubles, and no other column."""
        selected = [f"{self.dialect.id_text(self.id_column)} AS id"]
        selected += [f"{self.dialect.number(column)} AS f{i}" for i, column in enumerate(wanted)]
        return f"SELECT {', '.join(selected)} FROM {relation}"

    def first_row(self, relation: str, condition: str) -> str:
        """The query for the number of the first row that meets a condition."""
        return (
            "SELECT min(r) FILTER (WHERE bad) FROM (SELECT row_number() OVER () AS r, "
            f"({condition}) AS bad FROM {relation}) AS numbered"
        )

    def finite(
        self, chunks: Iterator[Chunk], problem: Callable[[int, int], SourceError]
    ) -> Iterator[Chunk]:
        """The chunks, as long as all their values are finite.

        Args:
            problem: The error to raise for a row's number, counted from 1, and a feature's index.
        """
        rows_before = 0
        for chunk in chunks:
            bad = np.argwhere(~np.isfinite(chunk.values))
            if bad.size:
                raise problem(rows_before + int(bad[0][0]) + 1, int(bad[0][1]))
            rows_before += chunk.n_rows
            yield chunk

    def not_finite_counts(self, relation: str, column: str) -> str:
        """The query for how many values of a column are missing, NaN and infinite."""
        number = self.dialect.number(column)
        return (
            f"SELECT count(*) FILTER (WHERE {number} IS NULL), "
            f"count(*) FILTER (WHERE {self.dialect.is_nan.format(number)}), "
            f"count(*) FILTER (WHERE {self.dialect.is_infinite.format(number)}) "
            f"FROM {relation}"
        )

    def not_finite_error(self, column: str, counts: Sequence[Any], place: str) -> SourceError:
        """E-SOURCE-NULL for a column with values that are not finite numbers.

        Args:
            counts: How many are missing, NaN and infinite; empty when that is not known.
        """
        found = ", ".join(
            f"{count} {what}"
            for count, what in zip(counts, ("missing", "NaN", "infinite"), strict=False)
            if count
        )
        return SourceError(
            f"column {column!r}: values that are not finite numbers ({found or 'some'}), "
            f"the first is {place}",
            code="E-SOURCE-NULL",
            remedy="fill or leave out these rows, for instance in a feature query with "
            "COALESCE or WHERE",
        )

    def not_numbers_error(self, column: str, count: int, place: str, remedy: str) -> SourceError:
        """E-SOURCE-TYPE for a column with values that are no numbers."""
        return SourceError(
            f"column {column!r}: {count} values are not numbers, the first is {place}",
            code="E-SOURCE-TYPE",
            remedy=remedy,
        )

    def no_id_type(self, what: str) -> SourceError:
        """E-SOURCE-TYPE for an id column that holds what cannot be an id."""
        return SourceError(
            f"id column {self.id_column!r} of {self.where} has {what}, ids must be text, "
            "integers or UUIDs",
            code="E-SOURCE-TYPE",
            remedy="cast it in a feature query: "
            + self.dialect.text_cast.format(quoted(self.id_column)),
        )

    def _no_column(self, column: str, names: tuple[str, ...]) -> SourceError:
        near = nearest(column, names)
        remedy = f"there are: {', '.join(names[:MAX_NAMES_SHOWN])}" + (
            ", …" if len(names) > MAX_NAMES_SHOWN else ""
        )
        remedy += (
            "; name the right one as [data] id_column"
            if column == self.id_column
            else f'; name the one to read in [data.columns]: FEATURE = "{near or names[-1]}"'
        )
        return SourceError(
            f"{self.where} has no column {column!r}"
            + (f"; did you mean {near!r}?" if near is not None else ""),
            code="E-SOURCE-COLUMN",
            remedy=remedy,
        )


def no_table(
    table: tuple[str, ...], where: str, tables: Collection[tuple[str, ...]]
) -> SourceError:
    """E-SOURCE-MISSING for a table that is not there.

    Args:
        table: The table's name, with its schema where it was given.
        where: The database in messages.
        tables: Schema and name of each table that there is.
    """
    shown = {
        known: known[-1] if known[0] in _USUAL_SCHEMAS else ".".join(known)
        for known in sorted(tables)
    }
    names = list(shown.values())
    name = ".".join(table)
    elsewhere = (words for known, words in shown.items() if known[-1] == table[-1])
    near = next(elsewhere, None) or nearest(name, names)
    there = ", ".join(names[:MAX_NAMES_SHOWN]) + (", …" if len(names) > MAX_NAMES_SHOWN else "")
    return SourceError(
        f"{where} has no table {name!r}" + (f"; did you mean {near!r}?" if near else ""),
        code="E-SOURCE-MISSING",
        remedy=f"correct [data] table; there are: {there}"
        if there
        else "correct [data] table, or give the account the right to read it",
    )


def nearest(name: str, names: Sequence[str]) -> str | None:
    """The one of `names` that looks most like `name`; None when none does."""
    close = difflib.get_close_matches(name.casefold(), [n.casefold() for n in names], n=1)
    return next((n for n in names if close and n.casefold() == close[0]), None)


def refuse_duplicate_names(names: Sequence[str], where: str) -> None:
    """Refuse columns whose names differ in nothing or only in upper and lower case.

    Raises:
        SourceError: E-SOURCE-COLUMN.
    """
    seen: dict[str, int] = {}
    for position, name in enumerate(names, start=1):
        earlier = seen.setdefault(name.casefold(), position)
        if earlier != position:
            raise SourceError(
                f"{where}: columns {earlier} and {position} are both called {name!r} "
                "(upper and lower case count as the same)",
                code="E-SOURCE-COLUMN",
                remedy="rename one of them",
            )
