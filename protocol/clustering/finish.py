"""The last questions of every plan with noise: its segments' sizes, tightness, satisfaction.

SPEC.md, 10.4. A plan ends in more centroids than may be worth releasing, and its counts belong to
the centroids of the question before. So clusters that are too small to release are merged into
their nearest neighbours first; then one question more counts the customers nearest to each centre
that is left. With a profile it also asks how far they lie from it along each feature. The next asks
for one number, how far customers lie from the nearest of them: the inertia of what is released, and
what a later run's customers are compared with. Where the partners agreed on it, a question of its
own asks for the scores that these customers gave.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, sqrt
from typing import Any, ClassVar, Final

import numpy as np

from protocol.clustering.choice import Choice, Gap
from protocol.clustering.distances import (
    DISTANCE_SHARE,
    distance_of,
    distance_query,
    distance_radius,
)
from protocol.clustering.expected import Crowd, ExpectedNoise
from protocol.clustering.followed import Beginning
from protocol.clustering.noised import Noised, known
from protocol.clustering.plane import GRID
from protocol.clustering.portable import FloatVector, total_of
from protocol.clustering.result import (
    DISTANCE,
    SCORES,
    SIZES,
    Answered,
    Clustering,
    Distance,
    NoiseReport,
    Profile,
    Satisfaction,
    Sizes,
    least_size,
)
from protocol.clustering.satisfaction import SATISFACTION_SHARE, satisfaction_of
from protocol.clustering.terms import Terms
from protocol.errors import LocalProtocolError
from protocol.noised_queries import (
    SPREAD_COUNT,
    SPREAD_NORM,
    DistanceQuery,
    ScoresQuery,
    SpreadsQuery,
    VotesQuery,
    check_range,
)
from protocol.percents import whole_percent_words
from protocol.queries import IntMatrix
from protocol.ring import UNIT, IntVector
from protocol.state import state_from_json, state_to_json
from protocol.sum_query import SumQuery

#: The part of a run's rho that the question for sizes costs, alone and with a profile.
SIZES_SHARE: Final = 0.03
PROFILE_SHARE: Final = 0.07
#: What the last questions cost at most.
LARGEST_SHARE: Final = PROFILE_SHARE + DISTANCE_SHARE + SATISFACTION_SHARE
#: Offsets are shortened to this multiple of the typical distance to the centre: the more customers,
#: the larger, as less noise then hides the bias that shortening causes.
_LEAST_REACH, _MOST_REACH = 1.6, 3.0
_REACH_PER_SIGNAL: Final = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Finishing:
    """One state of a plan with its last questions.

    Attributes:
        plan: The plan that forms the clusters.
        cost: What the question for sizes may cost, in units of ``2^-60`` of rho.
        distance_cost: What the question for distances may cost.
        scores_cost: What the question for scores may cost; 0 when none is asked.
        min_segment_size: The smallest segment that may be released.
        profile: Whether the question for sizes asks for spreads, too.
        kept: Which of the plan's clusters are left, once it has ended.
        sized: The clusters with their sizes, while more is asked about them.
    """

    NAME: ClassVar[str] = "finishing"

    plan: Noised
    cost: int
    scores_cost: int
    min_segment_size: int
    profile: bool
    distance_cost: int = 0
    kept: tuple[int, ...] = ()
    sized: Clustering | None = None
    query: SumQuery | None = None
    result: Clustering | None = None

    @staticmethod
    def start(
        terms: Terms,
        begin: Callable[[Terms], Noised],
        *,
        min_segment_size: int,
        profile: bool,
        satisfaction: bool,
    ) -> Finishing:
        """The first state.

        Args:
            terms: Of the whole run.
            begin: Starts the plan, with the run's cost less that of the last questions.
        """
        cost, distance_cost, scores_cost = last_costs(
            terms.cost, profile=profile, satisfaction=satisfaction
        )
        plan = begin(replace(terms, cost=terms.cost - cost - distance_cost - scores_cost))
        return Finishing(
            plan=plan,
            cost=cost,
            distance_cost=distance_cost,
            scores_cost=scores_cost,
            min_segment_size=min_segment_size,
            profile=profile,
            query=plan.query,
        )._affordable()

    def expected(self, crowd: Crowd) -> ExpectedNoise:
        """The noise that the result will have, of the first state."""
        terms, plan = self.plan.terms, self.plan.expected(crowd)
        n_segments = terms.n_clusters if terms.followed is None else terms.followed.sizes.shape[0]
        sizes = self._question(np.zeros((1, terms.n_features), dtype=np.int64))
        size_sigma = crowd.sigma(sizes.variance) / self._count_unit
        segment = crowd.customers / n_segments
        return ExpectedNoise(
            questions=plan.questions + (2 if not self.scores_cost else 3),
            size_sigma=size_sigma,
            least=least_size(self.min_segment_size, ceil(size_sigma)),
            segment=segment,
            deviation=crowd.deviation,
            centre_sigma=crowd.centre_sigma(plan.sums, segment),
        )

    def advance(self, total: IntVector, *, customers: int, variance: int) -> Finishing:
        return self._advanced(total, customers=customers, variance=variance)._affordable()

    def _affordable(self) -> Finishing:
        """This state; raises LocalProtocolError when a spare round could not ask its question."""
        if self.query is None:
            return self
        terms = self.plan.terms
        whole = terms.cost + self.cost + self.distance_cost + self.scores_cost
        cost = terms.cost_of(self.query)
        if cost > -(-whole // 2):
            raise LocalProtocolError(
                f"plan {self.plan.NAME} asks {self.query.words} for "
                f"{whole_percent_words(cost / whole)} of what the "
                "run may cost; a spare round reserves half of it, so no question may cost more"
            )
        return self

    def _advanced(self, total: IntVector, *, customers: int, variance: int) -> Finishing:
        if self.query is None:
            raise LocalProtocolError("the plan asks nothing now")
        if self.plan.result is not None:
            check_range(self.query, total, customers=customers, variance=variance)
            if isinstance(self.query, ScoresQuery):
                found = known(self.sized).stating(SCORES, customers)
                return self._with_scores(found, self.query, total, variance)
            if isinstance(self.query, DistanceQuery):
                found = known(self.sized)
                if customers == found.answered[-1].customers:
                    found = found.stating(DISTANCE, customers)
                return self._with_distance(found, self.query, total, variance)
            found = self.plan.result.stating(SIZES, customers)
            return self._with_sizes(found, self.query, total, variance)
        asked = self.query.variance
        plan = self.plan.advance(total, customers=customers, variance=variance)
        asking = replace(self, plan=plan, query=plan.query)
        if plan.result is None:
            return asking
        return asking._ask(plan.result, overhead=variance / asked)

    def _ask(self, found: Clustering, *, overhead: float) -> Finishing:
        """Ask about the clusters that are large enough; when there are none the plan ends.

        Args:
            overhead: Variance of the noise in totals, over the least that was asked for.
        """
        query = self._question(found.centroids)
        sigma = sqrt(float(query.variance) * overhead) / self._count_unit
        least = least_size(self.min_segment_size, ceil(sigma))
        kept = tuple(int(j) for j in np.flatnonzero(found.counts >= least))
        if not kept:
            sizes = Sizes(kept=(), counts=np.zeros(0, np.int64), sigmas=np.zeros(0, np.int64))
            return replace(self, query=None, result=replace(found, sizes=sizes))
        query = self._question(found.centroids[list(kept)])
        if isinstance(query, SpreadsQuery):
            query = replace(query, radius=self._radius(query, found.counts[list(kept)]))
        return replace(self, kept=kept, query=query)

    def _question(self, centres: IntMatrix) -> VotesQuery | SpreadsQuery:
        query: VotesQuery | SpreadsQuery
        if self.profile:
            query = SpreadsQuery(centres=centres, radius=1, variance=1)
        else:
            query = VotesQuery(candidates=centres, variance=1)
        variance = self.plan.terms.variance_at(self.cost, query.sensitivity_squared)
        return replace(query, variance=variance)

    @property
    def _count_unit(self) -> int:
        """The number that one customer adds to a count in the question for sizes."""
        return SPREAD_COUNT if self.profile else UNIT

    def _radius(self, query: SpreadsQuery, counts: IntVector) -> int:
        each = total_of(counts.astype(np.float64)) / query.n_clusters
        signal = each * SPREAD_NORM**2 / sqrt(float(query.variance))
        reach = min(max(_REACH_PER_SIGNAL * sqrt(sqrt(signal)), _LEAST_REACH), _MOST_REACH)
        return max(1, round(reach * self.plan.deviation * GRID))

    def _with_sizes(
        self, found: Clustering, query: SumQuery, total: IntVector, variance: int
    ) -> Finishing:
        """The state once sizes are known: how far do customers lie from the centres?"""
        n = len(self.kept)
        table = total.reshape(n, -1).astype(np.float64)
        sigma = sqrt(float(variance)) / self._count_unit
        noised = table[:, -1] / self._count_unit
        sized = replace(
            self._charged(found, query),
            sizes=Sizes(
                kept=self.kept,
                counts=np.maximum(np.rint(noised), 0).astype(np.int64),
                sigmas=np.full(n, ceil(sigma), dtype=np.int64),
            ),
            profile=_profile(query, table, np.maximum(noised, max(sigma, 1.0)), variance)
            if isinstance(query, SpreadsQuery)
            else None,
        )
        distance = distance_query(
            self.plan.terms, found.centroids[list(self.kept)],
            distance_radius(self.plan.deviation), cost=self.distance_cost,
        )  # fmt: skip
        return replace(self, query=distance, sized=sized)

    def _with_distance(
        self, found: Clustering, query: DistanceQuery, total: IntVector, variance: int
    ) -> Finishing:
        """The state once distances are known: the question for scores if it is asked, or the end.

        Args:
            found: States the distance where it is of the customers whom the sizes count. A mean of
                others' distances is none.
        """
        sizes = known(found.sizes)
        n_sigma = sqrt(total_of(sizes.sigmas.astype(np.float64) ** 2))
        n = max(float(int(sizes.counts.sum())), n_sigma, 1.0)
        distance = distance_of(query, total, variance=variance, n=n, n_sigma=n_sigma)
        states = found.answered[-1].what == DISTANCE
        result = replace(self._charged(found, query), distance=distance if states else None)
        if not self.scores_cost:
            return replace(self, query=None, sized=None, result=result)
        scores = ScoresQuery(centres=query.points, variance=1)
        variance = self.plan.terms.variance_at(self.scores_cost, scores.sensitivity_squared)
        return replace(self, query=replace(scores, variance=variance), sized=result)

    def _with_scores(
        self, found: Clustering, query: ScoresQuery, total: IntVector, variance: int
    ) -> Finishing:
        result = replace(
            self._charged(found, query),
            satisfaction=satisfaction_of(query, total, variance=variance),
        )
        return replace(self, query=None, sized=None, result=result)

    def _charged(self, found: Clustering, query: SumQuery) -> Clustering:
        """The result with one more question counted, and its cost added."""
        if found.noise is None:
            raise LocalProtocolError("the plan's steps are out of order")
        cost = self.plan.terms.cost_of(query)
        return replace(
            found,
            rounds=found.rounds + 1,
            noise=replace(
                found.noise,
                cost=found.noise.cost + cost,
                dearest=max(found.noise.dearest, cost),
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        own = {
            "cost": self.cost,
            "distance_cost": self.distance_cost,
            "scores_cost": self.scores_cost,
            "min_segment_size": self.min_segment_size,
            "profile": self.profile,
            "kept": self.kept,
            "sized": self.sized,
            "query": None if self.plan.result is None else self.query,
            "result": self.result,
        }
        return {
            "plan": self.NAME,
            "inner": self.plan.to_dict(),
            "state": {name: state_to_json(value) for name, value in own.items()},
        }

    @staticmethod
    def from_dict(values: dict[str, Any], plan: Noised) -> Finishing:
        """Restore the state that `to_dict` returned.

        Args:
            plan: Restored from its ``inner`` values.
        """
        kinds = (
            SpreadsQuery, VotesQuery, DistanceQuery, ScoresQuery, Clustering, NoiseReport, Profile,
            Sizes, Distance, Satisfaction, Choice, Gap, Beginning, Answered,
        )  # fmt: skip
        own = {name: state_from_json(value, kinds) for name, value in values["state"].items()}
        query = own.pop("query")
        return Finishing(plan=plan, query=query if plan.query is None else plan.query, **own)


def last_costs(cost: int, *, profile: bool, satisfaction: bool) -> tuple[int, int, int]:
    """What the questions for sizes, distances and scores may cost, in a run that costs `cost`."""
    return (
        int((PROFILE_SHARE if profile else SIZES_SHARE) * float(cost)),
        int(DISTANCE_SHARE * float(cost)),
        int(SATISFACTION_SHARE * float(cost)) if satisfaction else 0,
    )


def _profile(
    query: SpreadsQuery, table: np.ndarray[Any, np.dtype[np.float64]], counts: FloatVector,
    variance: int,
) -> Profile:  # fmt: skip
    unit = (query.radius / SPREAD_NORM) ** 2 / GRID
    spreads = np.maximum(table[:, :-1] * unit, 0.0) / counts[:, None]
    # The count in the divisor has noise, too.
    of_sum = sqrt(float(variance)) * unit
    of_count = spreads.max(axis=1) * (sqrt(float(variance)) / SPREAD_COUNT)
    sigmas = np.sqrt(of_sum * of_sum + of_count * of_count) / counts
    return Profile(
        spreads=np.rint(spreads).astype(np.int64),
        sigmas=np.array([ceil(s) for s in sigmas.tolist()], dtype=np.int64),
    )
