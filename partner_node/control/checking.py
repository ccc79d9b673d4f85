"""When a serving node checks by itself whether it is ready for runs: a thread beside the answers.

A preflight reads all customers, so it does not hold up the stream of announcements, and nobody at
the coordinator can have it repeated at will.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from partner_node.control.readiness import check_readiness, reached_since, told_now
from partner_node.home import NodeHome
from protocol.errors import FedsegError

logger = logging.getLogger(__name__)

DAY_S: Final = 86_400.0
#: The operator's wish is granted once in so many seconds.
ASKED_EVERY_S: Final = 600.0
#: One that the coordinator's return makes due is so long after the last at the earliest.
REACHED_EVERY_S: Final = 10.0
_END_S: Final = 5.0


class Checking:
    """Checks readiness when it is wanted, and every day.

    Args:
        clock: Seconds.
    """

    def __init__(
        self,
        home: NodeHome,
        *,
        every_s: float = DAY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._home = home
        self._every_s = every_s
        self._clock = clock
        self._asked_at = -ASKED_EVERY_S + clock()
        self._begun_at = -REACHED_EVERY_S + clock()
        self._wake = threading.Event()
        self._ended = False

    def want(self) -> None:
        """Have it checked now: something changed here."""
        self._wake.set()

    def ask(self) -> bool:
        """Have it checked because the operator asks; False when it was just asked for."""
        now = self._clock()
        if now - self._asked_at < ASKED_EVERY_S:
            return False
        self._asked_at = now
        self.want()
        return True

    def reached(self) -> None:
        """Have it checked anew where the last check did not reach the coordinator, which is back.

        Called again and again; not at once after a check, as a connection may come and go.
        """
        if self._clock() - self._begun_at < REACHED_EVERY_S:
            return
        try:
            if reached_since(self._home.as_it_stands()):
                self.want()
        except FedsegError as error:
            logger.warning("readiness: %s", error)

    def end(self) -> None:
        """End `keep`, after the check that goes on."""
        self._ended = True
        self._wake.set()

    def keep(self) -> None:
        """Check now, when it is wanted, and once in `every_s`, until it is ended."""
        while not self._ended:
            self._begun_at = self._clock()
            try:
                home = self._home.as_it_stands()  # what cannot be read is told by the check
                check_readiness(home)
                if not self._ended:
                    told_now(home)
            except (FedsegError, OSError) as error:
                logger.warning("readiness was not checked: %s", error)
            except Exception as error:  # outermost loop: whatever the data, tomorrow is a day
                logger.error("readiness was not checked: %s", type(error).__name__)
            self._wake.wait(self._every_s)
            self._wake.clear()


class NoChecking:
    """Of a node that is in no control plane: nobody is told how ready it is."""

    def want(self) -> None:
        """Something changed here; there is nothing to do."""

    def reached(self) -> None:
        """The coordinator was reached; there is nothing to do."""


@contextmanager
def checking(home: NodeHome) -> Iterator[Checking]:
    """Check readiness beside the block, until it ends."""
    found = Checking(home)
    # A check of many customers takes long; a node that is told to end does not wait for it.
    thread = threading.Thread(target=found.keep, name="readiness", daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.end()
        thread.join(_END_S)
