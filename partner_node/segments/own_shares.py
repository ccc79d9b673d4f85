"""Own customers of each segment, as printable ranges, and their shares of all own customers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

from partner_node.segments.count_ranges import CountRange, ranges_of


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnReach:
    """Own customers of a release's segments, in its order.

    Attributes:
        ranges: What may be printed of each count.
        total: Their exact sum. It is not printed with them; other commands say it, and ranges hold
            against somebody who knows it (`ranges_of`).
    """

    ranges: tuple[CountRange, ...]
    total: int

    @staticmethod
    def of(counts: Sequence[int], *, step: int) -> OwnReach:
        """What may be printed of counts, in ranges of `step`."""
        return OwnReach(ranges=tuple(ranges_of(counts, step=step)), total=sum(counts))

    @property
    def shares(self) -> list[tuple[float, float] | None]:
        """From where to where the share of each may lie, to whole per cents; None where hidden.

        >>> OwnReach.of([33, 26, 5], step=10).shares
        [(0.46, 0.61), None, (0.0, 0.15)]
        >>> OwnReach.of([0, 0], step=10).shares
        [None, None]
        """
        return [self._share(one.least, one.most) for one in self.ranges]

    def _share(self, least: int | None, most: int | None) -> tuple[float, float] | None:
        if least is None or most is None:
            return None
        return (
            floor(100 * least / self.total) / 100,
            ceil(100 * min(most, self.total) / self.total) / 100,
        )
