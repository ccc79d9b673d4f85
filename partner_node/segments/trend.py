"""How segments went over all releases under an agreement, by the ids that last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from partner_node.segments.count_ranges import CountRange
from partner_node.segments.known_releases import KnownRelease
from partner_node.segments.own_shares import OwnReach
from protocol.release.shares import Margined, shares_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A segment in one release.

    Attributes:
        size, share: Customers of all partners, and their share in all released segments.
        own: Own customers by the values that they have now; None when they were not counted.
        own_share: From where to where it may lie in own customers; None where that is hidden.
    """

    size: Margined
    share: Margined
    own: CountRange | None
    own_share: tuple[float, float] | None

    def to_dict(self) -> dict[str, Any]:
        """The stage as JSON values."""
        return {
            "size": self.size[0],
            "size_margin": self.size[1],
            "share": self.share[0],
            "share_margin": self.share[1],
            "own_customers": None if self.own is None else self.own.to_dict(),
            "own_share": None if self.own_share is None else list(self.own_share),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """One lasting segment over the releases.

    Attributes:
        name: Its name in the newest release that has it.
        stages: One a release, oldest first; None where a release has it not.
    """

    id: str
    name: str
    stages: tuple[Stage | None, ...]

    def to_dict(self) -> dict[str, Any]:
        """The trend as JSON values."""
        stages = [None if stage is None else stage.to_dict() for stage in self.stages]
        return {"id": self.id, "name": self.name, "stages": stages}


def trends(releases: Sequence[KnownRelease], reached: Sequence[OwnReach | None]) -> list[Trend]:
    """The trend of every id that the releases have, in the order in which ids came.

    Args:
        releases: Under one agreement, oldest first.
        reached: For each, own customers of its segments; None when not counted.
    """
    names: dict[str, str] = {}
    stages: list[dict[str, Stage]] = []
    for known, own in zip(releases, reached, strict=True):
        view = known.view
        shares = [None] * len(view.segments) if own is None else own.shares
        names |= {segment.id: segment.name for segment in view.segments}
        stages.append(
            {
                segment.id: Stage(
                    size=(segment.size, segment.size_margin),
                    share=share,
                    own=None if own is None else own.ranges[row],
                    own_share=shares[row],
                )
                for row, (segment, share) in enumerate(
                    zip(view.segments, shares_of(view.sizes), strict=True)
                )
            }
        )
    return [
        Trend(id=identity, name=name, stages=tuple(found.get(identity) for found in stages))
        for identity, name in names.items()
    ]
