"""What commands note in the log of people."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime

from machine.accounts.acts import Noted
from machine.accounts.noting import noted_command
from partner_node.home import NodeHome


def noted(home: NodeHome, act: str, about: str, now: datetime) -> AbstractContextManager[Noted]:
    """Note an act and its outcome under the machine's account; as `noted_command`."""
    return noted_command(home.roles_and_log, act, about, now)
