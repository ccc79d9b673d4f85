"""Builds that may run under an agreement: `agreement builds …`."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import metadata, resources
from pathlib import Path
from typing import Annotated

import typer

from coordinator.agreement_file import load_build
from coordinator.cli.noting import noted
from coordinator.cli.options import HERE, Directory
from coordinator.config import CoordinatorConfig
from coordinator.control.taking_builds import keep_build
from coordinator.runs.in_force import chosen_in_force
from coordinator.store.added_builds import AddedBuilds
from machine.console import Format, FormatOption, output
from machine.files import write_file
from machine.tables import folding_table
from protocol.agreement.added_build import AddedBuild
from protocol.agreement.software import Build, Software
from protocol.errors import UsageError, naming_file
from protocol.strict import Fields

app = typer.Typer(
    help="Releases of the program that may run under an agreement, without a new version.",
    no_args_is_help=True,
)
Agreement = Annotated[str, typer.Option(help="Agreement's id, where several are in force.")]


@app.command("propose")
def propose(
    version: Annotated[
        str, typer.Option(help="Of the release; with --sha256. What is installed here without.")
    ] = "",
    sha256: Annotated[
        str, typer.Option(help="Of its code, as `agreement builds list` of a node prints it.")
    ] = "",
    agreement: Agreement = "",
    out: Annotated[
        Path | None, typer.Option(help="Where it goes as a file, for partners by hand.")
    ] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Propose that another release of the same protocol may run; partners sign it."""
    if bool(version) != bool(sha256):
        raise UsageError("--version and --sha256 go together")
    config = CoordinatorConfig.load(directory)
    store = config.open_store()
    chosen = chosen_in_force(store, agreement, datetime.now(UTC))
    build = (
        Build.read(Fields({"version": version, "sha256": sha256}, "--"))
        if version
        else Software.installed(metadata.version, resources.files).build
    )
    with noted(config, "agreement builds propose", build.sha256.hex()[:16]):
        added = keep_build(store, AddedBuild.draft(chosen, build), chosen, now=datetime.now(UTC))
    if out is not None:
        write_file(out, added.to_bytes())
    waits = [party.id for party in added.missing(chosen)]
    output.result(
        {
            **chosen.named(version="agreement_version"),
            **build.to_dict(),
            "missing": waits,
            "file": None if out is None else str(out),
        },
        f"Proposed that fedseg {build.version}, code {build.sha256.hex()}, may run under agreement "
        f"{chosen.id}, version {chosen.version}. To sign: {', '.join(waits) or 'nobody'}.",
        f"Wrote {out}." if out is not None else "",
    )


@app.command("status")
def status(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Signed copies that came back, to take in.")
    ] = None,
    agreement: Agreement = "",
    out: Annotated[
        Path | None, typer.Option(help="Where the build of the copies goes, complete or not.")
    ] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Who has signed which build; signed copies are taken in."""
    if out is not None and not files:
        raise UsageError("--out needs signed copies to join")
    store = CoordinatorConfig.load(directory).open_store()
    chosen = chosen_in_force(store, agreement, datetime.now(UTC))
    kept: AddedBuild | None = None
    for file in files or ():
        with naming_file(file):
            kept = keep_build(store, load_build(file), chosen, now=datetime.now(UTC))
    if out is not None and kept is not None:
        write_file(out, kept.to_bytes())
    table = folding_table("version", "SHA-256", "not signed by", title=f"Builds of {chosen.id}")
    rows = []
    for one in AddedBuilds(store).of(chosen):
        waits = [party.id for party in one.missing(chosen, kept=True)]
        rows.append(one.build.to_dict() | {"missing": waits, "complete": not waits})
        table.add_row(one.build.version, one.build.sha256.hex(), ", ".join(waits) or "complete")
    output.result(
        {
            **chosen.named(version="agreement_version"),
            "builds": rows,
            "file": None if out is None else str(out),
        },
        table if rows else "No build is proposed for this version.",
        f"Wrote {out}." if out is not None else "",
    )
