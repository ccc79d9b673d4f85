"""The coordinator's state: `state check|backup|restore|move`."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from coordinator import backup, moving
from coordinator.cli.noting import noted
from coordinator.cli.options import (
    HERE,
    Directory,
    StorePasswordEnv,
    StorePasswordFile,
    store_settings,
)
from coordinator.config import CoordinatorConfig
from coordinator.store.settings import FILE, StoreSettings
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
    version = metadata.version("fedseg")
    with noted(config, "state backup", out.name):
        made = backup.back_up(config, out, now=datetime.now(UTC), version=version)
    values, lines = backup_words.written(
        made,
        out,
        whose=f"the coordinator of {shown(made.whose)}",
        left_out=backup.LEFT_OUT,
        warning="The key of the public port's certificate is in it unencrypted, and so are the "
        "secrets of second factors of people's accounts, where there are any: keep the file "
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
    store: Annotated[
        str | None,
        typer.Option(
            help="Where the state is to be: sqlite, a file in the folder; or the URL of an empty "
            "database of PostgreSQL. When left out, as the backup's settings say."
        ),
    ] = None,
    store_password_file: StorePasswordFile = None,
    store_password_env: StorePasswordEnv = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Make a coordinator's folder from a backup; nothing that is there is replaced."""

    def wanted(before: StoreSettings | None) -> StoreSettings | None:
        named = store_password_file is not None or store_password_env is not None
        if store is None and not named:
            return before
        url = store or (FILE if before is None else before.place.url)
        return store_settings(
            url, directory, password_file=store_password_file, password_env=store_password_env
        )

    made, config = backup.restore(file, directory, elsewhere=elsewhere, store=wanted)
    with noted(config, "state restore", f"of {made.made_at}"):
        pass  # only now is there a log, that of the backup
    values, lines = backup_words.restored(
        made,
        directory,
        whose=f"the coordinator of {shown(made.whose)}",
        not_known=backup.NOT_KNOWN,
        passphrase=config.passphrase_file,
    )
    output.result(values, *lines, "Then: fedseg-coordinator serve.")


@app.command("move")
def move(
    to: Annotated[
        str,
        typer.Option(
            help="The URL of an empty database of PostgreSQL, without a password; or sqlite, a "
            "file in the folder."
        ),
    ],
    store_password_file: StorePasswordFile = None,
    store_password_env: StorePasswordEnv = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Move the state into another database while nothing serves it, whole or not at all."""
    config = CoordinatorConfig.load(directory)
    before = config.state_name
    settings = store_settings(
        to, directory, password_file=store_password_file, password_env=store_password_env
    )
    with noted(config, "state move", to):
        after = moving.move(config, settings).state_name
    output.result(
        {"from": before, "to": after},
        f"Moved the state from {shown(before)} to {shown(after)}, where it is no more.",
        "Then: fedseg-coordinator serve.",
    )
