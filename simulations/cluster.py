"""Clustering numeric tables with a simulated federation, and how good the result is.

Distances are those of the run: in the scaled cube, where each feature's bounds map to minus and
plus its weight (to [-1, 1] with the weight 1), after its transform. Values beyond the bounds are
clipped to them, as a node would.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import numpy as np

from partner_node.consent.count import check_number
from protocol.agreement.document import Agreement
from protocol.clustering.choice import Choice
from protocol.clustering.portable import FloatVector
from protocol.clustering.result import Clustering, least_size
from protocol.errors import EncodingRangeError, RuleError, RunFailedError, SourceError
from protocol.queries import customer_vectors
from protocol.release.document import (
    EXACT_WORDS,
    NOISE_WORDS,
    NOISED_STATEMENT,
    Ranges,
    Release,
    Segment,
    typical_range,
)
from protocol.release.satisfaction import satisfaction_values, satisfaction_words
from protocol.scaling import FeatureScale, FloatMatrix
from simulations.federation import AgreedFederation, FederatedRun
from simulations.partitions import RowNumbers, split
from simulations.tried import Tried

#: Above this share of clipped values a column gets a notice.
MOST_CLIPPED = 0.05
_BLOCK_ROWS = 65_536
#: How many seeds are named beside what is true of them.
_MOST_SEEDS = 6

Progress = Callable[[dict[str, Any]], None]
Sizes = Literal["equal", "uneven"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterResult:
    """One run's result.

    Attributes:
        seed: What the plan's start was drawn from.
        agreement: What it was simulated under.
        release: What a federation would release: which clusters are segments, which are merged or
            withheld, and who took part.
        least_size: The smallest size, noised where there is noise, with which a cluster is
            released.
        refused: Why partners answered nothing, in words; the run went on without them.
        tried: All numbers of clusters that were tried, of which this is the one that was chosen;
            empty when one was asked for, or the plan chose.
        centroids: In input units, shape ``(n_clusters, n_features)``, in the plan's order.
        counts: Customers of each cluster; 0 for an empty one.
        inertia_mean: Mean squared distance of a participant's customer to the nearest centroid, in
            the cube.
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
    agreement: Agreement
    release: Release
    least_size: int
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
    refused: tuple[str, ...] = ()
    tried: tuple[Tried, ...] = ()

    @property
    def n_clusters(self) -> int:
        """How many clusters were formed, be they released or not."""
        return len(self.counts)

    @property
    def merged(self) -> int:
        """How many clusters are merged into their neighbours."""
        return 0 if self.release.merged is None else self.release.merged.clusters

    @property
    def withheld(self) -> int:
        """How many clusters are in no segment."""
        return 0 if self.release.withheld is None else self.release.withheld.clusters

    def notices(self) -> list[str]:
        """What in the result is not as asked for, in words."""
        found = [f"{words}: the run went on without this partner" for words in self.refused]
        empty = self.counts.count(0) if self.sizes is None else 0
        if self.sizes is not None and not any(size is not None for size in self.sizes):
            found.append(
                "every cluster is too small to tell under the noise, so a federation would release "
                "none: take more customers, fewer clusters or a larger epsilon"
            )
        else:
            if empty:
                found.append(f"{empty} of {self.n_clusters} clusters are empty")
            if self.release.merged is not None:
                found.append(self.release.merged.reason)
            if self.release.withheld is not None and self.withheld > empty:
                found.append(self.release.withheld.reason)
        return found

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
        noised: dict[str, Any] = (
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
        if self.tried:
            noised["tried"] = [one.to_dict() for one in self.tried]
        merged, withheld = self.release.merged, self.release.withheld
        return {
            **noised,
            "seed": self.seed,
            "n_clusters_chosen": self.n_clusters,
            "released": [self._segment(segment) for segment in self.release.segments],
            "merged": None if merged is None else merged.to_dict(),
            "withheld": None if withheld is None else withheld.to_dict(),
            "least_size": self.least_size,
            "participants": list(self.release.participants),
            "centroids": self.centroids.tolist(),
            "counts": list(self.counts),
            "inertia_mean": self.inertia_mean,
            "rounds": self.rounds,
            "converged": self.converged,
            "bytes_up_per_partner": round(sum(self.bytes_up) / len(self.bytes_up)),
            "bytes_up_by_partner": list(self.bytes_up),
            "seconds": self.seconds,
        }

    def _segment(self, segment: Segment) -> dict[str, Any]:
        found = {
            "segment": segment.segment,
            "size": segment.size,
            "size_margin": segment.size_margin,
        }
        if self.agreement.plan.satisfaction is None:
            return found
        said = satisfaction_values(segment.satisfaction, self.agreement)
        return {**found, "satisfaction": said}

    @property
    def satisfaction(self) -> tuple[str, ...]:
        """How satisfied each released segment's customers are, in words; empty when not asked."""
        if self.agreement.plan.satisfaction is None:
            return ()
        return tuple(
            f"Segment {s.segment}, {s.size_words} customers: "
            f"{satisfaction_words(s.satisfaction, self.agreement)}"
            for s in self.release.segments
        )


def notices_of(results: Sequence[ClusterResult]) -> list[str]:
    """What in runs is not as asked for, in words: each sentence once, with the seeds it is true of.

    >>> notices_of([])
    []
    """
    seeds: dict[str, list[int]] = {}
    for result in results:
        for words in result.notices():
            seeds.setdefault(words, []).append(result.seed)
    found = []
    for words, those in seeds.items():
        more = f" and {len(those) - _MOST_SEEDS} more" if len(those) > _MOST_SEEDS else ""
        named = ", ".join(map(str, those[:_MOST_SEEDS])) + more
        found.append(f"seed{'s' * (len(those) > 1)} {named}: {words}")
    return found


class ClusterTask:
    """Tables to be clustered under an agreement, prepared once for any number of runs.

    Args:
        agreement: What holds; its keys and software are simulated.
        tables: Customers' coordinates in input units, finite; one table a partner, in the
            agreement's order, or a single one that is split.
        columns: Names of the coordinates that people see; the agreement's when left out.
        sizes: How a single table is split: ``equal`` or ``uneven``.
        scores: What each table's customers answered to the question about satisfaction, NaN for
            who gave no answer; nobody did when left out.
        row_caps: Whether the agreement's row caps hold; else each partner's is what it has.
    """

    def __init__(
        self,
        agreement: Agreement,
        tables: Sequence[FloatMatrix],
        *,
        columns: Sequence[str] | None = None,
        sizes: Sizes = "equal",
        scores: Sequence[FloatVector] | None = None,
        row_caps: bool = False,
    ) -> None:
        self.agreement = agreement
        self._columns = tuple(columns or [c.name for c in agreement.coordinates])
        self._sizes = sizes
        self._row_caps = row_caps
        self._scale = FeatureScale.of(agreement.coordinates)
        values = np.vstack(list(tables))
        edges = np.cumsum([0, *(table.shape[0] for table in tables)])
        self._given = [np.arange(a, b) for a, b in itertools.pairwise(edges)]
        self._scores = None if scores is None else np.concatenate(list(scores))
        beyond = (values < self._scale.lower) | (values > self._scale.upper)
        self._clipped = beyond.mean(axis=0)
        self._vectors = customer_vectors(self._scale.to_grid(values))
        self._cube = to_cube(values, self._scale)

    def notices(self) -> list[str]:
        """What in the tables keeps the result from being what was asked for, in words."""
        found = []
        n_clusters = self.agreement.plan.n_clusters
        distinct = _distinct_rows(self._vectors, most=n_clusters)
        if distinct < n_clusters:
            found.append(
                f"{n_clusters} clusters are asked for, but customers differ in {distinct} "
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

    def over(self, n_clusters: int) -> ClusterTask:
        """The same tables under the same agreement, but for the number of clusters."""
        other = copy(self)
        plan = replace(self.agreement.plan, n_clusters=n_clusters, n_clusters_min=n_clusters)
        other.agreement = replace(self.agreement, plan=plan)
        return other

    @property
    def cube(self) -> FloatMatrix:
        """All customers in the scaled cube, shape ``(n_samples, n_coordinates)``."""
        return self._cube

    def in_cube(self, result: ClusterResult) -> FloatMatrix:
        """The centres of a result's clusters with customers, in the scaled cube."""
        return to_cube(result.centroids, self._scale)[np.array(result.counts) > 0]

    @property
    def max_rounds(self) -> int:
        """The most rounds of a run."""
        return self.agreement.plan.max_rounds

    def describe(self) -> dict[str, Any]:
        """What all runs have in common, as JSON values."""
        agreement = self.agreement
        plan = agreement.plan
        return {
            "agreement": {"id": agreement.id, "version": agreement.version},
            "privacy": EXACT_WORDS if agreement.privacy is None else NOISED_STATEMENT,
            "plan": plan.name,
            **self._noise_terms(),
            "n_clusters": plan.n_clusters,
            "n_clusters_min": plan.n_clusters_min,
            "n_samples": self._cube.shape[0],
            "n_features": len(self._columns),
            "n_partners": agreement.n_partners,
            "max_rounds": plan.max_rounds,
            "min_segment_size": agreement.min_segment_size,
            "min_customers_per_partner": agreement.min_customers_per_partner,
            "secure_sum": agreement.secure_sum.to_dict(),
            "columns": list(self._columns),
            "bounds": {
                name: {
                    "min": format(c.min, "f"),
                    "max": format(c.max, "f"),
                    "transform": c.transform,
                    "weight": format(c.weight, "f"),
                }
                for name, c in zip(self._columns, agreement.coordinates, strict=True)
            },
        }

    def _noise_terms(self) -> dict[str, Any]:
        terms = self.agreement.privacy
        if terms is None:
            return {}
        return {
            "epsilon": float(terms.epsilon),
            "delta": float(terms.delta),
            "rho": float(terms.rho),
            "unit": terms.unit,
            "runs": terms.runs,
            "spare_rounds": terms.spare_rounds,
            "max_partners_per_customer": terms.max_partners_per_customer,
            "noise": NOISE_WORDS,
        }

    def run(self, seed: int, *, on_progress: Progress = lambda _: None) -> ClusterResult:
        """Split the rows, set up a federation and run it once.

        Args:
            seed: Decides the split and the plan's start; the start does not depend on the split.

        Raises:
            RuleError: The run failed as partners have fewer or more customers than agreed
                (E-TOO-FEW, E-ROW-CAP).
            FedsegError: A rule forbids the run, or it failed.
        """
        began = time.perf_counter()
        parts = self._given
        if len(parts) == 1:
            parts = split(self._cube.shape[0], self.agreement.n_partners, seed, self._sizes)
        agreement = self._between(parts)
        refused = _refusals(agreement, [rows.size for rows in parts])
        scores = self._scores
        federation = AgreedFederation(
            agreement,
            [self._vectors[rows] for rows in parts],
            seed=seed,
            scores=None if scores is None else [scores[rows] for rows in parts],
            now=agreement.effective,
        )
        try:
            run = federation.run(on_progress=on_progress)
        except RunFailedError as error:
            if not refused:
                raise
            raise RuleError(
                f"{error.message}. {'; '.join(map(str, refused))}",
                code=refused[0].code,
                remedy="give more customers or fewer partners, or try other rules: "
                "--min-customers; in an agreement min_customers_per_partner and max_customers",
            ) from error
        seconds = time.perf_counter() - began
        return self._judged(seed, run, parts=parts, refused=refused, seconds=seconds)

    def _between(self, parts: Sequence[RowNumbers]) -> Agreement:
        """The agreement, with the row caps of partners who have these rows."""
        if self._row_caps:
            return self.agreement
        parties = zip(self.agreement.parties, parts, strict=True)
        return replace(
            self.agreement,
            parties=tuple(replace(party, max_customers=max(1, r.size)) for party, r in parties),
        )

    def _judged(
        self,
        seed: int,
        run: FederatedRun,
        *,
        parts: Sequence[RowNumbers],
        refused: tuple[_Refusal, ...],
        seconds: float,
    ) -> ClusterResult:
        found, release = run.clustering, run.release.release
        centroids = self._scale.from_grid(found.centroids)
        k = centroids.shape[0]
        privacy, sizes = release.privacy, found.sizes
        sigma = 0 if sizes is None else int(sizes.sigmas.max(initial=0))
        points = self._cube
        if refused:
            counted = {p.id: rows for p, rows in zip(self.agreement.parties, parts, strict=True)}
            points = points[np.concatenate([counted[id] for id in release.participants])]
        return ClusterResult(
            seed=seed,
            agreement=self.agreement,
            release=release,
            least_size=least_size(self.agreement.min_segment_size, sigma),
            centroids=centroids,
            counts=tuple(found.counts.tolist()),
            inertia_mean=mean_inertia(points, to_cube(centroids, self._scale)),
            rounds=run.rounds,
            converged=found.converged,
            bytes_up=tuple(traffic.bytes_up for traffic in run.traffic),
            seconds=seconds,
            epsilon_spent=None if privacy is None else privacy.epsilon,
            sizes=None if sizes is None else _at_places(sizes.kept, sizes.counts.tolist(), k),
            size_sigma=sigma,
            typical=self._typical(found),
            choice=found.choice,
            refused=tuple(map(str, refused)),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    """Why a partner answers nothing."""

    party: str
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.party}: {self.message} ({self.code})"


def _refusals(agreement: Agreement, customers: Sequence[int]) -> tuple[_Refusal, ...]:
    """Why partners with so many customers answer nothing; empty when all answer."""
    refused = []
    for party, n in zip(agreement.parties, customers, strict=True):
        try:
            check_number(n, agreement, party)
        except (SourceError, EncodingRangeError) as error:
            refused.append(_Refusal(party=party.id, code=error.code, message=error.message))
    return tuple(refused)


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
