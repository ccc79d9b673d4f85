"""Builds that may run under an agreement: `agreement builds …`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import UTC, datetime
from importlib import metadata, resources
from pathlib import Path
from typing import Annotated, Any

import typer

from machine.accounts.acts import Noted
from machine.console import Format, FormatOption, output
from machine.files import write_file
from machine.tables import folding_table
from partner_node.adding_builds import accept, accepted, sign
from partner_node.agreement_files import read_start, verified
from partner_node.cli.noting import noted
from partner_node.cli.options import HERE, Directory, Under
from partner_node.home import NodeHome
from protocol.agreement.added_build import MAX_BYTES, AddedBuild
from protocol.agreement.document import Agreement
from protocol.agreement.software import PROTOCOL, Software
from protocol.errors import UsageError, naming_file

app = typer.Typer(
    help="Releases of the program that may run under an agreement, without a new version.",
    no_args_is_help=True,
)
_FEWEST_DIGITS = 8


@app.command("list")
def list_builds(
    under: Under = None, directory: Directory = HERE, format: Format = FormatOption
) -> None:
    """What may run under the agreement, what is proposed and by whom signed, what is installed."""
    home, agreement = _chosen(directory, under)
    installed = Software.installed(metadata.version, resources.files)
    added = {one.hash: one for one in accepted(home, agreement)}
    if home.config.coordinator.control is not None and agreement.software.added_by is not None:
        from partner_node.control.adding_builds import proposed_builds  # gRPC is slow to import

        added = {one.hash: one for one in proposed_builds(home, agreement)} | added
    table = folding_table("version", "SHA-256", "state", title=f"Builds of {agreement.id}")
    rows: list[dict[str, Any]] = []
    for build in (agreement.software.build, *agreement.software.builds):
        rows.append(build.to_dict() | {"state": "agreed", "missing": []})
    for one in added.values():
        missing = [party.id for party in one.missing(agreement)]
        state = "proposed" if missing else "added"
        rows.append(one.build.to_dict() | {"state": state, "missing": missing})
    for row in rows:
        waits = f"; not signed by {', '.join(row['missing'])}" if row["missing"] else ""
        table.add_row(row["version"], row["sha256"], row["state"] + waits)
    output.result(
        {
            **agreement.named(version="agreement_version"),
            "protocol": agreement.software.protocol,
            "builds": rows,
            "installed": installed.build.to_dict() | {"protocol": PROTOCOL},
        },
        table,
        f"Installed here: fedseg {installed.version}, code {installed.sha256.hex()}, protocol "
        f"{PROTOCOL}.",
    )


@app.command("sign")
def sign_build(
    build: Annotated[
        str | None,
        typer.Argument(help="First digits of the SHA-256 of one that is proposed online."),
    ] = None,
    file: Annotated[Path | None, typer.Option(help="A proposed build's file instead.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the signed copy of a file goes.")] = None,
    under: Under = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Say with this node's key that a build may run under the agreement, at every partner."""
    if (build is None) == (file is None) or (file is None) != (out is None):
        raise UsageError(
            "what to sign is one of two: digits of a SHA-256, or --file with --out",
            remedy="see `fedseg-node agreement builds list`",
        )
    home, agreement = _chosen(directory, under)
    if file is not None and out is not None:
        found = _read(file)
        with naming_file(file), _noted(home, "builds sign", found):
            signed = sign(home, agreement, found)
            write_file(out, signed.to_bytes())
        complete = not signed.missing(agreement)
    else:
        from partner_node.control.adding_builds import proposed_builds, send_build_signature

        found = _named(build or "", proposed_builds(home, agreement))
        with _noted(home, "builds sign", found):
            complete = send_build_signature(home, agreement, found)
    output.result(
        {
            **agreement.named(version="agreement_version"),
            **found.build.to_dict(),
            "file": None if out is None else str(out),
            "complete": complete,
        },
        f"Signed that fedseg {found.build.version}, code {found.build.sha256.hex()}, may run under "
        f"agreement {agreement.id}, version {agreement.version}"
        + (f"; wrote {out}." if out is not None else "; the operator has the signature."),
        "Everybody has signed who has to." if complete else "",
    )


@app.command("accept")
def accept_build(
    file: Annotated[Path, typer.Argument(help="A build's file with every signature.")],
    under: Under = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Let a build run here that everybody signed who has to; a node online does it by itself."""
    home, agreement = _chosen(directory, under)
    found = _read(file)
    with naming_file(file), _noted(home, "builds accept", found):
        is_new = accept(home, agreement, found)
    output.result(
        {**agreement.named(version="agreement_version"), **found.build.to_dict(), "new": is_new},
        f"fedseg {found.build.version}, code {found.build.sha256.hex()}, may run here under "
        f"agreement {agreement.id}, version {agreement.version}.",
    )


def _noted(home: NodeHome, act: str, found: AddedBuild) -> AbstractContextManager[Noted]:
    return noted(home, f"agreement {act}", found.build.sha256.hex()[:16], datetime.now(UTC))


def _chosen(directory: Path, under: str | None) -> tuple[NodeHome, Agreement]:
    home = NodeHome.load(directory).chosen(under)
    return home, verified(home.signed_agreement(), home.config.node.agreement)


def _read(file: Path) -> AddedBuild:
    data = read_start(file, 2 * MAX_BYTES + 1)
    with naming_file(file):
        return AddedBuild.from_bytes(data)


def _named(digits: str, found: list[AddedBuild]) -> AddedBuild:
    named = [one for one in found if one.build.sha256.hex().startswith(digits)]
    if len(digits) < _FEWEST_DIGITS or len(named) != 1:
        raise UsageError(
            f"{len(named) or 'no'} proposed builds have a SHA-256 that begins with {digits!r}",
            remedy=f"give {_FEWEST_DIGITS} digits of it at least; see `agreement builds list`",
        )
    return named[0]
