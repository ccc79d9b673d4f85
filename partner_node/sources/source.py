"""The seam between a node and wherever its customers come from.

Everything behind `Source` is local to the partner: rows and ids that come out of it never leave
the node. A source gives one row a customer, streamed in chunks, so that memory stays flat as the
data grows. All sources pass one test suite (tests/partner_node/test_sources.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column that is asked for, and which numbers its values become.

    Attributes:
        levels: The texts of each value that there is; a value becomes its place among them, and
            `UNLISTED` where it is none. Empty for a column of numbers, which are taken as they are.
        folded: Whether capital and small letters count as the same.
        others: Whether values that are no level are given out; else they are refused.
        optional: Whether missing values are given out, as NaN; else they are refused.
    """

    name: str
    levels: tuple[tuple[str, ...], ...] = ()
    folded: bool = False
    others: bool = False
    optional: bool = False


def numbers(*names: str) -> tuple[Column, ...]:
    """Columns of numbers, none of them missing."""
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
    """What a source is, for the person at this machine. Never leaves the node.

    Attributes:
        kind: Kind of source, for instance ``csv``.
        files: Files that are read, in order; empty when the source has none.
        n_bytes: Their size together, in bytes.
        id_column: Column that holds the customers' ids.
        columns: Columns that can be asked for, the id column included.
        query: Whether a feature query stands between the files and the columns.
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
    """Where a partner's customers come from: one row a customer, read-only."""

    def columns(self) -> tuple[str, ...]:
        """Names of the columns that can be asked for, the id column included.

        Raises:
            SourceError: The source cannot be opened or its columns cannot be told apart.
        """
        ...

    def chunks(self, columns: Sequence[Column], *, max_rows: int) -> Iterator[Chunk]:
        """Stream all customers with the named feature columns.

        Only the id column and `columns` are read. Ids are checked over the whole source before
        the first chunk is given out: none missing, none twice. Two passes over an unchanged
        source give the same rows in the same order. When an error is raised in mid-stream, what
        has been given out already must be thrown away.

        Args:
            columns: Feature columns, in the order wanted in `Chunk.values`.
            max_rows: Most rows in one chunk, at least 1.

        Raises:
            SourceError: A column is missing, of the wrong type or has values that it may not
                have; an id is missing or occurs twice; the source cannot be read.
        """
        ...

    def describe(self) -> Description:
        """What this source is, for the person at this machine.

        Raises:
            SourceError: The source cannot be opened.
        """
        ...
