"""Noting of who is counted, by handles."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Noted(Protocol):
    """Notes who is counted in one answer."""

    @property
    def hashing(self) -> object:
        """What handles are made with; equal if and only if the same id has the same handle."""
        ...

    def handles(self, ids: NDArray[np.object_]) -> NDArray[np.uint64]:
        """Customers' handles, shape ``(n_ids, 2)``."""
        ...

    def add(self, found: NDArray[np.uint64]) -> None:
        """Note customers by their handles, before their vectors are given."""
        ...
