"""Locks between processes; the system releases them however a process ends."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from machine.files import new_for_owner

_PAUSE_S: Final = 0.02


@contextmanager
def held(path: Path, *, wait_s: float = 0.0, shared: bool = False) -> Iterator[bool]:
    """Hold the lock file at `path` until the end of the block.

    Args:
        path: The lock file, in an existing folder. It is created where missing, for whoever has the
            folder, is empty, and is never removed. Where the file system is only read nobody
            changes anything there: a lock that is missing is nobody else's.
        wait_s: How long to wait for another process.
        shared: For who only looks whether somebody has it: others who look are in nobody's way.

    Yields:
        Whether the lock is ours; False when another process, or this one, has it.
    """
    deadline = time.monotonic() + wait_s
    descriptor = _opened(path)
    if descriptor is None:
        yield True
        return
    try:
        while not (ours := _locked(descriptor, shared=shared)) and time.monotonic() < deadline:
            time.sleep(_PAUSE_S)
        yield ours
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int | None:
    there = os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with suppress(FileExistsError):
            return new_for_owner(path)
        return os.open(path, os.O_RDWR | there)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
    with suppress(FileNotFoundError):
        return os.open(path, os.O_RDONLY | there)
    return None


def _locked(descriptor: int, *, shared: bool) -> bool:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
