"""The memory of a node's folder for what is kept from question to question."""

from __future__ import annotations

import threading
import weakref
from typing import Final

#: The part of the memory limit that may be taken.
KEPT_PART: Final = 4


class KeptRoom:
    """How much is kept of customers and gates' answers, under all agreements of a folder together.

    Args:
        most_bytes: No more than this is kept.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._taken: weakref.WeakKeyDictionary[object, int] = weakref.WeakKeyDictionary()
        self._lock = threading.RLock()

    def fits(self, keeper: object, n_bytes: int) -> bool:
        """Whether a keeper may keep so much, in place of what it keeps now."""
        with self._lock:
            others = sum(n for other, n in self._taken.items() if other is not keeper)
        return others + n_bytes <= self._most_bytes

    def take(self, keeper: object, n_bytes: int) -> bool:
        """Take so much for a keeper, in place of what it has; False if it is too much.

        What an object that is gone has taken is free again.
        """
        with self._lock:
            if not self.fits(keeper, n_bytes):
                return False
            self._taken[keeper] = n_bytes
            return True
