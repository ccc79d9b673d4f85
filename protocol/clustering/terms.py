"""Parameters that a plan with noise starts from, and what queries cost under them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt
from typing import Final, TypeVar

from protocol.clustering.followed import Followed
from protocol.clustering.plane import GRID
from protocol.clustering.portable import total_of
from protocol.masking import Stream, expand
from protocol.noised_queries import (
    MOMENT_BITS,
    MOMENT_DIAGONAL,
    SPREAD_NORM,
    MeanQuery,
    MomentsQuery,
)
from protocol.privacy.accounting import query_cost, variance_for
from protocol.ring import EXACT_FRACTION_BITS, UNIT, IntVector
from protocol.sum_query import SumQuery

#: Smallest share of a run's rho that a question of hybrid-dp gets.
SMALLEST_SHARE: Final = 0.002
#: Offsets whose products are added up are shortened to this part of half the cube's diagonal.
MOMENTS_RADIUS: Final = 0.37

#: Queries whose sensitivity follows from their other fields.
_Sized = TypeVar("_Sized", MeanQuery, MomentsQuery)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Parameters fixed before a run.

    Attributes:
        n_clusters: Largest number of clusters.
        n_clusters_min: Smallest number; the plan chooses.
        n_clusters_agreed: The number where none is seen in the range; None for the largest.
        limit: Largest magnitude of a grid coordinate, shape ``(n_features,)``.
        cost: What the run may cost, in units of ``2^-60`` of rho.
        group: The most partners that one person is a customer of.
        seed: 32 bytes.
        followed: The release that the run starts from; None when it starts anew.
    """

    n_clusters: int
    n_clusters_min: int
    limit: IntVector
    cost: int
    group: int
    seed: bytes
    n_clusters_agreed: int | None = None
    followed: Followed | None = None

    @property
    def chooses(self) -> bool:
        """Whether the number of clusters is to be chosen."""
        return self.n_clusters_min < self.n_clusters

    @property
    def agreed(self) -> int:
        """The number of clusters where none is seen in the range."""
        return self.n_clusters_agreed or self.n_clusters

    @property
    def n_features(self) -> int:
        """Number of coordinates of a customer."""
        return int(self.limit.shape[0])

    @property
    def reach(self) -> float:
        """Half the cube's diagonal: sqrt(n_features) when all weights are 1."""
        return sqrt(total_of((self.limit / GRID) ** 2))

    def within_reach(self, radius: float) -> float:
        """A radius in the scaled cube, neither too small nor too large for it."""
        return min(max(radius, 0.02 * self.reach), 0.6 * self.reach)

    @property
    def largest_entry(self) -> int:
        """The largest magnitude of an entry of one customer's vector, over all questions."""
        norm = round(MOMENTS_RADIUS * self.reach * GRID) >> (EXACT_FRACTION_BITS - MOMENT_BITS)
        return max(UNIT, MOMENT_DIAGONAL * norm * norm, SPREAD_NORM * SPREAD_NORM)

    def cost_of(self, query: SumQuery) -> int:
        """Largest cost of a query, in units of ``2^-60`` of rho, whichever set answers it."""
        own = query.sensitivity_squared * self.group * self.group
        return query_cost(sensitivity_squared=own, share_variance=query.variance, honest=1)

    def stream(self, name: str) -> Stream:
        """A stream of random numbers for one purpose."""
        return Stream(expand(self.seed, name, bytes(4)))

    def priced(self, query: _Sized, share: float) -> _Sized:
        """The query with its noise set so that it costs `share` of the run's rho."""
        return replace(query, variance=self.variance(share, query.sensitivity_squared))

    def variance(self, share: float, sensitivity_squared: int) -> int:
        """The noise variance with which a query costs `share` of the run's rho at most."""
        return self.variance_at(int(share * float(self.cost)), sensitivity_squared)

    def variance_at(self, cost: int, sensitivity_squared: int) -> int:
        """The noise variance at which a query costs at most `cost` units of ``2^-60`` of rho."""
        own = sensitivity_squared * self.group * self.group
        return variance_for(sensitivity_squared=own, cost=max(2, cost))
