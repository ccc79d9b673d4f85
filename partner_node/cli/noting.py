"""What commands note in the log of people."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from machine.accounts.acts import Noted
from machine.accounts.noting import noted_command
from partner_node.home import NodeHome

P = ParamSpec("P")
T = TypeVar("T")


def noted(home: NodeHome, act: str, about: str, now: datetime) -> AbstractContextManager[Noted]:
    """Note an act and its outcome under the machine's account; as `noted_command`."""
    return noted_command(home.roles_and_log, act, about, now)


def noting(act: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Have a whole command noted, one with the option ``--dir``.

    What it is about is not noted: these are commands about customers.
    """

    def noting_it(command: Callable[P, T]) -> Callable[P, T]:
        @wraps(command)
        def with_note(*words: P.args, **named: P.kwargs) -> T:
            home = NodeHome.load(Path(str(named["directory"])))
            with noted(home, act, "", datetime.now(UTC)):
                return command(*words, **named)

        return with_note

    return noting_it
