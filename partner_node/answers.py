"""From customers' vectors to the integer answer of a sum query.

Everything is integer arithmetic held in float64, where it is exact: coordinates and centroids are
at most 2^20, so scores and block sums stay below 2^53, in any order and on any number of threads.
The answer is the same for any split of the rows.

Every score is multiplied by a power of two and the cluster's own number is added, so that one
minimum over the clusters finds the nearest, breaks ties by the lower index, and holds the index in
its low bits. Each customer's vector is then added to its cluster by a sparse product, which reads
every row once. Scores are made for as many rows as keep them in the processor's cache.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final

import numpy as np
from scipy.sparse import csc_array
from threadpoolctl import ThreadpoolController

from protocol.queries import EXTRA_ENTRIES, ClusterSumsQuery
from protocol.ring import IntVector
from protocol.scaling import FloatMatrix

#: Most rows worked on at once by one thread.
BLOCK_ROWS: Final = 8_192
_BLOCK_SCORES: Final = 1 << 18
_EXACT: Final = 1 << 53


def answer(query: ClusterSumsQuery, chunks: Iterable[FloatMatrix]) -> tuple[IntVector, int]:
    """Answer `query` for all customers in `chunks`.

    Args:
        chunks: Customers' vectors (`protocol.queries.customer_vectors`), each of shape
            ``(n_rows, n_features + 2)``. They are read one after the other; memory does not grow.

    Returns:
        The integer answer, shape ``(query.length,)``, and the number of customers in it.
    """
    worker = _Worker(query)
    total = np.zeros(query.length, dtype=np.int64)
    customers = 0
    threads = os.cpu_count() or 1
    # The pool starts its threads only when the first large chunk comes.
    with (
        ThreadPoolExecutor(max_workers=threads) as pool,
        _libraries().limit(limits=1, user_api="blas"),
    ):
        for chunk in chunks:
            customers += chunk.shape[0]
            if chunk.shape[0] <= BLOCK_ROWS:
                total += worker.sums(chunk)
                continue
            for sums in pool.map(worker.sums, np.array_split(chunk, threads)):
                total += sums
    return total, customers


@cache
def _libraries() -> ThreadpoolController:
    """The process's thread pools: NumPy's is loaded by now, and looking them up takes long."""
    return ThreadpoolController()


def nearest(query: ClusterSumsQuery, vectors: FloatMatrix) -> IntVector:
    """Index of each customer's nearest centroid, ties to the lower index; shape ``(n_rows,)``."""
    worker = _Worker(query)
    found = [worker.nearest(block) for block in worker.blocks(vectors)]
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)


class _Worker:
    """Answers one query block by block."""

    def __init__(self, query: ClusterSumsQuery) -> None:
        self._n_clusters = query.n_clusters
        self._block_rows = max(256, min(BLOCK_ROWS, _BLOCK_SCORES // query.n_clusters))
        scale = 1 << (query.n_clusters - 1).bit_length()
        largest = 4 * scale * int((query.limit.astype(object) ** 2).sum())
        self._packed = largest < _EXACT
        self._index_bits = scale - 1
        centroids = query.centroids.astype(np.float64)
        # Customers' vectors end in a one, which takes the part of the score that is the same for
        # all of them; their squared norm does not matter for the nearest.
        self._factors = np.zeros((query.n_clusters, query.n_features + EXTRA_ENTRIES))
        self._factors[:, : query.n_features] = -2.0 * centroids
        self._factors[:, -1] = (centroids * centroids).sum(axis=1)
        if self._packed:
            self._factors *= scale
            self._factors[:, -1] += np.arange(query.n_clusters)

    def sums(self, vectors: FloatMatrix) -> IntVector:
        """The answer for `vectors`, shape ``(length,)``."""
        table = np.zeros(self._factors.shape, dtype=np.int64)
        membership = self._memberships(min(self._block_rows, vectors.shape[0]))
        for block in self.blocks(vectors):
            if block.shape[0] != membership.shape[1]:
                membership = self._memberships(block.shape[0])
            membership.indices[:] = self.nearest(block)
            table += (membership @ block).astype(np.int64)
        return table.ravel()

    def nearest(self, block: FloatMatrix) -> IntVector:
        """Index of the nearest centroid of each row."""
        scores = self._factors @ block.T
        if self._packed:
            return np.asarray(scores.min(axis=0).astype(np.int64) & self._index_bits)
        return np.asarray(np.argmin(scores, axis=0), dtype=np.int64)

    def blocks(self, rows: FloatMatrix) -> Iterator[FloatMatrix]:
        """`rows` in blocks whose scores stay in the cache."""
        step = self._block_rows
        return (rows[start : start + step] for start in range(0, rows.shape[0], step))

    def _memberships(self, n_rows: int) -> csc_array:
        """One entry of 1.0 a row, in the cluster that is filled in for it."""
        indices = np.zeros(n_rows, dtype=np.int32)
        starts = np.arange(n_rows + 1, dtype=np.int32)
        return csc_array((np.ones(n_rows), indices, starts), shape=(self._n_clusters, n_rows))
