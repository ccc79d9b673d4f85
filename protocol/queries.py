"""Sum queries: "compute this bounded vector for each customer, add them up". SPEC.md, section 8.

A query states its vector's length and the largest magnitude of every entry for a given number of
customers; nodes refuse to send beyond it and everybody refuses totals beyond it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from protocol.canonical import frame, label, tagged_hash, u32
from protocol.errors import RemoteProtocolError
from protocol.ring import EXACT_FRACTION_BITS, IntVector
from protocol.scaling import FloatMatrix

IntMatrix = npt.NDArray[np.int64]


#: Entries of a cluster beside its coordinates: the squared norm and the count.
EXTRA_ENTRIES: Final = 2


def customer_vectors(grid: FloatMatrix, *, fraction_bits: int = EXACT_FRACTION_BITS) -> FloatMatrix:
    """What each customer adds to its cluster's totals: coordinates, rounded squared norm, one.

    Args:
        grid: Grid coordinates (`protocol.scaling.FeatureScale.to_grid`), shape
            ``(n_samples, n_features)``.

    Returns:
        Integers held in float64, shape ``(n_samples, n_features + 2)``.
    """
    vectors = np.empty((grid.shape[0], grid.shape[1] + EXTRA_ENTRIES))
    vectors[:, : grid.shape[1]] = grid
    squares = np.einsum("ij,ij->i", grid, grid) / (1 << fraction_bits)
    np.rint(squares, out=vectors[:, -2])
    vectors[:, -1] = 1.0
    return vectors


def with_scores(vectors: FloatMatrix, scores: npt.NDArray[np.float64]) -> FloatMatrix:
    """Append the scores to customers' vectors, for the query `scores` alone.

    Args:
        vectors: From `customer_vectors`.
        scores: Whole numbers of units, NaN where a customer gave none, shape ``(n_samples,)``.

    Returns:
        Shape ``(n_samples, n_features + 3)``.
    """
    return np.column_stack([vectors, scores])


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterTotals:
    """A decoded total.

    Attributes:
        sums: Sum of the coordinates of each cluster's customers, shape
            ``(n_clusters, n_features)``, in units of 2^-fraction_bits.
        squares: Sum of their rounded squared norms, shape ``(n_clusters,)``, same units.
        counts: How many customers, shape ``(n_clusters,)``.
    """

    sums: IntMatrix
    squares: IntVector
    counts: IntVector


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSumsQuery:
    """Sums, squared norms and counts of the customers nearest to each centroid.

    Every customer belongs to its nearest centroid by squared Euclidean distance on the grid; ties
    go to the lower index. For each cluster the answer holds the sum of each coordinate, the sum of
    ``round_half_even(|x|^2 / 2^fraction_bits)`` and the count.

    Attributes:
        centroids: Grid coordinates, shape ``(n_clusters, n_features)``, dtype int64.
        limit: Largest magnitude of a customer's grid coordinate, shape ``(n_features,)``.
        fraction_bits: Bits after the binary point.
    """

    centroids: IntMatrix
    limit: IntVector
    fraction_bits: int = EXACT_FRACTION_BITS

    @property
    def n_clusters(self) -> int:
        """Number of centroids."""
        return int(self.centroids.shape[0])

    @property
    def n_features(self) -> int:
        """Number of coordinates of a customer."""
        return int(self.centroids.shape[1])

    @property
    def length(self) -> int:
        """Entries of the answer: ``n_clusters * (n_features + 2)``."""
        return self.n_clusters * (self.n_features + EXTRA_ENTRIES)

    @property
    def variance(self) -> int:
        return 0

    @property
    def words(self) -> str:
        return f"exact sums and counts of the customers nearest to each of {self.n_clusters} points"

    def range(self, customers: int) -> tuple[IntVector, IntVector]:
        row = self._largest()
        high = np.tile(row * customers, self.n_clusters)
        row[self.n_features :] = 0
        return -np.tile(row * customers, self.n_clusters), high

    @property
    def sensitivity_squared(self) -> int:
        return sum(value * value for value in self._largest().tolist())

    def _largest(self) -> IntVector:
        """Largest magnitude of each entry of one customer's cluster."""
        square_limit = -(-int((self.limit.astype(object) ** 2).sum()) >> self.fraction_bits) + 1
        return np.array([*self.limit.tolist(), square_limit, 1], dtype=np.int64)

    @property
    def hash(self) -> bytes:
        return tagged_hash("query", self.to_bytes())

    def to_bytes(self) -> bytes:
        return frame(
            label("cluster-sums"),
            u32(self.n_clusters),
            u32(self.n_features),
            u32(self.fraction_bits),
            self.limit.astype("<i8").tobytes(),
            self.centroids.astype("<i8").tobytes(),
        )

    def encode(self, totals: ClusterTotals) -> IntVector:
        """The answer vector, shape ``(length,)``: for each cluster sums, squares, count."""
        return np.concatenate(
            [totals.sums, totals.squares[:, None], totals.counts[:, None]], axis=1
        ).ravel()

    def decode(self, total: IntVector, *, customers: int) -> ClusterTotals:
        """Decode a total over at most `customers` customers.

        Raises:
            RemoteProtocolError: The total cannot come from true answers (E-TOTAL-RANGE): wrong
                length, a count outside 0 … customers, or sums beyond what the counts allow.
        """
        if total.shape != (self.length,):
            raise RemoteProtocolError(
                f"total of {total.shape[0]} entries, expected {self.length}", code="E-TOTAL-RANGE"
            )
        table = total.reshape(self.n_clusters, self.n_features + EXTRA_ENTRIES)
        found = ClusterTotals(
            sums=table[:, : self.n_features].copy(),
            squares=table[:, self.n_features].copy(),
            counts=table[:, self.n_features + 1].copy(),
        )
        self._check(found, customers)
        return found

    def _check(self, totals: ClusterTotals, customers: int) -> None:
        counts = totals.counts
        if (counts < 0).any() or (counts > customers).any() or int(counts.sum()) > customers:
            raise RemoteProtocolError(
                f"the total counts customers outside 0 … {customers}; the round is void",
                code="E-TOTAL-RANGE",
                remedy="a node's answer was not masked with the others': see its log",
            )
        per_customer = self._largest()
        most = counts[:, None] * per_customer[: self.n_features]
        too_large = (totals.sums > most) | (totals.sums < -most)  # abs(-2^63) would be negative
        squares = totals.squares
        if (
            too_large.any()
            or (squares < 0).any()
            or (squares > counts * per_customer[self.n_features]).any()
        ):
            raise RemoteProtocolError(
                "the total's sums exceed what its counts allow; the round is void",
                code="E-TOTAL-RANGE",
            )


def cluster_inertia(
    centroids: IntMatrix, totals: ClusterTotals, *, fraction_bits: int = EXACT_FRACTION_BITS
) -> list[int]:
    """Sum of squared distances of each cluster's customers to a centroid.

    Exact but for the rounding of squared norms; never below 0.

    Args:
        centroids: The point of each cluster that distances are measured to, shape
            ``(n_clusters, n_features)``.

    Returns:
        One whole number a cluster, in units of ``2^(-2 fraction_bits)``.
    """
    found = []
    for centre, total, square, count in zip(
        centroids.tolist(),
        totals.sums.tolist(),
        totals.squares.tolist(),
        totals.counts.tolist(),
        strict=True,
    ):
        cross = sum(c * s for c, s in zip(centre, total, strict=True))
        norm = sum(c * c for c in centre)
        found.append(max(0, (square << fraction_bits) - 2 * cross + count * norm))
    return found
