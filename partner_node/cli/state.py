"""The node's state: `state check|backup|restore|reset`."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from machine import backup_words
from machine.console import Format, FormatOption, output
from machine.text import shown
from partner_node.cli.noting import noted
from partner_node.cli.options import HERE, Directory
from partner_node.home import NodeHome
from partner_node.state_file import FORGOTTEN, MARK, is_lost
from protocol.errors import UsageError
from protocol.log.outside_facts import mark_restored

app = typer.Typer(
    help="This node's state: whether it is sound, backups, and starting anew.",
    no_args_is_help=True,
)


@app.command("check")
def check(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Whether the database is there and sound."""
    home = NodeHome.load(directory)
    store = home.store(home.keystore())
    store.check()
    store.close()
    path = str(home.state_file)
    output.result({"state": path, "sound": True}, f"{shown(path)} is sound.")


@app.command("reset")
def reset(
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without this, only say what is forgotten.")
    ] = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Start with a new database where the old one was lost; what was in it is forgotten."""
    home = NodeHome.load(directory)
    path, mark = home.state_file, home.keys_folder / MARK
    keystore = home.keystore()
    if not is_lost(path, keystore):
        raise UsageError(
            f"{shown(str(path))} is there",
            remedy="`fedseg-node state check` says whether it is sound; a damaged one is restored "
            "from a backup, or moved away first",
        )
    forgotten = "; ".join(FORGOTTEN)
    if not yes:
        raise UsageError(
            f"with a new state this node knows nothing of: {forgotten}",
            remedy="restore a backup if there is one; else add --yes",
        )
    with noted(home, "state reset", "", datetime.now(UTC)):
        mark.unlink(missing_ok=True)
        with closing(home.store(keystore)) as store, store.transaction():
            mark_restored(store, made_at="")
    output.result(
        {"state": str(path), "forgotten": list(FORGOTTEN)},
        f"Made {shown(str(path))}. Forgotten are: {forgotten}.",
    )


@app.command("backup")
def back_up(
    out: Annotated[Path, typer.Argument(help="File to write; mode 0600, never replaced.")],
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Write settings, keys (encrypted), state and agreement into one file, also while serving."""
    from partner_node import backup

    home, now = NodeHome.load(directory), datetime.now(UTC)
    with noted(home, "state backup", out.name, now):
        made = backup.back_up(home, out, now=now, version=metadata.version("fedseg"))
    values, lines = backup_words.written(
        made, out, whose=f"the node {made.whose}", left_out=backup.LEFT_OUT
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
    """Make a node's folder from a backup; nothing that is there is replaced.

    The node that the backup is of must not run any more: two copies of one node are refused.
    """
    from partner_node import backup

    made, home = backup.restore(file, directory, elsewhere=elsewhere)
    with noted(home, "state restore", f"of {made.made_at}", datetime.now(UTC)):
        pass  # only now is there a log, that of the backup
    values, lines = backup_words.restored(
        made,
        directory,
        whose=f"the node {made.whose}",
        not_known=backup.NOT_KNOWN,
        passphrase=home.config.keys.passphrase_file,
    )
    output.result(values, *lines, "Then: fedseg-node check.")
