"""The shared segments of a release."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from machine.shown import Shown
from machine.tables import Table, folding_table
from partner_node.home import NodeHome
from partner_node.segments.cards import segment_cards
from partner_node.segments.count_ranges import agreed_step
from partner_node.segments.known_releases import KnownRelease
from partner_node.segments.own_shares import OwnReach
from partner_node.segments.tables import segment_tables, value_words
from partner_node.shown.record_tables import hash_lines
from protocol.release.document import HIDDEN_WORDS, TYPICAL_WORDS
from protocol.release.shares import size_words, total_of
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


def own_reach(home: NodeHome, known: KnownRelease, now: datetime) -> OwnReach:
    """Own customers of each segment of a release, now; nobody where it has none."""
    from partner_node.segments.assignments import reach  # Arrow takes long to import
    from partner_node.segments.exports import own_customers

    segments = known.release.segments
    counts = reach(own_customers(home, known, now), known) if segments else []
    return OwnReach.of(counts, step=agreed_step(known.agreement))


def cards_shown(known: KnownRelease, reach: OwnReach | None, *, wanted: str | None = None) -> Shown:
    """Cards: what sets each segment apart, its size, own customers, uses allowed and not.

    Args:
        reach: Own customers; None where they were not read.
        wanted: The id of the only segment that is shown; None for all.
    """
    cards = [card for card in segment_cards(known, reach) if wanted in (None, card.id)]
    return Shown(
        values={
            **known.view.to_dict(),
            "received_at": known.received_at,
            "segments": [card.to_dict() for card in cards],
            "recipients": list(known.agreement.results_use.recipients),
        },
        parts=[
            *(part for card in cards for part in card.words()),
            f"Customers of all partners in all segments: {size_words(total_of(known.view.sizes))}.",
            f"Results go to: {'; '.join(known.agreement.results_use.recipients)}.",
            f"Privacy of what is shared: {known.release.privacy_words}. Own customers stay here; "
            f"they are told in ranges of {agreed_step(known.agreement)}, so that no few can be "
            "picked out."
            if reach
            else f"Privacy: {known.release.privacy_words}.",
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
