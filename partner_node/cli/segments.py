"""The shared segments and own assignments: `segments …`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from partner_node.cli.options import HERE, Directory
from partner_node.console import Format, FormatOption, output
from partner_node.home import NodeHome
from partner_node.record_tables import hash_lines, number_words
from protocol.agreement import Agreement
from protocol.clustering.choose_k import choice_words
from protocol.clustering.personas import release_names
from protocol.clustering.release import (
    HIDDEN_WORDS,
    TYPICAL_WORDS,
    Ranges,
    Release,
    SignedRelease,
    centre_intervals,
    release_centres,
    typical_ranges,
)
from protocol.errors import RuleError

app = typer.Typer(help="Shared segments and own assignments.", no_args_is_help=True)


@app.command("list")
def list_segments(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """The newest release: every signature checked again, centres in the features' units."""
    home = NodeHome.load(directory)
    received_at, release, agreement = _newest_release(home)
    names = release_names(agreement, release)
    centres = release_centres(release, agreement)
    low, high = centre_intervals(release, agreement)
    ranges = typical_ranges(release, agreement)
    features = [feature.name for feature in agreement.features]
    table = Table(title=f"Segments of {agreement.id}")
    table.add_column("segment", justify="right")
    table.add_column("name")
    table.add_column("customers of all partners", justify="right")
    means = Table(title="Their centres")
    means.add_column("segment", justify="right")
    for feature in agreement.features:
        means.add_column(f"{feature.name}\n({feature.unit})", justify="right", overflow="fold")
    for segment, name, centre in zip(release.segments, names, centres, strict=True):
        table.add_row(str(segment.segment), name, segment.size_words)
        means.add_row(str(segment.segment), *(number_words(float(v)) for v in centre))
    typical = Table(title="Their typical ranges")
    typical.add_column("segment", justify="right")
    for feature in agreement.features:
        typical.add_column(f"{feature.name}\n({feature.unit})", justify="right", overflow="fold")
    for segment, found in zip(release.segments, ranges or [], strict=False):
        typical.add_row(str(segment.segment), *(_range_words(r) for r in found))
    output.result(
        {
            "agreement": agreement.id,
            "agreement_version": agreement.version,
            "agreement_hash": agreement.hash.hex(),
            "run_hash": release.run_hash.hex(),
            "release": release.hash.hex(),
            "received_at": received_at,
            "privacy": release.privacy_words,
            "signed_by": list(release.participants),
            "segments": [
                {
                    "segment": segment.segment,
                    "name": name,
                    "size": segment.size,
                    "size_margin": segment.size_margin,
                    "centre": dict(zip(features, map(float, centres[row]), strict=True)),
                    "centre_low": dict(zip(features, map(float, low[row]), strict=True)),
                    "centre_high": dict(zip(features, map(float, high[row]), strict=True)),
                    "typical": None
                    if ranges is None
                    else {
                        name: None if found is None else list(found)
                        for name, found in zip(features, ranges[row], strict=True)
                    },
                }
                for row, (segment, name) in enumerate(zip(release.segments, names, strict=True))
            ],
            "withheld": release.withheld.reason if release.withheld else None,
            "merged": release.merged.reason if release.merged else None,
            "k_scores": [score.to_dict() for score in release.choice],
        },
        table,
        means,
        *_typical_parts(typical, ranges),
        f"Privacy: {release.privacy_words}.",
        choice_words(release.choice),
        f"Merged: {release.merged.reason}." if release.merged else "",
        f"Withheld: {release.withheld.reason}." if release.withheld else "",
        f"Signed by {', '.join(release.participants)} under agreement {agreement.id}, version "
        f"{agreement.version}. Compare with the other partners and the report:\n"
        + hash_lines(release),
    )


def _typical_parts(table: Table, ranges: Sequence[Ranges] | None) -> list[object]:
    """The table of typical ranges; that noise hides them, or nothing when they were not asked."""
    if not ranges:
        return []
    told = any(span for found in ranges for span in found)
    return [table, f"{TYPICAL_WORDS}."] if told else [f"{HIDDEN_WORDS}."]


def _range_words(found: tuple[float, float] | None) -> str:
    """From where to where; a dash where that is too narrow to tell under the noise."""
    return "–" if found is None else f"{number_words(found[0])} – {number_words(found[1])}"


@app.command("assign")
def assign(
    out: Annotated[
        Path | None,
        typer.Option(
            help="File to write, .csv or .parquet; when left out, one in the node's output folder."
        ),
    ] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Write each own customer's segment; the file stays here."""
    from partner_node.assignments import write_assignments  # Arrow takes long to import

    home = NodeHome.load(directory)
    _, release, agreement = _newest_release(home)
    path = out or home.config.node.output / f"assignments-{release.hash.hex()[:16]}.parquet"
    names = release_names(agreement, release)
    party = home.party(agreement)
    home.rules(agreement, party).check(datetime.now(UTC))
    customers = home.customers(agreement, home.gate(agreement, party))
    summary = write_assignments(customers, release, agreement, path, names=names)
    table = Table("segment", "name", "own customers", title=f"{summary.customers:,} customers")
    for segment, name, count in zip(release.segments, names, summary.by_segment, strict=True):
        table.add_row(str(segment.segment), name, f"{count:,}")
    output.result(
        {
            "file": str(path),
            "privacy": release.privacy_words,
            "customers": summary.customers,
            "by_segment": {
                str(s.segment): c for s, c in zip(release.segments, summary.by_segment, strict=True)
            },
        },
        table,
        f"Privacy: {release.privacy_words}.",
        f"Wrote {path}.",
    )


def _newest_release(home: NodeHome) -> tuple[str, Release, Agreement]:
    """When it was received, the release with every signature checked again, its agreement.

    The agreement may be an earlier one than the one in force now.
    """
    store = home.store(home.keystore())
    for received_at, envelope in store.releases():
        signed = SignedRelease.from_bytes(envelope)
        kept = store.agreement(signed.release.agreement_hash) or home.signed_agreement()
        agreement = kept.verify()
        return received_at, signed.verify(agreement), agreement
    raise RuleError(
        "this node has received no release yet",
        code="E-NO-RELEASE",
        remedy="a run must finish first; see `fedseg-node status`",
    )
