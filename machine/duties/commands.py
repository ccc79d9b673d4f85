"""What the commands about duties have in common, at either side."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Event
from types import FrameType
from typing import Annotated, Any

import typer

from machine.console import Format, output, people
from machine.duties.duty import Duty
from machine.duties.shown import change_words, duties_shown, states_of
from machine.duties.watching import Change
from protocol.errors import FedsegError, RuleError

Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Exit with 3 also where a duty comes soon, or nothing is known of it.",
    ),
]
Every = Annotated[
    float,
    typer.Option(
        min=1,
        help="Seconds after which dates are looked at though nothing was written.",
    ),
]


def show(duties: list[Duty], *, strict: bool) -> None:
    """Print how duties stand; ends with 3 where somebody has to act."""
    found = duties_shown(duties, strict=strict)
    output.show(found)
    if found.refused:
        raise typer.Exit(RuleError.exit_code)


@contextmanager
def until_stopped(stop: Event) -> Iterator[None]:
    """Set an event at Ctrl-C or SIGTERM, within the block."""

    def end(_: int, __: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def tell(told: list[Duty] | list[Change] | FedsegError) -> None:
    """Print what a watch found: how duties stand, changes, or why they cannot be read."""
    if isinstance(told, FedsegError):
        _line({"event": "unread", "code": told.code, "message": told.message}, str(told))
        return
    changes = [one for one in told if isinstance(one, Change)]
    for one in changes:
        values = {
            "event": "gone" if one.is_gone else "changed",
            "was": None if one.was is None else str(one.was),
            **one.duty.to_dict(),
        }
        _line(values, change_words(one))
    if changes:
        return
    duties = [one for one in told if isinstance(one, Duty)]
    if output.format is Format.JSON:
        standing = {"states": states_of(duties), "duties": [one.to_dict() for one in duties]}
        _line({"event": "standing", **standing}, "")
    else:
        for part in duties_shown(duties).parts:
            people.print(part)
    sys.stdout.flush()


def _line(values: dict[str, Any], text: str) -> None:
    at = datetime.now(UTC)
    if output.format is Format.JSON:
        line = json.dumps({"at": at.strftime("%Y-%m-%dT%H:%M:%SZ"), **values}, ensure_ascii=False)
        print(line, flush=True)  # noqa: T201
    else:
        people.print(f"{at:%Y-%m-%d %H:%M:%S} UTC  {text}", soft_wrap=True, markup=False)
        sys.stdout.flush()
