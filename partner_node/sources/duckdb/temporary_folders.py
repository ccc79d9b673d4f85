"""Temporary folders with customers' rows: removed after use, and after a crash.

A database that exceeds its memory limit writes rows to a temporary folder. The process that made
one holds a lock on it, which the system releases however the process ends; so an unlocked folder
was left behind, and the next process that makes one removes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

PREFIX: Final = "fedseg-rows-"
#: A folder younger than this may be new, and its process about to lock it.
YOUNG_S: Final = 60.0


@contextmanager
def temporary_folder(base: Path | None) -> Iterator[str]:
    """Yield a new folder, removed at the end; first removes those that killed processes left.

    Args:
        base: The folder to create it in; None for the system's temporary folder.

    Raises:
        OSError: It cannot be created.
    """
    _remove_left(base or Path(tempfile.gettempdir()))
    folder = tempfile.mkdtemp(prefix=PREFIX, dir=base)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # a file system without locks: nobody removes old folders there
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        with suppress(OSError):
            shutil.rmtree(folder)
        os.close(descriptor)


def _remove_left(base: Path) -> None:
    """Remove this account's folders in `base` that no process has locked."""
    for folder in base.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another process was faster, or it is another account's
            _remove_unless_held(folder)


def _remove_unless_held(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        about = os.fstat(descriptor)
        if about.st_uid != os.geteuid() or time.time() - about.st_mtime < YOUNG_S:
            return
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    finally:
        os.close(descriptor)
