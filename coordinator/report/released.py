"""A release as the coordinator shows it: JSON, a table, an HTML report."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from rich.table import Table

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
from protocol.agreement.document import Agreement
from protocol.clustering.choose_k import choice_words
from protocol.privacy.words import meaning
from protocol.release.document import (
    HIDDEN_WORDS,
    NOISE_WORDS,
    TYPICAL_WORDS,
    Release,
    SignedRelease,
    centre_intervals,
    release_centres,
    typical_ranges,
)
from protocol.release.lineage import Step, lineage, step_of
from protocol.release.personas import release_calls, release_names
from protocol.release.satisfaction import (
    question_of,
    question_words,
    satisfaction_values,
    satisfaction_words,
)

#: What shows the hashes of agreement, run and release at a node, and checks its signatures again.
_SHOWS_HASHES: Final = "fedseg-node segments list"


def step_in(store: CoordinatorStore, release: Release) -> Step:
    """The ids of a stored release's segments, from all releases under its agreement."""
    history = []
    for _, _, envelope in reversed(store.releases()):
        signed = SignedRelease.from_bytes(envelope)
        if signed.release.agreement_id == release.agreement_id:
            agreement = store.agreement(signed.release.agreement_hash)
            history.append((signed.verify(agreement), agreement))
    return step_of(lineage(history), release.hash)[1]


def release_data(release: Release, agreement: Agreement, step: Step) -> dict[str, Any]:
    """The release as JSON values, with centres in the features' units.

    Args:
        step: The ids of its segments.
    """
    calls = release_calls(agreement, release)
    centres = release_centres(release, agreement)
    low, high = centre_intervals(release, agreement)
    ranges = typical_ranges(release, agreement)
    return {
        "agreement_id": release.agreement_id,
        "agreement_hash": release.agreement_hash.hex(),
        "run_hash": release.run_hash.hex(),
        "release_hash": release.hash.hex(),
        "privacy": release.privacy_words,
        **privacy_data(release),
        "plan": release.plan,
        "rounds": release.rounds,
        "converged": release.converged,
        "participants": list(release.participants),
        "segments": [
            {
                "id": living.id,
                "segment": segment.segment,
                "name": called.name,
                "status": living.status,
                "suggested_use": called.use,
                "size": segment.size,
                "size_margin": segment.size_margin,
                "satisfaction": satisfaction_values(segment.satisfaction, agreement),
                "centre": {
                    feature.name: {
                        "value": float(centres[row, column]),
                        "low": float(low[row, column]),
                        "high": float(high[row, column]),
                        "unit": feature.unit,
                        **({} if ranges is None else range_data(ranges[row][column])),
                    }
                    for column, feature in enumerate(agreement.coordinates)
                },
            }
            for row, (segment, living, called) in enumerate(
                zip(release.segments, step.living, calls, strict=True)
            )
        ],
        "satisfaction_question": question_of(agreement),
        "gone": [
            {"id": gone.id, "status": gone.status, "into": gone.into or None} for gone in step.gone
        ],
        "withheld": release.withheld.reason if release.withheld else None,
        "withheld_clusters": release.withheld.clusters if release.withheld else 0,
        "merged": release.merged.reason if release.merged else None,
        "merged_clusters": release.merged.clusters if release.merged else 0,
        "absent": absent(release, agreement),
        "k_scores": [score.to_dict() for score in release.choice],
    }


def range_data(found: tuple[float, float] | None) -> dict[str, Any]:
    """From where to where a segment's customers typically lie, as JSON values."""
    low, high = found or (None, None)
    return {"typical_low": low, "typical_high": high}


def absent(release: Release, agreement: Agreement) -> list[str]:
    """Partners whose customers the release does not count."""
    return [party.id for party in agreement.parties if party.id not in release.participants]


def privacy_data(release: Release) -> dict[str, Any]:
    """What the release means for one customer, as JSON values; nothing for exact totals."""
    privacy = release.privacy
    if privacy is None:
        return {}
    return {
        "epsilon": privacy.epsilon,
        "delta": float(privacy.delta),
        "rho": float(privacy.rho),
        "unit": privacy.unit,
        "noise": NOISE_WORDS,
        "asked_again": privacy.asked_again,
    }


def release_table(
    release: Release, agreement: Agreement, step: Step, *, width: int | None = None
) -> list[object]:
    """The release for people, on a terminal of `width` characters (else: of the one there is)."""
    only = ", released segments only" if release.withheld else ""
    table = Table(title=f"Segments of {release.agreement_id}{only}")
    table.add_column("id", no_wrap=True)
    table.add_column("name")
    table.add_column("customers", justify="right")
    table.add_column("since the last release")
    centres = release_centres(release, agreement)
    names = release_names(agreement, release)
    for segment, living, name in zip(release.segments, step.living, names, strict=True):
        table.add_row(living.id, name, segment.size_words, living.words)
    means = centre_tables(
        ["Their centres", "Their centres, continued"],
        ["id"],
        [(feature.name, feature.unit) for feature in agreement.coordinates],
        [[identity] for identity in step.ids],
        centres.tolist(),
        width=people.width if width is None else width,
    )
    ranges = typical_ranges(release, agreement)
    typical: list[object] = []
    if ranges is not None and not any(span for found in ranges for span in found):
        typical.append(f"{HIDDEN_WORDS}.")
    elif ranges is not None:
        typical += feature_tables(
            ["Their typical ranges", "Their typical ranges, continued"],
            ["id"],
            [(feature.name, feature.unit) for feature in agreement.coordinates],
            [[identity] for identity in step.ids],
            range_cells(ranges),
            width=people.width if width is None else width,
        )
        typical.append(f"{TYPICAL_WORDS}.")
    ended = [f"{gone.words}." for gone in step.gone]
    said = _satisfaction_parts(release, agreement, step)
    shown: list[object] = [
        table,
        *ended,
        *means,
        *typical,
        *said,
        f"Privacy: {release.privacy_words}.",
    ]
    if release.choice:
        shown.append(choice_words(release.choice))
    if release.merged is not None:
        shown.append(f"Merged: {release.merged.reason}.")
    missing = absent(release, agreement)
    if missing:
        shown.append(
            f"Counted: customers of {len(release.participants)} of {agreement.n_partners} "
            f"partners, without {', '.join(missing)}."
        )
    if release.withheld is not None:
        shown.append(
            f"Withheld: {release.withheld.reason}. Names compare the released segments only."
        )
    return shown


def _satisfaction_parts(release: Release, agreement: Agreement, step: Step) -> list[object]:
    """How satisfied customers said they are, as a table; nothing when they were not asked."""
    question = question_words(agreement)
    if not question:
        return []
    table = Table("id", "score", title="How satisfied they said they are")
    for segment, identity in zip(release.segments, step.ids, strict=True):
        table.add_row(identity, satisfaction_words(segment.satisfaction, agreement))
    return [table, f"Asked was {question}."]


def write_report(
    path: Path,
    signed: SignedRelease,
    agreement: Agreement,
    store: CoordinatorStore,
    row: RunRow,
) -> None:
    """Write the run's HTML report from what the coordinator knows: totals, never a partner's."""
    data = report_of(signed, agreement, store, row, step_in(store, signed.release))
    write_file(path, render_report(data))


def _privacy_note(release: Release) -> str:
    privacy = release.privacy
    if privacy is None:
        return (
            "Sizes and centres are exact sums over all partners' customers. No partner's own "
            "numbers were opened, but totals without noise can reveal facts about customers."
        )
    return (
        "Sizes and centres are sums over all partners' customers with noise that all of them "
        "added before anybody saw a number; ± is what the noise explains, 95 % of the time. "
        + meaning(privacy.epsilon, float(privacy.delta), privacy.unit)
    )


def report_of(
    signed: SignedRelease, agreement: Agreement, store: CoordinatorStore, row: RunRow, step: Step
) -> ReportData:
    """What the report is filled with.

    Args:
        step: The ids of the release's segments.
    """
    release = signed.release
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
        segments=report_segments(agreement, release, step),
        allowed=agreement.results_use.allowed,
        forbidden=agreement.results_use.forbidden,
        gone=tuple(gone.words for gone in step.gone),
        withheld=release.withheld.reason if release.withheld else "",
        withheld_clusters=release.withheld.clusters if release.withheld else 0,
        merged=release.merged.reason if release.merged else "",
        choice=choice_words(release.choice),
        question=question_words(agreement),
        partners=tuple(
            ReportPartner(
                name=party.legal_name,
                customers=None,
                messages_down=traffic[party.id].messages,
                bytes_up=traffic[party.id].bytes_up,
                bytes_down=traffic[party.id].bytes_down,
                counted=party.id in release.participants,
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
