"""One file of a source at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """The state of one file at one moment; equal as long as the file has not changed.

    Attributes:
        path: Absolute path.
        size: In bytes.
        modified_ns: Time of the last change, nanoseconds since the epoch.
        inode: The file's number on its device.
        changed_ns: Time of the last change of content, name or rights, which no program can set;
            left out of the comparison, since a backup changes it too.
    """

    path: str
    size: int
    modified_ns: int
    inode: int
    changed_ns: int = field(compare=False)
