"""Printable counts of own customers: ranges, none narrower than the smallest segment.

What is printed ends up on slides and in logs, so it must not reveal counts below `agreed_step`, nor
let one be derived from the total, which is known elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from protocol.agreement.document import Agreement

#: The least width of a range, where the smallest agreed segment is smaller.
LEAST_STEP: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class CountRange:
    """A range of a number of own customers.

    Attributes:
        least, most: Both included; None for a count that is hidden so that another one cannot be
            derived.
    """

    least: int | None
    most: int | None

    @property
    def words(self) -> str:
        """The range for people.

        >>> CountRange(least=1_250, most=1_299).words, CountRange(least=0, most=49).words
        ('1,250 – 1,299', 'fewer than 50')
        """
        if self.least is None or self.most is None:
            return "hidden"
        if self.least == 0:
            return f"fewer than {self.most + 1:,}"
        return f"{self.least:,} – {self.most:,}"

    def to_dict(self) -> dict[str, Any]:
        """The range as JSON values."""
        return {"least": self.least, "most": self.most}


HIDDEN: Final = CountRange(least=None, most=None)


def agreed_step(agreement: Agreement) -> int:
    """The width of ranges: the smallest agreed segment, at least `LEAST_STEP`."""
    return max(agreement.min_segment_size, LEAST_STEP)


def ranges_of(counts: Iterable[int], *, step: int) -> list[CountRange]:
    """Replace counts by ranges; one below `step`, zero or not, is "fewer than" it.

    If a count is below `step`, the last of those that are not is hidden. Then even for somebody who
    knows the exact total and this rule, every count may still be anywhere in its range, as the
    hidden one compensates. If that one is too small for it, all are hidden.

    >>> [found.words for found in ranges_of([260, 120, 3], step=50)]
    ['250 – 299', 'hidden', 'fewer than 50']
    >>> [found.words for found in ranges_of([260, 120, 60], step=50)]
    ['250 – 299', '100 – 149', '50 – 99']
    """
    values = list(counts)
    found = [
        CountRange(least=value - value % step, most=value - value % step + step - 1)
        for value in values
    ]
    if len(values) < 2 or min(values) >= step:
        return found
    large = [place for place, value in enumerate(values) if value >= step]
    if large:
        left_open = sum(value % step for value in values) + values[large[-1]] // step * step
        if left_open >= 2 * step - 1:
            found[large[-1]] = HIDDEN
            return found
    return [HIDDEN] * len(values)
