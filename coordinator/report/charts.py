"""The report's charts: inline SVG with coordinates in percent, so that text keeps its size."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from machine.drawing.numbers import Scale, number_text

_INK: Final = "#1c2733"
_FAINT: Final = "#d8d5cc"
_MUTED: Final = "#5a6570"
_ACCENT: Final = "#0f5c63"
#: Margins left and right of a strip's axis, in percent of the width.
_SIDE: Final = 4.0
#: Dots closer than this, in percent of the width, are stacked.
_DOT_ROOM: Final = 6.0
_LANE_PX: Final = 21
#: Left and right edge of the plots of rounds, in percent of the width.
_LEFT, _RIGHT = 13.0, 98.0
_TOP_PX, _BOTTOM_PX, _HEIGHT_PX = 12, 172, 218


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A segment on a strip: its position 0 … 1, its id or number, colour and words."""

    place: float
    number: str
    colour: str
    label: str


def bar(part: float, colour: str) -> str:
    """A horizontal bar that fills `part` of its width; its number is printed beside it."""
    width = 100 * min(1.0, max(0.0, part))
    return (
        '<svg class="bar" width="100%" height="16" aria-hidden="true">'
        '<rect width="100%" height="16" rx="3" fill="#ece9e1"/>'
        f'<rect width="{max(width, 0.6):.2f}%" height="16" rx="3" fill="{colour}"/></svg>'
    )


def badge(label: str, colour: str) -> str:
    """A segment's id on its colour."""
    width = 18 + 8 * len(label)
    return (
        f'<svg class="badge" width="{width}" height="24" role="img" aria-label="{escape(label)}">'
        f'<rect width="{width}" height="24" rx="12" fill="{colour}"/>'
        f'<text class="on" x="{width / 2:g}" y="16" text-anchor="middle">{escape(label)}</text>'
        "</svg>"
    )


def diverging(strength: float) -> str:
    """A light colour for -1 (ochre: below) … 0 (paper) … 1 (teal: above); dark text fits on all.

    >>> diverging(0.0)
    '#fbfaf7'
    """
    end = (125, 193, 194) if strength > 0 else (238, 178, 116)
    part = min(1.0, abs(strength))
    mixed = [round(a + (b - a) * part) for a, b in zip((251, 250, 247), end, strict=True)]
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def strip(dots: Sequence[Dot], *, mean: float, scale: Scale, title: str) -> str:
    """Numbered dots along one axis, with a dashed line at the mean."""
    lanes = _lanes(dots)
    base = _LANE_PX * (max(lanes, default=0) + 1) + 8
    parts = [
        f'<line x1="{_SIDE}%" x2="{100 - _SIDE}%" y1="{base}" y2="{base}" stroke="{_MUTED}"/>',
    ]
    for tick in scale.ticks():
        place = _percent(scale.place(tick))
        parts.append(
            f'<line x1="{place}%" x2="{place}%" y1="{base}" y2="{base + 5}" stroke="{_MUTED}"/>'
            f'<text x="{place}%" y="{base + 19}" text-anchor="middle">{number_text(tick)}</text>'
        )
    place = _percent(mean)
    parts.append(
        f'<line x1="{place}%" x2="{place}%" y1="0" y2="{base}" stroke="{_INK}" '
        'stroke-dasharray="3 3"/>'
    )
    for dot, lane in zip(dots, lanes, strict=True):
        y = base - 6 - _LANE_PX // 2 - lane * _LANE_PX
        parts.append(
            f"<g><title>{escape(dot.label)}</title>"
            f'<circle cx="{_percent(dot.place)}%" cy="{y}" r="10" fill="{dot.colour}" '
            'stroke="#fff" stroke-width="1.5"/>'
            f'<text class="on" x="{_percent(dot.place)}%" y="{y + 4}" text-anchor="middle">'
            f"{escape(dot.number)}</text></g>"
        )
    words = "; ".join(f"{dot.number} {dot.label}" for dot in dots)
    return _svg(parts, height=base + 24, title=title, description=words)


def line(points: Sequence[tuple[int, float]], *, title: str) -> str:
    """A line chart of (round, value); its axis covers only the values' range."""
    values = [value for _, value in points]
    parts, place_y = _frame(values, from_zero=False)
    places = [(_round_place(index, len(points)), place_y(v)) for index, v in enumerate(values)]
    for (x1, y1), (x2, y2) in itertools.pairwise(places):
        parts.append(
            f'<line x1="{x1:.2f}%" y1="{y1:.1f}" x2="{x2:.2f}%" y2="{y2:.1f}" '
            f'stroke="{_ACCENT}" stroke-width="2" stroke-linecap="round"/>'
        )
    radius = 4 if len(points) <= 30 else 2
    for (x, y), (number, value) in zip(places, points, strict=True):
        parts.append(
            f'<circle cx="{x:.2f}%" cy="{y:.1f}" r="{radius}" fill="{_ACCENT}">'
            f"<title>round {number}: {value:.5f}</title></circle>"
        )
    parts.extend(_round_labels([number for number, _ in points]))
    words = f"from {number_text(values[0])} in the first to {number_text(values[-1])} in the last"
    return _svg(parts, height=_HEIGHT_PX, title=title, description=words)


def columns(points: Sequence[tuple[int, float]], *, title: str) -> str:
    """A column chart with one column per round, from zero."""
    values = [value for _, value in points]
    parts, place_y = _frame(values, from_zero=True)
    width = min(6.0, 0.7 * (_RIGHT - _LEFT) / max(1, len(points)))
    for index, (number, value) in enumerate(points):
        x, y = _round_place(index, len(points)) - width / 2, place_y(value)
        parts.append(
            f'<rect x="{x:.2f}%" y="{y:.1f}" width="{width:.2f}%" '
            f'height="{max(0.0, _BOTTOM_PX - y):.1f}" fill="{_ACCENT}">'
            f"<title>round {number}: {value:.3f} s</title></rect>"
        )
    parts.extend(_round_labels([number for number, _ in points]))
    words = f"between {number_text(min(values))} and {number_text(max(values))} seconds"
    return _svg(parts, height=_HEIGHT_PX, title=title, description=words)


def _svg(parts: Sequence[str], *, height: int, title: str, description: str) -> str:
    return (
        f'<svg width="100%" height="{height}" role="img" '
        f'aria-label="{escape(title)}. {escape(description)}">{"".join(parts)}</svg>'
    )


def _percent(place: float) -> str:
    return f"{_SIDE + place * (100 - 2 * _SIDE):.2f}"


def _lanes(dots: Sequence[Dot]) -> list[int]:
    """The lane of every dot: no two dots of a lane touch, and low lanes are filled first."""
    last: list[float] = []
    lanes = [0] * len(dots)
    for index in sorted(range(len(dots)), key=lambda i: (dots[i].place, i)):
        x = dots[index].place * (100 - 2 * _SIDE)
        free = next((lane for lane, end in enumerate(last) if x - end >= _DOT_ROOM), len(last))
        if free == len(last):
            last.append(x)
        last[free] = x
        lanes[index] = free
    return lanes


def _frame(values: Sequence[float], *, from_zero: bool) -> tuple[list[str], _Place]:
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    high, low = max(finite), min(finite)
    if from_zero:
        low = min(0.0, low)
    width = high - low or abs(high) or 1.0
    step = _round_step(width / (3 if from_zero else 5))
    if from_zero:
        first, last = math.floor(low / step), max(1, math.ceil(high / step))
        axis = Scale(lower=first * step, upper=last * step, logarithmic=False)
    else:  # a margin around the values; lines at round values within
        room = width * (0.08 if high > low else 0.5)
        lowest = max(0.0, low - room) if low >= 0 else low - room
        axis = Scale(lower=lowest, upper=high + room, logarithmic=False)
        first, last = math.ceil(axis.lower / step), math.floor(axis.upper / step)
    place = _Place(axis)
    decimals = max(0, -math.floor(math.log10(step)))  # enough to distinguish the lines
    parts = []
    for number in range(first, last + 1):
        y = place(number * step)
        parts.append(
            f'<line x1="{_LEFT}%" x2="{_RIGHT}%" y1="{y:.1f}" y2="{y:.1f}" stroke="{_FAINT}"/>'
            f'<text x="{_LEFT - 1.5}%" y="{y + 4:.1f}" text-anchor="end">'
            f"{number * step:,.{decimals if number else 0}f}</text>"
        )
    return parts, place


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next((power * m for m in (1, 2, 5) if power * m >= least), power * 10)


@dataclass(frozen=True, slots=True)
class _Place:
    """Position of a value in a plot of rounds, in pixels from the top."""

    axis: Scale

    def __call__(self, value: float) -> float:
        return _BOTTOM_PX - self.axis.place(value) * (_BOTTOM_PX - _TOP_PX)


def _round_place(index: int, n_rounds: int) -> float:
    inset = 4.0
    if n_rounds == 1:
        return (_LEFT + _RIGHT) / 2
    return _LEFT + inset + index / (n_rounds - 1) * (_RIGHT - _LEFT - 2 * inset)


def _round_labels(numbers: Sequence[int]) -> list[str]:
    every = max(1, math.ceil(len(numbers) / 12))
    last = len(numbers) - 1
    name = (
        f'<text x="{(_LEFT + _RIGHT) / 2}%" y="{_BOTTOM_PX + 40}" text-anchor="middle">round</text>'
    )
    return [
        name,
        *(
            f'<text x="{_round_place(index, len(numbers)):.2f}%" y="{_BOTTOM_PX + 20}" '
            f'text-anchor="middle">{number}</text>'
            for index, number in enumerate(numbers)
            if index == last or (index % every == 0 and last - index >= every)
        ),
    ]
