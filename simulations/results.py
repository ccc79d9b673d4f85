"""What one run of a simulation ended in: clusters, and what a federation would release of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from protocol.agreement.document import Agreement
from protocol.clustering.choice import Choice
from protocol.release.document import Ranges, Release, Segment
from protocol.release.satisfaction import satisfaction_values, satisfaction_words
from protocol.scaling import FloatMatrix
from simulations.follow_ups import LaterRun
from simulations.tried import Tried

#: How many seeds are named beside what is true of them.
_MOST_SEEDS: Final = 6


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
        follow_ups: The runs on the same customers after this one; empty when none were asked for.
        centroids: In input units, shape ``(n_clusters, n_features)``, in the plan's order.
        counts: Customers of each cluster; 0 for an empty one.
        inertia_mean: Mean squared distance of a participant's customer to the nearest released
            segment's centre, in the cube; where nothing is released, `inertia_formed`.
        inertia_formed: The same to the nearest centroid, be it released or not.
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
    inertia_formed: float
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
    follow_ups: tuple[LaterRun, ...] = ()

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
        if self.follow_ups:
            noised["follow_ups"] = [one.to_dict() for one in self.follow_ups]
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
            "inertia_formed": self.inertia_formed,
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
