"""The log of what people did: an entry before an act, and one with its outcome after.

Entries are added, never changed: each holds a hash over itself and the entry before, so that one
that was changed or taken out is noticed. Only entries cut off at the end are not.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from machine.database import Database
from machine.times import stamp
from protocol.errors import FedsegError, StoreError

logger = logging.getLogger(__name__)

BEGUN: Final = "begun"
DONE: Final = "done"
#: Nothing is done yet: a second person has to do the same.
WAITS: Final = "waits"
_FIRST: Final = bytes(32)
_AT_THE_MACHINE: Final = " (at the machine)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One entry.

    Attributes:
        who: The account's name; or the machine's account, for commands.
        act: What was done, like ``egress approve``.
        about: To what: a number, a name. Never a customer's id.
        outcome: `BEGUN`; then `DONE`, `WAITS`, or an error's code.
        began: Number of the entry before the act; of that entry, its own.
    """

    number: int
    at: str
    who: str
    act: str
    about: str
    outcome: str
    began: int

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


class Noted:
    """An act while it is done.

    Attributes:
        who: As `Act.who`.
        outcome: What is noted after it, unless it raises.
    """

    def __init__(self, who: str) -> None:
        self.who = who
        self.outcome = DONE

    def waits(self) -> None:
        """Have it noted that nothing is done before a second person does the same."""
        self.outcome = WAITS


class Acts:
    """The log, in the database of accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def noted(self, who: str, act: str, about: str, now: datetime) -> Iterator[Noted]:
        """Note an act before the block, and its outcome after; what it raises goes on.

        An outcome that cannot be noted is a warning in the log of the process: the act is done, and
        whoever was told of a failure would do it again.

        Raises:
            StoreError: It cannot be noted before the block.
        """
        began = self._add(who, act, about, BEGUN, None, now)

        def ended(outcome: str) -> None:
            try:
                self._add(who, act, about, outcome, began, now)
            except StoreError as error:
                logger.warning(
                    "the outcome of %s (%s), %s, is not in the log of people: %s",
                    *(act, began, outcome, error),
                )

        noted = Noted(who)
        try:
            yield noted
        except FedsegError as error:
            ended(error.code)
            raise
        except BaseException:
            ended("E-INTERNAL")
            raise
        ended(noted.outcome)

    def all(self) -> list[Act]:
        """Every entry, oldest first.

        Raises:
            StoreError: One was changed or taken out (E-LOG-CHANGED).
        """
        entries, chain = [], _FIRST
        for *values, kept in self._database.ask(
            "SELECT number, at, who, act, about, outcome, began, chain FROM acts ORDER BY number"
        ):
            chain = _next(chain, values)
            if chain != kept:
                raise StoreError(
                    f"entry {values[0]} of the log does not follow from the one before it",
                    code="E-LOG-CHANGED",
                    remedy="somebody changed the file by hand: keep it, and find out who",
                )
            entries.append(Act(**dict(zip(Act.__slots__, values, strict=True))))
        return entries

    def _add(
        self, who: str, act: str, about: str, outcome: str, began: int | None, now: datetime
    ) -> int:
        with self._database.transaction():
            last = self._database.one("SELECT number, chain FROM acts ORDER BY number DESC LIMIT 1")
            number, chain = (1, _FIRST) if last is None else (last[0] + 1, last[1])
            values = [number, stamp(now), who, act, about, outcome, began or number]
            self._database.ask(
                "INSERT INTO acts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", *values, _next(chain, values)
            )
        return int(number)


def at_the_machine() -> str:
    """Who calls a command: the machine's account, as the log names it.

    It is that of the process, whatever variables such as LOGNAME say.
    """
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:  # a container may run under a number without a name
        name = f"user {number}"
    return name + _AT_THE_MACHINE


def is_at_the_machine(who: str) -> bool:
    """Whether that is somebody who called a command; no account has such a name."""
    return who.endswith(_AT_THE_MACHINE)


def person_of(who: str) -> str:
    """The person behind a name of the log: an account of the same name at the machine is the same.

    In whatever letters, as accounts have small ones alone.

    >>> person_of("Anna (at the machine)") == person_of("anna")
    True
    """
    return who.removesuffix(_AT_THE_MACHINE).casefold()


def _next(chain: bytes, values: list[Any]) -> bytes:
    return hashlib.sha256(chain + json.dumps(values).encode()).digest()
