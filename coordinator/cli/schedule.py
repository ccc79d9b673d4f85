"""``run schedule``: agreed moments, what became of them, and pauses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from coordinator.cli.options import HERE, Directory
from coordinator.config import CoordinatorConfig
from coordinator.runs.due import STARTED, Due, ahead, past
from coordinator.runs.in_force import in_force
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.scheduled_runs import ScheduledRuns
from machine.console import Format, FormatOption, output
from machine.tables import folding_table
from machine.text import minute, short, shown
from protocol.agreement.document import Agreement
from protocol.errors import UsageError
from protocol.strict import Fields

_MOST_SHOWN = 500
_LONGEST_REASON = 200


def schedule(
    agreement: Annotated[str, typer.Option(help="Only this agreement's, by its id.")] = "",
    pause: Annotated[
        bool, typer.Option("--pause", help="Start nothing by the schedule from now on.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="End the pause; a run whose window is open begins."),
    ] = False,
    reason: Annotated[str, typer.Option(help="Why it is paused or goes on; kept on record.")] = "",
    count: Annotated[
        int, typer.Option(min=1, max=_MOST_SHOWN, help="How many moments, next and past.")
    ] = 5,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """When runs begin by themselves, what became of the last moments, and why some were missed."""
    store = CoordinatorConfig.load(directory).open_store()
    now = datetime.now(UTC)
    chosen = _scheduled(store, agreement, now)
    if pause or resume:
        _change(store, chosen, pause=pause, resume=resume, reason=reason, now=now)
        return
    if reason:
        raise UsageError("--reason belongs to --pause or --resume")
    scheduled = ScheduledRuns(store)
    values, lines = [], list[object]()
    for one in chosen:
        before = past(store, now, agreement_id=one.id)[:count]
        after = ahead(store, now, agreement_id=one.id, count=count)
        pauses = scheduled.pauses(one.id)
        terms = one.schedule
        values.append(
            {
                "agreement": one.id,
                "version": one.version,
                "schedule": None if terms is None else terms.to_dict(),
                "paused": scheduled.paused(one.id),
                "pauses": [change.to_dict() for change in pauses],
                "next": [due.to_dict() for due in after],
                "past": [due.to_dict() for due in before],
            }
        )
        rule = "no schedule any more" if terms is None else terms.words
        lines.append(f"Agreement {one.id}, version {one.version}: {rule}.")
        if scheduled.paused(one.id):
            last = pauses[-1]
            lines.append(f"PAUSED since {minute(last.at)}: {shown(last.reason)}")
        lines.append(_table(store, [*reversed(after), *before]))
    output.result({"schedules": values}, *lines or ["No agreement in force has a schedule."])


def missed_lines(found: Sequence[Due]) -> list[str]:
    """A line for each run that was due and did not begin."""
    return [
        f"Missed: the run of agreement {due.agreement_id} due {due.moment.words}: "
        f"{shown(due.why)}; it is not made up."
        for due in found
    ]


def _scheduled(store: CoordinatorStore, id: str, now: datetime) -> list[Agreement]:
    """Agreements with a schedule, or with moments by an earlier version.

    Raises:
        UsageError: The one that was named is not in force, or has none.
    """
    known = in_force(store, now)
    found = [
        one for one in known.values()
        if one.schedule is not None or past(store, now, agreement_id=one.id)
    ]  # fmt: skip
    if not id:
        return found
    if id not in known:
        raise UsageError(
            f"no agreement {id!r} is in force here",
            code="E-AGR-UNKNOWN",
            remedy=f"in force: {', '.join(known) or 'none'}",
        )
    named = [one for one in found if one.id == id]
    if not named:
        raise UsageError(
            f"agreement {id!r} has no schedule",
            code="E-SCHEDULE",
            remedy="agree on one in a new version: agreement draft --next",
        )
    return named


def _change(
    store: CoordinatorStore,
    chosen: Sequence[Agreement],
    *,
    pause: bool,
    resume: bool,
    reason: str,
    now: datetime,
) -> None:
    if pause and resume:
        raise UsageError("--pause and --resume exclude each other")
    if not reason:
        raise UsageError("--reason is missing: it is kept on record", remedy="add --reason TEXT")
    if len(chosen) != 1:
        raise UsageError(
            f"{len(chosen)} agreements have a schedule: {', '.join(one.id for one in chosen)}"
            if chosen
            else "no agreement in force has a schedule",
            code="E-AGR-WHICH" if chosen else "E-SCHEDULE",
            remedy="name the one that is meant: --agreement ID",
        )
    words = Fields({"reason": reason}, "--").line("reason", max_length=_LONGEST_REASON)
    (one,) = chosen
    done = ScheduledRuns(store).note_pause(one.id, paused=pause, reason=words, now=now)
    is_now = "paused" if pause else "not paused"
    output.result(
        {"agreement": one.id, "paused": pause, "changed": done is not None, "reason": words},
        f"The schedule of agreement {one.id} is {is_now}"
        + (f": {shown(words)}" if done is not None else " already; nothing was changed."),
        "Runs that go on are not ended by it." if done is not None and pause else "",
    )


def _table(store: CoordinatorStore, found: Sequence[Due]) -> object:
    table = folding_table("due", "version", "what became of it", title="Runs by the schedule")
    for due in found:
        became = due.state
        if due.state == STARTED:
            run = store.run(due.run_id)
            became = f"run {short(due.run_id)} {run.state} {run.code}".strip()
        elif due.why:
            became = f"{due.state}: {shown(due.why)}"
        table.add_row(due.moment.words, str(due.version), became)
    return table if found else "No moment lies ahead, and none was."
