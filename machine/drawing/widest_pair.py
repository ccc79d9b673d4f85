"""A map of points along the two of their features that keep them farthest apart."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from machine.drawing.bubbles import Axis, Bubble, bubble_map
from machine.drawing.numbers import Scale, with_unit

FloatMatrix = npt.NDArray[np.float64]

#: Number of features, those that differ most, that are tried for the map.
_LIKELY: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """A feature along which points lie: its name, its unit and its whole scale."""

    label: str
    unit: str
    scale: Scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point to draw: one value a direction, and what is written at it.

    Attributes:
        size: What its circle's area grows with; it also weighs the mean.
        words: What it is beside its values, such as its size in words.
    """

    values: tuple[float, ...]
    size: int
    label: str
    name: str
    colour: str
    words: str


def places_of(points: Sequence[Point], directions: Sequence[Direction]) -> FloatMatrix:
    """Every point's positions on the scales, 0 … 1, shape ``(n_points, n_directions)``."""
    return np.array(
        [[d.scale.place(v) for d, v in zip(directions, p.values, strict=True)] for p in points]
    ).reshape(len(points), len(directions))


def mean_place(places: FloatMatrix, sizes: Sequence[int]) -> FloatMatrix:
    """The mean of positions, weighed by sizes; unweighed where nothing has one."""
    weights = np.array(sizes, dtype=np.float64)
    if weights.sum() <= 0:
        weights = np.ones_like(weights)
    if not len(weights):
        return np.zeros(places.shape[1])
    mean: FloatMatrix = weights @ places / weights.sum()
    return mean


def map_of(points: Sequence[Point], directions: Sequence[Direction]) -> str:
    """The map as inline SVG; empty with fewer than two points or directions.

    Dashed lines are the mean. Axes show where points lie, not the whole scale.
    """
    if len(points) < 2 or len(directions) < 2:
        return ""
    places = places_of(points, directions)
    mean = mean_place(places, [point.size for point in points])
    x, y = _widest_pair(places, mean)
    across, up = (_axis(directions[i], places[:, i], float(mean[i])) for i in (x, y))
    bubbles = [
        Bubble(
            x=across.scale.place(point.values[x]),
            y=up.scale.place(point.values[y]),
            size=point.size,
            label=point.label,
            name=point.name,
            colour=point.colour,
            words=f"{with_unit(point.values[x], directions[x].unit)}, "
            f"{with_unit(point.values[y], directions[y].unit)}, {point.words}",
        )
        for point in points
    ]
    return bubble_map(bubbles, across, up)


def _axis(about: Direction, places: FloatMatrix, mean: float) -> Axis:
    """The part of a direction's scale in which the points lie, with a margin."""
    room = 0.05 + 0.06 * float(np.ptp(places))
    scale = Scale(
        lower=about.scale.value(max(0.0, float(places.min()) - room)),
        upper=about.scale.value(min(1.0, float(places.max()) + room)),
        logarithmic=about.scale.logarithmic,
    )
    unit = "" if about.unit.lower() == about.label.lower() else about.unit
    return Axis(
        title=f"{about.label}, {unit}".rstrip(", ")
        + (" (logarithmic)" if about.scale.logarithmic else ""),
        scale=scale,
        mean=scale.place(about.scale.value(mean)),
    )


def _widest_pair(places: FloatMatrix, mean: FloatMatrix) -> tuple[int, int]:
    """The two of the most different directions whose closest two points are farthest apart."""
    spread = ((2 * (places - mean)) ** 2).sum(axis=0)
    likely = sorted(np.argsort(-spread, kind="stable")[:_LIKELY].tolist())
    rows = list(itertools.combinations(range(len(places)), 2))
    one, other = (places[list(side)] for side in zip(*rows, strict=True))
    squared = (one - other) ** 2

    def room(pair: tuple[int, int]) -> tuple[float, float]:
        return float(squared[:, list(pair)].sum(axis=1).min()), float(spread[list(pair)].sum())

    return max(itertools.combinations(likely, 2), key=room)
