"""A map of segments: circles along two features, with names."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from machine.drawing.numbers import Scale, number_text

_INK: Final = "#1c2733"
_FAINT: Final = "#e4e1d8"
#: The plot's edges: in percent of the width, and in pixels from the top.
_LEFT, _RIGHT = 9.0, 98.0
_TOP_PX, _BOTTOM_PX, _HEIGHT_PX = 30, 390, 440
#: Padding within them, in the same units, so that circles of centres at the bounds stay inside.
_INSET, _INSET_PX = 5.0, 34
#: Radius of a circle without customers, and the largest one's excess over it, in pixels.
_LEAST_PX, _MORE_PX = 12.0, 22.0
#: The width for which names are placed; on a phone they are hidden and only badges are shown.
_WIDTH_PX: Final = 1_010
#: A letter's width is that of a wide font: a reader's machine may have no narrower one.
_LETTER_PX, _LINE_PX = 8.5, 16
#: Least distance of values on an axis, as a part of it.
_TICK_ROOM: Final = 0.08


@dataclass(frozen=True, slots=True, kw_only=True)
class Bubble:
    """A segment: its positions 0 … 1 on both axes, customers, id, name, colour and words."""

    x: float
    y: float
    size: int
    label: str
    name: str
    colour: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """An axis: its title, its scale, and the mean's position on it."""

    title: str
    scale: Scale
    mean: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: _Box) -> float:
        """The area that both cover, in square pixels."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, width) * max(0.0, height)


def bubble_map(bubbles: Sequence[Bubble], x: Axis, y: Axis) -> str:
    """Circles whose areas grow with their customers, the largest drawn first."""
    parts = [*_frame(x, y)]
    order = sorted(range(len(bubbles)), key=lambda i: (-bubbles[i].size, i))
    most = max([1, *(bubble.size for bubble in bubbles)])
    radius = [_LEAST_PX + _MORE_PX * math.sqrt(max(0, b.size) / most) for b in bubbles]
    for index in order:
        bubble = bubbles[index]
        place = f'cx="{_across(bubble.x):.2f}%" cy="{_down(bubble.y):.1f}"'
        parts.append(
            f"<g><title>{escape(f'{bubble.name}: {bubble.words}')}</title>"
            f'<circle {place} r="{radius[index]:.1f}" fill="{bubble.colour}" fill-opacity=".88" '
            'stroke="#fff" stroke-width="2"/></g>'
        )
    parts.extend(
        f'<text class="on" x="{_across(b.x):.2f}%" y="{_down(b.y) + 4:.1f}" '
        f'text-anchor="middle">{escape(b.label)}</text>'
        for b in bubbles
    )
    parts.extend(_names(bubbles, radius, order))
    words = "; ".join(f"{b.label} {b.name}: {b.words}" for b in bubbles)
    return (
        f'<svg width="100%" height="{_HEIGHT_PX}" role="img" '
        f'aria-label="{escape(f"{x.title} and {y.title}. {words}")}">{"".join(parts)}</svg>'
    )


def _across(place: float) -> float:
    return _LEFT + _INSET + place * (_RIGHT - _LEFT - 2 * _INSET)


def _down(place: float) -> float:
    return _BOTTOM_PX - _INSET_PX - place * (_BOTTOM_PX - _TOP_PX - 2 * _INSET_PX)


def _ticks(scale: Scale) -> list[float]:
    """Round values within an axis, not too close together; its ends need not be round."""
    if not scale.logarithmic:
        return scale.ticks()[1:-1] or scale.ticks()
    steps = [m * 10.0**exponent for exponent in range(-2, 10) for m in (1, 2, 5)]
    ticks: list[float] = []
    for value in (0.0, *steps):
        inside = scale.lower <= value <= scale.upper
        if inside and (not ticks or scale.place(value) - scale.place(ticks[-1]) >= _TICK_ROOM):
            ticks.append(value)
    return ticks or [scale.lower, scale.upper]


def _frame(x: Axis, y: Axis) -> Iterator[str]:
    for tick in _ticks(x.scale):
        place = _across(x.scale.place(tick))
        yield (
            f'<line x1="{place:.2f}%" x2="{place:.2f}%" y1="{_TOP_PX}" y2="{_BOTTOM_PX}" '
            f'stroke="{_FAINT}"/><text x="{place:.2f}%" y="{_BOTTOM_PX + 18}" '
            f'text-anchor="middle">{number_text(tick)}</text>'
        )
    for tick in _ticks(y.scale):
        height = _down(y.scale.place(tick))
        yield (
            f'<line x1="{_LEFT}%" x2="{_RIGHT}%" y1="{height:.1f}" y2="{height:.1f}" '
            f'stroke="{_FAINT}"/><text x="{_LEFT - 1}%" y="{height + 4:.1f}" '
            f'text-anchor="end">{number_text(tick)}</text>'
        )
    across, down = _across(x.mean), _down(y.mean)
    dashes = f'stroke="{_INK}" stroke-dasharray="3 3"'
    yield f'<line x1="{across:.2f}%" x2="{across:.2f}%" y1="{_TOP_PX}" y2="{_BOTTOM_PX}" {dashes}/>'
    yield f'<line x1="{_LEFT}%" x2="{_RIGHT}%" y1="{down:.1f}" y2="{down:.1f}" {dashes}/>'
    yield (
        f'<text x="{(_LEFT + _RIGHT) / 2}%" y="{_BOTTOM_PX + 40}" text-anchor="middle">'
        f'{escape(x.title)} →</text><text x="0" y="14">↑ {escape(y.title)}</text>'
    )


def _names(
    bubbles: Sequence[Bubble], radius: Sequence[float], order: Sequence[int]
) -> Iterator[str]:
    """Place each name right, left, below or above, where it covers least of circles and names."""
    taken = [
        _Box(left=cx - r, top=cy - r, right=cx + r, bottom=cy + r)
        for (cx, cy), r in zip(map(_centre, bubbles), radius, strict=True)
    ]
    edge = _Box(left=-1e4, top=-1e4, right=_WIDTH_PX * _LEFT / 100, bottom=1e4)
    beyond = _Box(left=_WIDTH_PX, top=-1e4, right=1e4, bottom=1e4)
    below = _Box(left=-1e4, top=_BOTTOM_PX, right=1e4, bottom=1e4)
    taken += [edge, beyond, below]
    for index in order:
        bubble, r = bubbles[index], radius[index] + 5
        cx, cy = _centre(bubble)
        width = _LETTER_PX * len(bubble.name)
        places = (
            (cx + r, cy, "start", r),
            (cx - r - width, cy, "end", -r),
            (cx - width / 2, cy + r + 9, "middle", 0.0),
            (cx - width / 2, cy - r - 9, "middle", 0.0),
        )
        boxes = [
            _Box(left=left, top=middle - _LINE_PX / 2, right=left + width,
                 bottom=middle + _LINE_PX / 2)
            for left, middle, _, _ in places
        ]  # fmt: skip
        costs = [sum(box.overlap(other) for other in taken) for box in boxes]
        best = costs.index(min(costs))
        taken.append(boxes[best])
        _, middle, anchor, offset = places[best]
        yield (
            f'<text class="name" x="{_across(bubble.x):.2f}%" y="{middle + 4:.1f}" '
            f'dx="{offset:.1f}" text-anchor="{anchor}">{escape(bubble.name)}</text>'
        )


def _centre(bubble: Bubble) -> tuple[float, float]:
    return _across(bubble.x) / 100 * _WIDTH_PX, _down(bubble.y)
