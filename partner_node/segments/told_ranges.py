"""Ranges of feedback that were told before, for when the counts of today have to be hidden.

A small count beside a large one hides the large one, lest the small one follow from the total. What
was told earlier is known already, and tells nothing more when it is told again with its day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from partner_node.segments.count_ranges import CountRange
from partner_node.store.node_store import NodeStore
from partner_node.store.times import stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A count as it is told, now or earlier.

    Attributes:
        on: The day on which it was told; None for now.
    """

    range: CountRange
    on: str | None = None

    @property
    def words(self) -> str:
        """The range for people."""
        return self.range.words if self.on is None else f"{self.range.words} on {self.on}"

    def to_dict(self) -> dict[str, Any]:
        """The range as JSON values."""
        return self.range.to_dict() | {"told_on": self.on}


class ToldRanges:
    """What was told of one kind of feedback under an agreement, by segment."""

    def __init__(self, store: NodeStore, agreement_id: str, kind: str) -> None:
        self._store = store
        self._key = agreement_id, kind

    def tell(self, segment: str, found: CountRange, now: datetime) -> Told:
        """What to tell of a segment; inside a transaction, as it is remembered.

        A hidden count is told as it was told before, if it ever was.
        """
        if found.least is not None:
            self._store.ask(
                "INSERT OR REPLACE INTO told VALUES (?, ?, ?, ?, ?, ?)",
                *self._key, segment, stamp(now), found.least, found.most,
            )  # fmt: skip
            return Told(range=found)
        earlier = self._store.one(
            "SELECT at, least, most FROM told WHERE agreement_id = ? AND kind = ?"
            " AND segment = ?",
            *self._key, segment,
        )  # fmt: skip
        if earlier is None:
            return Told(range=found)
        at, least, most = earlier
        return Told(range=CountRange(least=least, most=most), on=at[:10])
