"""What commands note in the log of people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from machine.accounts.acts import Noted, at_the_machine
from machine.console import output
from partner_node.home import NodeHome
from protocol.errors import StoreError

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def noted(home: NodeHome, act: str, about: str, now: datetime) -> Iterator[Noted]:
    """Note an act of whoever calls a command before the block, and its outcome after it.

    It opens no keys, which the act may replace.

    Where the log cannot be opened the act goes on, with a warning: who did it is on record with
    what was done, too.
    """
    noting = Noted(at_the_machine())
    with ExitStack() as stack:
        try:
            accounts = stack.enter_context(closing(home.roles_and_log()))
            noting = stack.enter_context(accounts.acts.noted(noting.who, act, about, now))
        except StoreError as error:
            output.warn([f"this is not in the log of people: {error.message}; {error.remedy}"])
        yield noting


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
