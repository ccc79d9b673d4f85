"""The coordinator's state: `state check|backup|restore`."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from coordinator import backup
from coordinator.cli.options import HERE, Directory
from coordinator.config import CoordinatorConfig
from machine.console import Format, FormatOption, output
from machine.text import minute, shown

app = typer.Typer(
    help="The coordinator's state: whether it is sound, and backups.", no_args_is_help=True
)


@app.command("check")
def check(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Whether the database is sound."""
    with closing(CoordinatorConfig.load(directory).open_store()) as store:
        store.check()
        path = store.path
    output.result({"state": path, "sound": True}, f"{shown(path)} is sound.")


@app.command("backup")
def back_up(
    out: Annotated[Path, typer.Argument(help="File to write; mode 0600, never replaced.")],
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Write settings, keys, certificate and state into one file, also while serving."""
    config = CoordinatorConfig.load(directory)
    made = backup.back_up(config, out, now=datetime.now(UTC), version=metadata.version("fedseg"))
    output.result(
        {"file": str(out), **made.to_dict(), "left_out": list(backup.LEFT_OUT)},
        f"Wrote {shown(str(out))} and read it back: the coordinator of {shown(made.whose)} as of "
        f"{minute(made.made_at)}, {', '.join(shown(part.path) for part in made.parts)}.",
        "The key of the public port's certificate is in it unencrypted: keep the file closed.",
        *(f"Not in it: {what}." for what in backup.LEFT_OUT),
    )


@app.command("restore")
def restore(
    file: Annotated[Path, typer.Argument(help="A backup that `state backup` wrote.")],
    elsewhere: Annotated[
        bool,
        typer.Option(
            "--elsewhere", help="Also write parts that the settings place outside the folder."
        ),
    ] = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Make a coordinator's folder from a backup; nothing that is there is replaced."""
    made, config = backup.restore(file, directory, elsewhere=elsewhere)
    missing = config.passphrase_file
    asks = missing is not None and not missing.exists()
    output.result(
        {
            "folder": str(directory),
            **made.to_dict(),
            "not_known": list(backup.NOT_KNOWN),
            "passphrase_missing": str(missing) if asks else None,
        },
        f"Made {shown(str(directory))}: the coordinator of {shown(made.whose)} as of "
        f"{minute(made.made_at)}.",
        *(f"It does not know {what}." for what in backup.NOT_KNOWN),
        f"Put the passphrase into {shown(str(missing))}, mode 0600." if asks else "",
        "Then: fedseg-coordinator serve.",
    )
