"""When runs are due by themselves: moments that every party derives from the agreement alone.

All times are UTC, which has no summer time. A month that lacks the first day's number has its
moment on its last day; the next month with that number has it there again. SPEC.md, 6.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, Self

from protocol.errors import MalformedError
from protocol.schema import Part
from protocol.strict import Fields

DAYS: Final = "days"
WEEKS: Final = "weeks"
MONTHS: Final = "months"
#: The longest interval of each unit, about ten years; and the days that one surely has.
_MOST: Final = {DAYS: 3_660, WEEKS: 520, MONTHS: 120}
_SURE_DAYS: Final = {DAYS: 1, WEEKS: 7, MONTHS: 28}
_DAY: Final = r"\d{4}-\d{2}-\d{2}"
_TIME: Final = r"([01]\d|2[0-3]):[0-5]\d"
#: The last year of which every moment is a time that there is.
_LAST_YEAR: Final = 9_998


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Moment:
    """When a run is due.

    Attributes:
        at: From when, UTC.
        until: Until when it may begin, UTC; not included.
    """

    at: datetime
    until: datetime

    def to_dict(self) -> dict[str, str]:
        """It as JSON values."""
        return {"at": _text(self.at), "until": _text(self.until)}

    @property
    def words(self) -> str:
        """It for people."""
        end = f"{self.until:%H:%M}"
        if self.until.date() != self.at.date():
            end = f"{self.until:%Y-%m-%d %H:%M}"
        return f"{self.at:%Y-%m-%d %H:%M} to {end} UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleTerms(Part):
    """Every how many days, weeks or months a run is due, since when, and for how long.

    Attributes:
        every: How many `unit`s lie between two moments.
        unit: `DAYS`, `WEEKS` or `MONTHS`.
        first_day: The day of the first moment.
        at: The time of day, UTC, ``HH:MM``.
        window_hours: For how long after a moment its run may begin; shorter than the interval.
    """

    every: int
    unit: str
    first_day: date
    at: str
    window_hours: int

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        unit = fields.one_of("unit", (DAYS, WEEKS, MONTHS))
        every = fields.integer("every", at_least=1, at_most=_MOST[unit])
        return cls(
            every=every,
            unit=unit,
            first_day=_day(fields, "first_day"),
            at=fields.text("at", max_length=5, pattern=_TIME),
            window_hours=fields.integer(
                "window_hours", at_least=1, at_most=24 * every * _SURE_DAYS[unit]
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "every": self.every,
            "unit": self.unit,
            "first_day": self.first_day.isoformat(),
            "at": self.at,
            "window_hours": self.window_hours,
        }

    @property
    def words(self) -> str:
        """The rule, for people."""
        often = f"every {self.every} {self.unit}" if self.every > 1 else f"every {self.unit[:-1]}"
        hours = "an hour" if self.window_hours == 1 else f"{self.window_hours} hours"
        day = ""
        if self.unit == MONTHS and self.first_day.day > 28:
            day = "; in a shorter month on its last day"
        return f"{often} from {self.first_day} at {self.at} UTC, within {hours}{day}"

    def moments(self, begin: datetime, end: datetime) -> Iterator[Moment]:
        """Every moment from `begin` to `end`, both included, the earliest first."""
        number = self._number_near(begin)
        while (moment := self._moment(number)) is not None and moment.at <= end:
            if moment.at >= begin:
                yield moment
            number += 1

    def latest(self, begin: datetime, end: datetime) -> Moment | None:
        """The last moment from `begin` to `end`, both included; None when there is none."""
        number = self._number_near(end) + 1
        while number >= 0:
            moment = self._moment(number)
            if moment is not None and moment.at <= end:
                return moment if moment.at >= begin else None
            number -= 1
        return None

    def _number_near(self, time: datetime) -> int:
        """A number whose moment, if any, is not after `time`, and that is close to it."""
        if self.unit == MONTHS:
            months = _months(time.date()) - _months(self.first_day)
            return max(0, months // self.every - 1)
        days = (time.date() - self.first_day).days
        return max(0, days // (self.every * _SURE_DAYS[self.unit]) - 1)

    def _moment(self, number: int) -> Moment | None:
        """The moment with a number, from 0; None beyond the times that there are."""
        try:
            day = self._day_of(number)
        except (OverflowError, ValueError):
            return None
        if day.year > _LAST_YEAR:
            return None
        at = datetime.combine(day, time.fromisoformat(self.at), tzinfo=UTC)
        return Moment(at=at, until=at + timedelta(hours=self.window_hours))

    def _day_of(self, number: int) -> date:
        """Always counted from the first day, so that a short month shifts no later one."""
        if self.unit == MONTHS:
            months = _months(self.first_day) + number * self.every
            year, month = divmod(months, 12)
            last = monthrange(year, month + 1)[1]
            return date(year, month + 1, min(self.first_day.day, last))
        return self.first_day + timedelta(days=number * self.every * _SURE_DAYS[self.unit])


def _months(day: date) -> int:
    return 12 * day.year + day.month - 1


def _day(fields: Fields, name: str) -> date:
    text = fields.text(name, max_length=10, pattern=_DAY)
    try:
        found = date.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or not 1900 <= found.year <= _LAST_YEAR:
        raise MalformedError(f"{fields.path(name)} is {text!r}, expected a day like 2026-01-31")
    return found


def _text(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
