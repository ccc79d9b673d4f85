"""The plan ``hybrid-dp``: k-means under customer-level differential privacy. SPEC.md, 10.2.

Ten questions at most: how many customers, their mean, how they vary about it, votes for candidate
points in the plane where they vary, sums around more centres than wanted (which gives a private
coreset in all dimensions), where the number of clusters is to be chosen how far customers lie from
the coreset, and sums at the wanted centres. The rest is post-processing, which costs nothing:
shrinking, eigenvectors, weighted k-means, and the choice of k.

Each question gets a share of the run's rho that depends only on public facts and on noised totals.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, sqrt
from typing import Any, ClassVar, Final

import numpy as np

from protocol.agreement.plan_names import CHOOSING_PLAN
from protocol.clustering import local_sums
from protocol.clustering.choice import Choice, Gap
from protocol.clustering.choose_k import Atoms, apart, choose, keep_largest
from protocol.clustering.distances import (
    DISTANCE_SHARE,
    distance_of,
    distance_query,
    distance_radius,
)
from protocol.clustering.expected import Crowd, ExpectedPlan
from protocol.clustering.noised import known
from protocol.clustering.plane import GRID, Plane
from protocol.clustering.portable import FloatVector, james_stein, total_of
from protocol.clustering.result import CHOICE, Answered, Clustering, NoiseReport
from protocol.clustering.terms import MOMENTS_RADIUS, Terms
from protocol.clustering.weighted_kmeans import nearest_of, weighted_kmeans
from protocol.errors import LocalProtocolError
from protocol.noised_queries import (
    MOMENT_BITS,
    MOMENT_DIAGONAL,
    MOMENT_OFF_DIAGONAL,
    CountQuery,
    DistanceQuery,
    LocalSumsQuery,
    MeanQuery,
    MomentsQuery,
    VotesQuery,
    check_range,
)
from protocol.privacy.accounting import RHO_ONE
from protocol.queries import IntMatrix
from protocol.ring import UNIT, IntVector
from protocol.state import state_from_json, state_to_json
from protocol.sum_query import SumQuery

COUNT: Final = "count"
MEAN: Final = "mean"
MOMENTS: Final = "moments"
VOTES: Final = "votes"
COARSE: Final = "coarse sums"
DISTANCE: Final = "distances"
FINE: Final = "fine sums"
#: Rounding each side of a grid of candidates up may give this many times the candidates wanted.
_GRID_OVERSHOOT: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """Constants of the plan, tuned on the nine development sets only (docs/privacy.md)."""

    count_share: float = 0.03
    votes: float = 0.27
    coarse: float = 0.43
    fine: float = 0.30
    votes_alone: float = 0.42
    fine_alone: float = 0.58
    coarse_rounds: int = 3
    fine_rounds: int = 2
    fine_rounds_alone: int = 3
    mean_radius: float = 0.6
    moments_radius: float = MOMENTS_RADIUS
    mean_share: float = 1.5
    moments_share: float = 0.9
    moments_least: float = 0.05
    candidate_noise: float = 2.5
    candidates_per_cluster: int = 4
    most_candidates: int = 1_500
    extreme_noise: float = 1.5
    coarse_per_customer: float = 0.25
    coarse_most: int = 8
    coarse_radius: float = 0.9
    fine_radius: float = 0.8
    coarse_tilt: float = 1.0
    fine_tilt: float = 3.0
    prior: float = 0.6
    drift: float = 0.1
    restarts: int = 20
    plane_features: int = 4
    affordable: float = 1.3


TUNING: Final = Tuning()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Division of the run's rho: each number is the share of one round."""

    mean: float
    moments: float
    votes: float
    coarse: float
    fine: float
    coarse_rounds: int
    fine_rounds: int
    n_candidates: int
    n_coarse: int

    @staticmethod
    def of(terms: Terms, n: float, multiplier: float, tuning: Tuning) -> Shares:
        """The division for `n` customers.

        Args:
            multiplier: The total's noise (sigma) at sensitivity 1 if one query had the whole rho.
        """
        t, k, reach = tuning, terms.n_clusters, terms.reach
        signal = n / (multiplier * reach)
        wide = terms.n_features >= t.plane_features
        mean = min(max(t.mean_share / signal, 0.03), 0.4) if wide else 0.0
        moments = min(max(t.moments_share / sqrt(signal), t.moments_least), 0.35) if wide else 0.0
        parts, rounds = (t.votes, t.coarse, t.fine), (t.coarse_rounds, t.fine_rounds)
        own = t.coarse_per_customer * signal * sqrt(0.85 * t.coarse / sum(parts) / t.coarse_rounds)
        if own < t.affordable * k:
            parts, rounds = (t.votes_alone, 0.0, t.fine_alone), (0, t.fine_rounds_alone)
        chosen = DISTANCE_SHARE if terms.chooses else 0.0
        unit = (1.0 - t.count_share - mean - moments - chosen) / sum(parts)
        votes, coarse, fine = (part * unit for part in parts)
        per_coarse = coarse / rounds[0] if rounds[0] else 0.0
        vote_sigma = multiplier / sqrt(votes)
        candidates = int(
            min(
                max(n / (t.candidate_noise * vote_sigma), t.candidates_per_cluster * k),
                max(t.most_candidates, t.candidates_per_cluster * k),
            )
        )
        coarse_k = 0
        if rounds[0]:
            coarse_k = int(t.coarse_per_customer * signal * sqrt(per_coarse))
            coarse_k = min(max(coarse_k, k), t.coarse_most * k)
        return Shares(
            mean=mean,
            moments=moments,
            votes=votes,
            coarse=per_coarse,
            fine=fine / rounds[1],
            coarse_rounds=rounds[0],
            fine_rounds=rounds[1],
            n_candidates=candidates,
            n_coarse=coarse_k,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Coreset:
    """Weighted points that stand for the customers.

    Attributes:
        points: Grid coordinates, shape ``(n_points, n_features)``.
        weights: Customers that each stands for, from 0.
        sigma: Standard deviation of the noise in a weight.
        counts: The weights as they were answered, with all their noise.
        moved: Whether customers have moved the points.
    """

    points: IntMatrix
    weights: FloatVector
    sigma: float
    counts: FloatVector | None = None
    moved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HybridDP:
    """One state of the plan: what is known, and what is asked next.

    Attributes:
        counted: Customers in all by the first question, noised: shares of rho follow from it.
        n: Customers in all of the partners who answered the last question that counts them, noised.
        n_sigma: Standard deviation of the noise in `n`.
        n_of: The most customers that can be in `n`, by which a set is known that shrank.
        choice_of: The most customers that the number of clusters can be chosen by.
    """

    NAME: ClassVar[str] = CHOOSING_PLAN
    #: Count, mean, moments, votes, three times coarse sums, distances, twice fine sums.
    MOST_ROUNDS: ClassVar[int] = 10
    LEAST_ROUNDS: ClassVar[int] = MOST_ROUNDS - 1
    STOPPED_WORDS: ClassVar[str] = ""

    terms: Terms
    tuning: Tuning = TUNING
    step: str = COUNT
    repeat: int = 0
    round: int = 0
    spent: int = 0
    dearest: int = 0
    counted: float = 0.0
    n: float = 0.0
    n_sigma: float = 0.0
    n_of: int = 0
    choice_of: int = 0
    multiplier: float = 0.0
    plane: Plane | None = None
    extremes: IntMatrix | None = None
    far: IntMatrix | None = None
    coreset: Coreset | None = None
    centres: IntMatrix | None = None
    choice: Choice | None = None
    radius: float = 0.0
    counts: FloatVector | None = None
    count_variance: FloatVector | None = None
    query: SumQuery | None = None
    result: Clustering | None = None

    @staticmethod
    def start(terms: Terms, *, rounds: int = MOST_ROUNDS, tuning: Tuning = TUNING) -> HybridDP:
        """The first state: how many customers are there?

        Args:
            rounds: The most questions that it may ask; it never asks more than `MOST_ROUNDS`.
        """
        variance = terms.variance(tuning.count_share, UNIT * UNIT)
        return HybridDP(terms=terms, tuning=tuning, query=CountQuery(variance=variance))

    def advance(self, total: IntVector, *, customers: int, variance: int) -> HybridDP:
        if self.query is None:
            raise LocalProtocolError("the plan asks nothing now")
        check_range(self.query, total, customers=customers, variance=variance)
        cost = self.terms.cost_of(self.query)
        asked = replace(
            self,
            round=self.round + 1,
            spent=self.spent + cost,
            dearest=max(self.dearest, cost),
        )
        match self.query:
            case CountQuery():
                return asked._counted(self.query, total, variance, customers)
            case MeanQuery():
                return asked._with_mean(self.query, total, variance)
            case MomentsQuery():
                return asked._with_moments(self.query, total, variance)
            case VotesQuery():
                return asked._with_votes(self.query, total, variance, customers)
            case LocalSumsQuery() if self.step == COARSE:
                return asked._with_coarse(self.query, total, variance, customers)
            case DistanceQuery():
                if customers != self.n_of:
                    return asked._without_distance()
                return asked._with_distance(self.query, total, variance)
            case LocalSumsQuery():
                return asked._with_fine(self.query, total, variance, customers)
        raise LocalProtocolError(f"the plan never asks a {type(self.query).__name__}")

    @property
    def deviation(self) -> float:
        return self.radius / self.tuning.fine_radius

    @property
    def shares(self) -> Shares:
        """Division of the run's rho."""
        return Shares.of(self.terms, self.counted, self.multiplier, self.tuning)

    def expected(self, crowd: Crowd) -> ExpectedPlan:
        """What it will ask, where the first question tells the number of customers as it is."""
        first = known(self.query)
        multiplier = self._multiplier(crowd.sigma(first.variance) ** 2 / first.variance)
        n = max(crowd.customers, self._fewest)
        shares = Shares.of(self.terms, n, multiplier, self.tuning)
        wide = self.terms.n_features >= self.tuning.plane_features
        radius = self.terms.within_reach(self.tuning.fine_radius * crowd.deviation)
        centre = np.zeros((1, self.terms.n_features), dtype=np.int64)
        # How many there are, mean and moments, votes; then sums, with distances between them.
        before = 2 + 2 * int(wide) + int(self.terms.chooses)
        return ExpectedPlan(
            questions=before + shares.coarse_rounds + shares.fine_rounds,
            sums=self._fine_query(centre, radius, shares),
        )

    def _multiplier(self, overhead: float) -> float:
        """The total's noise (sigma) at sensitivity 1 if one query had the whole rho.

        Args:
            overhead: Variance of the noise in totals, over the least that is asked for.
        """
        return sqrt(overhead * RHO_ONE / (2.0 * self.terms.cost)) * self.terms.group

    def _recounted(self, counts: FloatVector, sigma: float, customers: int) -> HybridDP:
        """The state with the customers in all of those who answer now.

        Where a partner dropped out since they were counted, these counts of all of them count anew.

        Args:
            sigma: Standard deviation of the noise in each count.
            customers: The most customers that can be in them.
        """
        if customers == self.n_of:
            return self
        return replace(
            self,
            n=max(total_of(counts), self._fewest),
            n_sigma=sigma * sqrt(float(counts.shape[0])),
            n_of=customers,
        )

    @property
    def _fewest(self) -> float:
        """Fewer customers are never taken for all, whatever the noise says."""
        return float(2 * self.terms.n_clusters)

    # --- count, mean, moments ---

    def _counted(
        self, query: CountQuery, total: IntVector, variance: int, customers: int
    ) -> HybridDP:
        multiplier = self._multiplier(variance / query.variance)
        n = max(int(total[0]) / UNIT, self._fewest)
        counted = replace(
            self,
            counted=n,
            n=n,
            n_sigma=multiplier / sqrt(self.tuning.count_share),
            n_of=customers,
            multiplier=multiplier,
        )
        if self.terms.n_features < self.tuning.plane_features:
            return counted._ask_votes(Plane.whole(self.terms.limit))
        radius = round(self.tuning.mean_radius * self.terms.reach * GRID)
        mean = MeanQuery(n_features=self.terms.n_features, radius=radius, variance=1)
        return replace(counted, step=MEAN, query=self.terms.priced(mean, counted.shares.mean))

    def _with_mean(self, query: MeanQuery, total: IntVector, variance: int) -> HybridDP:
        sums = total.astype(np.float64)[None, :] / (UNIT * self.n)
        noise = variance / (UNIT * self.n) ** 2
        mean = james_stein(sums, noise, self.terms.n_features)[0]
        limit = self.terms.limit
        centre = np.clip(np.rint(mean * GRID).astype(np.int64), -limit, limit)
        radius = round(self.tuning.moments_radius * self.terms.reach * GRID)
        moments = MomentsQuery(centre=centre, radius=radius, variance=1)
        priced = self.terms.priced(moments, self.shares.moments)
        return replace(self, step=MOMENTS, query=priced)

    def _with_moments(self, query: MomentsQuery, total: IntVector, variance: int) -> HybridDP:
        d = query.n_features
        row, column = np.triu_indices(d)
        unit = float(1 << 2 * MOMENT_BITS) * self.n
        factor = np.where(row == column, MOMENT_DIAGONAL, MOMENT_OFF_DIAGONAL)
        covariance = np.zeros((d, d))
        covariance[row, column] = covariance[column, row] = total / (factor * unit)
        plane = Plane.of(
            query.centre,
            covariance,
            noise=sqrt(float(variance)) / (MOMENT_DIAGONAL * unit),
            n_clusters=self.terms.n_clusters,
            n_candidates=self.shares.n_candidates,
            limit=self.terms.limit,
        )
        return self._ask_votes(plane)

    # --- votes ---

    def _ask_votes(self, plane: Plane) -> HybridDP:
        shares = self.shares
        candidates = plane.candidates(shares.n_candidates, self.terms.stream("candidates"))
        extremes = plane.extremes()
        query = VotesQuery(
            candidates=np.vstack([candidates, extremes]),
            variance=self.terms.variance(shares.votes, UNIT * UNIT),
        )
        return replace(self, step=VOTES, plane=plane, extremes=extremes, query=query)

    def _with_votes(
        self, query: VotesQuery, total: IntVector, variance: int, customers: int
    ) -> HybridDP:
        votes = total / UNIT
        sigma = sqrt(float(variance)) / UNIT
        return self._recounted(votes, sigma, customers)._with_weights(query, votes, sigma)

    def _with_weights(self, query: VotesQuery, votes: FloatVector, sigma: float) -> HybridDP:
        k, tuning, shares = self.terms.n_clusters, self.tuning, self.shares
        n_extremes = 0 if self.extremes is None else self.extremes.shape[0]
        inside = query.length - n_extremes
        ends, support = query.candidates[inside:], votes[inside:]
        order = np.argsort(-support, kind="stable")
        taken = [i for i in order.tolist() if support[i] > tuning.extreme_noise * sigma]
        points = query.candidates[:inside]
        weights = keep_largest(votes[:inside], self.n)
        weights = weights * (self.n / max(total_of(weights), 1e-9))
        coreset = Coreset(
            points=points, weights=weights, counts=votes[:inside], sigma=sigma, moved=False
        )
        voted = replace(self, coreset=coreset, far=ends[taken])
        if not shares.coarse_rounds:
            return voted._form_clusters()
        first, far = voted._near_and_far(k)
        voted = replace(voted, radius=self._radius(coreset, first, tuning.fine_radius))
        many = weighted_kmeans(
            points, weights, shares.n_coarse, restarts=1, stream=self.terms.stream("many")
        )
        radius = self._radius(coreset, many, tuning.coarse_radius)
        return voted._ask_coarse(np.vstack([many, far]), radius)

    def _near_and_far(self, k: int) -> tuple[IntMatrix, IntMatrix]:
        """Of `k` centres those that candidates' votes give, and those at the plane's ends."""
        coreset, far = known(self.coreset), known(self.far)[: k // 2]
        near = weighted_kmeans(
            coreset.points, coreset.weights, k - far.shape[0], restarts=self.tuning.restarts,
            stream=self.terms.stream("first"),
        )  # fmt: skip
        return near, far

    def _radius(self, coreset: Coreset, centres: IntMatrix, factor: float) -> float:
        """Typical distance of customers to their centre, times a factor."""
        rest = 0.0 if self.plane is None else self.plane.rest
        return self.terms.within_reach(factor * sqrt(_within(coreset, centres) + rest))

    # --- sums around many centres: the coreset in all dimensions ---

    def _ask_coarse(self, centres: IntMatrix, radius: float) -> HybridDP:
        variance = self.terms.variance(self.shares.coarse, UNIT * UNIT)
        query = local_sums.local_query(
            centres, radius=radius, tilt=self.tuning.coarse_tilt, variance=variance
        )
        return replace(self, step=COARSE, query=query)

    def _with_coarse(
        self, query: LocalSumsQuery, total: IntVector, variance: int, customers: int
    ) -> HybridDP:
        found = local_sums.decode(query, total, variance=variance, plane=known(self.plane))
        counts = np.maximum(found.counts, max(1.0, found.count_sigma))
        moved = local_sums.moved(query, found.offsets, counts, self.terms.limit)
        if self.repeat + 1 < self.shares.coarse_rounds:
            again = replace(query, centres=moved)
            return replace(self, repeat=self.repeat + 1, query=again)
        counted = self._recounted(found.counts, found.count_sigma, customers)
        weights = keep_largest(found.counts, counted.n)
        coreset = Coreset(
            points=moved, weights=weights, counts=found.counts, sigma=found.count_sigma, moved=True
        )
        return replace(counted, repeat=0, coreset=coreset)._form_clusters()

    # --- the clusters, as many as agreed or as are seen ---

    def _form_clusters(self) -> HybridDP:
        """Form the agreed number of clusters, or ask what the choice of their number needs."""
        if not self.terms.chooses:
            return self.with_clusters(self.terms.n_clusters)
        coreset, plane, query = known(self.coreset), known(self.plane), self.query
        # About as far as in a grid of cells whose middles lie as far apart as the points.
        cell = apart(coreset.points, coreset.weights) * plane.n_dimensions / 12.0
        deviation = sqrt(cell + plane.rest)
        if coreset.moved and isinstance(query, LocalSumsQuery):
            deviation = max(query.radius / GRID / self.tuning.coarse_radius, sqrt(cell))
        asked = distance_query(
            self.terms, coreset.points, distance_radius(self.terms.within_reach(deviation)),
            cost=int(DISTANCE_SHARE * float(self.terms.cost)),
        )  # fmt: skip
        return replace(self, step=DISTANCE, query=asked)

    def _with_distance(self, query: DistanceQuery, total: IntVector, variance: int) -> HybridDP:
        atoms = self.atoms(query, total, variance)
        choice = choose(
            atoms,
            smallest=self.terms.n_clusters_min,
            largest=self.terms.n_clusters,
            agreed=self.terms.agreed,
            stream=self.terms.stream("choice"),
        )
        chosen = replace(self, choice=choice, choice_of=self.n_of if choice.told else 0)
        return chosen.with_clusters(choice.used, atoms)

    def _without_distance(self) -> HybridDP:
        """The agreed number of clusters: the distances are of fewer partners than the counts."""
        choice = Choice.not_told(self.terms.agreed, largest=self.terms.n_clusters)
        return replace(self, choice=choice).with_clusters(choice.used)

    def atoms(self, query: DistanceQuery, total: IntVector, variance: int) -> Atoms:
        """What the number of clusters is chosen from, given the distances to the coreset."""
        coreset = known(self.coreset)
        return Atoms(
            points=coreset.points,
            counts=known(coreset.counts),
            sigma=coreset.sigma,
            n=self.n,
            distance=distance_of(query, total, variance=variance, n=self.n, n_sigma=self.n_sigma),
            plane=0 if coreset.moved else known(self.plane).n_dimensions,
        )

    def with_clusters(self, k: int, atoms: Atoms | None = None) -> HybridDP:
        """Form `k` clusters of the coreset.

        Args:
            atoms: What is known of it where the number was chosen.
        """
        coreset, factor = known(self.coreset), self.tuning.fine_radius
        if coreset.moved:
            near = centres = weighted_kmeans(
                coreset.points, coreset.weights, k, restarts=2 * self.tuning.restarts,
                stream=self.terms.stream("second"),
            )  # fmt: skip
            radius = self.radius
        else:
            near, far = self._near_and_far(k)
            centres, radius = np.vstack([near, far]), self._radius(coreset, near, factor)
        if atoms is not None:
            radius = self.terms.within_reach(factor * sqrt(_within(coreset, near) + atoms.spread))
        return replace(self, centres=centres, radius=radius)._ask_fine()

    # --- sums at the wanted centres ---

    def _ask_fine(self) -> HybridDP:
        coreset, centres = known(self.coreset), known(self.centres)
        k = centres.shape[0]
        index, _ = nearest_of(coreset.points, centres)
        counts = np.bincount(index, weights=coreset.weights, minlength=k)
        voices = np.bincount(index[coreset.weights > 0], minlength=k)
        variance = coreset.sigma**2 * np.maximum(voices, 1)
        level = self.n / k
        prior = (self.tuning.prior * level) ** 2
        fused = (counts / variance + level / prior) / (1.0 / variance + 1.0 / prior)
        return replace(
            self,
            counts=fused,
            count_variance=1.0 / (1.0 / variance + 1.0 / prior),
        )._ask_fine_at(centres)

    def _ask_fine_at(self, centres: IntMatrix) -> HybridDP:
        return replace(self, step=FINE, query=self._fine_query(centres, self.radius, self.shares))

    def _fine_query(self, centres: IntMatrix, radius: float, shares: Shares) -> LocalSumsQuery:
        return local_sums.local_query(
            centres,
            radius=radius,
            tilt=self.tuning.fine_tilt,
            variance=self.terms.variance(shares.fine, UNIT * UNIT),
        )

    def _with_fine(
        self, query: LocalSumsQuery, total: IntVector, variance: int, customers: int
    ) -> HybridDP:
        found = local_sums.decode(query, total, variance=variance, plane=known(self.plane))
        counts, after = local_sums.fused(
            found,
            known(self.counts),
            known(self.count_variance),
            drift=self.tuning.drift * self.n / query.n_clusters,
            comparable=customers == self.n_of,
        )
        divisor = np.maximum(counts, np.maximum(1.0, np.sqrt(after)))
        moved = local_sums.moved(query, found.offsets, divisor, self.terms.limit)
        settled = replace(
            self._recounted(found.counts, found.count_sigma, customers),
            counts=counts,
            count_variance=after,
            centres=moved,
            repeat=self.repeat + 1,
        )
        if settled.repeat < self.shares.fine_rounds:
            return settled._ask_fine_at(moved)
        result = Clustering(
            centroids=moved,
            counts=np.maximum(np.rint(counts), 0).astype(np.int64),
            spread=np.zeros(query.n_clusters, dtype=np.int64),
            rounds=settled.round,
            converged=True,
            choice=settled.choice,
            noise=NoiseReport(
                # Of the last count alone: earlier ones may differ by more than noise.
                count_sigmas=np.full(query.n_clusters, ceil(found.count_sigma)),
                centre_sigmas=np.ceil(found.offset_sigma * GRID / divisor).astype(np.int64),
                cost=settled.spent,
                dearest=settled.dearest,
            ),
        )
        if self.choice_of:
            result = result.stating(CHOICE, self.choice_of)
        return replace(settled, query=None, result=result)

    def to_dict(self) -> dict[str, Any]:
        return {"plan": self.NAME, "state": state_to_json(self)}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> HybridDP:
        """Restore the state that `to_dict` returned."""
        kinds = (
            HybridDP, Terms, Tuning, Plane, Coreset, Clustering, NoiseReport, Choice, Gap,
            CountQuery, MeanQuery, MomentsQuery, VotesQuery, DistanceQuery, LocalSumsQuery,
            Answered,
        )  # fmt: skip
        restored: HybridDP = state_from_json(values["state"], kinds)
        return restored

    @staticmethod
    def longest_vector(n_clusters: int, n_features: int, tuning: Tuning = TUNING) -> int:
        """Entries of the longest answer to any of the plan's questions, at most."""
        ends = 2 * n_features
        votes = _GRID_OVERSHOOT * max(
            tuning.most_candidates, tuning.candidates_per_cluster * n_clusters
        )
        coarse = (tuning.coarse_most * n_clusters + n_clusters // 2) * (n_features + 1)
        moments = n_features * (n_features + 1) // 2
        return max(votes + ends, coarse, moments)


def _within(coreset: Coreset, centres: IntMatrix) -> float:
    """Mean squared distance of the coreset to its nearest centre, in the scaled cube."""
    _, distance = nearest_of(coreset.points, centres)
    weight = max(total_of(coreset.weights), 1e-9)
    return total_of(distance * coreset.weights) / weight / (GRID * float(GRID))
