"""What several sections of a report need: totals, scales, and offsets from the mean."""

from __future__ import annotations

from coordinator.report.data import ReportData, ReportSegment
from machine.drawing.colours import segment_colour
from machine.drawing.numbers import Scale, count_text
from machine.drawing.widest_pair import Direction, Point, mean_place, places_of
from protocol.release.shares import share_words, shares_of, total_of


class ReportView:
    """Values that several sections need: totals, scales, and offsets from the mean."""

    def __init__(self, data: ReportData) -> None:
        self.data = data
        sizes = [(segment.size, float(segment.margin)) for segment in data.segments]
        self.total = total_of(sizes)
        self.shares = shares_of(sizes)
        self.scales = tuple(
            Scale(lower=f.minimum, upper=f.maximum, logarithmic=f.logarithmic)
            for f in data.features
        )
        self.directions = tuple(
            Direction(label=f.label, unit=f.unit, scale=scale)
            for f, scale in zip(data.features, self.scales, strict=True)
        )
        self.points = tuple(
            Point(
                values=s.centre,
                size=s.size,
                label=s.label,
                name=s.name,
                colour=segment_colour(s.colour),
                words=f"{size_text(s)} customers",
            )
            for s in data.segments
        )
        places = places_of(self.points, self.directions)
        #: Whether clusters are withheld, so that totals and means are not those of all customers.
        self.partial = bool(data.withheld or data.withheld_clusters)
        #: The customers in totals and means, in words.
        self.whom = "the released segments" if self.partial else "all customers"
        mean = mean_place(places, [segment.size for segment in data.segments])
        #: Position of every centre and of the mean on its feature's axis, 0 … 1.
        self.places = places
        self.mean_places = mean
        #: The mean of `whom` in the features' units.
        self.mean = tuple(
            scale.value(float(place)) for scale, place in zip(self.scales, mean, strict=True)
        )
        #: Distance from the mean in the cube [-1, 1], shape (n_segments, n_features).
        self.deviation = 2 * (places - mean)

    def share_text(self, segment: ReportSegment) -> str:
        """Its share of the customers on the page; says of whom where that is not everybody."""
        share = self.shares[self.data.segments.index(segment)]
        return whole(share_words(share)) + (" of the released" if self.partial else "")

    def told_text(self, segment: ReportSegment) -> str:
        """Its customers, their share, and what became of it since the release before."""
        since = f"{whole(' · ')}{segment.since}" if segment.since else ""
        return f"{size_text(segment)} customers, {self.share_text(segment)}{since}"


def whole(text: str) -> str:
    """A text that stays on one line."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def size_text(segment: ReportSegment) -> str:
    """A segment's size with its margin."""
    margin = f" ± {count_text(segment.margin)}" if segment.margin else ""
    return whole(f"{count_text(segment.size)}{margin}")
