"""A release as the console draws it: a card for each segment, and plots as inline SVG.

The policy for contents allows no styles in a page: colours are attributes of the drawings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from coordinator.report import charts
from coordinator.report.data import ReportData, ReportSegment
from coordinator.report.plots import DISTANCE, inertia_of, seconds_of, strips_of
from coordinator.report.view import ReportView
from machine.drawing.colours import segment_colour
from machine.drawing.numbers import with_unit
from machine.drawing.widest_pair import map_of
from protocol.release.view import ReleaseView, SegmentView

#: Features on a card, where no more gave the segment its name.
_ON_A_CARD: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One segment.

    Attributes:
        badge: Its id on its colour, as SVG.
        bar: How large it is beside the largest, as SVG.
        told: Its customers, with the noise's margin, their share, and what it is compared with
            the release before, where there was one.
        facts: What sets it apart: feature, value, and how that stands to all.
        use: What it may be used for; empty where nothing is suggested.
    """

    name: str
    badge: Markup
    bar: Markup
    told: str
    facts: tuple[tuple[str, str, str], ...]
    use: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One drawing with its heading and a sentence on how it is read."""

    title: str
    about: str
    svg: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Cards and plots of a release."""

    cards: tuple[Card, ...]
    plots: tuple[Plot, ...]


def release_drawn(view: ReleaseView, data: ReportData) -> Drawn:
    """Draw a release.

    Args:
        data: Its report.
    """
    report = ReportView(data)
    return Drawn(
        cards=tuple(
            _card(report, told, segment)
            for told, segment in zip(view.segments, data.segments, strict=True)
        ),
        plots=tuple(plot for plot in _plots(report) if plot.svg),
    )


def _card(report: ReportView, told: SegmentView, segment: ReportSegment) -> Card:
    colour = segment_colour(segment.colour)
    largest = max(max(one.size for one in report.data.segments), 1)
    order = sorted(
        told.features,
        key=lambda one: (one.feature not in told.named_by, -abs(one.deviation)),
    )[: max(_ON_A_CARD, len(told.named_by))]
    return Card(
        name=segment.name,
        badge=_svg(charts.badge(segment.label, colour)),
        bar=_svg(charts.bar(segment.size / largest, colour)),
        told=report.told_text(segment),
        facts=tuple((one.feature, with_unit(one.centre, one.unit), one.standing) for one in order),
        use=segment.use,
    )


def _plots(report: ReportView) -> list[Plot]:
    data = report.data
    found = [
        Plot(
            title="The segments at a glance",
            about="Each circle is a segment: the larger, the more customers. Dashed lines are the "
            f"average of {report.whom}.",
            svg=_svg(map_of(report.points, report.directions)),
        )
    ]
    strips = strips_of(report) if data.segments else []
    found += [
        Plot(
            title=f"{about.label}, {about.unit}".rstrip(", "),
            about="Each dot is a segment; the dashed line is the average of "
            f"{report.whom}{', on a logarithmic scale' if about.logarithmic else ''}.",
            svg=_svg(drawn),
        )
        for about, drawn in zip(data.features, strips, strict=bool(strips))
    ]
    if data.rounds:
        found.append(
            Plot(
                title=DISTANCE,
                about="Round by round, over every customer of the totals, in scaled units.",
                svg=_svg(inertia_of(data)),
            )
        )
        found.append(
            Plot(
                title="Time per round",
                about="Seconds from the query to the opened total.",
                svg=_svg(seconds_of(data)),
            )
        )
    return found


def _svg(drawn: str) -> Markup:
    """A drawing of ours: every text in it is escaped where it is drawn."""
    return Markup(drawn)  # noqa: S704
