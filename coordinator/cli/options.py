"""Options that many commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coordinator.store.postgresql.place import ServerPlace
from coordinator.store.settings import FILE, StoreSettings
from protocol.errors import UsageError

Directory = Annotated[
    Path,
    typer.Option(
        "--dir",
        envvar="FEDSEG_COORDINATOR_DIR",
        help="The coordinator's folder.",
        show_default=True,
    ),
]
RunArgument = Annotated[
    str, typer.Argument(help="Run id, or its first digits; the newest run when left out.")
]
HERE = Path("fedseg-coordinator")
StorePasswordFile = Annotated[
    Path | None,
    typer.Option(help="File with the database's password, mode 0600."),
]
StorePasswordEnv = Annotated[
    str | None,
    typer.Option(help="Environment variable with the database's password, for every command."),
]


def store_settings(
    url: str, directory: Path, *, password_file: Path | None, password_env: str | None
) -> StoreSettings | None:
    """Settings of a new place for the state, as options name it; None for the folder's file.

    Raises:
        UsageError: A password is named for a file, or twice.
        ConfigError: The URL may not be so (E-STORE-URL).
    """
    named = [o for o in (password_file, password_env) if o is not None]
    if len(named) > 1 or (named and url == FILE):
        raise UsageError(
            "one place of a password at most is named, and none for a file",
            remedy="name --store-password-file, --store-password-env or neither",
        )
    if url == FILE:
        return None
    return StoreSettings.new(
        ServerPlace(
            url=url,
            folder=directory,
            password_file=None if password_file is None else password_file.absolute(),
            password_env=password_env,
        )
    )
