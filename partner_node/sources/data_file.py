"""One file of a source at one moment."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


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


def digest_of(files: Sequence[DataFile]) -> bytes | None:
    """Hash of all that is known of files and of every byte in them: times alone may tell nothing.

    Returns:
        32 bytes; None where a file cannot be read, which reading its rows explains.
    """
    digest = hashlib.sha256()
    try:
        for file in files:
            about = repr(file).encode("utf-8", "surrogateescape")
            digest.update(hashlib.sha256(about).digest())
            with Path(file.path).open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    except OSError:
        return None
    return digest.digest()
