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
from machine import backup_words
from machine.console import Format, FormatOption, output
from machine.text import shown

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
    values, lines = backup_words.written(
        made,
        out,
        whose=f"the coordinator of {shown(made.whose)}",
        left_out=backup.LEFT_OUT,
        warning="The key of the public port's certificate is in it unencrypted: keep the file "
        "closed.",
    )
    output.result(values, *lines)


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
    values, lines = backup_words.restored(
        made,
        directory,
        whose=f"the coordinator of {shown(made.whose)}",
        not_known=backup.NOT_KNOWN,
        passphrase=config.passphrase_file,
    )
    output.result(values, *lines, "Then: fedseg-coordinator serve.")
