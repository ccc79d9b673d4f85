"""What a serving node knows of itself: its link, its agreements, its state."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime

from partner_node.home import NodeHome
from protocol.errors import FedsegError


@dataclass(slots=True)
class LinkState:
    """Whether this process reaches the coordinator on the link for runs.

    The record in the state is not asked: a process that was killed leaves it as it was.
    """

    is_up: bool = False
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, *, up: bool) -> None:
        """Say how it stands now."""
        with self._lock:
            if up != self.is_up:
                self.is_up, self.since = up, datetime.now(UTC)


def readiness(home: NodeHome, link: LinkState) -> dict[str, bool]:
    """The conditions under which the node can take part in a run.

    ``link``: the coordinator is reached. ``agreement``: one at least is in force. ``state``: the
    database can be read.
    """
    return {"link": link.is_up, "agreement": _has_agreement(home), "state": _is_readable(home)}


def _has_agreement(home: NodeHome) -> bool:
    try:
        return bool(home.in_force())
    except FedsegError:
        return False


def _is_readable(home: NodeHome) -> bool:
    try:
        with closing(home.store(home.keystore())) as store:
            store.one("SELECT count(*) FROM runs")
    except FedsegError:
        return False
    return True
