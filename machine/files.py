"""Files: written whole and to last, or not at all; opened without ever waiting."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from protocol.errors import UsageError


def open_regular(path: Path) -> BufferedReader:
    """A file, open for reading.

    Raises:
        OSError: It cannot be opened, or is a folder, a pipe or a device.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "Not a regular file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file in one step, synced; raises UsageError."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(path: Path, *, mode: int = 0o666, temporary: Path | None = None) -> Iterator[Path]:
    """A new empty file beside `path`, which takes its place at the end unless something is raised.

    A draft that must be known again when this process is killed has a name given by the caller.

    Args:
        mode: The file's mode, from which the umask takes away. Folders that are missing are made
            for this account alone where the file is.
        temporary: The file to make, in the folder of `path`; one of this process when left out.

    Raises:
        UsageError: The file cannot be written (E-FILE).
    """
    if temporary is None:
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _make_folder(path.parent, mode=0o777 if mode & 0o077 else 0o700)
        temporary.unlink(missing_ok=True)  # left by a killed process that had our number
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            yield temporary
            os.fsync(descriptor)
            temporary.replace(path)
            sync_folder(path.parent)
        finally:
            os.close(descriptor)
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def make_folder_of(path: Path) -> None:
    """Make the folder of a file that is to be written, for this account alone where it is missing.

    Raises:
        UsageError: It cannot be made (E-FILE).
    """
    try:
        _make_folder(path.parent, mode=0o700)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"{path} cannot be written: {error.strerror or error}",
        code="E-FILE",
        remedy="name a file in a folder that this account may write to",
    )


def _make_folder(folder: Path, *, mode: int) -> None:
    """Make a folder and those that it lies in, where they are missing; raises OSError."""
    for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
        missing.mkdir(mode=mode, exist_ok=True)
    folder.mkdir(exist_ok=True)  # refuses a file in its place


def sync_folder(folder: Path) -> None:
    """Have names that came or went in a folder last; raises OSError, as when it is not there."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:  # it may be written to, but not be listed
        os.sync()
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that does not sync folders
            raise
    finally:
        os.close(descriptor)
