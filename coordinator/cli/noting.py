"""Noting what a command does in the log that the console's people have, with who did it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from coordinator.config import CoordinatorConfig
from coordinator.store.acting import acting

if TYPE_CHECKING:
    from machine.accounts.acts import Noted


@contextmanager
def noted(config: CoordinatorConfig, act: str, about: str) -> Iterator[Noted]:
    """Note an act and its outcome under the machine's account; as `noted_command`.

    What is stored within is of that account in the audit log, too.
    """
    from machine.accounts.noting import noted_command  # imported where somebody acts

    with (
        noted_command(config.open_accounts, act, about, datetime.now(UTC)) as noting,
        acting(noting.who),
    ):
        yield noting
