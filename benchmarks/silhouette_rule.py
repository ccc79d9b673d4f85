"""The first rule for the number of clusters, the baseline of benchmarks/choice_of_k.py.

Three scores for each k of the agreed range: the simplified silhouette (Hruschka et al. 2006: a
point's distance to its own centre against that to the next), the Davies–Bouldin index (1979) and
the stability under bootstrap (do resampled customers give the same clusters? Hennig 2007, here as
adjusted Rand index). The recommendation is the k with the best silhouette; how often resampled
customers would have recommended it says how sure that is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from protocol.clustering.plane import GRID
from protocol.clustering.portable import FloatVector, total_of
from protocol.clustering.weighted_kmeans import draw_by_weight, weighted_kmeans
from protocol.masking import Stream
from protocol.queries import IntMatrix
from protocol.ring import IntVector
from protocol.scaling import FloatMatrix

#: Scores are whole numbers, in units of one part in this many.
PARTS: Final = 10_000
_SAMPLES: Final = 8
_SAMPLE_SIZE: Final = 2_000
_SAMPLE_RESTARTS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class KScore:
    """The scores of one k, in parts of 10,000.

    Attributes:
        silhouette: From -1 to 1; more is better.
        davies_bouldin: From 0; less is better.
        stability: At most 1; more is better.
        votes: How many of 10,000 resamples recommend it.
    """

    n_clusters: int
    silhouette: int
    davies_bouldin: int
    stability: int
    votes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The recommended centres and the scores of every k."""

    centres: IntMatrix
    scores: tuple[KScore, ...]


def choose(
    points: IntMatrix,
    weights: FloatVector,
    *,
    smallest: int,
    largest: int,
    restarts: int,
    stream: Stream,
) -> Choice:
    """Choose the k of a range that fits the coreset best.

    Args:
        points, weights: The coreset, see `weighted_kmeans`.
        smallest, largest: The range, both ends included.
        restarts: How many starts of k-means are tried on the whole coreset.
    """
    if not (weights > 0).any():
        # Nothing is seen above the noise: no number of clusters is better than the fewest.
        largest = smallest
    sizes = range(smallest, largest + 1)
    centres = {k: weighted_kmeans(points, weights, k, restarts=restarts, stream=stream)
               for k in sizes}  # fmt: skip
    if smallest == largest:
        return Choice(centres=centres[smallest], scores=())
    kept = weights > 0
    cloud, mass = points[kept].astype(np.float64) / GRID, weights[kept]
    distances = {k: _distances(cloud, centres[k] / GRID) for k in sizes}
    marks = {k: _marks(distances[k], mass, centres[k] / GRID) for k in sizes}
    labels = {k: np.argmin(distances[k], axis=1) for k in sizes}
    agreement = dict.fromkeys(sizes, 0.0)
    votes = dict.fromkeys(sizes, 0)
    for _ in range(_SAMPLES):
        sample = _resampled(mass, stream)
        best, winner = -2.0, smallest
        for k in sizes:
            found = weighted_kmeans(
                points[kept], sample, k, restarts=_SAMPLE_RESTARTS, stream=stream
            )
            distance = _distances(cloud, found / GRID)
            agreement[k] += _adjusted_rand(labels[k], np.argmin(distance, axis=1), mass, k)
            silhouette = _marks(distance, sample, found / GRID)[0]
            if silhouette > best:
                best, winner = silhouette, k
        votes[winner] += 1
    scores = tuple(
        KScore(
            n_clusters=k,
            silhouette=round(marks[k][0] * PARTS),
            davies_bouldin=round(min(marks[k][1], 1e6) * PARTS),
            stability=round(agreement[k] / _SAMPLES * PARTS),
            votes=votes[k] * PARTS // _SAMPLES,
        )
        for k in sizes
    )
    return Choice(centres=centres[recommended(scores).n_clusters], scores=scores)


def recommended(scores: Sequence[KScore]) -> KScore:
    """The k with the best silhouette, the smaller one on a tie."""
    return max(scores, key=lambda s: (s.silhouette, -s.n_clusters))


def _marks(distance: FloatMatrix, mass: FloatVector, centres: FloatMatrix) -> tuple[float, float]:
    """Simplified silhouette and Davies–Bouldin index.

    Args:
        distance: Of each point to each centre, shape ``(n_points, n_centres)``.
    """
    rows = np.arange(distance.shape[0])
    own = np.argmin(distance, axis=1)
    a = distance[rows, own]
    if centres.shape[0] == 1:
        return 0.0, 0.0
    others = distance.copy()
    others[rows, own] = np.inf
    b = others.min(axis=1)
    larger = np.maximum(np.maximum(a, b), 1e-12)
    silhouette = total_of((b - a) / larger * mass) / max(total_of(mass), 1e-12)
    k = centres.shape[0]
    width = np.zeros(k)
    for cluster in range(k):
        members = own == cluster
        inside = total_of(mass[members])
        width[cluster] = total_of(a[members] * mass[members]) / inside if inside > 0 else 0.0
    apart = _distances(centres, centres)
    np.fill_diagonal(apart, np.inf)
    ratios = (width[:, None] + width[None, :]) / np.maximum(apart, 1e-12)
    np.fill_diagonal(ratios, 0.0)
    return silhouette, total_of(ratios.max(axis=1)) / k


def _distances(points: FloatMatrix, centres: FloatMatrix) -> FloatMatrix:
    """Euclidean distances, shape ``(n_points, n_centres)``, added up column by column."""
    squares = np.zeros((points.shape[0], centres.shape[0]))
    for column in range(points.shape[1]):
        difference = points[:, column, None] - centres[None, :, column]
        squares += difference * difference
    return np.sqrt(squares)


def _resampled(mass: FloatVector, stream: Stream) -> FloatVector:
    """Weights of as many customers drawn again, with replacement, scaled down to a sample."""
    drawn = draw_by_weight(mass, _SAMPLE_SIZE, stream)
    counts = np.bincount(drawn, minlength=mass.shape[0])
    return counts.astype(np.float64) * (total_of(mass) / _SAMPLE_SIZE)


def _adjusted_rand(first: IntVector, second: IntVector, mass: FloatVector, k: int) -> float:
    """Adjusted Rand index of two labellings of weighted points (Hubert and Arabie 1985)."""
    table = np.zeros((k, k))
    np.add.at(table, (first, second), mass)
    whole = total_of(mass)
    together = total_of(table.ravel() * table.ravel())
    rows, columns = np.zeros(k), np.zeros(k)
    for i in range(k):
        rows = rows + table[:, i]
        columns = columns + table[i]
    a, b = total_of(rows * rows), total_of(columns * columns)
    expected = a * b / max(whole * whole, 1e-12)
    most = (a + b) / 2.0
    return 1.0 if most - expected <= 1e-9 * most else (together - expected) / (most - expected)
