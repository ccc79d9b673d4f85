"""The database of the node's state: `state check|reset`."""

from __future__ import annotations

from typing import Annotated

import typer

from machine.console import Format, FormatOption, output
from machine.text import shown
from partner_node.cli.options import HERE, Directory
from partner_node.home import NodeHome
from partner_node.state_file import FORGOTTEN, MARK, is_lost
from protocol.errors import UsageError

app = typer.Typer(
    help="The database of this node's state: whether it is sound, and starting anew.",
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
    mark.unlink(missing_ok=True)
    home.store(keystore).close()
    output.result(
        {"state": str(path), "forgotten": list(FORGOTTEN)},
        f"Made {shown(str(path))}. Forgotten are: {forgotten}.",
    )
