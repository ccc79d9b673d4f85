"""What a run will ask and how much noise its result will have, from public numbers alone.

Costs and the noise in sizes follow from the agreement. The noise in centres hangs on how many
customers a segment has and how far they lie from its centre, which nobody knows before: those are
parameters here. The plans' own questions and noise are used, so nothing is said twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, exp, log, sqrt
from typing import Final

from protocol.noised_queries import LocalSumsQuery
from protocol.privacy.mechanisms import total_variance

#: Half the width of an interval that holds 95 of 100 values of a normal number, in sigmas.
SIGMAS_95: Final = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedPlan:
    """What a plan will ask, before the last questions.

    Attributes:
        questions: How many.
        sums: The last sums about centres, with a row for one centre: their noise is the result's.
    """

    questions: int
    sums: LocalSumsQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedNoise:
    """The noise that a run's result will have.

    Attributes:
        questions: How many will be asked, the last ones included.
        size_sigma: Standard deviation of the noise in a segment's size, customers. It follows
            from the agreement.
        least: The smallest noised size with which a segment is released.
        segment: Customers of a segment of mean size.
        deviation: How far customers are taken to lie from their centre, in the scaled cube.
        centre_sigma: Standard deviation of the noise in a coordinate of such a segment's centre,
            in grid units.
    """

    questions: int
    size_sigma: float
    least: int
    segment: float
    deviation: float
    centre_sigma: float

    @property
    def size_margin(self) -> float:
        """Half the 95 % interval of a size."""
        return SIGMAS_95 * self.size_sigma

    @property
    def centre_margin(self) -> float:
        """Half the 95 % interval of a coordinate, in grid units."""
        return SIGMAS_95 * self.centre_sigma

    @property
    def told(self) -> int:
        """How many customers a segment needs to be released in 97.5 of 100 runs.

        As far as the question for sizes decides.
        """
        return ceil(self.least + self.size_margin)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Who is expected to answer.

    Attributes:
        customers: How many there are in all.
        deviation: How far they lie from their centre, in the scaled cube.
        partners: How many partners answer.
        colluding: Of how many of them the shares of noise are not counted on.
    """

    customers: float
    deviation: float
    partners: int
    colluding: int

    def sigma(self, variance: int) -> float:
        """Standard deviation of the noise in a total, of a question that asks for a variance."""
        return sqrt(
            float(total_variance(variance, partners=self.partners, colluding=self.colluding))
        )

    def centre_sigma(self, sums: LocalSumsQuery, segment: float) -> float:
        """Standard deviation of the noise in a coordinate of a centre that was moved by sums.

        Args:
            segment: How many customers are nearest to it.

        Returns:
            In grid units.
        """
        own = float(sums.radius) / float(sums.offset_norm)
        return self.sigma(sums.variance) * own / max(segment, 1.0)


def even_deviation(reach: float, *, n_clusters: int, n_coordinates: int) -> float:
    """How far customers lie from their centre who fill the cube evenly; others lie closer.

    Args:
        reach: Half the cube's diagonal.
    """
    return reach / sqrt(3.0) * exp(-log(n_clusters) / n_coordinates)
