"""The segment profile: after any plan with noise one question more, how customers differ within.

SPEC.md, 10.4. It is asked around the centroids that the plan ended in, for a fixed share of the
run's rho, and changes neither centroids nor counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, sqrt
from typing import Any, ClassVar, Final

import numpy as np

from protocol.clustering.choose_k import KScore
from protocol.clustering.hybrid_dp import HybridDP
from protocol.clustering.lloyd_dp import LloydDP
from protocol.clustering.plane import GRID
from protocol.clustering.portable import total_of
from protocol.clustering.result import Clustering, NoiseReport, Profile
from protocol.clustering.state import state_from_json, state_to_json
from protocol.clustering.terms import Terms
from protocol.errors import LocalProtocolError
from protocol.private_queries import SPREAD_COUNT, SPREAD_NORM, SpreadsQuery, check_range
from protocol.queries import SumQuery
from protocol.ring import IntVector

#: The part of a run's rho that a profile costs.
PROFILE_SHARE: Final = 0.05
#: Offsets are shortened to so many times the distance at which customers lie from their centre:
#: the more customers, the farther, as less noise then hides how much the shortening takes away.
_LEAST_REACH, _MOST_REACH = 1.6, 3.0
_REACH_PER_SIGNAL: Final = 0.6

#: The plans that can be followed by a profile.
Profiled = HybridDP | LloydDP


@dataclass(frozen=True, slots=True, kw_only=True)
class WithProfile:
    """One state of a plan and the profile after it.

    Attributes:
        plan: The plan that forms the clusters.
        cost: What the profile may cost, in units of ``2^-60`` of rho.
    """

    NAME: ClassVar[str] = "with-profile"

    plan: Profiled
    cost: int
    query: SumQuery | None
    result: Clustering | None = None

    @staticmethod
    def start(terms: Terms, begin: Callable[[Terms], Profiled]) -> WithProfile:
        """The first state.

        Args:
            terms: Of the whole run.
            begin: Starts the plan on what the profile leaves of them.
        """
        cost = int(PROFILE_SHARE * float(terms.cost))
        plan = begin(replace(terms, cost=terms.cost - cost))
        return WithProfile(plan=plan, cost=cost, query=plan.query)

    def advance(self, total: IntVector, *, customers: int, variance: int) -> WithProfile:
        """The state after the total of the current query."""
        match self.query:
            case None:
                raise LocalProtocolError("the plan asks nothing now")
            case SpreadsQuery():
                check_range(self.query, total, customers=customers, variance=variance)
                result = self._described(self.query, total, variance)
                return replace(self, query=None, result=result)
        plan = self.plan.advance(total, customers=customers, variance=variance)
        query = plan.query if plan.result is None else self._question(plan, plan.result)
        return replace(self, plan=plan, query=query)

    def _question(self, plan: Profiled, found: Clustering) -> SpreadsQuery:
        query = SpreadsQuery(centres=found.centroids, radius=1, variance=1)
        variance = plan.terms.variance_at(self.cost, query.sensitivity_squared)
        each = total_of(found.counts.astype(np.float64)) / query.n_clusters
        signal = each * SPREAD_NORM**2 / sqrt(float(variance))
        reach = min(max(_REACH_PER_SIGNAL * sqrt(sqrt(signal)), _LEAST_REACH), _MOST_REACH)
        return replace(
            query, radius=max(1, round(reach * plan.deviation * GRID)), variance=variance
        )

    def _described(self, query: SpreadsQuery, total: IntVector, variance: int) -> Clustering:
        found = self.plan.result
        if found is None or found.noise is None:
            raise LocalProtocolError("the plan's steps are out of order")
        unit = (query.radius / SPREAD_NORM) ** 2 / GRID
        sigma = sqrt(float(variance)) * unit
        table = total.reshape(query.n_clusters, query.n_features + 1).astype(np.float64)
        count_sigma = sqrt(float(variance)) / SPREAD_COUNT
        counts = np.maximum(table[:, -1] / SPREAD_COUNT, max(count_sigma, 1.0))
        spreads = np.maximum(table[:, :-1] * unit, 0.0) / counts[:, None]
        # The count that it is divided by has noise, too.
        of_count = spreads.max(axis=1) * count_sigma
        sigmas = np.sqrt(sigma * sigma + of_count * of_count) / counts
        cost = self.plan.terms.cost_of(query)
        noise = NoiseReport(
            count_sigmas=found.noise.count_sigmas,
            centre_sigmas=found.noise.centre_sigmas,
            cost=found.noise.cost + cost,
            dearest=max(found.noise.dearest, cost),
        )
        return replace(
            found,
            rounds=found.rounds + 1,
            noise=noise,
            profile=Profile(
                spreads=np.rint(spreads).astype(np.int64),
                sigmas=np.array([ceil(s) for s in sigmas.tolist()], dtype=np.int64),
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON values."""
        rest = {
            "cost": self.cost,
            "query": self.query if isinstance(self.query, SpreadsQuery) else None,
            "result": self.result,
        }
        return {
            "plan": self.NAME,
            "inner": self.plan.to_dict(),
            "state": {name: state_to_json(value) for name, value in rest.items()},
        }

    @staticmethod
    def from_dict(values: dict[str, Any], plan: Profiled) -> WithProfile:
        """The state that `to_dict` gave.

        Args:
            plan: Restored from its ``inner`` values.
        """
        kinds = (SpreadsQuery, Clustering, NoiseReport, Profile, KScore)
        rest = {name: state_from_json(value, kinds) for name, value in values["state"].items()}
        query = plan.query if plan.query is not None else rest["query"]
        return WithProfile(plan=plan, cost=rest["cost"], query=query, result=rest["result"])
