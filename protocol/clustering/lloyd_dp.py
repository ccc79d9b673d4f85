"""The plan ``lloyd-dp``: Lloyd's algorithm on noised sums, a fixed number of rounds. SPEC.md, 10.3.

The simplest plan with noise, and the baseline for `hybrid-dp`: a start that depends on no customer,
then the same question in every round, each for an equal share of the run's rho. Offsets are
shortened to a radius that shrinks with the number of clusters (Su et al. 2016; Diaa et al.,
"FastLloyd", USENIX Security 2025).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import Any, ClassVar, Final

import numpy as np

from protocol.agreement.plan_names import LLOYD_DP
from protocol.clustering import local_sums
from protocol.clustering.expected import Crowd, ExpectedPlan
from protocol.clustering.lloyd_exact import spread_start
from protocol.clustering.noised import known
from protocol.clustering.plane import GRID
from protocol.clustering.portable import root
from protocol.clustering.result import Clustering, NoiseReport
from protocol.clustering.terms import Terms
from protocol.errors import LocalProtocolError
from protocol.noised_queries import LocalSumsQuery, check_range
from protocol.ring import UNIT, IntVector
from protocol.state import state_from_json, state_to_json

#: From the second round on, customers are expected within this part of ``reach / k^(1/d)``.
_LATER_RADIUS: Final = 0.8
_ROOT_BITS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LloydDP:
    """One state of the plan.

    Attributes:
        rounds: Number of sum queries.
        round: Number of the current query, from 0.
    """

    NAME: ClassVar[str] = LLOYD_DP
    #: So that no question costs more than half of a run.
    LEAST_ROUNDS: ClassVar[int] = 2
    STOPPED_WORDS: ClassVar[str] = "as many as agreed"

    terms: Terms
    rounds: int
    round: int
    query: LocalSumsQuery | None
    result: Clustering | None = None

    @staticmethod
    def start(terms: Terms, *, rounds: int) -> LloydDP:
        """The first state."""
        centres = spread_start(terms.n_clusters, terms.limit, terms.seed)
        query = local_sums.local_query(
            centres,
            radius=terms.reach,
            tilt=1.0,
            variance=terms.variance(1.0 / rounds, UNIT * UNIT),
        )
        return LloydDP(terms=terms, rounds=rounds, round=0, query=query)

    def advance(self, total: IntVector, *, customers: int, variance: int) -> LloydDP:
        if self.query is None:
            raise LocalProtocolError("the plan asks nothing now")
        check_range(self.query, total, customers=customers, variance=variance)
        found = local_sums.decode(self.query, total, variance=variance, plane=None)
        counts = np.maximum(found.counts, max(1.0, found.count_sigma))
        moved = local_sums.moved(self.query, found.offsets, counts, self.terms.limit)
        if self.round + 1 < self.rounds:
            radius = max(1, round(self._later_radius() * GRID))
            query = replace(self.query, centres=moved, radius=radius)
            return replace(self, round=self.round + 1, query=query)
        cost = self.terms.cost_of(self.query)
        result = Clustering(
            centroids=moved,
            counts=np.maximum(np.rint(found.counts), 0).astype(np.int64),
            spread=np.zeros(self.query.n_clusters, dtype=np.int64),
            rounds=self.rounds,
            converged=False,
            noise=NoiseReport(
                count_sigmas=np.full(self.query.n_clusters, ceil(found.count_sigma)),
                centre_sigmas=np.ceil(found.offset_sigma * GRID / counts).astype(np.int64),
                cost=self.rounds * cost,
                dearest=cost,
            ),
        )
        return replace(self, round=self.round + 1, query=None, result=result)

    @property
    def deviation(self) -> float:
        return self._later_radius() / 2

    def expected(self, crowd: Crowd) -> ExpectedPlan:
        first = known(self.query)
        radius = max(1, round(self._later_radius() * GRID))
        sums = replace(first, centres=first.centres[:1], radius=radius)
        return ExpectedPlan(questions=self.rounds, sums=sums)

    def _later_radius(self) -> float:
        shrunk = root(self.terms.n_clusters << (_ROOT_BITS * self.terms.n_features),
                      self.terms.n_features)  # fmt: skip
        return self.terms.reach * _LATER_RADIUS / (shrunk / (1 << _ROOT_BITS))

    def to_dict(self) -> dict[str, Any]:
        return {"plan": self.NAME, "state": state_to_json(self)}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> LloydDP:
        """Restore the state that `to_dict` returned."""
        kinds = (LloydDP, Terms, LocalSumsQuery, Clustering, NoiseReport)
        restored: LloydDP = state_from_json(values["state"], kinds)
        return restored

    @staticmethod
    def longest_vector(n_clusters: int, n_features: int) -> int:
        """Entries of its longest answer."""
        return n_clusters * (n_features + 1)
