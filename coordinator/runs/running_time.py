"""Time in which this process ran: what it was stopped or asleep for counts against nobody."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

logger = logging.getLogger(__name__)

#: Longest time between two readings of a process that runs; what is beyond it is a pause.
LONGEST_STEP_S: Final = 2.0


class RunningTime:
    """A clock that stands still while the process that reads it does not run.

    Whoever compares two of its readings cannot mistake a pause for waiting, wherever between them
    the process was stopped. It has to be read more often than every `LONGEST_STEP_S`, for no more
    than that is counted between two readings.

    Args:
        clock: Seconds that go on during pauses.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._read_at = clock()
        self._ran_s = 0.0

    def __call__(self) -> float:
        """Seconds for which the process has run since this clock was made."""
        now = self._clock()
        step_s, self._read_at = now - self._read_at, now
        if step_s > LONGEST_STEP_S:
            logger.warning(
                "this process did not run, or got no further, for %.0f s: they count for nobody",
                step_s - LONGEST_STEP_S,
            )
        self._ran_s += min(step_s, LONGEST_STEP_S)
        return self._ran_s
