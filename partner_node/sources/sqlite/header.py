"""Whether a SQLite file uses a write-ahead log, asked without losing a lock.

A process that closes a file which it opened by itself loses all locks that its SQLite holds on that
file (POSIX): another program may then write where a pass reads, or remove a log that is in use.
https://www.sqlite.org/howtocorrupt.html, 2.2. So no file is opened past SQLite while this process
has it open, in whichever thread: what was seen when it was first opened holds until its last close.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

#: Where the header has the file format's versions for writing and reading: 2 is a write-ahead log.
_VERSIONS: Final = slice(18, 20)
_LOGGED: Final = b"\x02\x02"


@dataclass(slots=True)
class _Open:
    logged: bool
    times: int = 0


_LOCK: Final = Lock()
#: The files that are open, by device and inode.
_OPEN: Final[dict[tuple[int, int], _Open]] = {}


@contextmanager
def logged(path: Path) -> Iterator[bool]:
    """Whether a database uses a write-ahead log; SQLite opens and closes it within the block."""
    try:
        status = path.stat()
    except OSError:
        yield False  # SQLite says what is wrong
        return
    key = (status.st_dev, status.st_ino)
    with _LOCK:
        if key not in _OPEN:
            _OPEN[key] = _Open(_look(path))
        opened = _OPEN[key]
        opened.times += 1
    try:
        yield opened.logged
    finally:
        with _LOCK:
            opened.times -= 1
            if not opened.times:
                del _OPEN[key]


def _look(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(_VERSIONS.stop)[_VERSIONS] == _LOGGED
    except OSError:
        return False
