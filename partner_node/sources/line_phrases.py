"""Phrases of a database's SQL for the queries of `transactions` over invoice lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LinePhrases:
    """Phrases of one database's SQL; ``{0}`` and ``{1}`` stand for expressions.

    Attributes:
        text: A value as text.
        as_id: A text from `text`, as an id.
        number: A value as a number; NULL or an error when it is not one.
        day: An ISO date or time as its day; NULL or an error when it is not one.
        day_as: A text as its day, by the format in ``{1}``.
        a_day: A day, written as a text.
        later: The day a number of days after another.
        days: Days from the first to the second.
        double: A number as a double.
        written: Translates a format in the signs of ``date_format`` to the database's own.
    """

    text: str
    number: str
    day: str
    day_as: str
    a_day: str
    later: str
    days: str
    double: str
    written: Callable[[str], str] = str
    as_id: str = "{0}"
