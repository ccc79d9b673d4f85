"""How a database writes what `transactions` asks of invoice lines: one place for each phrase."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LinePhrases:
    """Phrases of one database's SQL; ``{0}`` and ``{1}`` stand for expressions.

    Attributes:
        text: A value as text.
        as_id: A text, as `text` gives it, as an id.
        number: A value as a number, NULL or refused when it is none.
        day: An ISO date or time as its day, NULL or refused when it is none.
        day_as: A text as its day, by the format in ``{1}``.
        a_day: A day, written as a text.
        later: The day so many days after another.
        days: Days from the first to the second.
        double: A number as a double.
        written: How the database writes a format of days in the signs of ``date_format``.
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
