"""What invoice lines must hold, told by the columns that ``[data.transactions]`` names.

Whoever wrote that section wrote no query: what is wrong is a column, a line and a setting of
theirs, and so it is said. Lines are looked at one by one only when something is wrong.
"""
# Names go into SQL only through `quoted`:
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from machine.text import how_many
from partner_node.sources.dialect import quoted
from partner_node.sources.row_rules import meant
from partner_node.sources.transactions import LineSQL
from protocol.errors import SourceError

#: Stands for the latest day where no line has any: a line without one is at fault anyway.
_ANY_DAY: Final = date(2000, 1, 1)
#: Gives the single row of a query for whole numbers.
Ask = Callable[[str], tuple[Any, ...]]
#: Says where the first line is that meets a condition, as ``row 3 of lines.csv``.
Place = Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFault:
    """Something that a line of a customer may not have.

    Attributes:
        column: The column.
        what: What is wrong with its value, after "has" or "have".
        condition: Whether a line has it, in SQL.
        way_out: What to do.
    """

    column: str
    what: str
    condition: str
    way_out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRules:
    """The rules for the invoice lines of one source.

    Attributes:
        line: What is asked of a line.
        relation: The lines, as SQL writes it.
        id_types: Types, in lower case, that the customers' column may have; empty where each
            value has its own.
    """

    line: LineSQL
    relation: str
    id_types: Collection[str]

    def check_columns(self, types: Mapping[str, str]) -> None:
        """Refuse columns that are not there, and customers whose ids were floats.

        Args:
            types: Type of each column of the lines; empty texts where each value has its own.

        Raises:
            SourceError: E-SOURCE-COLUMN or E-SOURCE-TYPE.
        """
        for key, column in self._named.items():
            if column not in types:
                raise SourceError(
                    f"the invoice lines have no column {column!r}" + meant(column, tuple(types)),
                    code="E-SOURCE-COLUMN",
                    remedy=f"correct {key} in [data.transactions]; there are: "
                    + ", ".join(list(types)[:20]),
                )
        kind = types[self.line.of.customer]
        if self.id_types and kind.casefold() not in self.id_types:
            raise self.no_ids(f"type {kind.upper()}")

    def no_ids(self, what: str) -> SourceError:
        """E-SOURCE-TYPE for customers whose ids cannot be ids."""
        return SourceError(
            f"column {self.line.of.customer!r}, customer in [data.transactions], has {what}; ids "
            "must be text, integers or UUIDs, as consents and objections have them: 13047.0 is "
            "not the id 13047",
            code="E-SOURCE-TYPE",
            remedy="write the column as whole numbers or as text; where ids are missing, tools "
            "make floats of the others",
        )

    def missing_column(self, names: Collection[str]) -> str | None:
        """The first column that [data.transactions] names and that is not there; or None."""
        return next((column for column in self._named.values() if column not in names), None)

    @property
    def _named(self) -> dict[str, str]:
        """The columns by their keys in [data.transactions]."""
        t = self.line.of
        columns = {
            "customer": t.customer, "date": t.date, "order": t.order, "amount": t.amount,
            "quantity": t.quantity, "price": t.price,
        }  # fmt: skip
        return {key: column for key, column in columns.items() if column is not None}

    def refusal(self, ask: Ask, place: Place) -> SourceError | None:
        """E-SOURCE-NULL for the first rule that a line breaks; None when none does.

        Args:
            ask: Asks the source.
        """
        faults = self._faults(self._observed(ask))
        counts = ask(
            "SELECT "
            + ", ".join(f"count(CASE WHEN {fault.condition} THEN 1 END)" for fault in faults)
            + f" FROM {self.relation}"
        )
        for fault, count in zip(faults, map(int, counts), strict=True):
            if count:
                return SourceError(
                    f"column {fault.column!r} of the invoice lines: {how_many(count, 'line')} of "
                    f"customers {'has' if count == 1 else 'have'} {fault.what}, the first is "
                    + place(fault.condition),
                    code="E-SOURCE-NULL",
                    remedy=fault.way_out,
                )
        return None

    def _observed(self, ask: Ask) -> str:
        """The observation date, looked up when it follows the latest line."""
        line, since = self.line, self.line.a_day(_ANY_DAY)
        if line.of.observed is not None:
            return line.observed("")
        days = line.say.days.format(since, f"max({line.day})")
        (found,) = ask(f"SELECT {days} FROM {self.relation} WHERE {line.has_customer}")
        return line.observed(line.a_day(_ANY_DAY + timedelta(days=int(found or 0))))

    def _faults(self, observed: str) -> list[LineFault]:
        line, t = self.line, self.line.of
        in_window = f"({line.day} IS NULL OR ({line.counts(line.day, observed)}))"
        fill = "fill it, or leave such lines out; a line without a customer is left out anyhow"
        if t.date_format is None:
            no_day = "no day like 2025-02-07"
            write = (
                "say in date_format of [data.transactions] how days are written, for instance "
                'date_format = "%d.%m.%Y", or write them like 2025-02-07'
            )
        else:
            no_day = f"no day in the form {t.date_format.text}"
            write = "correct date_format in [data.transactions], or write all days in one form"
        faults = [
            (t.date, "nothing", _missing(t.date), fill),
            (t.date, no_day, f"{line.day} IS NULL", write),
            (t.order, "no number of an order", f"{line.number} IS NULL", fill),
        ]
        for column in line.figures:
            faults += [
                (column, "nothing", _missing(column), fill),
                (
                    column,
                    "no number like 1234.5",
                    f"{line.figure(column)} IS NULL",
                    "write numbers with a point, without separators of thousands and units",
                ),
            ]
        return [
            LineFault(
                column=column,
                what=what,
                condition=f"{line.has_customer} AND {condition} AND {in_window}",
                way_out=way_out,
            )
            for column, what, condition, way_out in faults
        ]


def _missing(column: str) -> str:
    return f"{quoted(column)} IS NULL"
