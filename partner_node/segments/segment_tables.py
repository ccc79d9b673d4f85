"""A file of customers' segments as a table: as it was written, or saved again by another program.

A program may end lines otherwise, separate cells otherwise, and add or move columns. What has the
columns that this node writes is recognised all the same.
"""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from partner_node.segments.spreadsheets import escaped

#: The columns by which a table is recognised.
ID, SEGMENT, RELEASE = COLUMNS = ("customer_id", "segment_id", "release")
_DELIMITERS: Final = (",", ";", "\t")
_BOM: Final = b"\xef\xbb\xbf"
_LONGEST_HEADER: Final = 65_536


class SegmentTable(ABC):
    """A recognised file of segments."""

    @staticmethod
    def read(path: Path) -> SegmentTable | None:
        """The table in a file; None where it is none of ours.

        Raises:
            OSError: It is not there, or cannot be read.
            pyarrow.ArrowException: It is no Parquet file, though its name says so.
            UnicodeDecodeError: It is no text in UTF-8.
        """
        return _CsvTable.of(path) if path.suffix == ".csv" else _ParquetTable.of(path)

    def lists(self, subjects: Set[str]) -> bool:
        """Whether it holds one of some customers, also where its id was escaped."""
        subjects = _as_written(subjects)
        return any(not subjects.isdisjoint(ids) for ids in self._columns(ID))

    def is_of(self, release: str) -> bool:
        """Whether every row is of a release, named as files name it."""
        return all(found <= {release} for found in self._columns(RELEASE))

    @abstractmethod
    def write_without(self, subjects: Set[str], to: Path) -> int:
        """Write it without some customers, otherwise as it is; returns the number of rows."""

    @abstractmethod
    def _columns(self, name: str) -> Iterator[set[str]]:
        """The values of a column, part by part."""


def _as_written(subjects: Set[str]) -> Set[str]:
    """Ids as a file may have them."""
    return {*subjects, *map(escaped, subjects)}


def is_table_of(path: Path, release: str) -> bool:
    """Whether a file is recognised as a table of a release's segments; raises OSError."""
    try:
        table = SegmentTable.read(path)
        return table is not None and table.is_of(release)
    except (pa.ArrowException, UnicodeDecodeError, csv.Error):
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class _CsvTable(SegmentTable):
    path: Path
    header: list[str]
    delimiter: str
    line_end: str
    encoding: str

    @staticmethod
    def of(path: Path) -> _CsvTable | None:
        with path.open("rb") as file:
            line = file.readline(_LONGEST_HEADER)
        text = line.removeprefix(_BOM).decode("utf-8")
        for delimiter in _DELIMITERS:
            header = next(csv.reader([text], delimiter=delimiter), [])
            if set(COLUMNS) <= set(header):
                return _CsvTable(
                    path=path,
                    header=header,
                    delimiter=delimiter,
                    line_end="\r\n" if text.endswith("\r\n") else "\n",
                    encoding="utf-8-sig" if line.startswith(_BOM) else "utf-8",
                )
        return None

    def _rows(self) -> Iterator[list[str]]:
        with self.path.open(newline="", encoding=self.encoding) as file:
            rows = csv.reader(file, delimiter=self.delimiter)
            next(rows, None)
            yield from (row for row in rows if row)

    def _columns(self, name: str) -> Iterator[set[str]]:
        index = self.header.index(name)
        for row in self._rows():
            yield set(row[index : index + 1]) or {""}

    def write_without(self, subjects: Set[str], to: Path) -> int:
        index, n_rows, subjects = self.header.index(ID), 0, _as_written(subjects)
        with to.open("w", newline="", encoding=self.encoding) as target:
            writer = csv.writer(target, delimiter=self.delimiter, lineterminator=self.line_end)
            writer.writerow(self.header)
            for row in self._rows():
                if subjects.isdisjoint(row[index : index + 1]):
                    writer.writerow(row)
                    n_rows += 1
        return n_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class _ParquetTable(SegmentTable):
    path: Path

    @staticmethod
    def of(path: Path) -> _ParquetTable | None:
        with pyarrow.parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
        texts = (pa.string(), pa.large_string())
        ours = all(name in schema.names and schema.field(name).type in texts for name in COLUMNS)
        return _ParquetTable(path=path) if ours else None

    def _columns(self, name: str) -> Iterator[set[str]]:
        with pyarrow.parquet.ParquetFile(self.path) as file:
            for batch in file.iter_batches(columns=[name]):
                yield set(batch.column(0).to_pylist())

    def write_without(self, subjects: Set[str], to: Path) -> int:
        n_rows = 0
        with (
            pyarrow.parquet.ParquetFile(self.path) as source,
            pyarrow.parquet.ParquetWriter(to, source.schema_arrow) as target,
        ):
            for batch in source.iter_batches():
                ids = batch.column(ID)
                listed = pc.is_in(ids, value_set=pa.array(sorted(subjects), ids.type))
                kept = batch.filter(pc.invert(listed))
                target.write_batch(kept)
                n_rows += kept.num_rows
        return n_rows
