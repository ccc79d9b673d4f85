"""The plan of a run that follows the last release: its segments, with its customers now.

SPEC.md, 10.6. Whichever plan with noise was agreed, two questions take its place: how far customers
lie from the nearest of the last release's centres, and sums about these centres. The number of
segments stays, and the centres move as far as the sums are more than noise, so that customers who
did not change keep their segments.

Sums about old centres never find a new group: whoever is in it is added to a segment nearby. So the
first answer is compared with the same figure of the last release. A difference beyond both noises
means that customers changed; the release then says so, and the next run starts anew. Nothing is
compared when a partner dropped out between the two questions: the distances are then those of more
customers than the sums count.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, sqrt
from typing import Any, ClassVar, Final

import numpy as np

from protocol.clustering import local_sums
from protocol.clustering.distances import DISTANCE_SHARE, distance_query
from protocol.clustering.expected import Crowd, ExpectedPlan
from protocol.clustering.followed import Beginning, Followed
from protocol.clustering.noised import known
from protocol.clustering.plane import GRID
from protocol.clustering.portable import FloatVector, james_stein, total_of
from protocol.clustering.result import CHANGE, Answered, Clustering, NoiseReport
from protocol.clustering.terms import Terms
from protocol.errors import LocalProtocolError
from protocol.noised_queries import DistanceQuery, LocalSumsQuery, check_range
from protocol.ring import UNIT, IntVector
from protocol.state import state_from_json, state_to_json
from protocol.sum_query import SumQuery

#: Share of the plan's rho that the sums cost, beside `DISTANCE_SHARE` for the distances.
SUMS_SHARE: Final = 0.30
#: Offsets are shortened to this part of the typical distance to the centre.
_RADIUS: Final = 0.8
#: How much more of the budget goes to the sums than to the counts, see `local_query`.
_TILT: Final = 3.0
#: How far a segment's size may drift from one run to the next, as a part of the mean size.
_DRIFT: Final = 0.1
#: Customers changed when the distance differs by more standard deviations than this.
_MOST_SIGMAS: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """One state of the plan.

    Attributes:
        distances: Sum of customers' squared distances, in squared radii of the question for them;
            None before it was answered.
        distances_variance: Variance of the noise in it.
        distances_of: The most customers that can be in it, by which a set is known that shrank.
    """

    NAME: ClassVar[str] = "follow-up"
    LEAST_ROUNDS: ClassVar[int] = 2
    STOPPED_WORDS: ClassVar[str] = ""

    terms: Terms
    distances: float | None = None
    distances_variance: float = 0.0
    distances_of: int = 0
    spent: int = 0
    dearest: int = 0
    query: SumQuery | None = None
    result: Clustering | None = None

    @staticmethod
    def start(terms: Terms, *, rounds: int = LEAST_ROUNDS) -> FollowUp:
        """The first state: how far do customers lie from the last release's centres?"""
        followed = known(terms.followed)
        query = distance_query(
            terms, followed.centres, followed.radius,
            cost=int(DISTANCE_SHARE * float(terms.cost)),
        )  # fmt: skip
        return FollowUp(terms=terms, query=query)

    @staticmethod
    def most_cost(cost: int) -> int:
        """What its questions cost at most, of what the agreed plan would cost."""
        return sum(int(share * float(cost)) for share in (DISTANCE_SHARE, SUMS_SHARE))

    @property
    def followed(self) -> Followed:
        """The release that it follows."""
        return known(self.terms.followed)

    @property
    def deviation(self) -> float:
        return self.terms.within_reach(sqrt(self.followed.mean / GRID))

    def expected(self, crowd: Crowd) -> ExpectedPlan:
        return ExpectedPlan(questions=self.LEAST_ROUNDS, sums=self._sums_query())

    def _sums_query(self) -> LocalSumsQuery:
        return local_sums.local_query(
            self.followed.centres,
            radius=self.terms.within_reach(_RADIUS * self.deviation),
            tilt=_TILT,
            variance=self.terms.variance(SUMS_SHARE, UNIT * UNIT),
        )

    def advance(self, total: IntVector, *, customers: int, variance: int) -> FollowUp:
        if self.query is None:
            raise LocalProtocolError("the plan asks nothing now")
        check_range(self.query, total, customers=customers, variance=variance)
        cost = self.terms.cost_of(self.query)
        asked = replace(self, spent=self.spent + cost, dearest=max(self.dearest, cost))
        if isinstance(self.query, LocalSumsQuery):
            comparable = customers == self.distances_of
            summed = asked._with_sums(self.query, total, variance, comparable=comparable)
            found = known(summed.result)
            if found.beginning is None or not found.beginning.changed:
                return summed
            return replace(summed, result=found.stating(CHANGE, customers))
        return replace(
            asked,
            distances=int(total[0]) / UNIT,
            distances_variance=float(variance) / (UNIT * UNIT),
            distances_of=customers,
            query=self._sums_query(),
        )

    def _with_sums(
        self, query: LocalSumsQuery, total: IntVector, variance: int, *, comparable: bool
    ) -> FollowUp:
        """The state once sums are known, the last one.

        Args:
            comparable: Whether the sums are over the customers whose distances are known.
        """
        found = local_sums.decode(query, total, variance=variance, plane=None)
        counts, after = local_sums.fused(
            found,
            self.followed.sizes.astype(np.float64),
            self.followed.sigmas.astype(np.float64) ** 2,
            drift=_DRIFT * total_of(self.followed.sizes.astype(np.float64)) / query.n_clusters,
        )
        divisor = np.maximum(counts, np.maximum(1.0, np.sqrt(after)))
        k = query.n_clusters
        # An old centre has noise, too: its customers lie about where it was without.
        noise = found.offset_sigma**2 + (divisor * self.followed.centre_sigmas / GRID) ** 2
        offsets = james_stein(found.offsets, noise, query.n_features)
        result = Clustering(
            centroids=local_sums.moved(query, offsets, divisor, self.terms.limit),
            counts=np.maximum(np.rint(counts), 0).astype(np.int64),
            spread=np.zeros(k, dtype=np.int64),
            rounds=self.LEAST_ROUNDS,
            converged=True,
            noise=NoiseReport(
                count_sigmas=np.full(k, ceil(found.count_sigma)),
                centre_sigmas=np.ceil(found.offset_sigma * GRID / divisor).astype(np.int64),
                cost=self.spent,
                dearest=self.dearest,
            ),
            beginning=Beginning(
                release=self.followed.release,
                changed=comparable and self._changed(found.counts, found.count_sigma),
            ),
        )
        return replace(self, query=None, result=result)

    def _changed(self, counts: FloatVector, count_sigma: float) -> bool:
        """Whether the mean distance differs from the last release's beyond noise and sampling.

        Both are means of numbers from 0 to 1, so a mean m has at most the variance m(1 - m) of one
        customer: the customers of either run are taken for a sample.
        """
        followed = self.followed
        square = followed.radius / GRID * followed.radius
        before, noise_before = followed.mean / square, (followed.sigma / square) ** 2
        n_before = max(total_of(followed.sizes.astype(np.float64)), 1.0)
        n_sigma = sqrt(float(counts.shape[0])) * count_sigma
        n = max(total_of(counts), n_sigma, 1.0)
        now = min(max(known(self.distances) / n, 0.0), 1.0)
        noise = (self.distances_variance + (now * n_sigma) ** 2) / (n * n)
        sampling = now * (1.0 - now) / n + before * (1.0 - before) / n_before
        apart = max(abs(now - before) - followed.uncounted / n_before, 0.0)
        return apart * apart > _MOST_SIGMAS * _MOST_SIGMAS * (noise + noise_before + sampling)

    def to_dict(self) -> dict[str, Any]:
        return {"plan": self.NAME, "state": state_to_json(self)}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> FollowUp:
        """Restore the state that `to_dict` returned."""
        kinds = (FollowUp, Terms, Followed, Beginning, DistanceQuery, LocalSumsQuery, Clustering,
                 NoiseReport, Answered)  # fmt: skip
        restored: FollowUp = state_from_json(values["state"], kinds)
        return restored

    @staticmethod
    def longest_vector(n_clusters: int, n_features: int) -> int:
        """Entries of its longest answer, for as many segments."""
        return n_clusters * (n_features + 1)
