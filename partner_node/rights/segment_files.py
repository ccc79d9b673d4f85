"""Files of customers' segments that this node wrote: who is in them, and taking somebody out."""

from __future__ import annotations

import csv
from collections.abc import Sequence, Set
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pyarrow as pa

from machine.text import shown
from partner_node.segments.export_records import ExportRecord
from partner_node.segments.private_files import HeldFiles, digest
from partner_node.segments.segment_tables import SegmentTable
from protocol.errors import SourceError


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentFiles:
    """Where a customer stands in files that this node wrote.

    Attributes:
        listing: Files that hold the customer.
        gone: Files that are not where they were written: what became of them is not known here.
            Unfinished ones that a killed process left are among them while their folder is not
            there.
        changed: Files that are not as they were written, in which the customer was not found: an
            id may be another text there, so that they may hold it all the same.
    """

    listing: tuple[str, ...]
    gone: tuple[str, ...]
    changed: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of them as JSON values."""
        return {
            "listing": list(self.listing),
            "gone": list(self.gone),
            "changed": list(self.changed),
        }

    @property
    def all_known(self) -> bool:
        """Whether no file is left in which the customer may be unseen."""
        return not self.gone and not self.changed

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
        if self.changed:
            words.append(
                "Changed since they were written, and the customer is not found there under this "
                "id, so look there yourself: "
                + ", ".join(map(shown, self.changed))
                + ". Delete what is not needed; `fedseg-node retention strike FILE` takes a file "
                "without customers off the register."
            )
        return words


class InFile(Enum):
    """How a customer stands in one file: `CHANGED` where that cannot be told for sure."""

    LISTED = "listed"
    NOT_LISTED = "not listed"
    CHANGED = "changed"
    GONE = "gone"


def standing_in(versions: Sequence[ExportRecord], subjects: Set[str]) -> InFile:
    """How some customers stand in a file; a copied folder's node leaves foreign files alone.

    Args:
        versions: The file's records, newest first.

    Raises:
        SourceError: The file cannot be read (E-SEGMENT-FILE).
    """
    path = Path(versions[0].path)
    if versions[0].foreign:
        return InFile.GONE
    try:
        as_written = _is_as_written(path, versions)
        table = SegmentTable.read(path)
        if table is not None and table.lists(subjects):
            return InFile.LISTED
    except (FileNotFoundError, NotADirectoryError):
        return InFile.GONE
    except (OSError, pa.ArrowException, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, error) from error
    return InFile.NOT_LISTED if as_written else InFile.CHANGED


def take_out(versions: Sequence[ExportRecord], subjects: Set[str], *, files: HeldFiles) -> None:
    """Write a file again without some customers; it is replaced in one step, its record after it.

    A file that was changed stays one on record: another customer's id may be another text there.

    Raises:
        SourceError: The file cannot be read (E-SEGMENT-FILE).
        UsageError: It cannot be written (E-FILE).
    """
    path = Path(versions[0].path)
    try:
        table = SegmentTable.read(path)
        if table is None:
            return
        with files.replacing(path) as draft:
            n_rows = table.write_without(subjects, draft.path)
            if _is_as_written(path, versions):
                draft.will_hold(n_rows=n_rows, sha256=digest(draft.path))
    except (pa.ArrowException, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, error) from error


def _is_as_written(path: Path, versions: Sequence[ExportRecord]) -> bool:
    return digest(path) in {record.sha256 for record in versions}


def _unreadable(path: Path, error: Exception) -> SourceError:
    if isinstance(error, OSError):
        wrong = f"cannot be read: {error.strerror}"
    elif isinstance(error, UnicodeDecodeError):
        wrong = "is no text in UTF-8 any more"
    else:
        wrong = f"is no {'CSV' if isinstance(error, csv.Error) else 'Parquet'} any more"
    return SourceError(
        f"{path}, which this node wrote, {wrong}",
        code="E-SEGMENT-FILE",
        remedy="bring the file back as it was written, or delete it: it is then taken as gone; "
        "`fedseg-node retention strike FILE` takes one without customers off the register",
    )
