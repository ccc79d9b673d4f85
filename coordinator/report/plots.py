"""Drawings of a release and of its run, as inline SVG without styles of their own."""

from __future__ import annotations

from typing import Final

from coordinator.report import charts
from coordinator.report.data import ReportData
from coordinator.report.view import ReportView
from machine.drawing.colours import segment_colour
from machine.drawing.numbers import with_unit

DISTANCE: Final = "Mean squared distance to the nearest centroid"


def strips_of(view: ReportView) -> list[str]:
    """For each feature its axis, with every segment's centre on it."""
    strips = []
    for index, about in enumerate(view.data.features):
        dots = [
            charts.Dot(
                place=float(view.places[row, index]),
                number=segment.label,
                colour=segment_colour(segment.colour),
                label=f"{segment.name}: {with_unit(segment.centre[index], about.unit)}",
            )
            for row, segment in enumerate(view.data.segments)
        ]
        title = f"{about.label}: centre of every segment" + (
            f" in {about.unit}" if about.unit else ""
        )
        mean = float(view.mean_places[index])
        strips.append(charts.strip(dots, mean=mean, scale=view.scales[index], title=title))
    return strips


def inertia_of(data: ReportData) -> str:
    """The mean squared distance round by round; empty where no round asked for it."""
    points = [(r.number, r.inertia) for r in data.rounds if r.inertia is not None]
    return charts.line(points, title=f"{DISTANCE}, round by round") if points else ""


def seconds_of(data: ReportData) -> str:
    """How long each round took."""
    points = [(r.number, r.seconds) for r in data.rounds]
    return charts.columns(points, title="Seconds per round")
