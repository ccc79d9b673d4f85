"""A table, open for reading as text: for tables that are not about features, and for one customer.

Each kind of source opens its own (`open_texts`), under the same rules as for customers' features:
read-only, one state of the data, no value in an error.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

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
    """A table, or what a feature query makes of it."""

    def open_texts(self) -> AbstractContextManager[TextTable]:
        """The table, open until the end of the block.

        Raises:
            SourceError: The database cannot be reached, or has no such table; or, at the end of
                the block, it changed while it was read.
        """
        ...


def texts_of(
    source: TextSource, subject: str, *, id_column: str, columns: Sequence[str]
) -> dict[str, str | None] | None:
    """What a table holds of one customer, as text.

    Args:
        subject: The customer's id, letter by letter.

    Returns:
        The text in each column, None where nothing is; or None when no row has that id.

    Raises:
        SourceError: The table cannot be read, or changed while it was read.
    """
    wanted = list(dict.fromkeys(columns))
    with source.open_texts() as table, closing(table.read([id_column, *wanted])) as batches:
        for batch in batches:
            place = pc.index(batch.column(0), subject).as_py()
            if place >= 0:
                texts = (batch.column(i)[place].as_py() for i in range(1, len(wanted) + 1))
                return dict(zip(wanted, texts, strict=True))
    return None


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
