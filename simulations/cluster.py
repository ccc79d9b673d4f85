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
from protocol.clustering.portable import FloatVector
from protocol.clustering.result import Clustering, least_size
from protocol.errors import EncodingRangeError, RuleError, RunFailedError, SourceError
from protocol.percents import percent_words
from protocol.queries import customer_vectors
from protocol.release.document import (
    EXACT_WORDS,
    NOISE_WORDS,
    NOISED_STATEMENT,
    Ranges,
    typical_range,
)
from protocol.scaling import FeatureScale, FloatMatrix
from simulations.federation import AgreedFederation, FederatedRun
from simulations.follow_ups import follow_ups
from simulations.partitions import RowNumbers, split
from simulations.results import ClusterResult

#: Above this share of clipped values a column gets a notice.
MOST_CLIPPED = 0.05
_BLOCK_ROWS = 65_536

Progress = Callable[[dict[str, Any]], None]
Sizes = Literal["equal", "uneven"]


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
            f"{percent_words(share)} of the values of {name!r} lie beyond its bounds and "
            "count as the bounds: widen the bounds, or take the result with care"
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
            "agreement": agreement.id,
            "version": agreement.version,
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

    def run(
        self, seed: int, *, n_follow_ups: int = 0, on_progress: Progress = lambda _: None
    ) -> ClusterResult:
        """Split the rows, set up a federation and run it once, and as often as asked after that.

        Args:
            seed: Decides the split and the plan's start; the start does not depend on the split.
            n_follow_ups: How many runs on the same customers follow the first.
            on_progress: Called with a run's progress; `run` of it is 0 in the first run.

        Raises:
            RuleError: The run failed as partners have fewer or more customers than agreed
                (E-TOO-FEW, E-ROW-CAP), or the budget holds fewer runs (E-BUDGET-SPENT).
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
            run = federation.run(on_progress=lambda values: on_progress({**values, "run": 0}))
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
        result = self._judged(seed, run, parts=parts, refused=refused, seconds=seconds)
        if not n_follow_ups:
            return result
        participants = set(run.release.release.participants)
        counted = [r for p, r in zip(agreement.parties, parts, strict=True) if p.id in participants]
        later = follow_ups(
            federation,
            run.release.release,
            self._vectors[np.concatenate(counted)],
            n_follow_ups,
            on_progress=lambda number, values: on_progress({**values, "run": number}),
        )
        return replace(result, follow_ups=later)

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
        formed = mean_inertia(points, to_cube(centroids, self._scale))
        kept = self._scale.from_grid(release.centres) if release.segments else centroids
        return ClusterResult(
            seed=seed,
            agreement=self.agreement,
            release=release,
            least_size=least_size(self.agreement.min_segment_size, sigma),
            centroids=centroids,
            counts=tuple(found.counts.tolist()),
            inertia_mean=mean_inertia(points, to_cube(kept, self._scale)),
            inertia_formed=formed,
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
