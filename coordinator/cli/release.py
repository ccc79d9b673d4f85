"""``release``: commands that list, show and export released segments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from coordinator.cli.chosen_run import find_run
from coordinator.cli.options import HERE, Directory, RunArgument
from coordinator.config import CoordinatorConfig
from coordinator.report.released import release_table, view_of, views_in, write_report
from machine.console import Format, FormatOption, output
from machine.files import write_file
from machine.text import minute, short
from protocol.errors import UsageError
from protocol.release.document import SignedRelease

app = typer.Typer(help="Show and export released segments.", no_args_is_help=True)


@app.command("list")
def list_releases(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """All releases, newest first."""
    store = CoordinatorConfig.load(directory).open_store()
    table = Table(title="Releases, newest first")
    table.add_column("run", no_wrap=True)
    table.add_column("agreement", overflow="fold")
    table.add_column("segments", justify="right")
    table.add_column("partners", justify="right")
    table.add_column("released", no_wrap=True)
    releases = []
    privacy = set()
    for run_id, released_at, view in views_in(store):
        release = view.release
        privacy.add(release.privacy_words)
        releases.append(
            {
                **view.named(),
                "run_id": run_id.hex(),
                "released_at": released_at,
                "segments": list(view.ids),
            }
        )
        table.add_row(
            short(run_id),
            release.agreement_id,
            str(len(release.segments)),
            str(len(release.participants)),
            minute(released_at),
        )
    output.result(
        {"releases": releases},
        *(
            [table, *(f"Privacy: {words}." for words in sorted(privacy))]
            if releases
            else ["No run has ended with a release yet."]
        ),
    )


@app.command("show")
def show(run: RunArgument = "", directory: Directory = HERE, format: Format = FormatOption) -> None:
    """A run's segments: sizes, and centres in the features' units."""
    store = CoordinatorConfig.load(directory).open_store()
    row = find_run(store, run, finished=True)
    view = view_of(store, row.run_id)
    output.result(view.to_dict(), *release_table(view))


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
