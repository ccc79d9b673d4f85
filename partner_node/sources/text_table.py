"""A table of a database, open for reading as text: for tables that are not about features.

Each kind of source opens its own (`open_texts`), under the same rules as for customers' features:
read-only, one state of the data, no value in an error.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

#: Rows of a table that are held as text at once.
TEXT_ROWS = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """A table that is open; all reading of it sees one state of the data.

    Attributes:
        types: Type of each column, in lower case; empty where each value has its own.
        read: Streams the columns named, the one with customers' ids first, as Arrow batches of
            texts. It is closed before another reading begins. Raises SourceError.
    """

    types: Mapping[str, str]
    read: Callable[[Sequence[str]], Generator[pa.RecordBatch, None, None]]


class TextSource(Protocol):
    """A table of a database."""

    def open_texts(self) -> AbstractContextManager[TextTable]:
        """The table, open until the end of the block.

        Raises:
            SourceError: The database cannot be reached, or has no such table; or, at the end of
                the block, it changed while it was read.
        """
        ...


def text_batches(
    columns: Sequence[str], batches: Iterator[Any]
) -> Generator[pa.RecordBatch, None, None]:
    """Arrow batches with these names, every column of type string.

    Raises:
        pyarrow.ArrowInvalid: Bytes are not UTF-8.
    """
    schema = pa.schema([(name, pa.string()) for name in columns])
    for batch in batches:
        texts = [column.cast(pa.string()) for column in batch.columns]
        yield pa.RecordBatch.from_arrays(texts, schema=schema)
