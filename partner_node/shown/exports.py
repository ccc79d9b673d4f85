"""A file of own customers' segments that was written."""

from __future__ import annotations

from pathlib import Path

from machine.shown import Shown
from machine.tables import folding_table
from machine.text import how_many, shown
from partner_node.segments.assignments import AssignmentSummary
from partner_node.segments.count_ranges import agreed_step, ranges_of
from partner_node.segments.known_releases import KnownRelease
from partner_node.segments.private_files import Leftovers


def written_shown(
    known: KnownRelease,
    path: Path,
    summary: AssignmentSummary,
    left: Leftovers,
    *,
    use: str,
    only: int | None,
) -> Shown:
    """What was written: own customers of each segment, in ranges.

    Args:
        only: The place of the only segment in it; None where all are.
    """
    written = slice(only, None if only is None else only + 1)
    ids, calls = known.ids[written], known.calls[written]
    ranges = ranges_of(summary.by_segment, step=agreed_step(known.agreement))[written]
    # Of one segment there is a range alone, as everywhere.
    title = how_many(summary.customers, "customer") if only is None else calls[0].name
    table = folding_table("id", "name", "own customers", title=title)
    for identity, called, found in zip(ids, calls, ranges, strict=True):
        table.add_row(identity, called.name, found.words)
    return Shown(
        values={
            "file": str(path),
            "use": use,
            "release": known.release.hash.hex(),
            "privacy": known.release.privacy_words,
            "customers": summary.customers if only is None else None,
            "segment": None if only is None else ids[0],
            "sha256": summary.sha256,
            "by_segment": {
                identity: found.to_dict() for identity, found in zip(ids, ranges, strict=True)
            },
            "warnings": left.words,
        },
        parts=[
            table,
            f"Privacy: {known.release.privacy_words}.",
            f"Wrote {shown(str(path))} for {use}.",
        ],
        warnings=left.words,
    )
