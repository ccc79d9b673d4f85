"""A node's records as JSON values and as tables that fit a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from machine.tables import Table
from machine.text import minute, short
from partner_node.store.records import RunRecord
from partner_node.store.refusals import Refusal
from protocol.partner_state import Phase
from protocol.release.document import Release

#: What each state of a run means for this node.
STATE_WORDS: Final[Mapping[str, str]] = {
    Phase.GREETED: "sent its keys for the run, waits for the roster",
    Phase.READY: "signed the participant set, waits for the first round",
    Phase.RUNNING: "answers the rounds, waits for the next or for the release",
    Phase.DONE: "ended with a release",
    Phase.ABORTED: "ended at this node without a release, for the reason named",
}
_REFUSALS_SHOWN: Final = 10


def run_values(runs: Sequence[RunRecord], releases: Sequence[Release]) -> list[dict[str, Any]]:
    """Runs as JSON values."""
    by_run = {release.run_hash: release.hash.hex() for release in releases}
    return [
        {
            "run_id": run.run_id.hex(),
            "state": run.phase,
            "meaning": STATE_WORDS[run.phase],
            "rounds_answered": run.rounds_answered,
            "started_at": run.started_at,
            "updated_at": run.updated_at,
            "reason": run.reason,
            "data_changed_at": run.data_changed_at or None,
            "agreement_hash": run.agreement_hash.hex(),
            "run_hash": run.run_hash.hex(),
            "release": by_run.get(run.run_hash),
        }
        for run in runs
    ]


def run_words(runs: Sequence[RunRecord], releases: Sequence[Release]) -> list[object]:
    """Runs as a table, with the meaning of their states and the hashes of releases."""
    if not runs:
        return ["This node has taken part in no run yet."]
    table = Table(title="Runs, newest first")
    table.add_column("run", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("rounds\nanswered", justify="right")
    table.add_column("started", no_wrap=True)
    table.add_column("reason", overflow="fold")
    for run in runs:
        table.add_row(
            short(run.run_id),
            run.phase,
            str(run.rounds_answered),
            minute(run.started_at),
            run.reason,
        )
    states = {run.phase for run in runs}
    words = [f"{state}: {what}." for state, what in STATE_WORDS.items() if state in states]
    released = {release.run_hash: release for release in releases}
    hashes = [
        f"Run {short(run.run_id)}, compare with the other partners and the report:\n"
        + hash_lines(released[run.run_hash])
        for run in runs
        if run.run_hash in released
    ]
    changed = [run.data_words for run in runs if run.data_changed_at]
    return [table, "\n".join(words), *changed, *hashes]


def refusal_values(refusals: Sequence[Refusal]) -> list[dict[str, Any]]:
    """Refused requests as JSON values."""
    return [
        {"at": r.at, "code": r.code, "run_id": r.run_id.hex(), "times": r.times} for r in refusals
    ]


def refusal_words(refusals: Sequence[Refusal]) -> list[object]:
    """The newest refused requests as a table; nothing when there are none."""
    if not refusals:
        return []
    table = Table(title="Requests that this node refused, newest first")
    table.add_column("last time", no_wrap=True)
    table.add_column("run", no_wrap=True)
    table.add_column("code", no_wrap=True)
    table.add_column("times", justify="right")
    for refusal in refusals[:_REFUSALS_SHOWN]:
        table.add_row(minute(refusal.at), short(refusal.run_id), refusal.code, f"{refusal.times:,}")
    return [table, "docs/operating.md and protocol/SPEC.md, section 14, say what a code means."]


def hash_lines(release: Release) -> str:
    """Hashes by which everybody who has a release can compare it, one a line."""
    return "\n".join(
        (
            f"  agreement {release.agreement_hash.hex()}",
            f"  run       {release.run_hash.hex()}",
            f"  release   {release.hash.hex()}",
        )
    )
