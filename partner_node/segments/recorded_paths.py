"""Paths of files about customers, as they are put on record.

A path inside the node's folder is recorded relative to it, so that a copy of the folder finds its
own files, never those of the original. Any other path is recorded as it is, beside the folder that
the node had then: a node whose folder is another one now may be a copy, and leaves the file alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedPath:
    """A path as it is on record.

    Attributes:
        text: Relative to the node's folder, or absolute.
        home: The node's folder when an absolute path was recorded; empty in records of earlier
            versions.
    """

    text: str
    home: str

    @staticmethod
    def of(path: Path, folder: Path | None) -> RecordedPath:
        """How to record an absolute path; `folder` is the node's, resolved, if it has one."""
        if folder is None:
            return RecordedPath(text=str(path), home="")
        if path.is_relative_to(folder):
            return RecordedPath(text=str(path.relative_to(folder)), home="")
        return RecordedPath(text=str(path), home=str(folder))

    def under(self, folder: Path | None) -> Path:
        """Where the file is for a node with this folder."""
        return Path(self.text) if folder is None else folder / self.text

    def is_foreign_to(self, folder: Path | None) -> bool:
        """Whether it was recorded by a node with another folder, of which this may be a copy."""
        return self.home not in ("", str(folder))
