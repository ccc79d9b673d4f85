"""What every plan ends in: clusters on the agreed grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from protocol.queries import IntMatrix
from protocol.ring import IntVector


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
    """

    centroids: IntMatrix
    counts: IntVector
    spread: IntVector
    rounds: int
    converged: bool

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
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
