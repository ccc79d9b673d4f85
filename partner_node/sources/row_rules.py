"""Rules for the columns, ids and values of every kind of source.

A rule is checked by SQL in the database's `Dialect`, and fails with the same message and code
everywhere. Messages state counts and a row's number, counted from 1, never an id or a value.
"""
# Names go into SQL only through `quoted`:
# ruff: noqa: S608

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from partner_node.sources.dialect import Dialect, quoted
from partner_node.sources.source import Chunk, Column
from protocol.errors import SourceError
from protocol.feature_values import UNLISTED

#: Runs an aggregate over the source and returns its single row.
Ask = Callable[[str], tuple[Any, ...]]
#: Finds the first row that meets a condition: ``row 3 of customers.csv``.
Place = Callable[[str], str]

#: Finds the first two rows that meet a condition; their numbers from 1.
FirstTwo = Callable[[str], Sequence[int]]

MAX_NAMES_SHOWN: Final = 20
_UNLISTED_WORDS: Final = "of no level"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRules:
    """The rules for the rows of one source.

    Attributes:
        dialect: SQL of the source's database.
        id_column: Column with the customers' ids.
        where: The source in messages: a file, a table or the feature query's result.
        needed: A column without whose value a row has no id; or empty.
        unique: Whether ids that occur twice are refused.
    """

    dialect: Dialect
    id_column: str
    where: str
    needed: str = ""
    unique: bool = True

    def check_columns(self, types: Mapping[str, str], wanted: Sequence[Column]) -> None:
        """Refuse columns that are missing, and an id column that is a feature too.

        Args:
            types: Type of each existing column.
            wanted: The features' columns.

        Raises:
            SourceError: E-SOURCE-COLUMN.
        """
        names = [column.name for column in wanted]
        for column in (self.id_column, *names):
            if column not in types:
                raise self._no_column(column, tuple(types))
        if self.id_column in names:
            raise SourceError(
                f"column {self.id_column!r} holds the ids and cannot be a feature too",
                code="E-SOURCE-COLUMN",
                remedy="map the feature to another column in [data.columns]",
            )

    def check_types(self, types: Mapping[str, str], wanted: Sequence[Column]) -> None:
        """Refuse an id column, or feature columns, of an unsuitable type.

        Raises:
            SourceError: E-SOURCE-TYPE.
        """
        if types[self.id_column].casefold() not in self.dialect.id_types:
            raise self.no_id_type(f"type {types[self.id_column].upper()}")
        for column in wanted:
            if column.levels:
                allowed, cast = self.dialect.level_types, self.dialect.text_cast
                must_be = "be text, a whole number, a double or a boolean to have levels"
            else:
                allowed, cast = self.dialect.number_types, self.dialect.number_cast
                must_be = "be numeric"
            if types[column.name].casefold() not in allowed:
                raise SourceError(
                    f"column {column.name!r} of {self.where} has type "
                    f"{types[column.name].upper()}, a feature must {must_be}",
                    code="E-SOURCE-TYPE",
                    remedy="cast it in a feature query: " + cast.format(quoted(column.name)),
                )

    def check_ids(
        self,
        ask: Ask,
        relation: str,
        place: Place,
        first_two: FirstTwo | None = None,
        *,
        no_id: Callable[[], SourceError | None] = lambda: None,
    ) -> None:
        """Refuse rows without an id, and ids that occur twice where that is asked for.

        Args:
            first_two: For a database that numbers rows in another order than it returns them.
            no_id: Says why rows have no id, where something better is known than the row.

        Raises:
            SourceError: E-SOURCE-EMPTY, E-SOURCE-ID or E-DUPLICATE.
        """
        text = self.dialect.id_text(self.id_column)
        if self.needed:
            text = f"CASE WHEN {quoted(self.needed)} IS NOT NULL THEN {text} END"
        found = ask(
            "SELECT coalesce(sum(n), 0), coalesce(sum(CASE WHEN bad THEN n END), 0), "
            "count(CASE WHEN NOT bad AND n > 1 THEN 1 END), "
            "coalesce(sum(CASE WHEN NOT bad AND n > 1 THEN n END), 0) "
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
        if n_bad and (error := no_id()):
            raise error
        if n_bad:
            raise SourceError(
                f"id column {self.id_column!r}: {n_bad} of {n_rows} rows have no usable id "
                f"({self.dialect.unfit_words}), the first is " + place(self.dialect.bad_id(text)),
                code="E-SOURCE-ID",
                remedy="give every customer an id, or leave these rows out",
            )
        if n_twice and self.unique:
            one = f"(SELECT {text} FROM {relation} GROUP BY {text} HAVING count(*) > 1 LIMIT 1)"
            first, second = (
                first_two(f"{text} = {one}")
                if first_two is not None
                else ask(
                    "SELECT min(r), min(CASE WHEN r > earliest THEN r END) "
                    "FROM (SELECT r, min(r) OVER () AS earliest "
                    f"FROM (SELECT row_number() OVER () AS r, {text} AS id FROM {relation}) AS ids "
                    f"WHERE id = {one}) AS twice"
                )
            )
            raise SourceError(
                f"id column {self.id_column!r}: {n_twice} customer ids occur more than once "
                f"({n_twice_rows} of {n_rows} rows), first in rows {first} and {second} of "
                f"{self.where}",
                code="E-DUPLICATE",
                remedy="keep one row a customer, or combine them in a feature query with GROUP BY",
            )

    def select(self, relation: str, wanted: Sequence[Column]) -> str:
        """The query for ids as text and features as doubles, and no other column."""
        selected = [f"{self.dialect.id_text(self.id_column)} AS id"]
        selected += [f"{self._number(column)} AS f{i}" for i, column in enumerate(wanted)]
        return f"SELECT {', '.join(selected)} FROM {relation}"

    def first_row(self, relation: str, condition: str) -> str:
        """The query for the number of the first row that meets a condition."""
        return (
            "SELECT min(CASE WHEN bad THEN r END) FROM (SELECT row_number() OVER () AS r, "
            f"({condition}) AS bad FROM {relation}) AS numbered"
        )

    def usable(
        self,
        chunks: Iterator[Chunk],
        wanted: Sequence[Column],
        problem: Callable[[int, Column], SourceError],
    ) -> Iterator[Chunk]:
        """Pass on the chunks as long as all their values are usable in their columns.

        Args:
            problem: Makes the error from a row's number, counted from 1, and its column.
        """
        optional = np.array([column.optional for column in wanted], dtype=np.bool_)
        closed = np.array([bool(c.levels) and not c.others for c in wanted], dtype=np.bool_)
        rows_before = 0
        for chunk in chunks:
            wrong = ~np.isfinite(chunk.values)
            if optional.any():
                wrong &= ~(np.isnan(chunk.values) & optional)
            if closed.any():
                wrong |= (chunk.values == UNLISTED) & closed
            bad = np.argwhere(wrong)
            if bad.size:
                raise problem(rows_before + int(bad[0][0]) + 1, wanted[int(bad[0][1])])
            rows_before += chunk.n_rows
            yield chunk

    def unusable(self, column: Column) -> str:
        """SQL: whether a row's value is unusable in its column."""
        return "(" + " OR ".join(self._faults(column).values()) + ")"

    def unusable_counts(self, relation: str, column: Column) -> str:
        """The query for the number of a column's values with each fault."""
        faults = self._faults(column).values()
        counts = ", ".join(f"count(CASE WHEN {fault} THEN 1 END)" for fault in faults)
        return f"SELECT {counts} FROM {relation}"

    def unusable_error(self, column: Column, counts: Sequence[Any], place: str) -> SourceError:
        """E-SOURCE-LEVEL or E-SOURCE-NULL for a column with unusable values.

        Args:
            counts: The result of `unusable_counts`; empty when unknown.
        """
        faults = dict(zip(self._faults(column), counts, strict=False))
        found = ", ".join(f"{count} {what}" for what, count in faults.items() if count)
        if column.levels and faults.get(_UNLISTED_WORDS):
            return SourceError(
                f"column {column.name!r}: values that are no agreed level ({found}), the first is "
                f"{place}",
                code="E-SOURCE-LEVEL",
                remedy=_ways_to_levels(column),
            )
        what = "of no level" if column.levels else "that are not finite numbers"
        return SourceError(
            f"column {column.name!r}: values {what} ({found or 'some'}), the first is {place}",
            code="E-SOURCE-NULL",
            remedy="fill or leave out these rows, for instance in a feature query with "
            "COALESCE or WHERE; or agree on what a missing value counts as",
        )

    def _number(self, column: Column) -> str:
        if not column.levels:
            return self.dialect.number(column.name)
        return self.dialect.level(column.name, column.levels, folded=column.folded)

    def _faults(self, column: Column) -> dict[str, str]:
        """Conditions in SQL for unusable values of a column, by their names for people."""
        number = self._number(column)
        faults = {} if column.optional else {"missing": f"{number} IS NULL"}
        if not column.levels:
            if not column.optional:
                faults["NaN"] = self.dialect.is_nan.format(number)
            faults["infinite"] = self.dialect.is_infinite.format(number)
        elif not column.others:
            faults[_UNLISTED_WORDS] = f"{number} < 0"
        return faults

    def not_numbers_error(self, column: str, count: int, place: str, remedy: str) -> SourceError:
        """E-SOURCE-TYPE for a column with values that are not numbers."""
        return SourceError(
            f"column {column!r}: {count} values are not numbers, the first is {place}",
            code="E-SOURCE-TYPE",
            remedy=remedy,
        )

    def no_id_type(self, what: str) -> SourceError:
        """E-SOURCE-TYPE for an id column with values that cannot be ids."""
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
            else "; name the one to read in [data.columns]"
            + (f': FEATURE = "{near}"' if near is not None else "")
        )
        return SourceError(
            f"{self.where} has no column {column!r}" + meant(column, names),
            code="E-SOURCE-COLUMN",
            remedy=remedy,
        )


def _written(part: str) -> str:
    """A part of a table's name as [data] table accepts it: in quotes where it contains a point."""
    return quoted(part) if "." in part or '"' in part else part


def _ways_to_levels(column: Column) -> str:
    """The way out for values that are not an agreed level, in words."""
    if column.folded:
        no, yes = (" or ".join((", ".join(t[:-1]), t[-1])) for t in column.levels)
        return (
            f"no is written {no}, yes {yes}, in capital or small letters; have a feature query "
            "write others so, with CASE"
        )
    ways = ", ".join(repr(texts[0]) for texts in column.levels)
    return (
        f"levels are {ways}; have a feature query write others so, with CASE, or agree on a level "
        "that all others of a categorical feature count as (other)"
    )


def no_table(
    table: tuple[str, ...],
    where: str,
    tables: Collection[tuple[str, ...]],
    *,
    usual_schema: str = "main",
) -> SourceError:
    """E-SOURCE-MISSING for a table that does not exist.

    Args:
        table: The table's name, with its schema where it was given.
        where: The database in messages.
        tables: Schema and name of each existing table.
        usual_schema: The schema whose tables are found without naming it.
    """
    shown = {
        known: ".".join(map(_written, known[known[0] == usual_schema :]))
        for known in sorted(tables)
    }
    names = list(shown.values())
    name = ".".join(map(_written, table))
    whole = (words for known, words in shown.items() if known[-1] == ".".join(table))
    elsewhere = (words for known, words in shown.items() if known[-1] == table[-1])
    near = next(whole, None) or next(elsewhere, None) or nearest(name, names)
    there = ", ".join(names[:MAX_NAMES_SHOWN]) + (", …" if len(names) > MAX_NAMES_SHOWN else "")
    return SourceError(
        f"{where} has no table {name!r}" + (f"; did you mean {near!r}?" if near else ""),
        code="E-SOURCE-MISSING",
        remedy=f"correct [data] table; there are: {there}"
        if there
        else "correct [data] table, or give the account the right to read it",
    )


def nearest(name: str, names: Sequence[str]) -> str | None:
    """The one of `names` most similar to `name`; None when none is similar."""
    close = difflib.get_close_matches(name.casefold(), [n.casefold() for n in names], n=1)
    return next((n for n in names if close and n.casefold() == close[0]), None)


def meant(name: str, names: Sequence[str]) -> str:
    """What may be meant by a name that is not there, as the end of a message; empty when nothing.

    A letter with an accent may be one character, or the letter and the accent: files that were
    written on one system and named on another have both, and look the same.
    """
    same = next((n for n in names if _composed(n) == _composed(name)), None)
    if same is not None:
        forms = (form for form in ("NFC", "NFD") if unicodedata.is_normalized(form, same))
        return (
            f"; there is {same!r}, which looks the same and has letters in "
            f"{next(forms, 'a mixed')} form of Unicode: copy its name from the data"
        )
    near = nearest(name, names)
    return f"; did you mean {near!r}?" if near is not None else ""


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def refuse_duplicate_names(names: Sequence[str], where: str) -> None:
    """Refuse columns with the same name, or names that differ only in case.

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
