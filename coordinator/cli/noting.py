"""Noting what a command does in the log that the console's people have, with who did it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Final

from coordinator.config import CoordinatorConfig

_LONGEST: Final = 100


@contextmanager
def noted(config: CoordinatorConfig, act: str, about: str) -> Iterator[None]:
    """Note an act before the block, and its outcome after, under the machine's account.

    Raises:
        StoreError: The file of accounts cannot be written; nothing was done.
    """
    from machine.accounts.acts import at_the_machine  # imported where somebody acts

    with (
        closing(config.open_accounts()) as accounts,
        accounts.acts.noted(at_the_machine(), act, about[:_LONGEST], datetime.now(UTC)),
    ):
        yield
