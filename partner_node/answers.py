"""From customers' vectors to the integer answer of a sum query.

Everything is integer arithmetic held in float64, where it is exact: coordinates and centroids are
at most 2^20, so scores and block sums stay below 2^53, in any order and on any number of threads.
The answer is the same for any split of the rows.

The nearest centroid needs no index. Every score is multiplied by the number of clusters and the
cluster's own number is added, so that one minimum over the clusters finds the nearest, breaks ties
by the lower index, and an equality test gives the membership matrix, whose product with the
customers' vectors is the answer. That keeps the work in matrix products.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from protocol.queries import EXTRA_ENTRIES, ClusterSumsQuery
from protocol.ring import IntVector
from protocol.scaling import FloatMatrix

#: Rows worked on at once by one thread.
BLOCK_ROWS: Final = 16_384
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
    with ThreadPoolExecutor(max_workers=threads) as pool, threadpool_limits(1, user_api="blas"):
        for chunk in chunks:
            customers += chunk.shape[0]
            parts = np.array_split(chunk, threads) if chunk.shape[0] > BLOCK_ROWS else [chunk]
            for sums in pool.map(worker.sums, parts):
                total += sums
    return total, customers


def nearest(query: ClusterSumsQuery, vectors: FloatMatrix) -> IntVector:
    """Index of each customer's nearest centroid, ties to the lower index; shape ``(n_rows,)``."""
    worker = _Worker(query)
    found = [worker.nearest(block) for block in _blocks(vectors)]
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)


class _Worker:
    """Answers one query block by block."""

    def __init__(self, query: ClusterSumsQuery) -> None:
        self._query = query
        n_clusters = query.n_clusters
        largest = 4 * n_clusters * int((query.limit.astype(object) ** 2).sum())
        self._packed = largest < _EXACT
        scale = float(n_clusters if self._packed else 1)
        centroids = query.centroids.astype(np.float64)
        self._numbers = np.arange(n_clusters, dtype=np.float64)[:, None]
        self._factors = -2.0 * scale * centroids
        self._norms = scale * (centroids * centroids).sum(axis=1)[:, None]
        if self._packed:
            self._norms += self._numbers

    def sums(self, vectors: FloatMatrix) -> IntVector:
        """The answer for `vectors`, shape ``(length,)``."""
        query = self._query
        table = np.zeros((query.n_clusters, query.n_features + EXTRA_ENTRIES), dtype=np.int64)
        for block in _blocks(vectors):
            table += (self._membership(block) @ block).astype(np.int64)
        return table.ravel()

    def nearest(self, block: FloatMatrix) -> IntVector:
        """Index of the nearest centroid of each row."""
        scores = self._scores(block)
        if not self._packed:
            return np.asarray(np.argmin(scores, axis=0), dtype=np.int64)
        index: IntVector = np.mod(scores.min(axis=0), self._query.n_clusters).astype(np.int64)
        return index

    def _membership(self, block: FloatMatrix) -> npt.NDArray[np.float64]:
        """1.0 where a row belongs to a cluster, else 0.0; shape ``(n_clusters, n_rows)``."""
        scores = self._scores(block)
        if self._packed:
            found: npt.NDArray[np.float64] = np.equal(scores, scores.min(axis=0), out=scores)
        else:
            found = np.equal(np.argmin(scores, axis=0)[None, :], self._numbers, out=scores)
        return found

    def _scores(self, block: FloatMatrix) -> npt.NDArray[np.float64]:
        scores: npt.NDArray[np.float64] = self._factors @ block[:, : self._query.n_features].T
        scores += self._norms
        return scores


def _blocks(rows: FloatMatrix) -> Iterator[FloatMatrix]:
    return (rows[start : start + BLOCK_ROWS] for start in range(0, rows.shape[0], BLOCK_ROWS))
