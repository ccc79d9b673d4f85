"""The plane of few dimensions in which customers vary, and candidate points spread over it.

Post-processing of a noised covariance matrix: it costs no privacy.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np

from protocol.clustering.portable import FloatVector, eigenvectors, root, row_squares, total_of
from protocol.masking import Stream
from protocol.privacy.mechanisms import discrete_gaussian
from protocol.queries import IntMatrix
from protocol.ring import EXACT_FRACTION_BITS, IntVector
from protocol.scaling import FloatMatrix

GRID: Final = 1 << EXACT_FRACTION_BITS

#: Eigenvalues above this multiple of the noise's largest one span the plane.
_LEVEL: Final = 0.7
_MOST_DIMENSIONS: Final = 6
#: Half the side of the candidates' box, in standard deviations.
_BOX: Final = 2.2
#: Standard deviation of scattered candidates, in standard deviations of the customers.
_SCATTER: Final = 1.2
#: Most dimensions in which candidates lie on a grid; with more they are scattered.
_GRID_DIMENSIONS: Final = 3
#: An axis' end is a candidate if its squared distance exceeds this multiple of the total variance.
_EXTREME: Final = 4.0
_NORMAL_BITS: Final = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """A plane through the customers' mean.

    Attributes:
        mean: Grid coordinates, shape ``(n_features,)``.
        basis: Orthonormal columns times 2^20, shape ``(n_features, n_dimensions)``, int64.
        deviations: Standard deviation along each column, in the scaled cube, shape
            ``(n_dimensions,)``; empty when the plane is the whole cube.
        variance: Total variance of customers, in the scaled cube.
        rest: Variance outside the plane.
        limit: Largest magnitude of a grid coordinate, shape ``(n_features,)``.
    """

    mean: IntVector
    basis: IntMatrix
    deviations: FloatVector
    variance: float
    rest: float
    limit: IntVector

    @staticmethod
    def whole(limit: IntVector) -> Plane:
        """The whole cube."""
        d = limit.shape[0]
        return Plane(
            mean=np.zeros(d, dtype=np.int64),
            basis=np.eye(d, dtype=np.int64) * GRID,
            deviations=np.empty(0),
            variance=0.0,
            rest=0.0,
            limit=limit,
        )

    @staticmethod
    def of(
        mean: IntVector,
        covariance: FloatMatrix,
        *,
        noise: float,
        n_clusters: int,
        n_candidates: int,
        limit: IntVector,
    ) -> Plane:
        """The plane of a noised covariance matrix's largest eigenvalues.

        Args:
            covariance: In the scaled cube, shape ``(n_features, n_features)``.
            noise: Standard deviation of the noise in its diagonal.
        """
        d = mean.shape[0]
        level = sqrt(2.0 * d) * noise
        values, vectors = eigenvectors(covariance)
        cube = float(total_of((limit / GRID) ** 2))
        variance = max(total_of(np.diag(covariance).copy()), 0.02 * cube)
        most = min(_MOST_DIMENSIONS, d, max(n_clusters - 1, 1), _affordable(n_candidates))
        p = int(min(max((values > _LEVEL * level).sum(), 1), most))
        own = values[:p]
        own = (own + np.sqrt(np.maximum(own * own - level * level, 0.0))) / 2.0
        own = np.clip(own, 0.01, 1.0)
        return Plane(
            mean=mean,
            basis=np.rint(vectors[:, :p] * GRID).astype(np.int64),
            deviations=np.sqrt(own),
            variance=variance,
            rest=max(variance - total_of(own), 0.0),
            limit=limit,
        )

    @property
    def n_dimensions(self) -> int:
        """Number of dimensions of the plane."""
        return int(self.basis.shape[1])

    @property
    def is_whole(self) -> bool:
        """Whether the plane is the whole cube."""
        return self.deviations.size == 0

    @property
    def directions(self) -> FloatMatrix:
        """The basis as fractions, shape ``(n_features, n_dimensions)``."""
        return self.basis.astype(np.float64) / GRID

    def candidates(self, count: int, stream: Stream) -> IntMatrix:
        """About `count` points spread over the plane, grid coordinates of the cube."""
        half = self.limit / GRID if self.is_whole else _BOX * self.deviations
        if self.n_dimensions <= _GRID_DIMENSIONS:
            points = _grid(half, count)
        else:
            spread = half / 2.0 if self.is_whole else _SCATTER * self.deviations
            normal = discrete_gaussian(
                stream, variance=1 << 2 * _NORMAL_BITS, count=count * self.n_dimensions
            ).reshape(count, -1)
            points = np.clip(normal / (1 << _NORMAL_BITS) * spread, -half, half)
        return self.lift(np.rint(points * GRID).astype(np.int64))

    def lift(self, points: IntMatrix) -> IntMatrix:
        """Points of the plane (times 2^20) as grid coordinates of the cube."""
        raised = (points @ self.basis.T + (GRID >> 1)) >> EXACT_FRACTION_BITS
        return np.clip(self.mean + raised, -self.limit, self.limit)

    def extremes(self) -> IntMatrix:
        """Ends of axes that lie far outside the bulk of the customers."""
        d = self.mean.shape[0]
        if self.is_whole:
            return np.empty((0, d), dtype=np.int64)
        ends = np.tile(self.mean, (2 * d, 1))
        axis = np.arange(d)
        ends[axis, axis] = self.limit
        ends[d + axis, axis] = -self.limit
        away = row_squares((ends - self.mean) / GRID)
        return ends[away > _EXTREME * self.variance]


def _affordable(n_candidates: int) -> int:
    """Number of dimensions that `n_candidates` can fill: log base 2.5, rounded."""
    dimensions, reach = 1, 2.5 * sqrt(2.5)
    while reach <= n_candidates:
        dimensions += 1
        reach *= 2.5
    return dimensions


def _grid(half: FloatVector, count: int) -> FloatMatrix:
    """About `count` cell middles of a grid over a box of half sides `half`."""
    p = half.shape[0]
    box = 2.0 * half
    volume = 1.0
    for side in box.tolist():
        volume *= side
    per_side = _root(count / volume, p)
    sides = np.maximum(1, np.rint(per_side * box)).astype(np.int64)
    axes = [-half[i] + (np.arange(sides[i]) + 0.5) / float(sides[i]) * box[i] for i in range(p)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, p)


def _root(value: float, degree: int) -> float:
    """The root of degree 1 to 3, in whole-number arithmetic."""
    if degree == 1:
        return value
    bits = {2: 20, 3: 10}[degree]
    return root(int(value * (1 << degree * bits)), degree) / (1 << bits)
