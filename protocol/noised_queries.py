"""The sum queries of plans with noise: one customer's vector and its sensitivity. SPEC.md, 8.

Each customer's vector is made of whole numbers whose L2 norm never exceeds the query's
sensitivity: values are truncated toward zero, so rounding never adds to it. A customer counts as
`UNIT`, so that each share of noise is wide enough for the sum of shares to be treated as one
discrete Gaussian.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final

import numpy as np

from protocol.canonical import frame, label, tagged_hash
from protocol.errors import RemoteProtocolError
from protocol.queries import IntMatrix
from protocol.ring import EXACT_FRACTION_BITS, UNIT, UNIT_BITS, IntVector
from protocol.scaling import FloatMatrix
from protocol.sum_query import SumQuery

#: Bits after the binary point of the coordinates whose products are added up.
MOMENT_BITS: Final = 12
#: 24/17 approximates the square root of 2 from below.
MOMENT_DIAGONAL: Final = 17
MOMENT_OFF_DIAGONAL: Final = 24
#: Norm of the longest offset before its coordinates are squared, and the unit of counts beside it.
SPREAD_NORM: Final = 1 << 12
SPREAD_COUNT: Final = 1 << 24
#: A total farther out of range than this many standard deviations of its noise cannot be true: by
#: chance that happens, in all entries of all rounds together, less than once in 10^25.
MARGIN_SIGMAS: Final = 12

_GRID_PER_UNIT: Final = EXACT_FRACTION_BITS - UNIT_BITS
_GRID_PER_MOMENT: Final = EXACT_FRACTION_BITS - MOMENT_BITS


def clip_to_norm(rows: FloatMatrix, *, radius: int, norm: int) -> FloatMatrix:
    """Shorten vectors to `radius`, scale `radius` to `norm`, truncate toward zero.

    Args:
        rows: Whole numbers held in float64, shape ``(n_rows, n_features)``, squared norms below
            2^53.
        radius: Longest norm that is not shortened, in grid units, at least 1.
        norm: The norm that `radius` is scaled to, below 2^24.

    Returns:
        Same shape; whole numbers held in float64. Every row's norm is at most `norm`, exactly.

    >>> clip_to_norm(np.array([[3.0, 4.0], [30.0, 40.0]]), radius=10, norm=5)
    array([[1., 2.],
           [3., 4.]])
    """
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    # Before truncation a squared norm is at most norm^2 (1 + 2^-50), after it a whole number: with
    # norm below 2^24 that is at most norm^2.
    clipped: FloatMatrix = np.trunc(rows * (norm / np.maximum(length, float(radius)))[:, None])
    return clipped


def check_range(query: SumQuery, total: IntVector, *, customers: int, variance: int) -> None:
    """Refuse a total that no true answers can add up to.

    Args:
        total: Shape ``(query.length,)``.
        customers: The most customers that can be in it.
        variance: Variance of the noise in it.

    Raises:
        RemoteProtocolError: It is impossible (E-TOTAL-RANGE).
    """
    if total.shape != (query.length,):
        raise RemoteProtocolError(
            f"total of {total.shape[0]} entries, expected {query.length}", code="E-TOTAL-RANGE"
        )
    margin = noise_margin(variance)
    low, high = query.range(customers)
    if (total < low - margin).any() or (total > high + margin).any():
        raise RemoteProtocolError(
            "the total is beyond what its customers and its noise can be; the round is void",
            code="E-TOTAL-RANGE",
            remedy="a node's answer was not masked with the others': see its log",
        )


def noise_margin(variance: int) -> int:
    """Largest change of an entry by noise that is accepted: `MARGIN_SIGMAS` standard deviations."""
    return MARGIN_SIGMAS * (int(np.ceil(np.sqrt(float(variance)))) + 1)


class _Noised(ABC):
    """Base of all queries with noise."""

    @property
    def hash(self) -> bytes:
        return tagged_hash("query", self.to_bytes())

    @abstractmethod
    def to_bytes(self) -> bytes:
        """The query's canonical bytes."""


class _OneNumber(_Noised):
    """Base of queries for one number, to which each customer adds from 0 to `UNIT`."""

    @property
    def length(self) -> int:
        return 1

    @property
    def sensitivity_squared(self) -> int:
        return UNIT * UNIT

    def range(self, customers: int) -> tuple[IntVector, IntVector]:
        return np.zeros(1, dtype=np.int64), np.full(1, UNIT * customers, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountQuery(_OneNumber):
    """The number of customers.

    Attributes:
        variance: The least variance of the total's noise, in squared units.
    """

    variance: int

    @property
    def words(self) -> str:
        return "how many customers there are"

    def to_bytes(self) -> bytes:
        return frame(label("count"), _big(self.variance))


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanQuery(_Noised):
    """The sum of customers' vectors, each shortened to `radius`.

    Attributes:
        n_features: Coordinates of a customer.
        radius: In grid units.
        variance: The least variance of each entry's noise, in squared units.
    """

    n_features: int
    radius: int
    variance: int

    @property
    def norm(self) -> int:
        """The radius in units of the sums."""
        return self.radius >> _GRID_PER_UNIT

    @property
    def length(self) -> int:
        return self.n_features

    @property
    def sensitivity_squared(self) -> int:
        return self.norm * self.norm

    @property
    def words(self) -> str:
        return "the mean of all features"

    def range(self, customers: int) -> tuple[IntVector, IntVector]:
        high = np.full(self.n_features, self.norm * customers, dtype=np.int64)
        return -high, high

    def to_bytes(self) -> bytes:
        return frame(label("mean"), _big(self.n_features), _big(self.radius), _big(self.variance))


@dataclass(frozen=True, slots=True, kw_only=True)
class MomentsQuery(_Noised):
    """The second moments about a centre, of vectors shortened to `radius`.

    The answer is the upper triangle row by row: products of two coordinates, times 17 on the
    diagonal and 24 off it, which stands for the square root of 2 that makes a customer's norm the
    square of its vector's.

    Attributes:
        centre: Grid coordinates, shape ``(n_features,)``, int64.
        radius: In grid units.
        variance: The least variance of each entry's noise, in squared units.
    """

    centre: IntVector
    radius: int
    variance: int

    @property
    def n_features(self) -> int:
        return int(self.centre.shape[0])

    @property
    def norm(self) -> int:
        """The radius in the units whose products are added up."""
        return self.radius >> _GRID_PER_MOMENT

    @property
    def length(self) -> int:
        """Entries of the upper triangle."""
        return self.n_features * (self.n_features + 1) // 2

    @property
    def sensitivity_squared(self) -> int:
        """Square of a customer's norm at most: 24^2 is below 2 * 17^2."""
        return (MOMENT_DIAGONAL * self.norm * self.norm) ** 2

    @property
    def words(self) -> str:
        return "how the features vary together"

    def range(self, customers: int) -> tuple[IntVector, IntVector]:
        row, column = np.triu_indices(self.n_features)
        square = self.norm * self.norm * customers
        # |x y| is at most half the squared norm.
        off = MOMENT_OFF_DIAGONAL * square // 2 + customers
        high = np.where(row == column, MOMENT_DIAGONAL * square, off).astype(np.int64)
        return np.where(row == column, 0, -high).astype(np.int64), high

    def to_bytes(self) -> bytes:
        return frame(label("moments"), _words(self.centre), _big(self.radius), _big(self.variance))


@dataclass(frozen=True, slots=True, kw_only=True)
class VotesQuery(_Noised):
    """The number of customers nearest to each candidate, ties to the lower index.

    Attributes:
        candidates: Grid coordinates, shape ``(n_candidates, n_features)``, int64.
        variance: The least variance of each entry's noise, in squared units.
    """

    candidates: IntMatrix
    variance: int

    @property
    def length(self) -> int:
        return int(self.candidates.shape[0])

    @property
    def sensitivity_squared(self) -> int:
        return UNIT * UNIT

    @property
    def words(self) -> str:
        return f"how many customers are nearest to each of {self.length} points"

    def range(self, customers: int) -> tuple[IntVector, IntVector]:
        high = np.full(self.length, UNIT * customers, dtype=np.int64)
        return np.zeros(self.length, dtype=np.int64), high

    def to_bytes(self) -> bytes:
        return frame(
            label("votes"),
            _big(self.candidates.shape[1]),
            _words(self.candidates),
            _big(self.variance),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DistanceQuery(_OneNumber):
    """How far customers lie from the nearest of some points, as one number.

    A customer adds ``min(squared distance / radius^2, 1)`` in units of `UNIT`, truncated.

    Attributes:
        points: Grid coordinates, shape ``(n_points, n_features)``, int64.
        radius: In grid units, at least 1; whoever lies farther counts as if at this distance.
        variance: The least variance of the total's noise, in squared units.
    """

    points: IntMatrix
    radius: int
    variance: int

    @property
    def words(self) -> str:
        return f"how far customers lie from the nearest of {self.points.shape[0]} points"

    def to_bytes(self) -> bytes:
        return frame(
            label("distance"),
            _big(self.points.shape[1]),
            _words(self.points),
            _big(self.radius),
            _big(self.variance),
        )


class _AroundCentres(_Noised):
    """Base of queries for values at each centre."""

    centres: IntMatrix

    @property
    def n_clusters(self) -> int:
        return int(self.centres.shape[0])

    @property
    def n_features(self) -> int:
        return int(self.centres.shape[1])

    @property
    def length(self) -> int:
        """Entries: ``n_clusters * (n_features + 1)``, a value a feature, then a count."""
        return self.n_clusters * (self.n_features + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSumsQuery(_AroundCentres):
    """For each centre: offsets of its nearest customers, each shortened to `radius`, and a count.

    A customer adds ``offset / radius * offset_norm`` and `count_unit` to its centre's entries.

    Attributes:
        centres: Grid coordinates, shape ``(n_clusters, n_features)``, int64.
        radius: In grid units.
        offset_norm, count_unit: Norm of the longest offset and unit of a count, in the sums. The
            sum of their squares is at most the square of `UNIT`.
        variance: The least variance of each entry's noise, in squared units.
    """

    centres: IntMatrix
    radius: int
    offset_norm: int
    count_unit: int
    variance: int

    @property
    def sensitivity_squared(self) -> int:
        return self.offset_norm**2 + self.count_unit**2

    @property
    def words(self) -> str:
        return f"sums and counts of the customers nearest to each of {self.n_clusters} points"

    def range(self, customers: int) -> tuple[IntVector, IntVector]:
        row = np.full(self.n_features + 1, self.offset_norm, dtype=np.int64)
        row[-1] = self.count_unit
        high = np.tile(row * customers, self.n_clusters)
        row[-1] = 0
        return -np.tile(row * customers, self.n_clusters), high

    def to_bytes(self) -> bytes:
        return frame(
            label("local-sums"),
            _big(self.n_features),
            _words(self.centres),
            _big(self.radius),
            _big(self.offset_norm),
            _big(self.count_unit),
            _big(self.variance),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadsQuery(_AroundCentres):
    """For each centre: squared offsets of its nearest customers along each feature, and a count.

    A customer's offset is shortened to `radius` and scaled so that `radius` is `SPREAD_NORM`; the
    squares of its coordinates, none of them negative, are then at most the square of that norm
    together, and so is the L2 norm of the vector that they form. It counts `SPREAD_COUNT`, as
    much as that square.

    Attributes:
        centres: Grid coordinates, shape ``(n_clusters, n_features)``, int64.
        radius: In grid units.
        variance: The least variance of each entry's noise, in squared units.
    """

    centres: IntMatrix
    radius: int
    variance: int

    @property
    def sensitivity_squared(self) -> int:
        return SPREAD_NORM**4 + SPREAD_COUNT**2

    @property
    def words(self) -> str:
        return f"how far customers lie from each of {self.n_clusters} points, feature by feature"

    def range(self, customers: int) -> tuple[IntVector, IntVector]:
        row = np.full(self.n_features + 1, SPREAD_NORM**2, dtype=np.int64)
        row[-1] = SPREAD_COUNT
        return np.zeros(self.length, dtype=np.int64), np.tile(row * customers, self.n_clusters)

    def to_bytes(self) -> bytes:
        return frame(
            label("spreads"),
            _big(self.n_features),
            _words(self.centres),
            _big(self.radius),
            _big(self.variance),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoresQuery(_AroundCentres):
    """For each centre: sum of the scores that its nearest customers gave, and their number.

    A customer who gave a score adds it to its centre's first entry, in units of which `UNIT` is the
    distance from the agreed scale's middle to its ends (`protocol.agreement.satisfaction`), and
    `UNIT` to the second; whoever gave none adds nothing.

    Attributes:
        centres: Grid coordinates, shape ``(n_clusters, n_features)``, int64.
        variance: The least variance of each entry's noise, in squared units.
    """

    centres: IntMatrix
    variance: int

    @property
    def length(self) -> int:
        """Entries: two a centre, the scores first."""
        return 2 * self.n_clusters

    @property
    def sensitivity_squared(self) -> int:
        return 2 * UNIT * UNIT

    @property
    def words(self) -> str:
        return (
            f"how satisfied the customers nearest to each of {self.n_clusters} points said they "
            "are, and how many said it"
        )

    def range(self, customers: int) -> tuple[IntVector, IntVector]:
        most = UNIT * customers
        low = np.tile(np.array([-most, 0], dtype=np.int64), self.n_clusters)
        return low, np.full(self.length, most, dtype=np.int64)

    def to_bytes(self) -> bytes:
        return frame(
            label("scores"), _big(self.n_features), _words(self.centres), _big(self.variance)
        )


def _words(values: IntMatrix | IntVector) -> bytes:
    return values.astype("<i8").tobytes()


def _big(number: int) -> bytes:
    """A non-negative number of any size: big-endian, in as few bytes as possible."""
    return number.to_bytes(-(-number.bit_length() // 8), "big")
