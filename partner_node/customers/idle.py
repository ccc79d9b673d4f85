"""Something is forgotten when nothing was asked for a while."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Final

#: Seconds without a question after which nothing is kept for the next.
FORGOTTEN_AFTER_S: Final = 600.0


class Idle:
    """Calls a method once nothing was asked for a while.

    Args:
        forget: A bound method; what it belongs to may go before.
    """

    def __init__(self, forget: Callable[[], object]) -> None:
        self._forget = weakref.WeakMethod(forget, lambda _: self.stop())
        self._timer: threading.Timer | None = None
        self._latest = object()
        self._lock = threading.RLock()

    def put_off(self) -> None:
        """Begin the while anew."""
        with self._lock:
            self.stop()
            self._latest = latest = object()
            self._timer = threading.Timer(FORGOTTEN_AFTER_S, self._over, [latest])
            self._timer.daemon = True
            self._timer.start()

    def stop(self) -> None:
        """Call nothing any more, until it is put off again."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _over(self, timer: object) -> None:
        """Forget, unless another timer took this one's place."""
        with self._lock:
            forget = self._forget()
            if timer is self._latest and forget is not None:
                forget()
