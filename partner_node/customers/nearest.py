"""The nearest of some centres for each customer, exactly, by squared Euclidean distance.

Everything is integer arithmetic held in float64, where it is exact: coordinates and centres are at
most 2^21, so scores stay below 2^53, in any order and on any number of threads. Where there is room
for it, every score is multiplied by a power of two and the centre's index is added, so that one
minimum over the centres finds the nearest, breaks ties by the lower index, and holds the index in
its low bits. Else each customer's scores stand side by side, where the first least one is found
fastest. Scores are computed in blocks of rows that fit into the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from protocol.queries import EXTRA_ENTRIES, IntMatrix
from protocol.ring import IntVector
from protocol.scaling import FloatMatrix

#: Most rows worked on at once by one thread.
BLOCK_ROWS: Final = 8_192
_PACKED_SCORES: Final = 1 << 18
_PLAIN_SCORES: Final = 1 << 16
_EXACT: Final = 1 << 53


class Nearest:
    """Finds the nearest of some centres.

    Args:
        centres: Grid coordinates, shape ``(n_centres, n_features)``, int64.
        limit: Largest magnitude of a customer's grid coordinate, shape ``(n_features,)``; None
            when it is not known, which is a little slower.
    """

    def __init__(self, centres: IntMatrix, limit: IntVector | None = None) -> None:
        n_centres, n_features = centres.shape
        scale = 1 << (n_centres - 1).bit_length()
        self.packed = (
            limit is not None and 4 * scale * int((limit.astype(object) ** 2).sum()) < _EXACT
        )
        at_once, least = (_PACKED_SCORES, 256) if self.packed else (_PLAIN_SCORES, 64)
        self.block_rows = max(least, min(BLOCK_ROWS, at_once // n_centres))
        self._index_bits = scale - 1
        exact = centres.astype(np.float64)
        # Customers' vectors end in a one, which is multiplied by the part of the score that is the
        # same for all of them; their squared norm does not matter for the nearest.
        self.factors = np.zeros((n_centres, n_features + EXTRA_ENTRIES))
        self.factors[:, :n_features] = -2.0 * exact
        self.factors[:, -1] = (exact * exact).sum(axis=1)
        if self.packed:
            self.factors *= scale
            self.factors[:, -1] += np.arange(n_centres)

    def of(self, block: FloatMatrix) -> IntVector:
        """Index of the nearest centre of each row; shape ``(n_rows,)``."""
        if self.packed:
            scores = self.factors @ block.T
            return np.asarray(scores.min(axis=0).astype(np.int64) & self._index_bits)
        return np.asarray(np.argmin(block @ self.factors.T, axis=1), dtype=np.int64)

    def blocks(self, rows: FloatMatrix) -> Iterator[FloatMatrix]:
        """`rows` in blocks whose scores stay in the cache."""
        return blocks_of(rows, self.block_rows)


def blocks_of(rows: FloatMatrix, most: int = BLOCK_ROWS) -> Iterator[FloatMatrix]:
    """`rows` in blocks of at most `most`."""
    return (rows[start : start + most] for start in range(0, rows.shape[0], most))
