"""Files: written whole and to last, or not at all; opened without ever waiting.

Every file that fedseg keeps is written here. A process that is killed at any moment leaves the old
file or the new one, whole; what it leaves beside it, a draft, is removed by the next process that
writes the same file. A draft belongs to a process for as long as that holds its lock, which the
system takes back however a process ends.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Final

from protocol.errors import UsageError

_DRAFT_END: Final = ".part"
#: Drafts that are made at most before a file is written: others are swept or locked by somebody.
_MOST_DRAFTS: Final = 20


def open_regular(path: Path) -> BufferedReader:
    """Open a file for reading that a person named: a pipe or a device is no file.

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


def write_file(path: Path, data: bytes | str, *, mode: int = 0o666) -> None:
    """Replace a file in one step, synced; folders that are missing are made.

    Args:
        data: Text is written as UTF-8.
        mode: The file's mode, from which the umask takes away.

    Raises:
        UsageError: The file cannot be written (E-FILE).
    """
    with _replacing(path, mode, None) as (_, descriptor):
        _write_all(descriptor, data.encode("utf-8") if isinstance(data, str) else data)


@contextmanager
def replacing(path: Path, *, mode: int = 0o666, temporary: Path | None = None) -> Iterator[Path]:
    """A new empty file beside `path`, which takes its place at the end unless something is raised.

    Args:
        mode: The file's mode, from which the umask takes away. Folders that are missing are made
            for this account alone where the file is.
        temporary: The file to make, in the folder of `path`, by who keeps a record of it to remove
            it after a kill; a draft with a name of its own when left out.

    Raises:
        UsageError: The file cannot be written (E-FILE).
    """
    with _replacing(path, mode, temporary) as (draft, _):
        yield draft


def create_file(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write a new file, synced, in a folder that is there; a file of the name is never replaced.

    Raises:
        FileExistsError: There is one.
        OSError: The file cannot be written.
    """
    with _drafted(path, mode) as (draft, descriptor):
        _write_all(descriptor, data)
        os.fsync(descriptor)
        os.link(draft, path)  # unlike a rename, this refuses to replace a file
        sync_folder(path.parent)


def make_folder_of(path: Path) -> None:
    """Make the folder of a file that is to be written, for this account alone where it is missing.

    Raises:
        UsageError: It cannot be made (E-FILE).
    """
    try:
        _make_folder(path.parent, mode=0o700)
    except OSError as error:
        raise _unwritable(path, error) from error


def sync_folder(folder: Path) -> None:
    """Have names that came or went in a folder last; raises OSError, as when it is not there."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
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


@contextmanager
def _replacing(path: Path, mode: int, named: Path | None) -> Iterator[tuple[Path, int]]:
    """As `replacing`, with a descriptor of the draft."""
    try:
        _make_folder(path.parent, mode=0o777 if mode & 0o077 else 0o700)
        with _drafted(path, mode, named) as (draft, descriptor):
            yield draft, descriptor
            os.fsync(descriptor)
            draft.replace(path)
            sync_folder(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error


@contextmanager
def _drafted(path: Path, mode: int, named: Path | None = None) -> Iterator[tuple[Path, int]]:
    """A draft of `path` and a descriptor of it, gone at the end unless it took another name."""
    if named is None:
        _sweep(path)
    draft, descriptor = _opened(path, mode, named)
    try:
        yield draft, descriptor
    finally:
        os.close(descriptor)
        draft.unlink(missing_ok=True)


def _opened(path: Path, mode: int, named: Path | None) -> tuple[Path, int]:
    """Make a draft and take its lock.

    Whoever may read a draft may hold its lock: somebody who sweeps for a moment, and somebody else
    for as long as it pleases them. Neither is waited for.
    """
    for _ in range(_MOST_DRAFTS):
        draft = named or path.with_name(f"{_prefix(path)}{secrets.token_hex(8)}{_DRAFT_END}")
        if named is not None:
            draft.unlink(missing_ok=True)  # whatever lies there: a link is not written through
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        except OSError:  # a file system without locks: drafts of the dead stay there
            return draft, descriptor
        else:
            if os.fstat(descriptor).st_nlink:  # else swept, as nobody's, before it was locked
                return draft, descriptor
        os.close(descriptor)
        draft.unlink(missing_ok=True)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _sweep(path: Path) -> None:
    """Remove drafts of `path` that killed processes left."""
    prefix = _prefix(path)
    with suppress(OSError):  # where nothing can be listed, what was left stays
        for left in list(path.parent.iterdir()):
            if left.name.startswith(prefix) and left.name.endswith(_DRAFT_END):
                _remove_unless_held(left)


def _remove_unless_held(draft: Path) -> None:
    with suppress(OSError):
        descriptor = os.open(draft, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.unlink()
        finally:
            os.close(descriptor)


def _prefix(path: Path) -> str:
    """How drafts of a file begin: short, however long its name is, which may be a customer's id."""
    return f".draft-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}-"


def _make_folder(folder: Path, *, mode: int) -> None:
    """Make a folder and those that it lies in, where they are missing; raises OSError."""
    for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
        missing.mkdir(mode=mode, exist_ok=True)
        sync_folder(missing.parent)
    folder.mkdir(exist_ok=True)  # refuses a file in its place


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"{path} cannot be written: {error.strerror or error}",
        code="E-FILE",
        remedy="name a file in a folder that this account may write to",
    )
