"""``run schedule``: agreed moments, what became of them, and pauses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from coordinator.acts.schedule import change_pause
from coordinator.cli.noting import noted
from coordinator.cli.options import HERE, Directory
from coordinator.config import CoordinatorConfig
from coordinator.runs.due import scheduled_agreements
from coordinator.shown.schedule import schedule_shown
from coordinator.store.coordinator_store import CoordinatorStore
from machine.console import Format, FormatOption, output
from machine.text import shown
from protocol.agreement.document import Agreement
from protocol.errors import UsageError

_MOST_SHOWN = 500


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
    config = CoordinatorConfig.load(directory)
    store = config.open_store()
    now = datetime.now(UTC)
    chosen = scheduled_agreements(store, agreement, now)
    if pause or resume:
        _change(config, store, chosen, pause=pause, resume=resume, reason=reason, now=now)
        return
    if reason:
        raise UsageError("--reason belongs to --pause or --resume")
    output.show(schedule_shown(store, chosen, now, count=count))


def _change(
    config: CoordinatorConfig,
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
    about = ", ".join(a.id for a in chosen)
    with noted(config, f"schedule {'pause' if pause else 'resume'}", about):
        one, on_record, changed = change_pause(store, chosen, paused=pause, reason=reason, now=now)
    is_now = "paused" if pause else "not paused"
    output.result(
        {**one.named(), "paused": pause, "changed": changed, "reason": on_record.reason},
        f"The schedule of agreement {one.id} is {is_now}"
        + (f": {shown(on_record.reason)}" if changed else " already; nothing was changed."),
        "Runs that go on are not ended by it." if changed and pause else "",
    )
