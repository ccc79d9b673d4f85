"""Every duty of this node, and its changes: `compliance status|watch`."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from threading import Event
from typing import Annotated

import typer

from machine.console import Format, FormatOption
from machine.duties.commands import Every, Strict, show, tell, until_stopped
from machine.duties.duty import Duty
from machine.duties.watching import watched
from machine.files import mark_of
from partner_node.cli.options import HERE, Directory
from partner_node.duties.all import duties_of
from partner_node.home import NodeHome
from protocol.errors import UsageError

app = typer.Typer(
    help="Every duty with how it stands, since when, and its next date; and changes at once.",
    no_args_is_help=True,
)

Under = Annotated[
    str | None,
    typer.Option(help="Only what is of this agreement, or of the whole folder."),
]


@app.command("status")
def status(
    under: Under = None,
    strict: Strict = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """How every duty stands; the exit status is 3 where one is overdue.

    Reads no customer and changes nothing.
    """
    home = NodeHome.load(directory)
    _check_known(home, under)
    with closing(home.store(home.keystore())) as store:
        found = duties_of(home, store, datetime.now(UTC), under=under)
    show(found, strict=strict)


@app.command("watch")
def watch(
    under: Under = None,
    every: Every = 5,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Say how duties stand, then each change as it comes, until Ctrl-C or SIGTERM.

    With --format json each is an object on a line of its own.
    """
    home = NodeHome.load(directory)
    _check_known(home, under)
    keystore = home.keystore()

    def read() -> list[Duty]:
        with closing(home.store(keystore)) as store:
            return duties_of(NodeHome.load(directory), store, datetime.now(UTC), under=under)

    files = [home.config.file, home.backup_note, home.accounts_file]
    files += [place.config.node.agreement for place in home.places()]
    stop = Event()
    with until_stopped(stop), closing(home.store(keystore)) as marked:

        def mark() -> object:
            return marked.mark(), [mark_of(file) for file in files]

        for told in watched(read, mark, stop, every_s=every):
            tell(told)


def _check_known(home: NodeHome, under: str | None) -> None:
    known = [one.id for one in home.agreements_in_force()] if under is not None else []
    if under is not None and under not in known:
        raise UsageError(
            f"no agreement {under!r} is in force here",
            remedy=f"in force: {', '.join(known) or 'none'}",
        )
