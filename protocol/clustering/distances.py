"""How far customers lie from the nearest of some points: the query, and decoding. SPEC.md, 10.4."""

from __future__ import annotations

from math import ceil, sqrt
from typing import Final

import numpy as np

from protocol.clustering.plane import GRID
from protocol.clustering.result import Distance
from protocol.clustering.terms import Terms
from protocol.noised_queries import DistanceQuery
from protocol.queries import IntMatrix
from protocol.ring import UNIT, IntVector

#: The part of a run's rho that the question costs.
DISTANCE_SHARE: Final = 0.02
#: Its radius, in typical distances of customers to their centre.
_REACH: Final = 2.0


def distance_radius(deviation: float) -> int:
    """The radius of the question, in grid units, where customers lie about so far from the points.

    Args:
        deviation: In the scaled cube.
    """
    return max(1, round(_REACH * deviation * GRID))


def distance_query(terms: Terms, points: IntMatrix, radius: int, *, cost: int) -> DistanceQuery:
    """The query for distances to `points`.

    Args:
        radius: The distance beyond which nobody counts more, in grid units.
        cost: What it may cost, in units of ``2^-60`` of rho.
    """
    return DistanceQuery(
        points=points, radius=radius, variance=terms.variance_at(cost, UNIT * UNIT)
    )


def distance_of(
    query: DistanceQuery, total: IntVector, *, variance: int, n: float, n_sigma: float
) -> Distance:
    """Decode a total.

    Args:
        variance: Of the noise in the total.
        n: How many customers there are, noised, above 0.
        n_sigma: Standard deviation of the noise in `n`.
    """
    square = query.radius / GRID * query.radius  # the largest, in units of 2^-fraction_bits
    part = min(max(int(total[0]) / UNIT / n, 0.0), 1.0)
    of_sum, of_count = sqrt(float(variance)) / UNIT, part * n_sigma
    sigma = min(sqrt(of_sum * of_sum + of_count * of_count) / n, 1.0)
    return Distance(
        mean=int(np.rint(part * square)), sigma=ceil(sigma * square), radius=query.radius
    )
