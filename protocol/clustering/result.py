"""What every plan ends in: clusters on the agreed grid."""

from __future__ import annotations

from dataclasses import dataclass

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
