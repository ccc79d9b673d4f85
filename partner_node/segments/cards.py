"""Cards of segments: what a marketer needs to know one, use it, and not misuse it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table

from partner_node.segments.count_ranges import CountRange
from partner_node.segments.known_releases import KnownRelease
from partner_node.segments.tables import value_words
from protocol.release.document import centre_intervals, release_centres, typical_ranges
from protocol.release.names import deviations, standing
from protocol.release.satisfaction import question_words, satisfaction_values, satisfaction_words
from protocol.scaling import FeatureScale


@dataclass(frozen=True, slots=True, kw_only=True)
class Trait:
    """One feature of a segment, in the feature's unit.

    Attributes:
        centre: The typical customer's value.
        low, high: What noise may have moved the centre by, 95 % of the time; `centre` without.
        typical: From where to where most of its customers lie; None where that is not known.
        overall: The typical value over all released segments.
        deviation: How far the centre lies from `overall`, as a part of half the agreed range.
    """

    feature: str
    unit: str
    centre: float
    low: float
    high: float
    typical: tuple[float, float] | None
    overall: float
    deviation: float

    def to_dict(self) -> dict[str, Any]:
        """The trait as JSON values."""
        return {
            "feature": self.feature,
            "unit": self.unit,
            "centre": self.centre,
            "centre_low": self.low,
            "centre_high": self.high,
            "typical": None if self.typical is None else list(self.typical),
            "overall": self.overall,
            "standing": standing(self.deviation),
        }

    def value(self, number: float) -> str:
        """A value of the feature for people; a share of customers in percent."""
        return value_words(number, self.unit)

    def span(self, low: float, high: float) -> str:
        """From one value to another, for people."""
        return f"{self.value(low)} – {self.value(high)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentCard:
    """What is known of a segment.

    Attributes:
        traits: Its features, those first that set it apart most.
        size, size_margin: Customers of all partners, and what noise may have moved that by.
        question: What they were asked about how satisfied they are; empty when nothing was.
        satisfaction: What those who answered said, as JSON values; None when too few did.
        satisfaction_words: The same for people.
        reach: Own customers who may be counted now; None when they were not counted.
    """

    id: str
    segment: int
    status: str
    name: str
    traits: tuple[Trait, ...]
    size: int
    size_margin: int
    size_words: str
    question: str
    satisfaction: dict[str, Any] | None
    satisfaction_words: str
    reach: CountRange | None
    suggested_use: str
    allowed: tuple[str, ...]
    forbidden: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The card as JSON values."""
        return {
            "id": self.id,
            "segment": self.segment,
            "status": self.status,
            "name": self.name,
            "traits": [trait.to_dict() for trait in self.traits],
            "size": self.size,
            "size_margin": self.size_margin,
            "satisfaction": self.satisfaction,
            "own_customers": None if self.reach is None else self.reach.to_dict(),
            "suggested_use": self.suggested_use,
            "allowed_uses": list(self.allowed),
            "do_not_use_for": list(self.forbidden),
        }

    def words(self) -> list[object]:
        """The card for people, within 80 columns."""
        table = Table(title=f"{self.id} · {self.name}", title_justify="left", min_width=60)
        noised = any(trait.low < trait.high for trait in self.traits)
        told = any(trait.typical for trait in self.traits)
        table.add_column("what sets it apart", overflow="fold")
        table.add_column("centre", justify="right", no_wrap=True)
        if noised:
            table.add_column("95 % interval", justify="right", no_wrap=True)
        if told:
            table.add_column("most customers", justify="right", no_wrap=True)
        table.add_column("all", justify="right", no_wrap=True)
        for trait in self.traits:
            typical = "–" if trait.typical is None else trait.span(*trait.typical)
            table.add_row(
                f"{trait.feature.replace('_', ' ')} ({trait.unit}): {standing(trait.deviation)}",
                trait.value(trait.centre),
                *([trait.span(trait.low, trait.high)] if noised else []),
                *([typical] if told else []),
                trait.value(trait.overall),
            )
        lines = [
            f"Customers of all partners: {self.size_words}.",
            f"Satisfaction: {self.satisfaction_words}. Asked was {self.question}."
            if self.question
            else "",
            "" if self.reach is None else f"Own customers, now: {self.reach.words}.",
            f"Suggested use: {self.suggested_use}",
            f"Allowed: {', '.join(self.allowed)}.",
            f"Do not use for: {', '.join(self.forbidden) or 'nothing is forbidden by name'}.",
        ]
        return [table, "\n".join(line for line in lines if line) + "\n"]


def segment_cards(
    known: KnownRelease, reach: Sequence[CountRange] | None
) -> tuple[SegmentCard, ...]:
    """A card for each segment of a release, in its order.

    Args:
        reach: Own customers of each segment, as they may be printed; None when not counted.
    """
    release, agreement = known.release, known.agreement
    if not release.segments:
        return ()
    centres = release_centres(release, agreement)
    low, high = centre_intervals(release, agreement)
    ranges = typical_ranges(release, agreement)
    apart = deviations(agreement, release)
    overall = _overall(known)
    uses = agreement.results_use
    cards = []
    for row, (segment, living, called) in enumerate(
        zip(release.segments, known.step.living, known.calls, strict=True)
    ):
        traits = [
            Trait(
                feature=feature.name,
                unit=feature.unit,
                centre=float(centres[row, column]),
                low=float(low[row, column]),
                high=float(high[row, column]),
                typical=None if ranges is None else ranges[row][column],
                overall=overall[column],
                deviation=float(apart[row, column]) / float(feature.weight),
            )
            for column, feature in enumerate(agreement.coordinates)
        ]
        traits.sort(key=lambda trait: -abs(trait.deviation))
        cards.append(
            SegmentCard(
                id=living.id,
                segment=segment.segment,
                status=living.status,
                name=called.name,
                traits=tuple(traits),
                size=segment.size,
                size_margin=segment.size_margin,
                size_words=segment.size_words,
                question=question_words(agreement),
                satisfaction=satisfaction_values(segment.satisfaction, agreement),
                satisfaction_words=satisfaction_words(segment.satisfaction, agreement),
                reach=None if reach is None else reach[row],
                suggested_use=called.use,
                allowed=uses.allowed,
                forbidden=uses.forbidden,
            )
        )
    return tuple(cards)


def _overall(known: KnownRelease) -> list[float]:
    """The mean of the released segments on the agreed scale, in the features' units."""
    release, agreement = known.release, known.agreement
    centres = release.centres.astype(np.float64)
    offset = deviations(agreement, release)[0] * float(1 << release.fraction_bits)
    mean = np.rint(centres[0] - offset).astype(np.int64)
    found: list[float] = FeatureScale.of(agreement.coordinates).from_grid(mean[None, :])[0].tolist()
    return found
