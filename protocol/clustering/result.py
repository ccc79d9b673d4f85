"""What every plan ends in: clusters on the agreed grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from protocol.canonical import frame
from protocol.clustering.choose_k import KScore
from protocol.queries import IntMatrix
from protocol.ring import IntVector


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseReport:
    """How far noise may have moved a result, and what the questions cost.

    Attributes:
        count_sigmas: Standard deviation of each count's noise, rounded up, shape
            ``(n_clusters,)``, int64.
        centre_sigmas: Of each coordinate of a centroid, rounded up, in units of 2^-fraction_bits,
            shape ``(n_clusters,)``, int64.
        cost: What all questions together cost when each is asked once, in units of 2^-60 of rho.
        dearest: What the dearest of them costs: one that is asked again costs that at most.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How customers differ within their cluster, feature by feature.

    Attributes:
        spreads: Mean squared distance of a cluster's customers to its centroid along each feature,
            shape ``(n_clusters, n_features)``, int64, in units of 2^-fraction_bits, from 0.
        sigmas: Standard deviation of the noise in each, rounded up, shape ``(n_clusters,)``.
    """

    spreads: IntMatrix
    sigmas: IntVector

    def to_bytes(self) -> bytes:
        """The profile as bytes that are hashed."""
        return frame(self.spreads.astype("<i8").tobytes(), self.sigmas.astype("<i8").tobytes())


@dataclass(frozen=True, slots=True, kw_only=True)
class Clustering:
    """A plan's result, on the agreed grid.

    Attributes:
        centroids: Shape ``(n_clusters, n_features)``, int64, in units of 2^-fraction_bits.
        counts: Customers of each cluster, shape ``(n_clusters,)``.
        spread: Mean squared distance of a cluster's customers to its centroid, rounded down, shape
            ``(n_clusters,)``, in units of 2^-fraction_bits; 0 for an empty cluster.
        rounds: How many sum queries were asked.
        converged: Whether the centroids stopped moving before the agreed number of rounds.
        noise: What the noise did to it and what it cost; None for exact totals.
        scores: The marks of each number of clusters, when the plan chose among several.
        profile: How customers differ within each cluster; None unless it was agreed.
    """

    centroids: IntMatrix
    counts: IntVector
    spread: IntVector
    rounds: int
    converged: bool
    noise: NoiseReport | None = None
    scores: tuple[KScore, ...] = ()
    profile: Profile | None = None

    def to_dict(self) -> dict[str, Any]:
        """An exact result as JSON values."""
        return {
            "centroids": self.centroids.tolist(),
            "counts": self.counts.tolist(),
            "spread": self.spread.tolist(),
            "rounds": self.rounds,
            "converged": self.converged,
        }

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Clustering:
        """The result that `to_dict` gave."""
        return Clustering(
            centroids=np.array(values["centroids"], dtype=np.int64),
            counts=np.array(values["counts"], dtype=np.int64),
            spread=np.array(values["spread"], dtype=np.int64),
            rounds=int(values["rounds"]),
            converged=bool(values["converged"]),
        )
