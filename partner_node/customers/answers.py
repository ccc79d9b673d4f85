"""Answering of sum queries: from customers' vectors to an integer vector.

Everything is integer arithmetic held in float64, where it is exact: block sums stay below 2^53, in
any order and on any number of threads. The answer is the same for any split of the rows. Each
customer's vector is added to its cluster by a sparse product, which reads every row once.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Protocol

import numpy as np
from scipy.sparse import csc_array
from threadpoolctl import ThreadpoolController

from partner_node.customers.nearest import Nearest, blocks_of
from protocol.noised_queries import (
    MOMENT_DIAGONAL,
    MOMENT_OFF_DIAGONAL,
    SPREAD_COUNT,
    SPREAD_NORM,
    CountQuery,
    DistanceQuery,
    LocalSumsQuery,
    MeanQuery,
    MomentsQuery,
    ScoresQuery,
    SpreadsQuery,
    VotesQuery,
    clip_to_norm,
)
from protocol.queries import EXTRA_ENTRIES, ClusterSumsQuery, IntMatrix
from protocol.ring import UNIT, IntVector
from protocol.scaling import FloatMatrix
from protocol.sum_query import SumQuery


def answer(
    query: SumQuery, chunks: Iterable[FloatMatrix], *, threads: int | None = None
) -> tuple[IntVector, int]:
    """Answer `query` for all customers in `chunks`.

    Args:
        chunks: Customers' vectors (`protocol.queries.customer_vectors`), each of shape
            ``(n_rows, n_features + 2)``; for a `ScoresQuery` with their scores
            (`protocol.queries.with_scores`). They are read one after the other; memory does not
            grow.
        threads: Number of threads that work on a chunk, by default one for each processor. With 1
            no thread is started: for simulations of few customers, where starting takes longest.

    Returns:
        The integer answer, shape ``(query.length,)``, and the number of customers in it.
    """
    worker = _worker(query)
    total = np.zeros(query.length, dtype=np.int64)
    customers = 0
    with _sums_of_parts(worker, threads or os.cpu_count() or 1) as sums_of_parts:
        for chunk in chunks:
            customers += chunk.shape[0]
            # Split few rows, too, so that the time taken has no step at any number of rows.
            for sums in sums_of_parts(chunk):
                total += sums
    return total, customers


@contextmanager
def _sums_of_parts(
    worker: _Worker, threads: int
) -> Iterator[Callable[[FloatMatrix], Iterable[IntVector]]]:
    """Yield a function that splits rows into a part per thread and returns the parts' sums."""
    with _libraries().limit(limits=1, user_api="blas"):
        if threads == 1:
            yield lambda rows: (worker.sums(rows),)
            return
        with ThreadPoolExecutor(max_workers=threads) as pool:
            yield lambda rows: pool.map(worker.sums, np.array_split(rows, threads))


@cache
def _libraries() -> ThreadpoolController:
    """The process's thread pools; cached, as finding them takes long. NumPy's is loaded by now."""
    return ThreadpoolController()


def nearest(query: ClusterSumsQuery, vectors: FloatMatrix) -> IntVector:
    """Index of each customer's nearest centroid, ties to the lower index; shape ``(n_rows,)``."""
    centres = Nearest(query.centroids, query.limit)
    found = [centres.of(block) for block in centres.blocks(vectors)]
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)


class _Worker(Protocol):
    """Answers one query for some rows."""

    def sums(self, vectors: FloatMatrix) -> IntVector:
        """The answer for `vectors`, shape ``(query.length,)``."""
        ...


def _worker(query: SumQuery) -> _Worker:
    match query:
        case ClusterSumsQuery():
            return _ClusterSums(query)
        case CountQuery():
            return _Count()
        case MeanQuery():
            return _Mean(query)
        case MomentsQuery():
            return _Moments(query)
        case VotesQuery():
            return _Votes(query)
        case DistanceQuery():
            return _Distance(query)
        case LocalSumsQuery():
            return _LocalSums(query)
        case SpreadsQuery():
            return _Spreads(query)
        case ScoresQuery():
            return _Scores(query)
    raise TypeError(f"no way to answer a {type(query).__name__}")


class _Memberships:
    """Sums of rows by cluster, by a sparse matrix product."""

    def __init__(self, n_clusters: int) -> None:
        self._n_clusters = n_clusters
        self._matrix = self._of_rows(0)

    def add(self, index: IntVector, rows: FloatMatrix, table: IntMatrix) -> None:
        """Add each row to the row of `table` given by `index`."""
        if self._matrix.shape[1] != rows.shape[0]:
            self._matrix = self._of_rows(rows.shape[0])
        self._matrix.indices[:] = index
        table += (self._matrix @ rows).astype(np.int64)

    def _of_rows(self, n_rows: int) -> csc_array:
        """A matrix with one entry of 1.0 per row; `add` fills in its cluster."""
        indices = np.zeros(n_rows, dtype=np.int32)
        starts = np.arange(n_rows + 1, dtype=np.int32)
        return csc_array((np.ones(n_rows), indices, starts), shape=(self._n_clusters, n_rows))


class _ClusterSums:
    def __init__(self, query: ClusterSumsQuery) -> None:
        self._nearest = Nearest(query.centroids, query.limit)
        self._shape = self._nearest.factors.shape

    def sums(self, vectors: FloatMatrix) -> IntVector:
        table = np.zeros(self._shape, dtype=np.int64)
        memberships = _Memberships(self._shape[0])
        for block in self._nearest.blocks(vectors):
            memberships.add(self._nearest.of(block), block, table)
        return table.ravel()


class _Count:
    def sums(self, vectors: FloatMatrix) -> IntVector:
        return np.array([UNIT * vectors.shape[0]], dtype=np.int64)


class _Mean:
    def __init__(self, query: MeanQuery) -> None:
        self._query = query

    def sums(self, vectors: FloatMatrix) -> IntVector:
        query = self._query
        total = np.zeros(query.length, dtype=np.int64)
        for block in blocks_of(vectors):
            rows = block[:, : query.n_features]
            clipped = clip_to_norm(rows, radius=query.radius, norm=query.norm)
            total += clipped.sum(axis=0).astype(np.int64)
        return total


class _Moments:
    def __init__(self, query: MomentsQuery) -> None:
        self._query = query
        self._centre = query.centre.astype(np.float64)
        row, column = np.triu_indices(query.n_features)
        self._at = (row, column)
        self._factor = np.where(row == column, MOMENT_DIAGONAL, MOMENT_OFF_DIAGONAL)

    def sums(self, vectors: FloatMatrix) -> IntVector:
        query = self._query
        table = np.zeros((query.n_features, query.n_features), dtype=np.int64)
        for block in blocks_of(vectors):
            offsets = block[:, : query.n_features] - self._centre
            clipped = clip_to_norm(offsets, radius=query.radius, norm=query.norm)
            table += (clipped.T @ clipped).astype(np.int64)
        return np.asarray(table[self._at] * self._factor)


class _Votes:
    def __init__(self, query: VotesQuery) -> None:
        self._length = query.length
        self._nearest = Nearest(query.candidates)

    def sums(self, vectors: FloatMatrix) -> IntVector:
        votes = np.zeros(self._length, dtype=np.int64)
        for block in self._nearest.blocks(vectors):
            votes += np.bincount(self._nearest.of(block), minlength=self._length)
        return votes * UNIT


class _Distance:
    def __init__(self, query: DistanceQuery) -> None:
        self._points = query.points.astype(np.float64)
        self._nearest = Nearest(query.points)
        self._per_square = UNIT / float(query.radius * query.radius)

    def sums(self, vectors: FloatMatrix) -> IntVector:
        total, width = 0.0, self._points.shape[1]
        for block in self._nearest.blocks(vectors):
            offsets = block[:, :width] - self._points[self._nearest.of(block)]
            squares = np.einsum("ij,ij->i", offsets, offsets)
            total += float(np.trunc(np.minimum(squares * self._per_square, UNIT)).sum())
        return np.array([int(total)], dtype=np.int64)


class _AroundCentres(ABC):
    """Adds up a function of each customer's offset, and a count, at its nearest centre."""

    def __init__(self, query: LocalSumsQuery | SpreadsQuery, count_unit: int) -> None:
        self._shape = (query.n_clusters, query.n_features + 1)
        self._count_unit = count_unit
        self._centres = query.centres.astype(np.float64)
        self._nearest = Nearest(query.centres)

    @abstractmethod
    def _added(self, offsets: FloatMatrix) -> FloatMatrix:
        """The vectors that customers with these offsets add; same shape."""

    def sums(self, vectors: FloatMatrix) -> IntVector:
        n_clusters, width = self._shape
        table = np.zeros(self._shape, dtype=np.int64)
        memberships = _Memberships(n_clusters)
        for block in self._nearest.blocks(vectors):
            index = self._nearest.of(block)
            rows = np.empty((block.shape[0], width))
            rows[:, :-1] = self._added(block[:, : width - 1] - self._centres[index])
            rows[:, -1] = self._count_unit
            memberships.add(index, rows, table)
        return table.ravel()


class _LocalSums(_AroundCentres):
    def __init__(self, query: LocalSumsQuery) -> None:
        super().__init__(query, query.count_unit)
        self._query = query

    def _added(self, offsets: FloatMatrix) -> FloatMatrix:
        return clip_to_norm(offsets, radius=self._query.radius, norm=self._query.offset_norm)


class _Spreads(_AroundCentres):
    def __init__(self, query: SpreadsQuery) -> None:
        super().__init__(query, SPREAD_COUNT)
        self._radius = query.radius

    def _added(self, offsets: FloatMatrix) -> FloatMatrix:
        clipped = clip_to_norm(offsets, radius=self._radius, norm=SPREAD_NORM)
        return clipped * clipped


class _Scores:
    def __init__(self, query: ScoresQuery) -> None:
        self._n_clusters = query.n_clusters
        self._width = query.n_features + EXTRA_ENTRIES
        self._nearest = Nearest(query.centres)

    def sums(self, vectors: FloatMatrix) -> IntVector:
        table = np.zeros((self._n_clusters, 2), dtype=np.int64)
        memberships = _Memberships(self._n_clusters)
        for block in self._nearest.blocks(vectors):
            scores = block[:, self._width]
            answered = ~np.isnan(scores)
            # Include rows that add nothing, so that the time taken does not depend on who answered.
            rows = np.column_stack([np.where(answered, scores, 0.0), answered * float(UNIT)])
            memberships.add(self._nearest.of(block[:, : self._width]), rows, table)
        return table.ravel()
