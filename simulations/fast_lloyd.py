"""FastLloyd (Diaa, Humphries, Kerschbaum, USENIX Security 2025), written anew, in one process.

It is the baseline of the privacy benchmark: differentially private k-means with a curator who
sees all records. Its noise is floating-point and serves comparisons only: nothing of this module
may release customers' data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist
from scipy.special import log_ndtr

from protocol.errors import UsageError

FloatMatrix = npt.NDArray[np.float64]

#: Share of the distance between evenly spread centres that is a cluster's radius after round 0.
RADIUS_SHARE: Final = 0.8
FEWEST_ROUNDS: Final = 2
MOST_ROUNDS: Final = 7

_REJECTIONS: Final = 100


def fast_lloyd(
    points: FloatMatrix,
    n_clusters: int,
    *,
    epsilon: float,
    delta: float,
    rng: np.random.Generator,
) -> FloatMatrix:
    """Centres by FastLloyd with a trusted curator.

    Lloyd's rounds from a start that does not look at the data. A record counts only within a
    radius of its nearest centroid, so noise is needed for that radius alone; noisy sums are
    relative to the centroid, and the centroid moves by at most the radius.

    Args:
        points: Shape ``(n_samples, n_features)``, in [-1, 1]; ``n_samples`` is public.
        n_clusters: Number of centroids.
        epsilon, delta: Privacy of the whole, for adding or removing one record.
        rng: Source of the start and of the noise.

    Returns:
        Shape ``(n_clusters, n_features)``, in [-1, 1].

    Raises:
        UsageError: A value lies outside the cube, or a parameter outside its range.

    >>> points = np.random.default_rng(1).uniform(-1, 1, (1_000, 2))
    >>> fast_lloyd(points, 3, epsilon=1.0, delta=1e-4, rng=np.random.default_rng(2)).shape
    (3, 2)
    """
    require_cube(points)
    n_samples, n_features = points.shape
    schedule = fast_lloyd_schedule(n_samples, n_features, n_clusters, epsilon=epsilon, delta=delta)
    centroids, _ = spread_start(n_clusters, n_features, rng)
    for radius, sum_sigma in zip(schedule.radii, schedule.sum_sigmas, strict=True):
        sums, counts = sums_within(points, centroids, radius)
        sums += rng.normal(scale=sum_sigma, size=sums.shape)
        counts += rng.normal(scale=schedule.count_sigma, size=counts.shape)
        centroids = moved(centroids, sums, counts, radius)
    return centroids


@dataclass(frozen=True, slots=True, kw_only=True)
class FastLloydSchedule:
    """What FastLloyd does in each round; it depends on nothing but public sizes.

    Attributes:
        radii: Largest distance at which a record counts, one a round.
        sum_sigmas: Standard deviation of the noise of each coordinate of a sum, one a round.
        count_sigma: Standard deviation of the noise of a count, the same in every round.
    """

    radii: tuple[float, ...]
    sum_sigmas: tuple[float, ...]
    count_sigma: float


def fast_lloyd_schedule(
    n_samples: int, n_features: int, n_clusters: int, *, epsilon: float, delta: float
) -> FastLloydSchedule:
    """Radii and noise of `fast_lloyd`.

    A round's counts and sums, divided by their own noise, are together one query: it costs as
    much as one with sensitivity 1 and noise sigma·sqrt(rounds), sigma as of
    `analytic_gaussian_sigma`; all rounds together cost epsilon and delta.

    Args:
        n_samples, n_features, n_clusters: Public sizes.
        epsilon, delta: Privacy of all rounds together.

    Raises:
        UsageError: A size is below 1, epsilon is not above 0, or delta not between 0 and 1.
    """
    if min(n_samples, n_features, n_clusters) < 1:
        raise UsageError(
            f"n_samples={n_samples}, n_features={n_features} and n_clusters={n_clusters} "
            "must be at least 1"
        )
    sigma = analytic_gaussian_sigma(epsilon=epsilon, delta=delta)
    first = math.sqrt(n_features)
    later = first * RADIUS_SHARE / n_clusters ** (1 / n_features)
    weight = math.sqrt(4 * n_features)
    affordable = (0.016 * n_samples**2) / (n_clusters**3 * later**2 * (1 + weight) ** 2 * sigma**2)
    rounds = math.floor(min(max(affordable, FEWEST_ROUNDS), MOST_ROUNDS))
    radii = (first, *[later] * (rounds - 1))
    per_round = sigma * math.sqrt(rounds)
    return FastLloydSchedule(
        radii=radii,
        sum_sigmas=tuple(per_round * r * math.sqrt((1 + weight) / weight) for r in radii),
        count_sigma=per_round * math.sqrt(1 + weight),
    )


def analytic_gaussian_sigma(*, epsilon: float, delta: float) -> float:
    """Smallest noise that makes a query of L2 sensitivity 1 (epsilon, delta)-private.

    Balle and Wang, "Improving the Gaussian mechanism for differential privacy" (ICML 2018),
    theorem 8.

    Args:
        epsilon: Above 0.
        delta: Between 0 and 1.

    Returns:
        Standard deviation, in units of the sensitivity.

    Raises:
        UsageError: A parameter lies outside its range.

    >>> round(analytic_gaussian_sigma(epsilon=1.0, delta=1e-5), 6)
    3.730632
    """
    if not (0 < epsilon < math.inf and 0 < delta < 1):
        raise UsageError(
            f"epsilon={epsilon} must be above 0 and finite, delta={delta} between 0 and 1"
        )
    enough = 1.0
    while _log_delta(enough, epsilon) > math.log(delta):
        enough *= 2
    too_little = enough / 2
    while _log_delta(too_little, epsilon) <= math.log(delta):
        too_little, enough = too_little / 2, too_little
    while too_little < (middle := (too_little + enough) / 2) < enough:
        if _log_delta(middle, epsilon) > math.log(delta):
            too_little = middle
        else:
            enough = middle
    return enough


def _log_delta(sigma: float, epsilon: float) -> float:
    """Logarithm of the least delta at this noise; -inf where it is too small for a float."""
    log_here = float(log_ndtr(0.5 / sigma - epsilon * sigma))
    log_there = epsilon + float(log_ndtr(-0.5 / sigma - epsilon * sigma))
    share = -math.expm1(min(log_there - log_here, 0.0))
    return log_here + math.log(share) if share > 0 else -math.inf


def spread_start(
    n_clusters: int, n_features: int, rng: np.random.Generator
) -> tuple[FloatMatrix, float]:
    """Centres of equal balls that do not overlap and lie within the cube (sphere packing).

    The radius is 1 at first. After 100 rejected draws in a row it is halved, and all centres are
    drawn anew.

    Returns:
        Centres of shape ``(n_clusters, n_features)``, in [-1, 1], and the balls' radius.
    """
    radius = 1.0
    while True:
        centres = np.empty((n_clusters, n_features))
        placed = rejected = 0
        while placed < n_clusters and rejected < _REJECTIONS:
            drawn = rng.uniform(radius - 1, 1 - radius, size=n_features)
            gaps = np.linalg.norm(centres[:placed] - drawn, axis=1)
            if gaps.min(initial=math.inf) >= 2 * radius:
                centres[placed] = drawn
                placed, rejected = placed + 1, 0
            else:
                rejected += 1
        if placed == n_clusters:
            return centres, radius
        radius /= 2


def sums_within(
    points: FloatMatrix, centroids: FloatMatrix, radius: float
) -> tuple[FloatMatrix, FloatMatrix]:
    """Sums, relative to the nearest centroid, and counts of the records within the radius of it.

    Returns:
        Sums of shape ``(n_clusters, n_features)`` and counts of shape ``(n_clusters,)``. One
        record changes one sum by at most ``radius`` (L2) and one count by 1.
    """
    squared = cdist(points, centroids, "sqeuclidean")
    nearest = squared.argmin(axis=1)
    counted = squared.min(axis=1) <= radius**2
    nearest = nearest[counted]
    sums = np.zeros_like(centroids)
    np.add.at(sums, nearest, points[counted] - centroids[nearest])
    return sums, np.bincount(nearest, minlength=len(centroids)).astype(np.float64)


def moved(
    centroids: FloatMatrix, sums: FloatMatrix, counts: FloatMatrix, radius: float
) -> FloatMatrix:
    """Centroids moved by sum over count, by the radius at most, and folded into the cube."""
    steps = sums / (counts + 1e-9)[:, None]
    lengths = np.linalg.norm(steps, axis=1, keepdims=True)
    return fold(centroids + steps * (radius / np.maximum(lengths, radius)))


def fold(values: FloatMatrix) -> FloatMatrix:
    """Values reflected at -1 and 1 until they lie between.

    >>> fold(np.array([0.5, 1.25, -1.5, 3.5])).tolist()
    [0.5, 0.75, -0.5, -0.5]
    """
    phase = (values + 1) % 4
    return np.where(phase > 2, 4 - phase, phase) - 1


def require_cube(points: FloatMatrix) -> None:
    """Refuse what the noise is not made for; clipping is the caller's decision."""
    if points.ndim != 2 or points.shape[0] == 0 or points.shape[1] == 0:
        raise UsageError(f"points of shape {points.shape}; expected (n_samples, n_features)")
    if not (np.abs(points) <= 1).all():
        raise UsageError("a value of the points is NaN or lies outside [-1, 1]")
