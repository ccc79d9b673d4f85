"""Cards of segments: what a marketer needs to recognise one, use it, and not misuse it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from machine.tables import Table
from partner_node.segments.count_ranges import CountRange
from partner_node.segments.known_releases import KnownRelease
from partner_node.segments.own_shares import OwnReach
from partner_node.segments.tables import value_words
from protocol.percents import whole_percent_words
from protocol.release.shares import Margined, share_words, shares_of
from protocol.release.view import FeatureView, SegmentView


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentCard:
    """A segment, with this partner's own figures about it.

    Attributes:
        question: The question about satisfaction that customers were asked; empty when none.
        share: In the customers of all partners, with its margin.
        reach: Own eligible customers now; None when they were not counted.
        own_share: From where to where it may lie in own customers; None where that is hidden.
        allowed, forbidden: Uses that the agreement allows and forbids.
    """

    segment: SegmentView
    question: str
    share: Margined
    reach: CountRange | None
    own_share: tuple[float, float] | None
    allowed: tuple[str, ...]
    forbidden: tuple[str, ...]

    @property
    def id(self) -> str:
        """The segment's id."""
        return self.segment.id

    @property
    def traits(self) -> list[FeatureView]:
        """Its features, the most distinctive first."""
        return sorted(self.segment.features, key=lambda feature: -abs(feature.deviation))

    def to_dict(self) -> dict[str, Any]:
        """The card as JSON values: the segment's, and this partner's own."""
        return {
            **self.segment.to_dict(),
            "share": self.share[0],
            "share_margin": self.share[1],
            "own_customers": None if self.reach is None else self.reach.to_dict(),
            "own_share": None if self.own_share is None else list(self.own_share),
            "allowed_uses": list(self.allowed),
            "do_not_use_for": list(self.forbidden),
        }

    def words(self) -> list[object]:
        """The card for people, within 80 columns."""
        segment, traits = self.segment, self.traits
        table = Table(title=f"{segment.id} · {segment.name}", title_justify="left", min_width=60)
        noised = any(trait.low < trait.high for trait in traits)
        told = any(trait.typical for trait in traits)
        table.add_column("what sets it apart", overflow="fold")
        table.add_column("centre", justify="right", no_wrap=True)
        if noised:
            table.add_column("95 % interval", justify="right", no_wrap=True)
        if told:
            table.add_column("most customers", justify="right", no_wrap=True)
        table.add_column("all", justify="right", no_wrap=True)
        for trait in traits:
            typical = "–" if trait.typical is None else _span(trait, *trait.typical)
            table.add_row(
                f"{trait.feature.replace('_', ' ')} ({trait.unit}): {trait.standing}",
                value_words(trait.centre, trait.unit),
                *([_span(trait, trait.low, trait.high)] if noised else []),
                *([typical] if told else []),
                value_words(trait.overall, trait.unit),
            )
        own = ""
        if self.own_share is not None:
            least, most = map(whole_percent_words, self.own_share)
            own = f", between {least} and {most} of them"
        named_by = ", ".join(name.replace("_", " ") for name in segment.named_by)
        lines = [
            f"Its name follows from: {named_by}." if named_by else "",
            f"Customers of all partners: {segment.size_words}, {share_words(self.share)} of them.",
            f"Satisfaction: {segment.satisfaction_words}. Asked was {self.question}."
            if self.question
            else "",
            "" if self.reach is None else f"Own customers, now: {self.reach.words}{own}.",
            f"Suggested use: {segment.suggested_use}",
            f"Allowed: {', '.join(self.allowed)}.",
            f"Do not use for: {', '.join(self.forbidden) or 'nothing is forbidden by name'}.",
        ]
        return [table, "\n".join(line for line in lines if line) + "\n"]


def segment_cards(known: KnownRelease, reach: OwnReach | None) -> tuple[SegmentCard, ...]:
    """A card for each segment of a release, in its order.

    Args:
        reach: Own customers of each segment; None when not counted.
    """
    view = known.view
    uses = known.agreement.results_use
    shares = shares_of(view.sizes)
    own = [None] * len(shares) if reach is None else reach.shares
    return tuple(
        SegmentCard(
            segment=segment,
            question=view.question,
            share=shares[row],
            reach=None if reach is None else reach.ranges[row],
            own_share=own[row],
            allowed=uses.allowed,
            forbidden=uses.forbidden,
        )
        for row, segment in enumerate(view.segments)
    )


def _span(feature: FeatureView, low: float, high: float) -> str:
    """A range of a feature's values, for people."""
    return f"{value_words(low, feature.unit)} – {value_words(high, feature.unit)}"
