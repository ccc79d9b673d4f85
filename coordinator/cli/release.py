"""``release``: commands that list, show and export released segments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coordinator.cli.options import HERE, Directory, RunArgument
from coordinator.config import CoordinatorConfig
from coordinator.report.released import view_of, write_report
from coordinator.runs.chosen_run import find_run
from coordinator.shown.releases import release_shown, releases_shown
from machine.console import Format, FormatOption, output
from machine.files import write_file
from protocol.errors import UsageError
from protocol.release.document import SignedRelease

app = typer.Typer(help="Show and export released segments.", no_args_is_help=True)


@app.command("list")
def list_releases(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """All releases, newest first."""
    store = CoordinatorConfig.load(directory).open_store()
    output.show(releases_shown(store))


@app.command("show")
def show(run: RunArgument = "", directory: Directory = HERE, format: Format = FormatOption) -> None:
    """A run's segments: sizes, and centres in the features' units."""
    store = CoordinatorConfig.load(directory).open_store()
    row = find_run(store, run, finished=True)
    output.show(release_shown(view_of(store, row.run_id)))


@app.command("export")
def export(
    out: Annotated[Path, typer.Option(help="File to write: .json (signed) or .html (report).")],
    run: RunArgument = "",
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Write the signed release, or a report for people."""
    store = CoordinatorConfig.load(directory).open_store()
    row = find_run(store, run, finished=True)
    envelope = store.release(row.run_id)
    SignedRelease.from_bytes(envelope).verify(store.agreement(row.agreement_hash))
    if out.suffix == ".json":
        write_file(out, envelope)
    elif out.suffix == ".html":
        write_report(out, store, row)
    else:
        raise UsageError(f"{out} ends in neither .json nor .html")
    output.result({"file": str(out)}, f"Wrote {out}.")
