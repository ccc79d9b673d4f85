"""A set of customers' ids in 16 bytes each, so that millions fit beside the customers themselves.

An id is kept as two 64-bit hashes (SipHash, Python's own for text) of it behind two secrets that
are drawn for each set. That two different ids agree in both, by chance or by design of somebody
who does not know the secrets, happens with a probability of 2^-128 a pair.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

_SECRET_BYTES: Final = 16


class IdSet:
    """A fixed set of ids.

    Args:
        batches: The ids, in parts of any size; one may occur twice.
    """

    def __init__(self, batches: Iterable[Sequence[str]]) -> None:
        self._secrets = [secrets.token_hex(_SECRET_BYTES) for _ in range(2)]
        parts = [self._hashed(batch) for batch in batches]
        hashed = np.concatenate(parts, axis=1) if parts else np.empty((2, 0), dtype=np.int64)
        order = np.argsort(hashed[0], kind="stable")
        self._first, self._second = hashed[0][order], hashed[1][order]

    def __len__(self) -> int:
        """How many ids there are, those that were given twice counted twice."""
        return len(self._first)

    def holds(self, ids: Sequence[str] | NDArray[np.object_]) -> NDArray[np.bool_]:
        """Whether each of some ids is in the set, shape ``(n_ids,)``."""
        first, second = self._hashed(ids)
        found = np.zeros(len(ids), dtype=np.bool_)
        place = np.searchsorted(self._first, first)
        left = np.flatnonzero(place < len(self._first))
        while left.size:  # more than once only where two ids agree in the first hash
            left = left[self._first[place[left]] == first[left]]
            found[left] |= self._second[place[left]] == second[left]
            place[left] += 1
            left = left[~found[left] & (place[left] < len(self._first))]
        return found

    def _hashed(self, ids: Sequence[str] | NDArray[np.object_]) -> NDArray[np.int64]:
        hashes = chain.from_iterable((hash(secret + i) for i in ids) for secret in self._secrets)
        return np.fromiter(hashes, dtype=np.int64, count=2 * len(ids)).reshape(2, len(ids))
