"""``run``: commands that plan, request, watch, list and stop runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any

import typer

from coordinator.acts.runs import start_run, stop_run, to_know_before
from coordinator.cli.noting import noted
from coordinator.cli.options import HERE, Directory, RunArgument
from coordinator.cli.progress import follow
from coordinator.cli.run_plan import plan
from coordinator.cli.schedule import schedule
from coordinator.config import CoordinatorConfig
from coordinator.control.standing import parties_readiness
from coordinator.control.unready import unready_for
from coordinator.runs.chosen_run import find_run
from coordinator.runs.in_force import chosen_in_force
from coordinator.runs.life import NOT_SERVED, is_served
from coordinator.shown.runs import run_shown, runs_shown, standing_shown
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.records import FAILED, RunRow
from machine.console import Format, FormatOption, diagnostics, output
from machine.text import short
from protocol.errors import RunFailedError
from protocol.release.document import SignedRelease
from protocol.release.row_caps import row_cap_words

app = typer.Typer(help="Plan, start and watch runs.", no_args_is_help=True)
app.command("plan")(plan)
app.command("schedule")(schedule)


@app.command("start")
def start(
    agreement: Annotated[
        str, typer.Option(help="Agreement's id, where several are in force.")
    ] = "",
    without: Annotated[
        list[str] | None,
        typer.Option(
            help="A partner that is left out; repeat it for several. After an agreement's first "
            "run they can join only with others, at least min_atom at once."
        ),
    ] = None,
    watch: Annotated[bool, typer.Option(help="Stay and show progress.")] = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Ask for a run; `serve` drives it."""
    config = CoordinatorConfig.load(directory)
    store, run_id, now = config.open_store(), os.urandom(16), datetime.now(UTC)
    left_out = tuple(without or ())
    with noted(config, "run start", agreement):
        chosen = chosen_in_force(store, agreement, now)
        not_ready = unready_for(store, chosen, without=left_out, now=now)
        partners = parties_readiness(store, chosen, without=left_out, now=now)
        grace_s = config.patience.grace_s
        notes = to_know_before(store.runs(), chosen, not_ready, partners, grace_s=grace_s)
        start_run(store, agreement, run_id=run_id, without=left_out, now=now)
    if not watch and not is_served(directory):
        notes.append(f"{NOT_SERVED}; the run waits")
    for words in notes:
        diagnostics.print(f"note: {words}", style="yellow")
    known = {"notes": notes, "not_ready": [one.to_dict() for one in not_ready]}
    if watch:
        report_end(store, follow(store, run_id, directory), known)
        return
    output.result(
        {"run_id": run_id.hex(), **chosen.named(), **known}, f"Run {run_id.hex()} is requested."
    )


@app.command("watch")
def watch(
    run: RunArgument = "",
    once: Annotated[
        bool, typer.Option("--once", help="Say where it stands now, and end; also with JSON.")
    ] = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Show a run's progress until it has ended; exit status 1 when it failed."""
    store = CoordinatorConfig.load(directory).open_store()
    row = find_run(store, run)
    if once and not row.ended:
        now = datetime.now(UTC)
        output.show(standing_shown(row, served=is_served(directory), now=now))
        return
    report_end(store, follow(store, row.run_id, directory))


@app.command("list")
def list_runs(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """All runs, newest first, and those that were due and did not begin."""
    store = CoordinatorConfig.load(directory).open_store()
    output.show(runs_shown(store, store.runs(), datetime.now(UTC)))


@app.command("show")
def show(run: RunArgument = "", directory: Directory = HERE, format: Format = FormatOption) -> None:
    """One run: where it stands or how it ended, who answered, and its rounds."""
    store = CoordinatorConfig.load(directory).open_store()
    row = find_run(store, run)
    output.show(run_shown(store, row, served=is_served(directory), now=datetime.now(UTC)))


@app.command("stop")
def stop(run: RunArgument = "", directory: Directory = HERE, format: Format = FormatOption) -> None:
    """End a run; its driver notices within a second."""
    config = CoordinatorConfig.load(directory)
    store = config.open_store()
    row = find_run(store, run)
    with noted(config, "run stop", row.run_id.hex()):
        stop_run(store, row)
    output.result({"run_id": row.run_id.hex()}, f"Run {short(row.run_id)} is stopped.")


def report_end(
    store: CoordinatorStore, row: RunRow, known: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Print how a run ended; raises RunFailedError when it failed.

    Args:
        known: What was known when it was asked for, as JSON values.
    """
    if row.state == FAILED:
        raise RunFailedError(row.reason, code=row.code, remedy=row.remedy)
    release = SignedRelease.from_bytes(store.release(row.run_id)).release
    privacy = release.privacy_words
    output.result(
        row.to_dict() | {"privacy": privacy} | dict(known),
        f"{_run_words(row)} Privacy: {privacy}.",
        f"{row_cap_words(release, store.agreement(row.agreement_hash))}.",
    )


def _run_words(row: RunRow) -> str:
    rounds = row.progress.get("round", 0)
    seconds = row.progress.get("elapsed_s", 0)
    return f"Run {short(row.run_id)} {row.state} after {rounds} rounds, {seconds} s."
