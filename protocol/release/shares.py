"""Totals and shares of a release's segments, with what the noise may have moved them by."""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot

from protocol.percents import percent_words

#: A number and half of its 95 % interval under the noise.
Margined = tuple[float, float]


def total_of(sizes: Sequence[Margined]) -> Margined:
    """Customers of all partners in all released segments.

    >>> total_of([(100, 3.0), (50, 4.0)])
    (150, 5.0)
    """
    return sum(size for size, _ in sizes), hypot(*(margin for _, margin in sizes))


def shares_of(sizes: Sequence[Margined]) -> list[Margined]:
    """The share of each segment in all released ones; the noise of their sizes is independent."""
    total = total_of(sizes)[0]
    found = []
    for place, (size, margin) in enumerate(sizes):
        others = hypot(*(other for at, (_, other) in enumerate(sizes) if at != place))
        both = hypot((total - size) * margin, size * others) / (total or 1) ** 2
        found.append((size / (total or 1), both))
    return found


def size_words(size: Margined) -> str:
    """A number of customers with its margin, for people.

    >>> size_words((1200, 11.2)), size_words((90, 0.0))
    ('1,200 ± 12', '90')
    """
    number, margin = size
    return f"{number:,.0f}" + (f" ± {-(-margin // 1):,.0f}" if margin else "")


def share_words(share: Margined) -> str:
    """A share with its margin, for people.

    >>> share_words((0.253, 0.0112)), share_words((0.5, 0.0))
    ('25.3 % ± 1.2', '50.0 %')
    """
    number, margin = share
    return percent_words(number) + (f" ± {-(-margin * 1000 // 1) / 10:.1f}" if margin else "")
