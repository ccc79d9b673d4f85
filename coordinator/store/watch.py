"""Whether there may be anything new in a store: what is asked again and again, before a query."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

#: A store is looked at so often in any case: a file's time has steps of some milliseconds.
_AT_LEAST_EVERY_S: Final = 2.0


class Marked(Protocol):
    """A store whose file may say whether it was written."""

    def mark(self) -> object | None:
        """What differs once it was written; None where nothing tells that."""
        ...


class Watch:
    """Tells whether a store may have changed since it was told so last.

    A process that waits would else ask its database the same question several times a second.

    Args:
        clock: Seconds.
    """

    def __init__(self, store: Marked, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._mark: object | None = None
        self._looked = float("-inf")

    def may_differ(self) -> bool:
        """Whether to look: always at a server, at a file that was written, and now and then."""
        mark, now = self._read_mark(), self._clock()
        if mark is not None and mark == self._mark and now - self._looked < _AT_LEAST_EVERY_S:
            return False
        self._mark, self._looked = mark, now
        return True

    def _read_mark(self) -> object | None:
        try:
            return self._store.mark()
        except OSError:  # looking says what is wrong, or that nothing is
            return None
