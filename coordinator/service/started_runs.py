"""The runs that were started, until the SuperLink has forgotten what they left."""

from __future__ import annotations

import time
from typing import Final

from flwr.common.constant import Status
from flwr.server.superlink.linkstate import LinkState

#: Messages of a run that ended wait so long for a node that was away.
_WAITS_S: Final = 3_600.0


class StartedRuns:
    """Runs that were started here, until the SuperLink has forgotten what they left.

    Flower does that for a run that is stopped; what a run that ends by itself leaves, a kilobyte or
    two for each of its messages, would stay for as long as the SuperLink runs. A node that was away
    may still fetch how its run ended (docs/operating.md), for so long as that is kept.
    """

    def __init__(self) -> None:
        self._ended: dict[int, float | None] = {}

    def add(self, run: int) -> None:
        """A driver is started for it."""
        self._ended[run] = None

    def forget(self, state: LinkState) -> None:
        """Forget those that ended: at once where no message waits, else after a while."""
        if not self._ended:
            return
        now = time.monotonic()
        for run, status in state.get_run_status({*self._ended}).items():
            if status.status != Status.FINISHED:
                continue
            ended = self._ended[run]
            if ended is None:
                ended = self._ended[run] = now
            if now - ended >= _WAITS_S or not state.get_message_ids_from_run_id(run):
                state.cleanup_run(run)
                del self._ended[run]
