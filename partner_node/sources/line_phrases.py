"""Phrases of a database's SQL for the queries of `transactions` over invoice lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from partner_node.sources.day_forms import DayForm

#: How a number is written in a text: what every database holds as it is, up to 10^34.
NUMBER: Final = (
    "^ {0,9}[-+]?(?:[0-9]{1,15}(?:[.][0-9]{0,30})?|[.][0-9]{1,30})"
    "(?:[eE](?:[+]?[01]?[0-9]|-[0-9]{1,2}))? {0,9}$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinePhrases:
    """Phrases of one database's SQL; ``{0}`` and ``{1}`` stand for expressions.

    Attributes:
        text: A value as text.
        as_id: A text, as `text` gives it, as an id.
        number: A value as a number, NULL when it is none: see `NUMBER`.
        day: An ISO date or time as its day in UTC, NULL when it is none: see `day_forms.ISO`.
        day_as: A value as its day by a form, NULL when it is none.
        a_day: A day, written as a text.
        later: The day a number of days after another.
        days: Days from the first to the second.
        double: A number as a double.
    """

    text: str
    number: str
    day: str
    day_as: Callable[[str, DayForm], str]
    a_day: str
    later: str
    days: str
    double: str
    as_id: str = "{0}"


def phrase(sql: str) -> str:
    """A phrase written with ``@`` for the expression, so that braces in it stand for themselves."""
    return sql.replace("{", "{{").replace("}", "}}").replace("@", "{0}")
