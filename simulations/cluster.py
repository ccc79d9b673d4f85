"""Clustering numeric tables with a simulated federation, and how good the result is.

Distances are those of the run: in the scaled cube, where each feature's bounds map to minus and
plus its weight (to [-1, 1] with the weight 1), after its transform. Values beyond the bounds are
clipped to them, as a node would.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np

from protocol.agreement.document import EXACT_PLAN
from protocol.clustering.choice import Choice
from protocol.clustering.result import Clustering
from protocol.privacy.terms import PrivacyTerms
from protocol.queries import customer_vectors
from protocol.release.document import (
    EXACT_WORDS,
    NOISE_WORDS,
    NOISED_STATEMENT,
    Ranges,
    typical_range,
)
from protocol.scaling import FeatureScale, FloatMatrix
from simulations.bounds import ColumnBounds, bounds_to_dict
from simulations.federation import FeatureTerms, FederatedRun, Federation, scale_of
from simulations.partitions import split

#: Above this share of clipped values a column gets a notice.
MOST_CLIPPED = 0.05
_BLOCK_ROWS = 65_536

Progress = Callable[[dict[str, Any]], None]
Sizes = Literal["equal", "uneven"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterResult:
    """One run's result.

    Attributes:
        seed: What the plan's start was drawn from.
        centroids: In input units, shape ``(n_clusters, n_features)``, in the plan's order.
        counts: Customers of each cluster; 0 for an empty one.
        inertia_mean: Mean squared distance of a customer to the nearest centroid, in the cube.
        bytes_up: Bytes that each partner sent.
        seconds: Wall time of the federation's set-up and its run, in seconds.
        epsilon_spent: What the run cost a customer, at the agreed delta; None for exact totals.
        sizes: Customers nearest to each cluster, as the last question of a plan with noise counts
            them; None for a cluster that is too small to tell, which is merged into its nearest
            neighbour. None for exact totals.
        size_sigma: Standard deviation of the noise in each of `sizes`.
        choice: How the number of clusters was chosen; None where it was not.
        typical: For each cluster from where to where its customers typically lie, a range a
            feature, in input units; None where that is too narrow to tell under the noise, and
            for a cluster that is merged. Empty without a profile.
    """

    seed: int
    centroids: FloatMatrix
    counts: tuple[int, ...]
    inertia_mean: float
    rounds: int
    converged: bool
    bytes_up: tuple[int, ...]
    seconds: float
    epsilon_spent: float | None = None
    sizes: tuple[int | None, ...] | None = None
    size_sigma: int = 0
    choice: Choice | None = None
    typical: tuple[Ranges | None, ...] = ()

    def notices(self) -> list[str]:
        """What in the result is not as asked for, in words."""
        if self.sizes is not None and not any(size is not None for size in self.sizes):
            return [
                f"seed {self.seed}: every cluster is too small to tell under the noise, so a "
                "federation would release none: take more customers, fewer clusters or a larger "
                "epsilon"
            ]
        empty = self.counts.count(0)
        if not empty:
            return []
        return [f"seed {self.seed}: {empty} of {len(self.counts)} clusters are empty"]

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
        noised = (
            {}
            if self.epsilon_spent is None
            else {
                "epsilon_spent": self.epsilon_spent,
                "sizes": list(self.sizes or ()),
                "size_sigma": self.size_sigma,
                "choice": None if self.choice is None else self.choice.to_dict(),
            }
        )
        if self.typical:
            noised["typical_ranges"] = [
                None if ranges is None else list(ranges) for ranges in self.typical
            ]
        return {
            **noised,
            "seed": self.seed,
            "centroids": self.centroids.tolist(),
            "counts": list(self.counts),
            "inertia_mean": self.inertia_mean,
            "rounds": self.rounds,
            "converged": self.converged,
            "bytes_up_per_partner": round(sum(self.bytes_up) / len(self.bytes_up)),
            "bytes_up_by_partner": list(self.bytes_up),
            "seconds": self.seconds,
        }


class ClusterTask:
    """Tables to be clustered, prepared once for any number of runs.

    Args:
        tables: Input units, finite; one table a partner, or a single one that is split.
        columns: Names of the columns.
        bounds: Bounds of the columns.
        n_partners: How many partners share a single table.
        sizes: How a single table is split: ``equal`` or ``uneven``.
        max_rounds: The most rounds of a run.
        n_clusters_min: The fewest clusters when the plan chooses.
        plan: Name of the plan.
        privacy: What a run may cost a customer; None for exact totals.
        profile: Whether one question more is how customers differ within each cluster.
    """

    def __init__(
        self,
        tables: Sequence[FloatMatrix],
        columns: Sequence[str],
        bounds: Sequence[ColumnBounds],
        *,
        n_clusters: int,
        n_partners: int,
        sizes: Sizes = "equal",
        max_rounds: int = 100,
        n_clusters_min: int | None = None,
        plan: str = EXACT_PLAN,
        privacy: PrivacyTerms | None = None,
        profile: bool = False,
    ) -> None:
        self._profile = profile
        self._n_clusters_min = n_clusters_min
        self._plan = plan
        self._privacy = privacy
        self._columns = tuple(columns)
        self._bounds = tuple(bounds)
        self._features = [
            FeatureTerms(name=f"x{i}", min=b.min, max=b.max, transform=b.transform, weight=b.weight)
            for i, b in enumerate(bounds, start=1)
        ]
        self._n_clusters = n_clusters
        self._n_partners = n_partners
        self._sizes = sizes
        self._max_rounds = max_rounds
        self._scale = scale_of(self._features)
        values = np.vstack(list(tables))
        edges = np.cumsum([0, *(table.shape[0] for table in tables)])
        self._given = [np.arange(a, b) for a, b in itertools.pairwise(edges)]
        beyond = (values < self._scale.lower) | (values > self._scale.upper)
        self._clipped = beyond.mean(axis=0)
        self._vectors = customer_vectors(self._scale.to_grid(values))
        self._cube = to_cube(values, self._scale)

    def notices(self) -> list[str]:
        """What in the tables keeps the result from being what was asked for, in words."""
        found = []
        distinct = _distinct_rows(self._vectors, most=self._n_clusters)
        if distinct < self._n_clusters:
            found.append(
                f"{self._n_clusters} clusters are asked for, but customers differ in {distinct} "
                "ways only (values beyond the bounds count as the bounds): some clusters stay "
                "empty, or are alike"
            )
        found.extend(
            f"{share:.1%} of the values of {name!r} lie beyond its bounds and count as the bounds: "
            "widen the bounds, or take the result with care"
            for name, share in zip(self._columns, self._clipped.tolist(), strict=True)
            if share > MOST_CLIPPED
        )
        return found

    @property
    def max_rounds(self) -> int:
        """The most rounds of a run."""
        return self._max_rounds

    def describe(self) -> dict[str, Any]:
        """What all runs have in common, as JSON values."""
        return {
            "privacy": EXACT_WORDS if self._privacy is None else NOISED_STATEMENT,
            "plan": self._plan,
            **self._noise_terms(),
            "n_clusters": self._n_clusters,
            "n_samples": self._cube.shape[0],
            "n_features": len(self._columns),
            "n_partners": self._n_partners,
            "max_rounds": self._max_rounds,
            "columns": list(self._columns),
            "bounds": bounds_to_dict(self._bounds, self._columns),
        }

    def _noise_terms(self) -> dict[str, Any]:
        terms = self._privacy
        if terms is None:
            return {}
        return {
            "epsilon": float(terms.epsilon),
            "delta": float(terms.delta),
            "rho": float(terms.rho),
            "unit": terms.unit,
            "noise": NOISE_WORDS,
        }

    def run(self, seed: int, *, on_progress: Progress = lambda _: None) -> ClusterResult:
        """Split the rows, set up a federation and run it once.

        Args:
            seed: Decides the split and the plan's start; the start does not depend on the split.

        Raises:
            FedsegError: A rule forbids the run, or it failed.
        """
        began = time.perf_counter()
        parts = self._given
        if len(parts) == 1:
            parts = split(self._cube.shape[0], self._n_partners, seed, self._sizes)
        vectors = [self._vectors[rows] for rows in parts]
        federation = Federation(
            vectors,
            self._features,
            n_clusters=self._n_clusters,
            max_rounds=self._max_rounds,
            seed=seed,
            vectors=vectors,
            n_clusters_min=self._n_clusters_min,
            plan=self._plan,
            privacy=self._privacy,
            profile=self._profile,
        )
        run = federation.run(on_progress=on_progress)
        return self._judged(seed, run, time.perf_counter() - began)

    def _judged(self, seed: int, run: FederatedRun, seconds: float) -> ClusterResult:
        centroids = self._scale.from_grid(run.clustering.centroids)
        k = centroids.shape[0]
        privacy, sizes = run.release.release.privacy, run.clustering.sizes
        return ClusterResult(
            seed=seed,
            centroids=centroids,
            counts=tuple(run.clustering.counts.tolist()),
            inertia_mean=mean_inertia(self._cube, to_cube(centroids, self._scale)),
            rounds=run.rounds,
            converged=run.clustering.converged,
            bytes_up=tuple(traffic.bytes_up for traffic in run.traffic),
            seconds=seconds,
            epsilon_spent=None if privacy is None else privacy.epsilon,
            sizes=None if sizes is None else _at_places(sizes.kept, sizes.counts.tolist(), k),
            size_sigma=0 if sizes is None else int(sizes.sigmas.max(initial=0)),
            typical=self._typical(run.clustering),
            choice=run.clustering.choice,
        )

    def _typical(self, found: Clustering) -> tuple[Ranges | None, ...]:
        profile, sizes = found.profile, found.sizes
        if profile is None or sizes is None:
            return ()
        ranges = [
            typical_range(found.centroids[place], spreads.tolist(), int(sigma), self._scale)
            for place, spreads, sigma in zip(
                sizes.kept, profile.spreads, profile.sigmas, strict=True
            )
        ]
        return _at_places(sizes.kept, ranges, len(found.counts))


_T = TypeVar("_T")


def _at_places(places: Sequence[int], values: Sequence[_T], n: int) -> tuple[_T | None, ...]:
    """The values at their places among `n`, None elsewhere."""
    found = dict(zip(places, values, strict=True))
    return tuple(found.get(i) for i in range(n))


def to_cube(values: FloatMatrix, scale: FeatureScale) -> FloatMatrix:
    """Values of input units in the scaled cube, not rounded to the grid; same shape."""
    clipped: FloatMatrix = np.clip(values, scale.lower, scale.upper)
    low, high = scale.lower.copy(), scale.upper.copy()
    logs = scale.logarithmic
    for array in (low, high, clipped.T):
        array[logs] = np.log1p(array[logs])
    return scale.weights * (clipped - (low + high) / 2) / ((high - low) / 2)


def mean_inertia(points: FloatMatrix, centres: FloatMatrix) -> float:
    """Mean squared distance of `points` to the nearest of `centres`; 0.0 without points.

    The nearest centre is found by a matrix product, its distance from the differences, so nothing
    is lost to cancellation.
    """
    total = 0.0
    norms = (centres * centres).sum(axis=1)
    for block in _blocks(points):
        nearest = np.argmin(norms - 2.0 * (block @ centres.T), axis=1)
        difference = block - centres[nearest]
        total += float(np.einsum("ij,ij->", difference, difference))
    return total / max(1, int(points.shape[0]))


def _distinct_rows(rows: FloatMatrix, *, most: int) -> int:
    """How many different rows there are, counted up to `most`."""
    found: set[bytes] = set()
    for block in _blocks(rows):
        for row in block:
            found.add(row.tobytes())
            if len(found) >= most:
                return most
    return len(found)


def _blocks(points: FloatMatrix) -> Iterator[FloatMatrix]:
    return (points[i : i + _BLOCK_ROWS] for i in range(0, points.shape[0], _BLOCK_ROWS))
