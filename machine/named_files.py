"""Files that somebody named on a command line: read whole, and never more than they may have."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from machine.files import open_regular, write_file
from protocol.errors import UsageError


def read_named(path: Path, most: int, *, code: str, remedy: str = "name the right file") -> bytes:
    """A file of at most `most` bytes.

    Args:
        code: Of the error.
        remedy: What to do about a file that has more.

    Raises:
        UsageError: It cannot be read, or has more.
    """
    try:
        with open_regular(path) as file:
            data = file.read(most + 1)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", code=code, remedy="correct the path"
        ) from error
    if len(data) > most:
        raise UsageError(f"{path} has more than {most:,} bytes", code=code, remedy=remedy)
    return data


def write_within(folder: Path, files: Iterable[tuple[str, bytes]]) -> int:
    """Write files by their paths in a folder, in their order, closed to others; how many."""
    written = 0
    for name, data in files:
        write_file(folder / name, data, mode=0o600)
        written += 1
    return written


def read_of_log(path: Path, most: int) -> bytes:
    """A file that belongs to a log, such as a proof; raises UsageError (E-LOG-FILE)."""
    return read_named(path, most, code="E-LOG-FILE")


def read_if_there(path: Path, most: int) -> bytes | None:
    """As `read_of_log`; None where nothing has that name."""
    return read_of_log(path, most) if os.path.lexists(path) else None
