"""The interface between a node and any source of its customers.

Everything behind `Source` is local to the partner: its rows and ids never leave the node. A source
returns one row per customer, streamed in chunks, so that memory use does not grow with the data.
All sources pass one test suite (tests/partner_node/test_sources.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from partner_node.sources.data_file import DataFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A request for a column, with the rule by which its values become numbers.

    Attributes:
        levels: The spellings of each level; a value becomes the index of its level, or
            `UNLISTED`. Empty for a column of numbers, which are not changed.
        folded: Whether upper and lower case are the same.
        others: Whether values that are not a level are returned; else they are refused.
        optional: Whether missing values are returned, as NaN; else they are refused.
    """

    name: str
    levels: tuple[tuple[str, ...], ...] = ()
    folded: bool = False
    others: bool = False
    optional: bool = False


def numbers(*names: str) -> tuple[Column, ...]:
    """Requests for columns of numbers without missing values."""
    return tuple(Column(name=name) for name in names)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chunk:
    """Some customers with their feature values.

    Attributes:
        ids: Customer ids as text, object array of `str`, shape ``(n_rows,)``.
        values: Feature values in the source's own units, float64, shape
            ``(n_rows, n_features)``, C order, columns in the order asked for, finite but for
            missing values of optional columns.
    """

    ids: NDArray[np.object_]
    values: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.ids.shape != self.values.shape[:1]:
            raise ValueError(
                f"a chunk needs ids of shape (n_rows,) and values of shape (n_rows, n_features), "
                f"got {self.ids.shape} and {self.values.shape}"
            )

    @property
    def n_rows(self) -> int:
        """Customers in this chunk."""
        return int(self.values.shape[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """Description of a source, for the person at this machine. Never leaves the node.

    Attributes:
        kind: Kind of source, for instance ``csv``.
        files: Files that are read, in order; empty when the source has none.
        n_bytes: Their total size, in bytes.
        id_column: Column with the customers' ids.
        columns: Columns that can be requested, including the id column.
        query: Whether a feature query computes the columns.
    """

    kind: str
    files: tuple[str, ...]
    n_bytes: int
    id_column: str
    columns: tuple[str, ...]
    query: bool

    def to_dict(self) -> dict[str, Any]:
        """The description as JSON-ready values."""
        return {
            "kind": self.kind,
            "files": list(self.files),
            "n_bytes": self.n_bytes,
            "id_column": self.id_column,
            "columns": list(self.columns),
            "query": self.query,
        }


class Source(Protocol):
    """A source of a partner's customers: one row per customer, read-only."""

    def columns(self) -> tuple[str, ...]:
        """Names of the columns that can be requested, including the id column.

        Raises:
            SourceError: The source cannot be opened, or column names are ambiguous.
        """
        ...

    def chunks(self, columns: Sequence[Column], *, max_rows: int) -> Iterator[Chunk]:
        """Stream all customers with the named feature columns.

        Only the id column and `columns` are read. Ids are checked over the whole source before
        the first chunk is returned: none missing, none twice. Two passes over an unchanged
        source return the same rows in the same order. When an error is raised in mid-stream, the
        caller must discard the chunks that it has received.

        Args:
            columns: Feature columns, in the order of `Chunk.values`.
            max_rows: Most rows in one chunk, at least 1.

        Raises:
            SourceError: A column is missing, of the wrong type or has unusable values; an id is
                missing or occurs twice; the source cannot be read.
        """
        ...

    def files(self) -> tuple[DataFile, ...]:
        """The files that hold all that is read, as they are now; none for a server.

        Raises:
            SourceError: They cannot be found or looked at.
        """
        ...

    def describe(self) -> Description:
        """Describe the source for the person at this machine.

        Raises:
            SourceError: The source cannot be opened.
        """
        ...
