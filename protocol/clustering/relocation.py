"""Relocating centroids that contribute little, to leave a local optimum. SPEC.md, 10.1.

Lloyd's algorithm stops at the first local optimum. When it has settled, clusters that are cheap to
give up (they lie close to another) are joined with their neighbour, and their centroids split the
clusters with the largest inertia. When Lloyd's algorithm settles again, the result is kept if its
inertia is smaller, else discarded. After three failed trials in a row, or at half of the agreed
rounds, the search is over.

Everything follows from the totals that all partners know; it costs rounds, but no other query.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isqrt
from typing import Final

import numpy as np

from protocol.canonical import u32
from protocol.masking import Stream, expand
from protocol.queries import ClusterTotals, IntMatrix, cluster_inertia
from protocol.ring import IntVector

#: Settled: a round lowers the inertia by less than 1/2^7.
_SETTLED_BITS: Final = 7
#: Better: the inertia is lower by more than 1/2^9.
_BETTER_BITS: Final = 9
#: Failed trials in a row after which the search is over.
_MOST_FAILURES: Final = 2
#: A cluster is moved when giving it up costs at most 1/2 of the inertia of the one it splits.
_COST_FACTOR: Final = 2
_FEWEST_CLUSTERS: Final = 3
_FAR: Final = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The best clustering found so far.

    Attributes:
        centroids: The rounded means of its clusters, shape ``(n_clusters, n_features)``.
        counts: Customers of each cluster, shape ``(n_clusters,)``.
        inertias: Inertia of each cluster around its mean, in units of ``2^(-2 fraction_bits)``.
        inertia: Of all clusters, around the centroids that were asked about; same units.
    """

    centroids: IntMatrix
    counts: IntVector
    inertias: tuple[int, ...]
    inertia: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """State of the search for a better optimum.

    Attributes:
        over: Whether the search has ended: from here on it is plain Lloyd.
        before: Inertia in the round before; None when it cannot be compared with this one's.
        best: What a trial must beat; None before Lloyd's algorithm has settled for the first time.
        failures: Trials in a row that did not beat it.
    """

    over: bool = False
    before: int | None = None
    best: Settled | None = None
    failures: int = 0

    def closed(self, moved: IntMatrix, inertia: int) -> tuple[Search, IntMatrix]:
        """End the search in mid-trial and return to the best clustering if it is better."""
        worse = self.best is not None and inertia > self.best.inertia
        return Search(over=True), self.best.centroids if worse and self.best else moved

    def advanced(
        self,
        centroids: IntMatrix,
        moved: IntMatrix,
        totals: ClusterTotals,
        relocation: Relocation,
    ) -> tuple[Search, IntMatrix]:
        """The search after a round in which no cluster was empty.

        Args:
            centroids: What the round asked about.
            moved: The rounded means: where Lloyd's algorithm goes next.
            relocation: How centroids are moved in this round.

        Returns:
            The new state, and the centroids to ask about next.
        """
        inertia = sum(cluster_inertia(centroids, totals))
        stands = bool((moved == centroids).all())
        if not stands and not self._has_settled(inertia):
            return replace(self, before=inertia), moved
        if self.best is None or inertia < self.best.inertia - (self.best.inertia >> _BETTER_BITS):
            best = Settled(
                centroids=moved,
                counts=totals.counts,
                inertias=tuple(cluster_inertia(moved, totals)),
                inertia=inertia,
            )
            failures = 0
        else:
            best, failures = self.best, self.failures + 1
        trial = relocation.trial(best, failures) if failures <= _MOST_FAILURES else None
        if trial is None:
            return Search(over=True), best.centroids
        return Search(best=best, failures=failures), trial

    def _has_settled(self, inertia: int) -> bool:
        return self.before is not None and (self.before - inertia) << _SETTLED_BITS <= self.before


@dataclass(frozen=True, slots=True, kw_only=True)
class Relocation:
    """Rules for relocating centroids in one round.

    Attributes:
        limit: Largest magnitude of a coordinate, shape ``(n_features,)``.
        seed: 32 bytes; directions are drawn from it.
        round: The round that has just ended.
    """

    limit: IntVector
    seed: bytes
    round: int

    def halves(
        self, middle: IntVector, *, inertia: int, count: int, target: int
    ) -> tuple[IntVector, IntVector]:
        """Two centroids one standard deviation to either side of a cluster's mean.

        Args:
            inertia, count: Of the cluster around `middle`.
            target: Index of the centroid that is placed; decides the direction.
        """
        n_features = self.limit.shape[0]
        size = isqrt(inertia // (count * n_features))
        key = expand(self.seed, "split", u32(self.round) + u32(target))
        offset = (1 - 2 * Stream(key).below(2, n_features).astype(np.int64)) * size
        return (
            np.clip(middle + offset, -self.limit, self.limit),
            np.clip(middle - offset, -self.limit, self.limit),
        )

    def trial(self, best: Settled, failures: int) -> IntMatrix | None:
        """The centroids, the cheapest to give up relocated; None when none is worth it.

        The first trial moves as many as are worth it, one after a failure moves one only. No
        cluster takes part in two moves.
        """
        if best.counts.shape[0] < _FEWEST_CLUSTERS:
            return None
        inertias = best.inertias
        donors = sorted(range(len(inertias)), key=lambda j: (-inertias[j], j))
        donors = donors[max(0, failures - 1) :]  # after a second failure, not the same cluster
        moved = best.centroids.copy()
        used: set[int] = set()
        for cost, target, neighbour in sorted(_costs(best)):
            if used and failures:
                break
            if target in used or neighbour in used:
                continue
            free = (m for m in donors if m not in used and m not in (target, neighbour))
            donor = next(free, None)
            if donor is None or cost * _COST_FACTOR > inertias[donor]:
                break
            used |= {target, neighbour, donor}
            moved[neighbour] = _joined(best, target, neighbour)
            moved[target], moved[donor] = self.halves(
                best.centroids[donor],
                inertia=inertias[donor],
                count=int(best.counts[donor]),
                target=target,
            )
        return moved if used else None


def _costs(best: Settled) -> list[tuple[int, int, int]]:
    """For each cluster: growth of the inertia if it joins its neighbour, its index, the other's."""
    found = []
    counts = best.counts.tolist()
    for target, centre in enumerate(best.centroids):
        squared = ((best.centroids - centre) ** 2).sum(axis=1)
        squared[target] = _FAR
        neighbour = int(squared.argmin())
        n, m = counts[target], counts[neighbour]
        found.append((n * m * int(squared[neighbour]) // (n + m), target, neighbour))
    return found


def _joined(best: Settled, a: int, b: int) -> IntVector:
    """The mean of two clusters, rounded down."""
    n, m = int(best.counts[a]), int(best.counts[b])
    joined: IntVector = (n * best.centroids[a] + m * best.centroids[b]) // (n + m)
    return joined
