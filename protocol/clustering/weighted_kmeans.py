"""k-means on a private coreset: weighted points on the grid. It costs no privacy.

Whole numbers throughout, but for the choice of starts and of the best result, whose arithmetic is
portable: every node comes to the same centres. Starts are chosen by greedy k-means++ (Arthur and
Vassilvitskii 2007; Celebi et al. 2013, as in scikit-learn), most of them are only run for a few
iterations, and the best until they settle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from protocol.clustering.portable import FloatVector, total_of
from protocol.masking import Stream
from protocol.queries import IntMatrix
from protocol.ring import IntVector
from protocol.scaling import FloatMatrix

#: Total to which weights are scaled: sums of weighted coordinates stay below 2^53.
_WEIGHT_TOTAL: Final = 1 << 30
_TRIED_ITERATIONS: Final = 4
_MOST_ITERATIONS: Final = 100
_FOLLOWED: Final = 4


def weighted_kmeans(
    points: IntMatrix, weights: FloatVector, n_clusters: int, *, restarts: int, stream: Stream
) -> IntMatrix:
    """Centres that approximately minimise the weighted sum of squared distances.

    Args:
        points: Grid coordinates, shape ``(n_points, n_features)``.
        weights: From 0, shape ``(n_points,)``; points of weight 0 do not count.
        restarts: How many starts are tried.

    Returns:
        Grid coordinates, shape ``(n_clusters, n_features)``. With fewer points than clusters the
        points come first and are then repeated.
    """
    cloud = _Cloud.of(points, weights, n_clusters)
    n_points = cloud.points.shape[0]
    if n_points <= n_clusters:
        repeated = np.resize(np.arange(n_points), n_clusters)
        return cloud.points[repeated].astype(np.int64)
    tried = []
    for number in range(restarts):
        centres = cloud.settle(cloud.start(n_clusters, stream), _TRIED_ITERATIONS)
        tried.append((cloud.inertia(centres), number, centres))
    tried.sort(key=lambda entry: entry[:2])
    followed = [cloud.settle(centres, _MOST_ITERATIONS) for _, _, centres in tried[:_FOLLOWED]]
    best = min(followed, key=cloud.inertia)
    return best.astype(np.int64)


def nearest_of(points: IntMatrix, centres: IntMatrix) -> tuple[IntVector, FloatVector]:
    """Index of the nearest centre of each point, ties to the lower, and its squared distance.

    Distances are exact: grid coordinates are below 2^21.
    """
    places = points.astype(np.float64)
    return _nearest(places, _squares(places), centres.astype(np.float64))


def draw_by_weight(weights: FloatVector, count: int, stream: Stream) -> IntVector:
    """Indices drawn with probability proportional to weights; uniformly when all are 0.

    Args:
        weights: From 0, shape ``(n,)``.

    Returns:
        Shape ``(count,)``.
    """
    cumulated = np.cumsum(weights)
    if not cumulated[-1] > 0:
        return stream.below(weights.shape[0], count).astype(np.int64)
    uniform = stream.below(1 << 52, count).astype(np.float64) / (1 << 52)
    found = np.searchsorted(cumulated, uniform * cumulated[-1], side="right")
    chosen: IntVector = np.minimum(found, weights.shape[0] - 1).astype(np.int64)
    return chosen


@dataclass(frozen=True, slots=True)
class _Cloud:
    """Points with whole weights, as floats that hold whole numbers."""

    points: FloatMatrix
    weights: FloatVector
    weighted: FloatMatrix
    squares: FloatVector

    @staticmethod
    def of(points: IntMatrix, weights: FloatVector, n_clusters: int) -> _Cloud:
        counted = weights > 0
        if counted.sum() < n_clusters:
            # Too few have weight: the next largest get a little.
            least = np.sort(weights)[::-1][:n_clusters][-1]
            counted = weights >= least
            weights = np.maximum(weights, 1e-3)
        kept, own = points[counted].astype(np.float64), weights[counted]
        whole = np.maximum(np.rint(own * (_WEIGHT_TOTAL / max(total_of(own), 1e-300))), 1.0)
        return _Cloud(
            points=kept,
            weights=whole,
            weighted=kept * whole[:, None],
            squares=_squares(kept),
        )

    def start(self, n_clusters: int, stream: Stream) -> FloatMatrix:
        """Centres by greedy k-means++."""
        trials = 2 + n_clusters.bit_length()
        first = draw_by_weight(self.weights, 1, stream)
        chosen = [int(first[0])]
        closest = self._distances(first)[0]
        for _ in range(1, n_clusters):
            candidates = draw_by_weight(self.weights * closest, trials, stream)
            distances = np.minimum(closest, self._distances(candidates))
            potentials = np.cumsum(distances * self.weights, axis=1)[:, -1]
            best = int(np.argmin(potentials))
            chosen.append(int(candidates[best]))
            closest = distances[best]
        return self.points[chosen]

    def settle(self, centres: FloatMatrix, most: int) -> FloatMatrix:
        """Centres after at most `most` iterations of Lloyd's algorithm."""
        rows = np.arange(self.points.shape[0])
        for _ in range(most):
            index = np.argmin(_scores(self.points, centres), axis=1)
            membership = np.zeros((centres.shape[0], rows.shape[0]))
            membership[index, rows] = 1.0
            mass = membership @ self.weights
            sums = membership @ self.weighted
            means = np.rint(sums / np.maximum(mass, 1.0)[:, None])
            moved = np.where(mass[:, None] > 0, means, centres)
            if (moved == centres).all():
                break
            centres = moved
        return centres

    def inertia(self, centres: FloatMatrix) -> float:
        """Weighted sum of squared distances to the nearest centre."""
        _, distance = _nearest(self.points, self.squares, centres)
        return total_of(distance * self.weights)

    def _distances(self, indices: IntVector) -> FloatMatrix:
        """Squared distances of some points to all, shape ``(n_indices, n_points)``."""
        some = self.points[indices]
        cross = some @ self.points.T
        return np.maximum(self.squares[indices][:, None] - 2.0 * cross + self.squares, 0.0)


def _nearest(
    points: FloatMatrix, squares: FloatVector, centres: FloatMatrix
) -> tuple[IntVector, FloatVector]:
    scores = _scores(points, centres)
    index = np.argmin(scores, axis=1)
    distance = np.maximum(squares + scores[np.arange(points.shape[0]), index], 0.0)
    return index, distance


def _scores(points: FloatMatrix, centres: FloatMatrix) -> FloatMatrix:
    """Squared distances less the points' own squares, shape ``(n_points, n_centres)``."""
    scores: FloatMatrix = _squares(centres)[None, :] - 2.0 * (points @ centres.T)
    return scores


def _squares(rows: FloatMatrix) -> FloatVector:
    """Squared norms of rows of whole numbers, in any order of additions."""
    squares: FloatVector = np.einsum("ij,ij->i", rows, rows)
    return squares
