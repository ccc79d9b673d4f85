"""Noised sums around some centres: the query, decoding, and moving the centres."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt, sqrt

import numpy as np

from protocol.clustering.plane import GRID, Plane
from protocol.clustering.portable import FloatVector, james_stein, product, shortened
from protocol.noised_queries import LocalSumsQuery
from protocol.queries import IntMatrix
from protocol.ring import UNIT, IntVector
from protocol.scaling import FloatMatrix


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTotals:
    """Decoded totals.

    Attributes:
        offsets: Sum of shortened offsets, in the scaled cube, shrunk, shape
            ``(n_clusters, n_features)``.
        counts: Noised counts, shape ``(n_clusters,)``.
        count_sigma: Standard deviation of a count's noise.
        offset_sigma: Standard deviation of the noise in a coordinate of `offsets`.
    """

    offsets: FloatMatrix
    counts: FloatVector
    count_sigma: float
    offset_sigma: float


def local_query(centres: IntMatrix, *, radius: float, tilt: float, variance: int) -> LocalSumsQuery:
    """The query around `centres`.

    Args:
        radius: In the scaled cube.
        tilt: How much more of the budget goes to the sums than to the counts, in units of twice
            the square root of the number of features.
        variance: The noise for a sensitivity of `UNIT`, which the query does not exceed.
    """
    n_features = centres.shape[1]
    ratio = tilt * sqrt(4.0 * n_features)
    square = float(UNIT * UNIT)
    return LocalSumsQuery(
        centres=centres,
        radius=max(1, round(radius * GRID)),
        offset_norm=isqrt(int(square * ratio / (1.0 + ratio))),
        count_unit=isqrt(int(square / (1.0 + ratio))),
        variance=variance,
    )


def decode(
    query: LocalSumsQuery,
    total: IntVector,
    *,
    variance: int,
    plane: Plane | None,
) -> LocalTotals:
    """Decode a total to the cube's units.

    Args:
        variance: Of the noise in the total.
        plane: Where customers vary: sums are shrunk inside and outside of it. None does not
            shrink.
    """
    table = total.reshape(query.n_clusters, query.n_features + 1).astype(np.float64)
    sigma = sqrt(float(variance))
    per_unit = query.radius / GRID / query.offset_norm
    sums = table[:, :-1] * per_unit
    offset_sigma = sigma * per_unit
    noise = offset_sigma * offset_sigma
    if plane is None:
        shrunk = sums
    elif plane.is_whole:
        shrunk = james_stein(sums, noise, query.n_features)
    else:
        directions = plane.directions
        inside = product(product(sums, directions), directions.T)
        outside = query.n_features - plane.n_dimensions
        shrunk = james_stein(inside, noise, plane.n_dimensions)
        shrunk = shrunk + james_stein(sums - inside, noise, outside)
    return LocalTotals(
        offsets=shrunk,
        counts=table[:, -1] / query.count_unit,
        count_sigma=sigma / query.count_unit,
        offset_sigma=offset_sigma,
    )


def fused(
    found: LocalTotals,
    before: FloatVector,
    variance: FloatVector,
    *,
    drift: float,
    comparable: bool = True,
) -> tuple[FloatVector, FloatVector]:
    """Counts that were found and those known before, fused by their precision.

    A difference beyond what both noises explain is a real change: what was known before then counts
    as less precise by that much.

    Args:
        before, variance: The counts known before and the variance of each.
        drift: Standard deviation of what may have changed since.
        comparable: Whether both count the same partners' customers; else those known before tell
            nothing of these.

    Returns:
        The counts, and the variance of each.
    """
    noise = found.count_sigma**2
    if not comparable:
        return found.counts, np.full(found.counts.shape[0], noise)
    surprise = np.maximum((found.counts - before) ** 2 - (variance + noise), 0.0)
    loose = variance + drift**2 + surprise
    counts = (found.counts / noise + before / loose) / (1.0 / noise + 1.0 / loose)
    return counts, 1.0 / (1.0 / loose + 1.0 / noise)


def moved(
    query: LocalSumsQuery, offsets: FloatMatrix, counts: FloatVector, limit: IntVector
) -> IntMatrix:
    """The centres moved by their mean offset, by the radius at most.

    Args:
        offsets: Sums in the scaled cube.
        counts: The divisor of each, above 0.
    """
    steps = shortened(offsets / counts[:, None], query.radius / GRID)
    places = query.centres + np.rint(steps * GRID).astype(np.int64)
    return np.clip(places, -limit, limit)
