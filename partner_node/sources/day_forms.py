"""How a day is written, read the same in every database: the whole text or nothing.

What databases have for it (``strptime``, ``to_date``, ``str_to_date``) differs in what it lets
pass: other separators, what follows the day, a year of two digits for one of four. Here a form is
one regular expression, in the syntax that all of them share, and the day is put together from its
groups.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Final

#: Two digits of a year from here on are of the century before.
PIVOT: Final = 70

_MONTHS: Final = (
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
)  # fmt: skip
#: Years in which somebody may have bought; 9999-12-31 and 0001-01-01 stand for no day at all.
_YEAR: Final = "(?:19|20)[0-9]{2}"
_MONTH: Final = "(?:0[1-9]|1[0-2])"
_DAY: Final = "(?:0[1-9]|[12][0-9]|3[01])"
_CLOCK: Final = "(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:[.][0-9]+)?)?"
#: An offset from UTC, beside ``Z``.
OFFSET: Final = "[-+](?:0[0-9]|1[0-5])(?::?[0-5][0-9])?"
#: A day, or a point in time, in ISO 8601's extended form, a blank allowed in place of the T.
ISO: Final = f"^{_YEAR}-{_MONTH}-{_DAY}(?:[ T]{_CLOCK}(?:Z|{OFFSET})?)?$"


def _any_case(word: str) -> str:
    return "".join(f"[{letter.upper()}{letter}]" for letter in word)


_MONTH_NAMES: Final = "|".join(map(_any_case, _MONTHS))
#: What a sign stands for: with two digits always, and with one digit where a separator follows.
_SIGNS: Final = {
    "%Y": (_YEAR, _YEAR),
    "%y": ("[0-9]{2}", "[0-9]{2}"),
    "%m": ("0[1-9]|1[0-2]", "0?[1-9]|1[0-2]"),
    "%d": ("0[1-9]|[12][0-9]|3[01]", "0?[1-9]|[12][0-9]|3[01]"),
    "%b": (_MONTH_NAMES, _MONTH_NAMES),
    "%H": ("[01][0-9]|2[0-3]", "[01]?[0-9]|2[0-3]"),
    "%I": ("0[1-9]|1[0-2]", "0?[1-9]|1[0-2]"),
    "%M": ("[0-5][0-9]", "[0-5]?[0-9]"),
    "%S": ("[0-5][0-9]", "[0-5]?[0-9]"),
    "%p": ("[AaPp][Mm]", "[AaPp][Mm]"),
}
DATE_SIGNS: Final = tuple(_SIGNS)
#: The signs of which a form has one each.
_PARTS: Final = {"year": ("%Y", "%y"), "month": ("%m", "%b"), "day": ("%d",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class DayForm:
    """A form of days.

    Attributes:
        text: In the signs of ``date_format``.
        pattern: What the whole text matches; its groups are year, month and day, in some order.
        groups: The numbers of these three groups.
        short_year: Whether the year has two digits.
        named_month: Whether the month is written by its name's first three letters.
    """

    text: str
    pattern: str
    groups: tuple[int, int, int]
    short_year: bool
    named_month: bool

    @staticmethod
    def of(text: str) -> DayForm:
        """The form that these signs describe.

        Raises:
            ValueError: A sign is unknown, or year, month and day do not stand in it once each.
        """
        pieces = re.findall(r"%.?|[^%]+", text)
        signs = [piece for piece in pieces if piece.startswith("%")]
        if unknown := [sign for sign in signs if sign not in _SIGNS]:
            raise ValueError(f"{unknown[0]} is none of its signs")
        for name, forms in _PARTS.items():
            if sum(signs.count(sign) for sign in forms) != 1:
                raise ValueError(f"it needs the {name} once, as {' or '.join(forms)}")
        if "%p" in signs and "%H" in signs:
            raise ValueError("%p belongs beside %I, hours from 1 to 12, and not beside %H")
        pattern, order = "", []
        for i, piece in enumerate(pieces):
            if not piece.startswith("%"):
                pattern += "".join(map(_itself, piece))
                continue
            before, after = ("".join(pieces[i - 1 : i])[-2:], "".join(pieces[i + 1 : i + 2]))
            runs_on = before in _SIGNS or after in _SIGNS
            runs_on |= before[-1:].isdigit() or after[:1].isdigit()
            what = _SIGNS[piece][0 if runs_on else 1]
            part = next((name for name, forms in _PARTS.items() if piece in forms), None)
            pattern += f"({what})" if part else f"(?:{what})"
            order += [part] if part else []
        year, month, day = (order.index(name) + 1 for name in _PARTS)
        return DayForm(
            text=text,
            pattern=f"^{pattern}$",
            groups=(year, month, day),
            short_year="%y" in signs,
            named_month="%b" in signs,
        )

    def day_of(self, found: re.Match[str]) -> date:
        """The day that a text says; raises ValueError when it is in no calendar.

        Args:
            found: The text's match of `pattern`.
        """
        year, month, day = (found[group] for group in self.groups)
        years = int(year)
        if self.short_year:
            years += 2000 if years < PIVOT else 1900
        return date(
            years, _MONTHS.index(month.lower()) + 1 if self.named_month else int(month), int(day)
        )

    def parts(self, group: Callable[[int], str], number: Callable[[str], str]) -> tuple[str, ...]:
        """Year, month and day in SQL, as numbers.

        Args:
            group: The text of a group, by its number.
            number: A text of digits as a whole number.
        """
        year, month, day = map(group, self.groups)
        if self.named_month:
            cases = " ".join(f"WHEN '{name}' THEN {i}" for i, name in enumerate(_MONTHS, start=1))
            months = f"CASE lower({month}) {cases} END"
        else:
            months = number(month)
        years = number(year)
        if self.short_year:
            years = f"({years} + CASE WHEN {years} < {PIVOT} THEN 2000 ELSE 1900 END)"
        return years, months, number(day)


def _itself(character: str) -> str:
    """A character of a form that stands for itself."""
    return character if character.isalnum() or character == " " else f"[{character}]"
