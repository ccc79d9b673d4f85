"""Conversion of a database's batches to chunks of a limited number of rows."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any

import numpy as np

from partner_node.sources.source import Chunk


def chunks_of_batches(batches: Iterator[Any], n_features: int, max_rows: int) -> Iterator[Chunk]:
    """Chunks from Arrow batches: ids as text in the first column, doubles in all others."""
    for batch in batches:
        for start in range(0, batch.num_rows, max_rows):
            yield _chunk_of_batch(batch.slice(start, max_rows), n_features)


def chunk_of_rows(rows: Sequence[Sequence[Any]], n_features: int) -> Chunk:
    """A chunk from rows: the id as UTF-8 bytes, then numbers or None.

    Raises:
        UnicodeDecodeError: An id is not UTF-8. Its message quotes the id.
    """
    ids = np.array([None, *(row[0].decode("utf-8") for row in rows)], dtype=object)[1:]
    values = np.array([row[1:] for row in rows], dtype=np.float64)  # None becomes NaN
    return Chunk(ids=ids, values=values.reshape(len(rows), n_features))


def started(stream: Generator[Chunk, None, None]) -> Iterator[Chunk]:
    """Run a generator up to its first, empty chunk, discard that, and return the generator.

    So its checks before that chunk run now, and what it has opened is closed when it is
    garbage-collected, even if nobody ever reads a chunk.
    """
    next(stream)
    return stream


def nothing(n_features: int) -> Chunk:
    """The empty chunk that a generator yields first, for `started`."""
    return Chunk(ids=np.empty(0, dtype=object), values=np.empty((0, n_features)))


def _chunk_of_batch(batch: Any, n_features: int) -> Chunk:
    ids = batch.column(0).to_numpy(zero_copy_only=False)
    values = np.empty((batch.num_rows, n_features), dtype=np.float64)
    for i in range(n_features):
        values[:, i] = batch.column(i + 1).to_numpy(zero_copy_only=False)  # missing becomes NaN
    return Chunk(ids=ids, values=values)
