"""The texts of notices, one file a language, and how that language writes dates and numbers."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from protocol.errors import UsageError

_FOLDER: Final = Path(__file__).parent / "texts"
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
#: Days of a year, where a number of days is told in years too.
_YEAR: Final = 365


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The texts of one language.

    Attributes:
        language: As in BCP 47, such as ``de``.
    """

    language: str
    _texts: Mapping[str, Mapping[str, str]]

    def text(self, part: str, key: str, **values: object) -> str:
        """A text, with values in place of the names in braces."""
        return self._texts[part][key].format_map({k: str(v) for k, v in values.items()})

    def known(self, part: str, key: str) -> str | None:
        """A word of a table, such as a country's name; None for one that is not in it."""
        return self._texts[part].get(key)

    def part(self, name: str) -> Mapping[str, str]:
        """All texts of a part, by their keys."""
        return self._texts[name]

    def number(self, value: int) -> str:
        """A whole number, its thousands set apart."""
        return f"{value:,}".replace(",", self.text("form", "thousands"))

    def date(self, day: datetime) -> str:
        """A day, with the name of its month."""
        month = self.text("months", str(day.month))
        return self.text("form", "date", day=day.day, month=month, year=day.year)

    def days(self, count: int) -> str:
        """A number of days, where it is whole years in these too."""
        years, rest = divmod(count, _YEAR)
        form = "days" if rest or not years else "year" if years == 1 else "years"
        return self.text("kept", form, count=self.number(count), years=self.number(years))

    def chance(self, value: float) -> str:
        """A small chance as one in so many, rounded so that it is not told smaller than it is."""
        many = int(1 / value)
        grain = 10 ** max(0, len(str(many)) - 2)
        return self.text("form", "one_in", many=self.number(many // grain * grain))

    def listed(self, items: Sequence[str]) -> str:
        """Some things in a sentence."""
        if len(items) < 2:
            return "".join(items)
        *first, last = items
        between = self.text("form", "list_between")
        return between.join(first) + self.text("form", "list_last") + last


def languages() -> tuple[str, ...]:
    """The languages that there are texts in."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


@cache
def catalogue_of(language: str) -> Catalogue:
    """The texts of a language.

    Raises:
        UsageError: There are none (E-NOTICE-LANGUAGE).
    """
    if not _LANGUAGE.fullmatch(language) or language not in languages():
        raise UsageError(
            f"there are no texts of notices in {language!r}",
            code="E-NOTICE-LANGUAGE",
            remedy=f"there are: {', '.join(languages())}; another language is one more file beside "
            "these, with the same keys (docs/notices.md)",
        )
    texts: dict[str, Any] = tomllib.loads(
        (_FOLDER / f"{language}.toml").read_text(encoding="utf-8")
    )
    return Catalogue(language, texts)
