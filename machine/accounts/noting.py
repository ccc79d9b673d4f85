"""Noting in the log of people what commands do, at either side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from typing import Final

from machine.accounts.accounts import Accounts
from machine.accounts.acts import Noted, at_the_machine
from machine.console import output
from protocol.errors import StoreError

_LONGEST: Final = 100


@contextmanager
def noted_command(
    open_accounts: Callable[[], Accounts], act: str, about: str, now: datetime
) -> Iterator[Noted]:
    """Note an act of whoever calls a command before the block, and its outcome after it.

    Where the log cannot be opened or written the act goes on, with a warning: a stop waits for no
    log, and nobody repeats what was done.

    Args:
        open_accounts: Opens the accounts that have the log; opens no keys, which the act may
            replace.
        about: To what; the first 100 characters are noted.
    """
    noting = Noted(at_the_machine())
    with ExitStack() as stack:
        try:
            accounts = stack.enter_context(closing(open_accounts()))
            noting = stack.enter_context(
                accounts.acts.noted(noting.who, act, about[:_LONGEST], now)
            )
        except StoreError as error:
            output.warn([f"this is not in the log of people: {error.message}; {error.remedy}"])
        yield noting
