"""The shared segments of a release."""

from __future__ import annotations

from collections.abc import Callable

from rich.table import Table

from machine.shown import Shown
from machine.tables import folding_table
from partner_node.segments.known_releases import KnownRelease
from partner_node.segments.tables import segment_tables, value_words
from partner_node.shown.record_tables import hash_lines
from protocol.release.document import HIDDEN_WORDS, TYPICAL_WORDS
from protocol.release.view import FeatureView, ReleaseView


def segments_shown(known: KnownRelease, *, width: int) -> Shown:
    """A release's segments, with their centres in the features' units; nothing of own customers.

    Args:
        width: Characters in a line; a table that would be wider is several.
    """
    view, found, agreement = known.view, known.release, known.agreement
    table = folding_table(
        "id", "name", "customers of all partners", "since the last release",
        title=f"Segments of {agreement.id}",
    )  # fmt: skip
    for segment in view.segments:
        table.add_row(segment.id, segment.name, segment.size_words, segment.since)
    return Shown(
        values={**view.to_dict(), "received_at": known.received_at},
        parts=[
            table,
            *_centre_parts(view, width),
            *_typical_parts(view, width),
            *_satisfaction_parts(view),
            *(f"{gone.words}." for gone in view.gone),
            f"Privacy: {found.privacy_words}.",
            view.choice,
            view.start_words,
            view.left_words,
            view.asked_again_words,
            f"Merged: {found.merged.reason}." if found.merged else "",
            f"Withheld: {found.withheld.reason}." if found.withheld else "",
            known.data_words,
            f"Signed by {', '.join(found.participants)} under agreement {agreement.id}, version "
            f"{agreement.version}. Compare with the other partners and the report:\n"
            + hash_lines(found),
        ],
    )


def _rows(view: ReleaseView, cell: Callable[[FeatureView], str]) -> list[list[str]]:
    """A row of cells for each feature, a cell a segment."""
    by_segment = [[cell(feature) for feature in segment.features] for segment in view.segments]
    return [list(row) for row in zip(*by_segment, strict=True)]


def _tables(
    view: ReleaseView, title: str, cell: Callable[[FeatureView], str], width: int
) -> list[Table]:
    labels = [f"{feature.name} ({feature.unit})" for feature in view.agreement.coordinates]
    cells = _rows(view, cell) or [[] for _ in labels]
    return segment_tables(title, view.ids, labels, cells, label="feature", width=width)


def _centre_parts(view: ReleaseView, width: int) -> list[Table]:
    return _tables(view, "Their centres", lambda f: value_words(f.centre, f.unit), width)


def _typical_parts(view: ReleaseView, width: int) -> list[object]:
    """The table of typical ranges, or a note that noise hides them; empty when not asked for."""
    if not view.ranges_told or not view.segments:
        return []
    if not any(feature.typical for segment in view.segments for feature in segment.features):
        return [f"{HIDDEN_WORDS}."]
    tables = _tables(view, "Their typical ranges", lambda f: _range_words(f.typical, f.unit), width)
    return [*tables, f"{TYPICAL_WORDS}."]


def _satisfaction_parts(view: ReleaseView) -> list[object]:
    """Stated satisfaction as a table; empty when customers were not asked."""
    if not view.question:
        return []
    table = folding_table("id", "score", title="How satisfied they said they are")
    for segment in view.segments:
        table.add_row(segment.id, segment.satisfaction_words)
    return [table, f"Asked was {view.question}."]


def _range_words(found: tuple[float, float] | None, unit: str) -> str:
    """A range in words; a dash where it is too narrow to see under the noise."""
    return "–" if found is None else " – ".join(value_words(value, unit) for value in found)
