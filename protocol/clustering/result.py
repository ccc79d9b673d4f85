"""The result of every plan: clusters on the agreed grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from protocol.canonical import frame
from protocol.clustering.choice import Choice
from protocol.clustering.followed import Beginning
from protocol.queries import IntMatrix
from protocol.ring import IntVector
from protocol.strict import Fields

#: A segment is released when its noised size is this far above the smallest that is agreed.
SIZE_MARGIN_SIGMAS: Final = 3
#: What a result states of customers, each from the answers to one question, in their order: how
#: many groups there are or that customers changed, sizes and spreads, inertia, satisfaction.
CHOICE, CHANGE, SIZES, DISTANCE, SCORES = STATED = (
    "choice",
    "change",
    "sizes",
    "distance",
    "scores",
)
#: No squared distance on the grid, and no standard deviation of one, is larger.
_LARGEST: Final = 1 << 50


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseReport:
    """Noise in a result, and the cost of its questions.

    Attributes:
        count_sigmas: Standard deviation of each count's noise, rounded up, shape
            ``(n_clusters,)``, int64.
        centre_sigmas: Of each coordinate of a centroid, rounded up, in units of 2^-fraction_bits,
            shape ``(n_clusters,)``, int64.
        cost: Cost of all questions, each asked once, in units of 2^-60 of rho.
        dearest: Cost of the most expensive one: the most that asking one again costs.
    """

    count_sigmas: IntVector
    centre_sigmas: IntVector
    cost: int
    dearest: int

    def to_bytes(self) -> bytes:
        """The report as bytes that are hashed."""
        return frame(
            self.count_sigmas.astype("<i8").tobytes(),
            self.centre_sigmas.astype("<i8").tobytes(),
            self.cost.to_bytes(16, "big"),
            self.dearest.to_bytes(16, "big"),
        )


def least_size(min_segment_size: int, sigma: int) -> int:
    """The smallest noised size with which a segment is released.

    Args:
        sigma: Standard deviation of the size's noise; 0 for exact totals.
    """
    return min_segment_size + SIZE_MARGIN_SIGMAS * sigma


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Noised sizes of the clusters that are left at a plan's end.

    Attributes:
        kept: Their indices among the clusters; the others were merged into their neighbours.
        counts: Customers nearest to each, noised, shape ``(n_kept,)``, int64.
        sigmas: Standard deviation of the noise in each, rounded up, shape ``(n_kept,)``.
    """

    kept: tuple[int, ...]
    counts: IntVector
    sigmas: IntVector

    def to_bytes(self) -> bytes:
        """The sizes as bytes that are hashed."""
        kept = np.array(self.kept, dtype="<i8")
        return frame(
            kept.tobytes(),
            self.counts.astype("<i8").tobytes(),
            self.sigmas.astype("<i8").tobytes(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Spreads of the customers within the clusters that are left, feature by feature.

    Attributes:
        spreads: Mean squared distance of a cluster's customers to its centroid along each feature,
            shape ``(n_kept, n_features)``, int64, in units of 2^-fraction_bits, from 0.
        sigmas: Standard deviation of the noise in each, rounded up, shape ``(n_kept,)``.
    """

    spreads: IntMatrix
    sigmas: IntVector

    def to_bytes(self) -> bytes:
        """The profile as bytes that are hashed."""
        return frame(self.spreads.astype("<i8").tobytes(), self.sigmas.astype("<i8").tobytes())


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """How far customers lie from the nearest of the clusters that are left.

    Attributes:
        mean: Their mean squared distance, in units of 2^-fraction_bits, from 0.
        sigma: Standard deviation of the noise in it, rounded up, same units.
        radius: In grid units, at least 1; whoever lies farther counts as if at this distance.
    """

    mean: int
    sigma: int
    radius: int

    def to_bytes(self) -> bytes:
        """The distance as bytes that are hashed."""
        return frame(*(value.to_bytes(16, "big") for value in (self.mean, self.sigma, self.radius)))

    def signed(self) -> dict[str, int]:
        """The values as in the signed JSON."""
        return {"mean": self.mean, "sigma": self.sigma, "radius": self.radius}

    @staticmethod
    def read(fields: Fields) -> Distance:
        """Read the values at `fields`."""
        distance = Distance(
            mean=fields.integer("mean", at_least=0, at_most=_LARGEST),
            sigma=fields.integer("sigma", at_least=0, at_most=_LARGEST),
            radius=fields.integer("radius", at_least=1, at_most=_LARGEST),
        )
        fields.finish()
        return distance


@dataclass(frozen=True, slots=True, kw_only=True)
class Satisfaction:
    """Satisfaction that customers of the clusters that are left have stated.

    Attributes:
        answered: How many of a cluster's customers gave a score, noised, from 0, shape
            ``(n_kept,)``, int64.
        answered_sigmas: Standard deviation of the noise in each, rounded up, same shape.
        means: Their mean score, from the scale's middle, in units of which 2^14 reaches its ends;
            within the scale.
        mean_sigmas: Standard deviation of the noise in each mean, rounded up, in the same units.
    """

    answered: IntVector
    answered_sigmas: IntVector
    means: IntVector
    mean_sigmas: IntVector

    def to_bytes(self) -> bytes:
        """The scores as bytes that are hashed."""
        parts = (self.answered, self.answered_sigmas, self.means, self.mean_sigmas)
        return frame(*(part.astype("<i8").tobytes() for part in parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """By whom something that a result states was answered.

    Attributes:
        what: One of `STATED`.
        customers: The most customers that can be in it. Sets of a run only shrink, so this says
            which of them it was.
    """

    what: str
    customers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Clustering:
    """A plan's result, on the agreed grid.

    Attributes:
        centroids: Shape ``(n_clusters, n_features)``, int64, in units of 2^-fraction_bits.
        counts: Customers of each cluster, shape ``(n_clusters,)``.
        spread: Mean squared distance of a cluster's customers to its centroid, rounded down, shape
            ``(n_clusters,)``, in units of 2^-fraction_bits; 0 for an empty cluster.
        rounds: Number of sum queries asked.
        converged: Whether the centroids stopped moving before the agreed number of rounds.
        noise: Noise in the result and its cost; None for exact totals.
        choice: How the number of clusters was chosen; None where it was not.
        sizes: Answers to the question for sizes; None for exact totals, whose counts are exact.
        distance: How far customers lie from the clusters that are left; None for exact totals, and
            where none is left.
        profile: Spreads of customers within each cluster; None unless agreed.
        satisfaction: Their stated satisfaction; None unless agreed.
        beginning: The release that the run started from; None when it started anew.
        answered: By whom what is stated was answered, in the order of the questions.
    """

    centroids: IntMatrix
    counts: IntVector
    spread: IntVector
    rounds: int
    converged: bool
    noise: NoiseReport | None = None
    choice: Choice | None = None
    sizes: Sizes | None = None
    distance: Distance | None = None
    profile: Profile | None = None
    satisfaction: Satisfaction | None = None
    beginning: Beginning | None = None
    answered: tuple[Answered, ...] = ()

    def stating(self, what: str, customers: int) -> Clustering:
        """A copy that states one thing more, answered by as many customers at most."""
        answered = (*self.answered, Answered(what=what, customers=customers))
        return replace(self, answered=answered)
