"""Tables read as text: for tables that are not about features, and for looking up one customer.

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

#: Rows of a table held as text at once.
TEXT_ROWS = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """An open table, always seen in one state of the data.

    Attributes:
        types: Type of each column, in lower case; empty where each value has its own.
        read: Streams the named columns, the one with customers' ids first, as Arrow batches of
            texts. Close it before the next call. Raises SourceError.
    """

    types: Mapping[str, str]
    read: Callable[[Sequence[str]], Generator[pa.RecordBatch, None, None]]


class TextSource(Protocol):
    """A table, or the result of a feature query, that can be read as text."""

    def open_texts(self) -> AbstractContextManager[TextTable]:
        """Open the table until the end of the block.

        Raises:
            SourceError: The database cannot be reached, or has no such table; or, at the end of
                the block, it changed while it was read.
        """
        ...


def texts_of(
    source: TextSource, subject: str, *, id_column: str, columns: Sequence[str]
) -> dict[str, str | None] | None:
    """Look up one customer's row as text.

    Args:
        subject: The customer's exact id.

    Returns:
        The text in each column, None where it is missing; or None when no row has that id.

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
    """Rename the columns of Arrow batches and cast them to strings.

    Raises:
        pyarrow.ArrowInvalid: Bytes are not UTF-8.
    """
    schema = pa.schema([(name, pa.string()) for name in columns])
    for batch in batches:
        texts = [column.cast(pa.string()) for column in batch.columns]
        yield pa.RecordBatch.from_arrays(texts, schema=schema)
