"""What may not be kept any longer: `retention apply|strike|list`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from machine.console import Format, FormatOption, output
from machine.text import shown
from partner_node.cli.noting import noted
from partner_node.cli.options import HERE, Directory
from partner_node.home import NodeHome
from partner_node.segments.export_records import ExportRecords
from partner_node.segments.private_files import located
from partner_node.segments.retention import apply_retention
from partner_node.shown.files import files_shown
from protocol.errors import UsageError

app = typer.Typer(
    help="Delete files of segments after their agreed time, and show what was deleted when.",
    no_args_is_help=True,
)


@app.command("apply")
def apply(
    moved_from: Annotated[
        Path | None,
        typer.Option(
            help="Where this node's folder was before it was moved, not copied, to its place now."
        ),
    ] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Delete what may not be kept any longer now, as each run and a serving node do."""
    home, now = NodeHome.load(directory), datetime.now(UTC)
    about = "" if moved_from is None else "a folder that was moved"
    with noted(home, "retention apply", about, now):
        if moved_from is not None:
            _move(home, moved_from)
        done = apply_retention(home, now)
    output.warn(done.words)
    output.result(
        {
            "deleted": list(done.deleted),
            "unreachable": list(done.unreachable),
            "changed": list(done.changed),
            "foreign": list(done.foreign),
        },
        *(f"Deleted {shown(path)}." for path in done.deleted),
        "" if done.deleted else "Nothing was deleted.",
    )


@app.command("strike")
def strike(
    file: Annotated[Path, typer.Argument(help="A file on the register, as `list` names it.")],
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Take a file off the register that holds no customers of this node any more."""
    home = NodeHome.load(directory)
    store = home.store(home.keystore())
    records, path, now = ExportRecords(store), str(located(file)), datetime.now(UTC)
    if path not in records.by_path():
        raise UsageError(
            f"{shown(str(file))} is not on the register",
            remedy="`fedseg-node retention list` names every file that is",
        )
    with noted(home, "retention strike", located(file).name, now), store.transaction():
        records.end(path, "struck off", now)
    output.result(
        {"struck_off": path},
        f"{shown(path)} is off the register: nobody is taken out of it any more, and it is not "
        "deleted. That it was struck off stays on record.",
    )


@app.command("list")
def list_retention(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Files on the register with the day until which they may be kept, and what became of others.

    What became of a file is kept as long as the agreement lets records be kept.
    """
    home = NodeHome.load(directory)
    store = home.store(home.keystore())
    output.show(files_shown(store))


def _move(home: NodeHome, moved_from: Path) -> None:
    """Have files on record where the folder was be on record where it is now; raises UsageError."""
    store = home.store(home.keystore())
    with store.transaction():
        moved = ExportRecords(store).moved_from(moved_from.absolute())
    store.close()
    if not moved:
        raise UsageError(
            f"no file was put on record by a node in {shown(str(moved_from))}",
            remedy="`fedseg-node retention list` names the folders",
        )
