"""The coordinator's outputs of a release: a table and an HTML report."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Final

from coordinator.report.data import (
    ReportCheck,
    ReportCoordinator,
    ReportData,
    ReportHash,
    ReportPartner,
    ReportRound,
)
from coordinator.report.filling import report_features, report_segments
from coordinator.report.page import render_report
from coordinator.report.tables import centre_tables, feature_tables, range_cells
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.records import RunRow
from machine.console import people
from machine.files import write_file
from machine.tables import Table
from protocol.agreement.document import Agreement
from protocol.privacy.words import meaning
from protocol.release.document import HIDDEN_WORDS, TYPICAL_WORDS, Release, SignedRelease
from protocol.release.lineage import lineage
from protocol.release.row_caps import row_cap_words
from protocol.release.view import ReleaseView, release_view

#: Command at a node that shows the hashes of agreement, run and release, and verifies signatures.
_SHOWS_HASHES: Final = "fedseg-node segments list"


def views_in(store: CoordinatorStore) -> list[tuple[bytes, str, ReleaseView]]:
    """Run id, time and view of every stored release, newest first.

    Every release is verified again; its segments' ids follow from all releases under its
    agreement.
    """
    histories: dict[str, list[tuple[Release, Agreement]]] = defaultdict(list)
    found = []
    for run_id, released_at, envelope in store.releases():
        signed = SignedRelease.from_bytes(envelope)
        agreement = store.agreement(signed.release.agreement_hash)
        release = signed.verify(agreement)
        histories[agreement.id].insert(0, (release, agreement))
        found.append((run_id, released_at, release, agreement))
    steps = {step.release: step for history in histories.values() for step in lineage(history)}
    return [
        (run_id, released_at, release_view(release, agreement, steps[release.hash]))
        for run_id, released_at, release, agreement in found
    ]


def view_of(store: CoordinatorStore, run_id: bytes) -> ReleaseView:
    """The view of a run's release; raises StoreError when it has none (E-NO-RELEASE)."""
    store.release(run_id)
    return next(view for run, _, view in views_in(store) if run == run_id)


def release_table(view: ReleaseView, *, width: int | None = None) -> list[object]:
    """The release for people, on a terminal of `width` characters, by default the present one."""
    release, agreement = view.release, view.agreement
    width = people.width if width is None else width
    only = ", released segments only" if release.withheld else ""
    table = Table(title=f"Segments of {agreement.id}{only}")
    table.add_column("id", no_wrap=True)
    table.add_column("name")
    table.add_column("customers", justify="right")
    table.add_column("since the last release")
    for segment in view.segments:
        table.add_row(segment.id, segment.name, segment.size_words, segment.since)
    means = centre_tables(
        ["Their centres", "Their centres, continued"],
        ["id"],
        [(feature.name, feature.unit) for feature in agreement.coordinates],
        [[identity] for identity in view.ids],
        [[feature.centre for feature in segment.features] for segment in view.segments],
        width=width,
    )
    shown: list[object] = [
        table,
        *(f"{gone.words}." for gone in view.gone),
        *means,
        *_typical_parts(view, width),
        *_satisfaction_parts(view),
        f"Privacy: {release.privacy_words}.",
        f"{row_cap_words(release, agreement)}.",
    ]
    said = (
        view.distance_words, view.choice, view.start_words, view.left_words, view.asked_again_words,
    )  # fmt: skip
    shown += [words for words in said if words]
    if release.merged is not None:
        shown.append(f"Merged: {release.merged.reason}.")
    if view.absent:
        shown.append(
            f"Counted: customers of {len(release.counted)} of {agreement.n_partners} "
            f"partners, without {', '.join(view.absent)}."
        )
    if release.withheld is not None:
        shown.append(
            f"Withheld: {release.withheld.reason}. Names compare the released segments only."
        )
    return shown


def _typical_parts(view: ReleaseView, width: int) -> list[object]:
    """The table of typical ranges, or a note that noise hides them; empty when not asked for."""
    if not view.ranges_told:
        return []
    ranges = [[feature.typical for feature in segment.features] for segment in view.segments]
    if not any(span for found in ranges for span in found):
        return [f"{HIDDEN_WORDS}."]
    tables = feature_tables(
        ["Their typical ranges", "Their typical ranges, continued"],
        ["id"],
        [(feature.name, feature.unit) for feature in view.agreement.coordinates],
        [[identity] for identity in view.ids],
        range_cells(ranges),
        width=width,
    )
    return [*tables, f"{TYPICAL_WORDS}."]


def _satisfaction_parts(view: ReleaseView) -> list[object]:
    """Stated satisfaction as a table; empty when customers were not asked."""
    if not view.question:
        return []
    table = Table("id", "score", title="How satisfied they said they are")
    for segment in view.segments:
        table.add_row(segment.id, segment.satisfaction_words)
    return [table, f"Asked was {view.question}."]


def write_report(path: Path, store: CoordinatorStore, row: RunRow) -> None:
    """Write the run's HTML report from what the coordinator knows: totals, never a partner's."""
    data = report_of(view_of(store, row.run_id), store, row)
    write_file(path, render_report(data))


def _privacy_note(release: Release) -> str:
    privacy = release.privacy
    if privacy is None:
        return (
            "Sizes and centres are exact sums over all partners' customers. No partner's own "
            "numbers were opened; but whoever saw the totals of the rounds can subtract one from "
            "the next, and where one customer alone changed cluster that is the customer's row."
        )
    return (
        "Sizes and centres are sums over all partners' customers with noise that all of them "
        "added before anybody saw a number; ± is what the noise explains, 95 % of the time. "
        + meaning(privacy.epsilon, float(privacy.delta), privacy.unit)
    )


def report_of(view: ReleaseView, store: CoordinatorStore, row: RunRow) -> ReportData:
    """The contents of the report."""
    release, agreement = view.release, view.agreement
    rounds = store.rounds(row.run_id)
    began, ended = (datetime.fromisoformat(t) for t in (row.created_at, row.updated_at))
    traffic = {t.partner: t for t in store.traffic(row.run_id)}
    return ReportData(
        title="Shared customer segments",
        purpose=agreement.purpose.text,
        agreement=f"{agreement.id}, version {agreement.version}",
        created=ended.astimezone(UTC),
        privacy=release.privacy_words,
        privacy_note=_privacy_note(release),
        plan=release.plan,
        converged=release.converged if release.privacy is None else None,
        features=report_features(agreement),
        segments=report_segments(view),
        allowed=agreement.results_use.allowed,
        forbidden=agreement.results_use.forbidden,
        gone=tuple(gone.words for gone in view.gone),
        withheld=release.withheld.reason if release.withheld else "",
        withheld_clusters=release.withheld.clusters if release.withheld else 0,
        merged=release.merged.reason if release.merged else "",
        choice=view.choice,
        distance=view.distance_words,
        start=view.start_words,
        left=view.left_words,
        asked_again=view.asked_again_words,
        row_caps=f"{row_cap_words(release, agreement)}.",
        question=view.question,
        partners=tuple(
            ReportPartner(
                name=party.legal_name,
                customers=None,
                messages_down=traffic[party.id].messages,
                bytes_up=traffic[party.id].bytes_up,
                bytes_down=traffic[party.id].bytes_down,
                counted=party.id in release.counted,
            )
            for party in agreement.parties
            if party.id in traffic
        ),
        coordinator=ReportCoordinator(
            masked_vectors=sum(r.partners for r in rounds),
            vector_length=max((r.length for r in rounds), default=0),
            totals=len(rounds),
        ),
        rounds=tuple(
            ReportRound(
                number=r.round + 1,
                partners=r.partners,
                seconds=r.seconds,
                inertia=r.inertia,
                asked=r.asked,
            )
            for r in rounds
        ),
        hashes=(
            ReportHash(what="Agreement", value=release.agreement_hash.hex(), command=_SHOWS_HASHES),
            ReportHash(what="Run", value=release.run_hash.hex(), command=_SHOWS_HASHES),
            ReportHash(what="Release", value=release.hash.hex(), command=_SHOWS_HASHES),
        ),
        checks=(
            ReportCheck(
                words="Every participant signed the release; a node checks all signatures again:",
                command=_SHOWS_HASHES,
            ),
        ),
        took_s=(ended - began).total_seconds(),
        drivers=row.attempts,
        software=f"fedseg {metadata.version('fedseg')}",
    )
