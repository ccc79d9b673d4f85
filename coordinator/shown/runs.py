"""Runs: the list with missed ones, and where one stands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from coordinator.runs.due import Due, missed
from coordinator.runs.life import NOT_SERVED
from coordinator.shown.progress_words import next_words, since_words, standing_words
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.records import FAILED, RoundRow, RunRow
from coordinator.store.scheduled_runs import ScheduledRuns
from machine.shown import Shown
from machine.tables import Table, folding_table
from machine.text import minute, short, shown
from protocol.agreement.document import Agreement
from protocol.messages import round_number
from protocol.privacy.accounting import epsilon_text
from protocol.release.document import SignedRelease, promised

#: Missed runs that are told in words; JSON has all.
_MISSED_SHOWN = 10


def runs_shown(store: CoordinatorStore, rows: Sequence[RunRow], now: datetime) -> Shown:
    """Runs, and those that were due and did not begin.

    Args:
        rows: All runs, newest first.
    """
    due = ScheduledRuns(store).runs()
    skipped = missed(store, now)
    agreed = {row.agreement_hash for row in rows}
    privacy = {hash: promised(one) for hash, one in _agreements(store).items() if hash in agreed}
    table = Table(title="Runs, newest first")
    table.add_column("run", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("rounds", justify="right")
    table.add_column("started", no_wrap=True)
    spent = _epsilons(store)
    if spent:
        table.add_column("epsilon", justify="right")
    table.add_column("now, or reason", overflow="fold")
    for row in rows:
        table.add_row(
            short(row.run_id),
            row.state,
            str(row.progress.get("round", "")),
            minute(row.created_at),
            *([_epsilon_cell(spent.get(row.run_id))] if spent else []),
            f"{row.code} {row.reason}".strip() if row.ended else _now_words(row, now),
        )
    return Shown(
        values={
            "runs": [
                row.to_dict()
                | {
                    "privacy": privacy[row.agreement_hash],
                    "epsilon": spent.get(row.run_id),
                    "due": due.get(row.run_id),
                }
                for row in rows
            ],
            "missed": [one.to_dict() for one in skipped],
        },
        parts=[
            table if rows else "No run has been asked for yet.",
            *missed_lines(skipped[:_MISSED_SHOWN]),
            *(f"Privacy: {words}." for words in sorted(set(privacy.values()))),
            "That is the most that a run costs; epsilon is what each release states of its own."
            if spent
            else "",
        ],
    )


def _epsilons(store: CoordinatorStore) -> dict[bytes, float]:
    """What each release with noise states as its epsilon, by run."""
    found = {}
    for run_id, _, envelope in store.releases():
        privacy = SignedRelease.from_bytes(envelope).release.privacy
        if privacy is not None:
            found[run_id] = privacy.epsilon
    return found


def _epsilon_cell(epsilon: float | None) -> str:
    return "" if epsilon is None else epsilon_text(epsilon)


def standing_shown(row: RunRow, *, served: bool, now: datetime) -> Shown:
    """Where a run stands that has not ended.

    Args:
        served: Whether a process serves the coordinator.
    """
    return Shown(
        values=row.to_dict() | {"served": served},
        parts=[
            f"Run {short(row.run_id)} is {row.state}.",
            *([] if served else [f"Note: {NOT_SERVED}: it goes on when one does."]),
            *standing_words(row.progress, now),
        ],
    )


def run_shown(store: CoordinatorStore, row: RunRow, *, served: bool, now: datetime) -> Shown:
    """One run: where it stands or how it ended, who answered, and its rounds.

    Args:
        served: Whether a process serves the coordinator.
    """
    rounds = store.rounds(row.run_id)
    agreement = _agreements(store)[row.agreement_hash]
    due = ScheduledRuns(store).runs().get(row.run_id)
    return Shown(
        values=row.to_dict()
        | {
            "served": served,
            **agreement.named(),
            "due": due,
            "privacy": promised(agreement),
            "rounds": [
                {
                    "round": round_number(one.round),
                    "partners": one.partners,
                    "seconds": one.seconds,
                    "asked": one.asked,
                }
                for one in rounds
            ],
        },
        parts=[
            f"Run {short(row.run_id)} under agreement {agreement.id}, version "
            f"{agreement.version}; asked for {minute(row.created_at)}"
            + (f" by the schedule, due {minute(due)}." if due else ".")
            + (f" Without {', '.join(row.without)}." if row.without else ""),
            *_end_words(row),
            *(standing_shown(row, served=served, now=now).parts if not row.ended else []),
            *_partners_of(row, now),
            *_rounds(rounds),
        ],
    )


def _agreements(store: CoordinatorStore) -> dict[bytes, Agreement]:
    """The agreements by their hashes, also one that does not go with the hand-overs any more."""
    return {signed.agreement.hash: signed.agreement for signed in store.agreements()}


def missed_lines(found: Sequence[Due]) -> list[str]:
    """A line for each run that was due and did not begin."""
    return [
        f"Missed: the run of agreement {due.agreement_id} due {due.moment.words}: "
        f"{shown(due.why)}; it is not made up."
        for due in found
    ]


def _now_words(row: RunRow, now: datetime) -> str:
    """What a run does that has not ended."""
    if not row.progress:
        return "waits for a driver"
    missing = ", ".join(row.progress.get("waiting_for", ()))
    waits = f"waits for {missing} {since_words(row.progress, now)}".strip() if missing else ""
    comes = next_words(row.progress, now)
    return "; ".join(filter(None, (row.progress["doing"], waits, comes)))


def _end_words(row: RunRow) -> list[str]:
    if not row.ended:
        return []
    if row.state != FAILED:
        return [f"It ended with a release, {minute(row.updated_at)}."]
    way_out = f"\nWay out: {shown(row.remedy)}" if row.remedy else ""
    return [f"It failed, {minute(row.updated_at)}: {row.code}: {shown(row.reason)}{way_out}"]


def _partners_of(row: RunRow, now: datetime) -> list[object]:
    """Who answered the question that is open, or was last, and who is missing since when."""
    progress = row.progress
    if not progress:
        return []
    waiting, refusals = progress["waiting_for"], progress.get("refusals", {})
    known = progress.get("heard", {})  # of those that are waited for
    headers = ("partner", "stands", *(("heard last",) if known or not row.ended else ()))
    rows = []
    for partner in progress["participants"]:
        state = "answered"
        if partner in waiting and not row.ended:
            state = f"missing {since_words(progress, now)}".strip()
        elif partner in waiting:
            state = "missing at the end"
        if partner in refusals:
            state += f"; refused with {refusals[partner]}"
        heard = known.get(partner, "")
        rows.append((partner, state, minute(heard) if heard else ""))
    for partner in progress.get("left_out", ()):
        code = refusals.get(partner)
        rows.append((partner, "left out" + (f"; refused with {code}" if code else ""), ""))
    table = folding_table(*headers, title="Partners in this run")
    for cells in rows:
        table.add_row(*cells[: len(headers)])
    return [table] if rows else []


def _rounds(rounds: Sequence[RoundRow]) -> list[object]:
    if not rounds:
        return ["No round's total is known."]
    table = Table(title="Rounds")
    for header in ("round", "partners", "seconds"):
        table.add_column(header, justify="right")
    table.add_column("asked", overflow="fold")
    for one in rounds:
        table.add_row(
            str(round_number(one.round)), str(one.partners), f"{one.seconds:.2f}", one.asked or ""
        )
    return [table]
