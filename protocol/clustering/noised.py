"""What a plan with noise is, before the last questions that all of them share. SPEC.md, 10."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, Self, TypeVar

from protocol.clustering.expected import Crowd, ExpectedPlan
from protocol.clustering.result import Clustering
from protocol.clustering.terms import Terms
from protocol.errors import LocalProtocolError
from protocol.ring import IntVector
from protocol.sum_query import SumQuery


class Noised(Protocol):
    """A state of a plan that forms clusters under noise, and is finished by the last questions.

    It is a `protocol.clustering.plan.Plan` besides.

    Attributes:
        NAME: As an agreement names it (`PLAN_NAMES`).
        LEAST_ROUNDS: The fewest questions that it needs, the last ones not counted, nor the one by
            which it chooses the number of clusters.
        STOPPED_WORDS: What is said of how many questions a run took; nothing where it is empty.
    """

    NAME: ClassVar[str]
    LEAST_ROUNDS: ClassVar[int]
    STOPPED_WORDS: ClassVar[str]

    @staticmethod
    def start(terms: Terms, *, rounds: int) -> Noised:
        """The first state.

        Args:
            rounds: The most questions that it may ask.
        """
        ...

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Noised:
        """The state that `to_dict` gave."""
        ...

    @staticmethod
    def longest_vector(n_clusters: int, n_features: int) -> int:
        """Entries of its longest answer, at most."""
        ...

    @property
    def terms(self) -> Terms:
        """What it knew before it asked anything."""
        ...

    @property
    def query(self) -> SumQuery | None:
        """The sum query to ask now; None when it has its clusters."""
        ...

    @property
    def result(self) -> Clustering | None:
        """Its clusters; None before."""
        ...

    @property
    def deviation(self) -> float:
        """About how far customers lie from their centre, in the scaled cube."""
        ...

    def expected(self, crowd: Crowd) -> ExpectedPlan:
        """What it will ask, of its first state."""
        ...

    def advance(self, total: IntVector, *, customers: int, variance: int) -> Self:
        """The state after the query's total."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON values."""
        ...


_T = TypeVar("_T")


def known(value: _T | None) -> _T:
    """A value that an earlier step has set; raises LocalProtocolError when it is missing."""
    if value is None:
        raise LocalProtocolError("the plan's steps are out of order")
    return value
