"""Interleaved timing and the tables that measurements are shown in.

What is compared is measured in turns (A B A B …), so that a busy moment of the machine falls on
all sides; a ratio is taken turn by turn. Nothing here asserts a time.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Median and range of a measured number."""

    median: float
    low: float
    high: float
    count: int

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        """The spread of at least one value."""
        return Spread(
            median=statistics.median(values), low=min(values), high=max(values), count=len(values)
        )

    def scaled(self, factor: float) -> Spread:
        """The same in another unit."""
        return Spread(
            median=self.median * factor,
            low=self.low * factor,
            high=self.high * factor,
            count=self.count,
        )

    def to_dict(self) -> dict[str, Any]:
        """The spread as JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __str__(self) -> str:
        if self.count == 1:
            return figure(self.median)
        return f"{figure(self.median)} ({figure(self.low)}–{figure(self.high)})"


Cell = Spread | int | float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The results of one measurement.

    Attributes:
        name: The benchmark's name.
        title: What was measured, with the setting.
        baseline: What the ratios are to.
        columns: Headings, with units.
        rows: One cell per column.
        notes: What a reader has to know to interpret the figures.
    """

    name: str
    title: str
    baseline: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The table as JSON values; a spread as its median, range and count."""
        return {
            "name": self.name,
            "title": self.title,
            "baseline": self.baseline,
            "rows": [
                {
                    heading: cell.to_dict() if isinstance(cell, Spread) else cell
                    for heading, cell in zip(self.columns, row, strict=True)
                }
                for row in self.rows
            ],
            "notes": list(self.notes),
        }

    def to_markdown(self) -> str:
        """The table as Markdown."""
        lines = [f"**{self.title}.** Baseline: {self.baseline}.", ""]
        lines.append(f"| {' | '.join(self.columns)} |")
        lines.append("|" + "---|" * len(self.columns))
        lines += [f"| {' | '.join(shown(cell) for cell in row)} |" for row in self.rows]
        lines += ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n".join(lines)


def shown(cell: Cell) -> str:
    """A cell as text."""
    if isinstance(cell, float):
        return figure(cell)
    if isinstance(cell, int):
        return f"{cell:,}"
    return str(cell)


def figure(value: float) -> str:
    """A number with three significant digits.

    >>> figure(1234567.0), figure(12.345), figure(0.012345), figure(0.0)
    ('1,230,000', '12.3', '0.0123', '0')
    """
    if value == 0:
        return "0"
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:.10g}"


def seconds_of(action: Callable[[], object]) -> float:
    """Wall-clock seconds of one call, with the garbage collector held back."""
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        action()
        return time.perf_counter() - start
    finally:
        gc.enable()


def interleaved(
    actions: Mapping[str, Callable[[], float]], *, turns: int, warm_up: bool = True
) -> dict[str, tuple[float, ...]]:
    """Call the actions in turns.

    Args:
        actions: Each measures itself and returns its figure, e.g. seconds.
        turns: How often each is called, apart from one call to warm up.

    Returns:
        The figures by name, one a turn.
    """
    if warm_up:
        for action in actions.values():
            action()
    taken: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(turns):
        for name, action in actions.items():
            taken[name].append(action())
    return {name: tuple(values) for name, values in taken.items()}


def ratios(measured: Sequence[float], baseline: Sequence[float]) -> Spread:
    """Ratio to the baseline, turn by turn."""
    return Spread.of([a / b for a, b in zip(measured, baseline, strict=True)])
