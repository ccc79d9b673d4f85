"""Noting what a command does in the log that the console's people have, with who did it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from coordinator.config import CoordinatorConfig

if TYPE_CHECKING:
    from machine.accounts.acts import Noted


def noted(config: CoordinatorConfig, act: str, about: str) -> AbstractContextManager[Noted]:
    """Note an act and its outcome under the machine's account; as `noted_command`."""
    from machine.accounts.noting import noted_command  # imported where somebody acts

    return noted_command(config.open_accounts, act, about, datetime.now(UTC))
