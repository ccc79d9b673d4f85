"""The sum query: add up one bounded vector for each customer. SPEC.md, 8."""

from __future__ import annotations

from typing import Protocol

from protocol.ring import IntVector


class SumQuery(Protocol):
    """A query whose answer is the sum of one bounded vector per customer."""

    @property
    def length(self) -> int:
        """Number of entries of the answer."""
        ...

    @property
    def sensitivity_squared(self) -> int:
        """Square of the largest L2 norm of one customer's vector."""
        ...

    @property
    def variance(self) -> int:
        """The least variance of the noise in each entry of the total; 0 for an exact total."""
        ...

    @property
    def words(self) -> str:
        """The question in words, for people."""
        ...

    @property
    def hash(self) -> bytes:
        """Identifies the query in announcements; 32 bytes."""
        ...

    def range(self, customers: int) -> tuple[IntVector, IntVector]:
        """Lowest and highest value of every entry over at most `customers` customers."""
        ...
