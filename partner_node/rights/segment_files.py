"""Files of customers' segments that this node wrote: who is in them, and taking somebody out."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from machine.text import shown
from partner_node.segments.private_files import HeldFiles, digest
from protocol.errors import SourceError


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentFiles:
    """Where a customer stands in files that this node wrote.

    Attributes:
        listing: Files that hold the customer.
        gone: Files that are not where they were written: what became of them is not known here.
            Unfinished ones that a killed process left are among them while their folder is not
            there.
    """

    listing: tuple[str, ...]
    gone: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Both as JSON values."""
        return {"listing": list(self.listing), "gone": list(self.gone)}

    @property
    def words_once_taken_out(self) -> list[str]:
        """What became of the files once the customer was taken out of them, a line each."""
        words = []
        if self.listing:
            words.append("Taken out of: " + ", ".join(map(shown, self.listing)) + ".")
        if self.gone:
            words.append(
                "Not where they were written any more, so look there yourself: "
                + ", ".join(map(shown, self.gone))
                + "."
            )
        return words


def lists(path: Path, subjects: Set[str]) -> bool | None:
    """Whether a file holds one of some customers; None when it is not there any more."""
    try:
        return any(not subjects.isdisjoint(ids) for ids in _ids(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, pa.ArrowException, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, error) from error


def without(path: Path, subjects: Set[str], *, files: HeldFiles) -> None:
    """Write a file again without some customers; it is replaced in one step, its record after it.

    Args:
        path: As it is on record.

    Raises:
        SourceError: The file cannot be read (E-SEGMENT-FILE).
        UsageError: It cannot be written (E-FILE).
    """
    try:
        with files.replacing(path) as draft:
            if path.suffix == ".csv":
                n_rows = _csv_without(path, draft.path, subjects)
            else:
                n_rows = _parquet_without(path, draft.path, subjects)
            draft.will_hold(n_rows=n_rows, sha256=digest(draft.path))
    except (pa.ArrowException, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, error) from error


def _ids(path: Path) -> Iterator[set[str]]:
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            yield {row[0] for row in csv.reader(file) if row}
        return
    with pyarrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["customer_id"]):
            yield set(batch.column(0).to_pylist())


def _csv_without(path: Path, to: Path, subjects: Set[str]) -> int:
    n_rows = -1  # the header
    with (
        path.open(newline="", encoding="utf-8") as source,
        to.open("w", newline="", encoding="utf-8") as target,
    ):
        writer = csv.writer(target)
        for row in csv.reader(source):
            if row and row[0] not in subjects:
                writer.writerow(row)
                n_rows += 1
    return n_rows


def _parquet_without(path: Path, to: Path, subjects: Set[str]) -> int:
    n_rows = 0
    with (
        pyarrow.parquet.ParquetFile(path) as source,
        pyarrow.parquet.ParquetWriter(to, source.schema_arrow) as target,
    ):
        for batch in source.iter_batches():
            listed = pc.is_in(batch.column("customer_id"), value_set=pa.array(sorted(subjects)))
            kept = batch.filter(pc.invert(listed))
            target.write_batch(kept)
            n_rows += kept.num_rows
    return n_rows


def _unreadable(path: Path, error: Exception) -> SourceError:
    return SourceError(
        f"{path}, which this node wrote, cannot be read any more ({type(error).__name__})",
        code="E-SEGMENT-FILE",
        remedy="bring the file back as it was written, or delete it: it is then taken as gone",
    )
