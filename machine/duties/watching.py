"""Watching duties: a change is told as soon as it is seen, and nothing is told twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Event
from time import monotonic
from typing import Final

from machine.duties.duty import Duty, State
from protocol.errors import FedsegError

#: So often it is looked whether the state was written.
LOOK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Change:
    """A duty that is in another state than before.

    Attributes:
        duty: As it stands, or as it last stood.
        was: Its state before; None where it is new.
        is_gone: Whether it is no duty any more.
    """

    duty: Duty
    was: State | None
    is_gone: bool = False


def changes(before: Sequence[Duty], now: Sequence[Duty]) -> list[Change]:
    """Which duties are in another state, or there for the first time or not any more."""
    old, new = {one.key: one for one in before}, {one.key: one for one in now}
    was = {key: one.state for key, one in old.items()}
    changed = [
        Change(one, was.get(key)) for key, one in new.items() if was.get(key) is not one.state
    ]
    return changed + [
        Change(one, one.state, is_gone=True) for key, one in old.items() if key not in new
    ]


def watched(
    read: Callable[[], list[Duty]],
    mark: Callable[[], object],
    stop: Event,
    *,
    every_s: float,
) -> Iterator[list[Duty] | list[Change] | FedsegError]:
    """First how duties stand, then their changes, and errors that keep them from being read.

    An error is told once, until they can be read again.

    Args:
        read: Every duty now; raises FedsegError.
        mark: What differs once the state was written; raises FedsegError.
        stop: Ends it when it is set.
        every_s: So often they are read though nothing was written: dates come by themselves.
    """
    known: list[Duty] | None = None
    seen: object = None
    trouble, read_at = "", monotonic()
    while not stop.is_set():
        try:
            now = mark()
            if known is None or trouble or now != seen or monotonic() >= read_at + every_s:
                found, seen, read_at = read(), now, monotonic()
                if known is None:
                    yield found
                elif different := changes(known, found):
                    yield different
                known, trouble = found, ""
        except FedsegError as error:
            if error.code != trouble:
                trouble = error.code
                yield error
        stop.wait(LOOK_S)
