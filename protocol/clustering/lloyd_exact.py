"""The plan ``lloyd-exact``: Lloyd's algorithm on exact totals. SPEC.md, section 10.1.

Round r asks for the sums at the current centroids. The next centroids are the rounded means. The
plan ends when no centroid moves, or at the agreed number of rounds; the result is always the
centroids that the last round counted, so sizes and centroids belong together.

The start is drawn from the seed alone: centres spread in the cube by sphere packing (Su et al.,
"Differentially private k-means clustering", 2016), so it tells nothing about any customer. A
cluster without customers takes half of the cluster with the largest inertia: both are placed one
standard deviation to either side of its mean, in a direction drawn from the seed. When Lloyd's
algorithm has settled, centroids that contribute little are relocated (`relocation`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, ClassVar, Final

import numpy as np

from protocol.agreement.plan_names import EXACT_PLAN
from protocol.clustering.followed import Beginning, Followed
from protocol.clustering.relocation import Relocation, Search
from protocol.clustering.result import SIZES, Clustering
from protocol.masking import Stream, expand
from protocol.queries import ClusterSumsQuery, ClusterTotals, IntMatrix, cluster_inertia
from protocol.ring import EXACT_FRACTION_BITS, IntVector
from protocol.state import fields_from_json, fields_to_json

_REJECTIONS_BEFORE_HALVING: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class LloydExact:
    """One state of the plan.

    Attributes:
        limit: Largest magnitude of a coordinate, shape ``(n_features,)``.
        max_rounds: The most sum queries that are asked.
        seed: 32 bytes; all random choices come from it.
        round: Number of the current query, from 0.
        centroids: Centroids that the current query asks about.
        search: The search for a better optimum; if it is over from the start, the plan is plain
            Lloyd.
        beginning: The release whose centres were the start; None when the seed gave it.
        customers: The most customers that can be in the last total, by which a set is known that
            shrank; 0 before the first.
        result: Set when the plan has ended.
    """

    NAME: ClassVar[str] = EXACT_PLAN
    STOPPED_WORDS: ClassVar[str] = "the most allowed: not converged"

    limit: IntVector
    max_rounds: int
    seed: bytes
    round: int
    centroids: IntMatrix
    search: Search = field(default_factory=Search)
    beginning: Beginning | None = None
    customers: int = 0
    result: Clustering | None = None

    @staticmethod
    def start(
        *,
        n_clusters: int,
        limit: IntVector,
        max_rounds: int,
        seed: bytes,
        followed: Followed | None = None,
    ) -> LloydExact:
        """The first state.

        Args:
            followed: The release to start from, whatever its number of segments.
        """
        return LloydExact(
            limit=limit,
            max_rounds=max_rounds,
            seed=seed,
            round=0,
            centroids=spread_start(n_clusters, limit, seed)
            if followed is None
            else followed.centres,
            beginning=None if followed is None else Beginning(release=followed.release),
        )

    @property
    def query(self) -> ClusterSumsQuery | None:
        """The sums at the current centroids, until the plan has ended."""
        if self.result is not None:
            return None
        return ClusterSumsQuery(centroids=self.centroids, limit=self.limit)

    def advance(self, total: IntVector, *, customers: int, variance: int = 0) -> LloydExact:
        query = ClusterSumsQuery(centroids=self.centroids, limit=self.limit)
        totals = query.decode(total, customers=customers)
        # Inertia of fewer partners' customers is no better than that of more.
        same = self.customers in (0, customers)
        moved, search = self._next_centroids(totals, comparable=same)
        converged = bool((moved == self.centroids).all())
        if converged or self.round + 1 == self.max_rounds:
            result = self._result(totals, converged).stating(SIZES, customers)
            return replace(self, result=result)
        return replace(
            self, round=self.round + 1, centroids=moved, search=search, customers=customers
        )

    def to_dict(self) -> dict[str, Any]:
        values = {"plan": self.NAME} | fields_to_json(self)
        if self.beginning is None:
            del values["beginning"]  # as the versions wrote it that followed no release
        if not self.customers:
            del values["customers"]
        return values

    @staticmethod
    def from_dict(values: dict[str, Any]) -> LloydExact:
        """The state that `to_dict` gave."""
        return fields_from_json(LloydExact, values)

    def _next_centroids(
        self, totals: ClusterTotals, *, comparable: bool
    ) -> tuple[IntMatrix, Search]:
        """The centroids to ask about next, and the search for a better optimum.

        Args:
            comparable: Whether the totals are over the customers of the round before.
        """
        counts = np.maximum(totals.counts, 1)[:, None]
        whole, rest = np.divmod(totals.sums, counts)
        means = whole + (2 * rest >= counts)
        moved = np.where(totals.counts[:, None] > 0, means, self.centroids)
        relocation = Relocation(limit=self.limit, seed=self.seed, round=self.round)
        closing = self.round >= self.max_rounds // 2
        search = self.search
        if not comparable and not search.over:
            best, search = search.best, Search()
            if best is not None and (best.centroids != self.centroids).any():
                return best.centroids, Search(over=closing)
        if closing:
            if search.over:
                return moved, search
            search, moved = search.closed(moved, sum(cluster_inertia(self.centroids, totals)))
            return moved, search
        empty = np.flatnonzero(totals.counts == 0)
        if empty.size:
            _split_largest(moved, empty, totals, relocation)
            return moved, replace(search, before=None)
        if search.over:
            return moved, search
        search, moved = search.advanced(self.centroids, moved, totals, relocation)
        return moved, search

    def _result(self, totals: ClusterTotals, converged: bool) -> Clustering:
        spread = [
            inertia // (count << EXACT_FRACTION_BITS) if count else 0
            for inertia, count in zip(
                cluster_inertia(self.centroids, totals), totals.counts.tolist(), strict=True
            )
        ]
        return Clustering(
            centroids=self.centroids,
            counts=totals.counts,
            spread=np.array(spread, dtype=np.int64),
            rounds=self.round + 1,
            converged=converged,
            beginning=self.beginning,
        )


def _split_largest(
    moved: IntMatrix, empty: IntVector, totals: ClusterTotals, relocation: Relocation
) -> None:
    """Give each empty cluster half of one with large inertia, in place in `moved`."""
    inertia = cluster_inertia(moved, totals)
    donors = [j for j in np.argsort([-v for v in inertia], kind="stable") if inertia[j] > 0]
    for target, donor in zip(empty, donors, strict=False):
        moved[target], moved[donor] = relocation.halves(
            moved[donor].copy(),
            inertia=inertia[donor],
            count=int(totals.counts[donor]),
            target=int(target),
        )


def spread_start(n_clusters: int, limit: IntVector, seed: bytes) -> IntMatrix:
    """Centres spread over the box ± `limit` by sphere packing, from the seed alone.

    Centres are drawn uniformly at least ``a`` from every wall (as far as the wall allows) and
    accepted when at least ``2a`` from all accepted ones; after 100 rejections in a row ``a`` is
    halved.

    Returns:
        Grid coordinates, shape ``(n_clusters, n_features)``, dtype int64.
    """
    stream = Stream(expand(seed, "start", b""))
    n_features = limit.shape[0]
    accepted = np.empty((0, n_features), dtype=np.int64)
    radius = int(limit.max())
    rejected = 0
    while accepted.shape[0] < n_clusters:
        candidate = _uniform(stream, limit, radius)
        squared = ((accepted - candidate) ** 2).sum(axis=1)
        if (squared >= 4 * radius * radius).all():
            accepted = np.vstack([accepted, candidate])
            rejected = 0
        else:
            rejected += 1
        if rejected == _REJECTIONS_BEFORE_HALVING:
            radius //= 2
            rejected = 0
    return accepted


def _uniform(stream: Stream, limit: IntVector, margin: int) -> IntVector:
    room = np.maximum(limit - margin, 0).tolist()
    # The stream gives the same numbers whether they are drawn together or one by one.
    drawn = [
        stream.below(2 * r + 1, len(list(same))).astype(np.int64) - r for r, same in groupby(room)
    ]
    return np.concatenate(drawn)
