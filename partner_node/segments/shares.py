"""Totals and shares of segments: of all partners with the noise's margin, of own ones as ranges."""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot

from partner_node.segments.count_ranges import CountRange
from protocol.release.view import ReleaseView

#: A number and half of its 95 % interval under the noise.
Margined = tuple[float, float]


def total_of(view: ReleaseView) -> Margined:
    """Customers of all partners in all released segments."""
    return (
        sum(segment.size for segment in view.segments),
        hypot(*(segment.size_margin for segment in view.segments)),
    )


def shares_of(view: ReleaseView) -> list[Margined]:
    """The share of each segment in all released ones; the noise of their sizes is independent."""
    total = total_of(view)[0]
    found = []
    for segment in view.segments:
        others = hypot(*(s.size_margin for s in view.segments if s is not segment))
        rest = total - segment.size
        margin = hypot(rest * segment.size_margin, segment.size * others) / (total or 1) ** 2
        found.append((segment.size / (total or 1), margin))
    return found


def own_shares(reach: Sequence[CountRange]) -> list[tuple[float, float] | None]:
    """From where to where the share of each segment in own customers may lie.

    They follow from the printed ranges alone, so they tell no more; None where one is hidden.

    >>> ten, more = CountRange(least=10, most=19), CountRange(least=30, most=39)
    >>> [tuple(round(end, 2) for end in ends) for ends in own_shares([ten, more]) if ends]
    [(0.2, 0.39), (0.61, 0.8)]
    """
    ends = [(one.least, one.most) for one in reach]
    known = [(least, most) for least, most in ends if least is not None and most is not None]
    if len(known) < len(ends):
        return [None] * len(ends)
    found: list[tuple[float, float] | None] = []
    for least, most in known:
        fewest = sum(low for low, _ in known) - least
        greatest = sum(high for _, high in known) - most
        found.append((least / max(least + greatest, 1), most / max(most + fewest, 1)))
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
    return f"{number:.1%}".replace("%", " %") + (
        f" ± {-(-margin * 1000 // 1) / 10:.1f}" if margin else ""
    )
