"""Formatting of numbers, and axes, for drawings and reports."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """An axis from the lower to the upper agreed bound, linear or in log(1 + x)."""

    lower: float
    upper: float
    logarithmic: bool

    def place(self, value: float) -> float:
        """The position of a value on the axis, 0 … 1; values beyond the bounds are at the ends.

        >>> Scale(lower=0, upper=99, logarithmic=True).place(9)
        0.5
        """
        low, high = self._transformed(self.lower), self._transformed(self.upper)
        if high <= low:
            return 0.5
        return min(1.0, max(0.0, (self._transformed(value) - low) / (high - low)))

    def value(self, place: float) -> float:
        """The value at a position on the axis; the inverse of `place`."""
        low, high = self._transformed(self.lower), self._transformed(self.upper)
        transformed = low + place * (high - low)
        return math.expm1(transformed) if self.logarithmic else transformed

    def ticks(self) -> list[float]:
        """A few round values along the axis and both bounds, not too close together."""
        inner = self._powers() if self.logarithmic else self._steps()
        ticks = [self.lower]
        for tick in inner:
            room = 0.11
            if self.place(tick) - self.place(ticks[-1]) >= room <= 1 - self.place(tick):
                ticks.append(tick)
        return [*ticks, self.upper]

    def _transformed(self, value: float) -> float:
        return math.log1p(max(value, 0.0)) if self.logarithmic else value

    def _powers(self) -> list[float]:
        powers = [10.0**exponent for exponent in range(-2, 10)]
        return [power for power in powers if self.lower < power < self.upper]

    def _steps(self) -> list[float]:
        width = self.upper - self.lower
        if not width > 0 or not math.isfinite(width):
            return []
        raw = width / 5
        size = 10.0 ** math.floor(math.log10(raw))
        step = next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= raw)
        first = math.floor(self.lower / step) + 1
        return [step * n for n in range(first, first + 12) if step * n < self.upper]


def number_text(value: float) -> str:
    """A number with three significant digits.

    Digits before the point are always kept, and whole numbers get none after it.

    >>> [number_text(v) for v in (0, 0.01234, 3.14159, 42.42, 987.6, 12345.6, -0.0001)]
    ['0', '0.0123', '3.14', '42.4', '988', '12,346', '-0.0001']
    """
    size = abs(value)
    if not math.isfinite(value):
        return "–"
    if size == 0 or (value == int(value) and size >= 1):
        return f"{value:,.0f}"
    if size >= 1:
        return f"{value:,.{max(0, 2 - math.floor(math.log10(size)))}f}"
    return f"{value:.3g}"


def range_text(low: float, high: float) -> str:
    """A range, for people."""
    return f"{number_text(low)} – {number_text(high)}"


def with_unit(value: float, unit: str) -> str:
    """A number and its unit."""
    return f"{number_text(value)} {unit}".strip()


def count_text(count: int) -> str:
    """A count with separators of thousands.

    >>> count_text(1234567)
    '1,234,567'
    """
    return f"{count:,}"


def bytes_text(count: int) -> str:
    """A number of bytes in a suitable unit (1 kB = 1,000 bytes).

    >>> [bytes_text(n) for n in (0, 999, 12_345, 3_000_000)]
    ['0 B', '999 B', '12.3 kB', '3 MB']
    """
    for limit, unit in ((1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")):
        if count >= limit:
            return f"{number_text(count / limit)} {unit}"
    return f"{count} B"
