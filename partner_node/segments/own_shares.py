"""Shares of segments in own customers, as ranges."""

from __future__ import annotations

from collections.abc import Sequence

from partner_node.segments.count_ranges import CountRange


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
