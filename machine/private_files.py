"""Files that no other account can read or replace: keys, and passphrases that unlock them."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path
from typing import Final

from machine.files import create_file, sync_folder, write_file
from protocol.errors import KeystoreError, UsageError

MAX_FILE_BYTES: Final = 1 << 16
CORRECT: Final = "correct the path"


def read_private_file(path: Path, *, check_folder: bool = True, remedy: str = CORRECT) -> bytes:
    """Read a small file that no other account can read or replace.

    Args:
        check_folder: Whether the folder must be closed to others too, and the file no link.
        remedy: The way out that the error states when the file is missing.

    Raises:
        KeystoreError: E-KEY-MISSING, E-KEY-FILE, or E-KEY-MODE naming the chmod that corrects it,
            or as whom to call the command.
    """
    if check_folder:
        _check_folder(path.parent, remedy)
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (os.O_NOFOLLOW if check_folder else 0)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError as error:
        raise KeystoreError(
            f"{path}: no such file",
            code="E-KEY-MISSING",
            remedy=remedy,
        ) from error
    except OSError as error:
        raise _file_error(path, error) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise KeystoreError(f"{path} is not a regular file", code="E-KEY-FILE", remedy=CORRECT)
        _check_owner_and_mode(path, status, 0o600)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _file_error(path, error) from error
    finally:
        os.close(descriptor)
    if len(data) > MAX_FILE_BYTES:
        raise KeystoreError(
            f"{path} has more than {MAX_FILE_BYTES} bytes",
            code="E-KEY-FILE",
            remedy=CORRECT,
        )
    return data


def write_private_file(path: Path, data: bytes) -> None:
    """Write a new file with mode 0600 in a folder with mode 0700, atomically.

    Raises:
        KeystoreError: E-KEY-EXISTS when there is one already, E-KEY-MODE, E-KEY-FILE.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _file_error(path.parent, error) from error
    _check_folder(path.parent, CORRECT)
    try:
        create_file(path, data)
    except FileExistsError as error:
        raise KeystoreError(
            f"{path} exists already; keys are never overwritten",
            code="E-KEY-EXISTS",
            remedy="use the keys that are there, or move the file away first",
        ) from error
    except OSError as error:
        raise _file_error(path, error) from error


def replace_private_file(path: Path, data: bytes) -> None:
    """Replace a file that is there by one with mode 0600, atomically: killed at any moment, the
    old one or the new one is there.

    Raises:
        KeystoreError: E-KEY-MISSING when there is none, E-KEY-MODE, E-KEY-FILE.
    """
    read_private_file(path)
    try:
        write_file(path, data, mode=0o600)
    except UsageError as error:
        raise KeystoreError(error.message, code="E-KEY-FILE", remedy=CORRECT) from error


def _check_folder(folder: Path, remedy: str) -> None:
    try:
        status = folder.stat()
    except FileNotFoundError as error:
        raise KeystoreError(
            f"{folder}: no such folder",
            code="E-KEY-MISSING",
            remedy=remedy,
        ) from error
    except OSError as error:
        raise _file_error(folder, error) from error
    if not stat.S_ISDIR(status.st_mode):
        raise KeystoreError(f"{folder} is not a folder", code="E-KEY-FILE", remedy=CORRECT)
    _check_owner_and_mode(folder, status, 0o700)


def _check_owner_and_mode(path: Path, status: os.stat_result, allowed: int) -> None:
    if status.st_uid != os.geteuid():
        raise KeystoreError(
            f"{path} belongs to {_called(status.st_uid)}, this process runs as "
            f"{_called(os.geteuid())}",
            code="E-KEY-MODE",
            remedy=_as_whom(path, status.st_uid, os.geteuid()),
        )
    mode = stat.S_IMODE(status.st_mode)
    if mode & ~allowed:
        raise KeystoreError(
            f"{path} has mode {mode:04o}, {allowed:04o} is the widest allowed",
            code="E-KEY-MODE",
            remedy=f"chmod {allowed:04o} {path}",
        )


def _as_whom(path: Path, owner: int, caller: int) -> str:
    """The way out where a file is another account's.

    A service keeps its files: whoever calls a command for it does so as the service's account. Only
    what is a stranger in the caller's own folder becomes the caller's.
    """
    run = f"run the command as whose it is: sudo -u {_account(owner)} …"
    take = f"chown {caller} {path}"
    try:
        in_own_folder = path.parent.stat().st_uid == caller
    except OSError:
        in_own_folder = False
    if not in_own_folder:
        return run
    return take if caller != 0 else f"{run}; or, where nobody else needs it, {take}"


def _called(user: int) -> str:
    name = _name(user)
    return f"user {user}" if name is None else f"user {user} ({name})"


def _account(user: int) -> str:
    """An account as `sudo` takes it."""
    return _name(user) or f"'#{user}'"


def _name(user: int) -> str | None:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:  # a container may run under a number without a name
        return None


def _file_error(path: Path, error: OSError) -> KeystoreError:
    return KeystoreError(
        f"{path}: {error.strerror}",
        code="E-KEY-FILE",
        remedy="correct the path, or the rights of the account that runs this process",
    )


def remove_private_file(path: Path) -> None:
    """Remove a file durably, if it is there; raises KeystoreError (E-KEY-FILE)."""
    try:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise _file_error(path, error) from error


def next_of(path: Path) -> Path:
    """Where a passphrase stands that is about to take the place of the one in a file."""
    real = path.resolve()
    return real.with_name(f"{real.name}.new")


def check_settled(path: Path, *, command: str) -> None:
    """Refuse while a passphrase is about to take the place of the one in a file.

    What it encrypts opens with one of the two then, nobody says with which.

    Args:
        command: What ends the change.

    Raises:
        UsageError: The new one lies beside the old one.
    """
    if next_of(path).exists():
        raise UsageError(
            f"the passphrase is being changed: {next_of(path)}",
            remedy=f"end that first: `{command}`",
        )
