"""Files: written atomically and durably, opened without ever blocking.

Every file that fedseg keeps is written here. A process that is killed at any moment leaves the old
file or the new one, whole, and perhaps a draft (a temporary file) beside it, which the next process
that writes the same file removes. A process holds a lock on its draft while it writes; the system
releases it however the process ends.
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
#: Errors that a full disk, a quota or a limit of file sizes gives.
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: Errors that a file system without second names of files gives (FAT, some network drives).
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
#: Most attempts to make a draft: another process may remove or lock one before we lock it.
_MOST_DRAFTS: Final = 20


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading; one that a person named may be a pipe or a device.

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


def read_regular(path: Path, most: int) -> bytes:
    """The bytes of a regular file that a person named, all of them.

    Args:
        most: So many bytes may it have; never is a part of a longer one taken for the whole.

    Raises:
        OSError: As `open_regular`; or it has more (EFBIG).
    """
    with open_regular(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"It has more than {most:,} bytes", str(path))
    return data


def mark_of(path: Path) -> tuple[int, ...]:
    """Values by which to distinguish two versions of a file; empty when there is none."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_ino, status.st_mtime_ns, status.st_size


def write_file(path: Path, data: bytes | str, *, mode: int = 0o666) -> None:
    """Write or replace a file, atomically and durably; missing folders are created.

    Args:
        data: Text is written as UTF-8.
        mode: The file's mode, to which the umask applies.

    Raises:
        UsageError: The file cannot be written (E-FILE).
    """
    with _replacing(path, mode, None) as (_, descriptor):
        _write_all(descriptor, data.encode("utf-8") if isinstance(data, str) else data)


def check_writable(path: Path) -> None:
    """Refuse a path where `write_file` would fail, before what cannot be taken back is done.

    Raises:
        UsageError: No file can be written there (E-FILE).
    """
    try:
        _make_folder(path.parent, mode=0o777)
        if path.is_dir():
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        with _drafted(path, 0o666):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error


@contextmanager
def replacing(
    path: Path, *, mode: int = 0o666, temporary: Path | None = None, is_new: bool = False
) -> Iterator[Path]:
    """Yield a new empty file beside `path` that replaces it at the end, unless the block raises.

    Args:
        is_new: Nothing is replaced: what is there at the end, or appeared meanwhile, is kept.
        mode: The file's mode, to which the umask applies. Missing folders are closed to other
            accounts when the file is.
        temporary: The path to use for it, in the folder of `path`, for callers that record it to
            remove it after a crash; by default a draft with a random name.

    Raises:
        UsageError: The file cannot be written (E-FILE).
    """
    with _replacing(path, mode, temporary, is_new=is_new) as (draft, _):
        yield draft


def create_file(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write a new file durably in an existing folder; never replaces a file.

    Raises:
        FileExistsError: There is a file at `path`.
        OSError: The file cannot be written.
    """
    with _drafted(path, mode) as (draft, descriptor):
        _write_all(descriptor, data)
        os.fsync(descriptor)
        _name_new(draft, path)
        sync_folder(path.parent)


def write_new_file(path: Path, data: bytes | str, *, mode: int = 0o666) -> None:
    """As `write_file`, and never replaces what is there, nor follows a link.

    Raises:
        UsageError: There is something at `path`, or the file cannot be written (E-FILE).
    """
    with _replacing(path, mode, None, is_new=True) as (_, descriptor):
        _write_all(descriptor, data.encode("utf-8") if isinstance(data, str) else data)


def new_for_owner(path: Path) -> int:
    """Make a new empty file, closed to other accounts, in an existing folder; its descriptor.

    Where root makes it, it belongs to whoever has the folder, whose service is to use it. The
    folder is looked at and written through one descriptor: its owner cannot put another in its
    place meanwhile, and have that one's file.

    Raises:
        FileExistsError: There is something at `path`; a link is not followed.
        OSError: The file cannot be made.
    """
    look: int = getattr(os, "O_PATH", os.O_RDONLY)  # also where the folder cannot be listed
    folder = os.open(
        os.path.realpath(path.parent), look | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    )
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        made = os.open(path.name, flags, 0o600, dir_fd=folder)
        try:
            if os.geteuid() == 0:
                owner = os.fstat(folder)
                os.fchown(made, owner.st_uid, owner.st_gid)
        except BaseException:
            os.close(made)
            raise
    finally:
        os.close(folder)
    return made


def make_folder_for_owner(folder: Path) -> None:
    """Make a folder where it is missing, closed to other accounts, in one that may be missing too.

    Where root makes it, it belongs to whoever has the folder above it, as `new_for_owner`.

    Raises:
        OSError: It cannot be made, or something else is there.
    """
    if folder.is_dir():
        return
    make_folder_for_owner(folder.parent)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    above = os.open(os.path.realpath(folder.parent), flags)
    try:
        os.mkdir(folder.name, 0o700, dir_fd=above)
        if os.geteuid() == 0:
            made = os.open(folder.name, flags, dir_fd=above)
            try:
                owner = os.fstat(above)
                os.fchown(made, owner.st_uid, owner.st_gid)
            finally:
                os.close(made)
    except FileExistsError:
        if not folder.is_dir():  # else another process made it meanwhile
            raise
    finally:
        os.close(above)


def make_folder_of(path: Path) -> None:
    """Create the folder of a file where it is missing, closed to other accounts.

    Raises:
        UsageError: It cannot be created (E-FILE).
    """
    try:
        _make_folder(path.parent, mode=0o700)
    except OSError as error:
        raise _unwritable(path, error) from error


def sync_folder(folder: Path) -> None:
    """fsync a folder: names added to and removed from it become durable. Raises OSError."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:  # writable, but not readable
        os.sync()
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that does not sync folders
            raise
    finally:
        os.close(descriptor)


def _name_new(draft: Path, path: Path) -> None:
    """Give a draft its name, unless something has it; raises OSError."""
    try:
        os.link(draft, path)  # unlike a rename, this refuses to replace a file
    except OSError as error:
        if error.errno not in _NO_LINKS or os.path.lexists(path):
            raise
        draft.replace(path)


@contextmanager
def _replacing(
    path: Path, mode: int, named: Path | None, *, is_new: bool = False
) -> Iterator[tuple[Path, int]]:
    """Like `replacing`, and yields a descriptor of the draft too."""
    try:
        if is_new and os.path.lexists(path):  # before work is done in vain
            raise FileExistsError(errno.EEXIST, "there is something of that name", str(path))
        _make_folder(path.parent, mode=0o777 if mode & 0o077 else 0o700)
        with _drafted(path, mode, named) as (draft, descriptor):
            yield draft, descriptor
            os.fsync(descriptor)
            (_name_new if is_new else os.replace)(draft, path)
            sync_folder(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error


@contextmanager
def _drafted(path: Path, mode: int, named: Path | None = None) -> Iterator[tuple[Path, int]]:
    """Yield a draft of `path` and its descriptor; removes it at the end unless it was renamed."""
    if named is None:
        _sweep(path)
    draft, descriptor = _opened(path, mode, named)
    try:
        yield draft, descriptor
    finally:
        os.close(descriptor)
        draft.unlink(missing_ok=True)


def _opened(path: Path, mode: int, named: Path | None) -> tuple[Path, int]:
    """Create a draft and lock it.

    Whoever may read a draft can lock it: a process that sweeps, for a moment, and anybody else,
    for as long as they like. We wait for neither.
    """
    for _ in range(_MOST_DRAFTS):
        draft = named or path.with_name(f"{_prefix(path)}{secrets.token_hex(8)}{_DRAFT_END}")
        if named is not None:
            draft.unlink(missing_ok=True)  # whatever it is: a link is not followed
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        except OSError:  # a file system without locks: drafts of killed processes stay
            return draft, descriptor
        else:
            if os.fstat(descriptor).st_nlink:  # else another process swept it before we locked it
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
    with suppress(OSError):  # a folder that cannot be listed keeps its old drafts
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
    """Prefix of a file's drafts: a short hash, as its name may be long, or a customer's id."""
    return f".draft-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}-"


def _make_folder(folder: Path, *, mode: int) -> None:
    """Create a folder and its missing parents; raises OSError."""
    for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
        missing.mkdir(mode=mode, exist_ok=True)
        sync_folder(missing.parent)
    folder.mkdir(exist_ok=True)  # refuses a file in its place


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"{path} cannot be written: {error.strerror or error}",
        code="E-FILE",
        remedy=_way_out(error),
    )


def _way_out(error: OSError) -> str:
    if error.errno in _NO_ROOM:
        return "free room on its disk, or raise this account's limit"
    if error.errno == errno.EEXIST:
        return "name another file; what is there is kept"
    return "name a file in a folder that this account may write to"
