"""Every duty of the operator, and its changes: `compliance status|watch`."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from threading import Event
from typing import Annotated

import typer

from coordinator.cli.options import HERE, Directory
from coordinator.config import BACKUP_NOTE, FILE_NAME, CoordinatorConfig
from coordinator.duties.all import duties_of
from coordinator.runs.in_force import next_to_run
from coordinator.store.coordinator_store import CoordinatorStore
from machine.console import Format, FormatOption
from machine.duties.commands import Every, Strict, show, tell, until_stopped
from machine.duties.duty import Duty
from machine.duties.watching import watched
from machine.files import mark_of
from protocol.errors import UsageError

app = typer.Typer(
    help="Every duty with how it stands, since when, and its next date; and changes at once.",
    no_args_is_help=True,
)

Under = Annotated[
    str | None,
    typer.Option("--agreement", help="Only what is of this agreement, or of the whole folder."),
]


@app.command("status")
def status(
    agreement: Under = None,
    strict: Strict = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """How every duty stands; the exit status is 3 where one is overdue. Changes nothing."""
    config, now = CoordinatorConfig.load(directory), datetime.now(UTC)
    with closing(config.open_store()) as store:
        _check_known(store, agreement, now)
        found = duties_of(config, store, now, under=agreement)
    show(found, strict=strict)


@app.command("watch")
def watch(
    agreement: Under = None,
    every: Every = 5,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Say how duties stand, then each change as it comes, until Ctrl-C or SIGTERM.

    With --format json each is an object on a line of its own.
    """
    config = CoordinatorConfig.load(directory)
    files = [directory / FILE_NAME, directory / BACKUP_NOTE, config.certificate]
    stop = Event()
    with until_stopped(stop), closing(config.open_store()) as store:
        _check_known(store, agreement, datetime.now(UTC))

        def read() -> list[Duty]:
            found = CoordinatorConfig.load(directory)
            return duties_of(found, store, datetime.now(UTC), under=agreement)

        def mark() -> object:
            return store.mark(), [mark_of(file) for file in files]

        for told in watched(read, mark, stop, every_s=every):
            tell(told)


def _check_known(store: CoordinatorStore, agreement: str | None, now: datetime) -> None:
    known = next_to_run(store, now) if agreement is not None else {}
    if agreement is not None and agreement not in known:
        raise UsageError(
            f"no agreement {agreement!r} is in force here",
            remedy=f"in force: {', '.join(known) or 'none'}",
        )
