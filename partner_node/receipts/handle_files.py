"""Files of handles: who was counted in a run, without a name and without the key.

A file has 16 bytes a handle, in order, and is written once. A run has one; another when a later
answer counts somebody who was not in the first set. Of each answer a mark for each handle is kept
in the state's database. Nothing in a file or among the marks can be told apart without the run's
key, which is sealed there.
"""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from machine.files import make_folder_for_owner, sync_folder, write_file
from machine.locks import held
from protocol.errors import StoreError
from protocol.receipts.handles import HANDLE_BYTES, Handles, first_at, merged

FOLDER: Final = "receipts"
_LOCK: Final = "lock"
_END: Final = ".handles"
_LOCKED_S: Final = 60.0
#: How a part's marks are packed: quickly.
_LEVEL: Final = 1
#: Handles that are looked for at once, so that memory grows little with the set.
_BLOCK: Final = 1 << 18

Marks = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Part:
    """Handles that one file has.

    Attributes:
        file: Its name in the folder.
        count: How many it has.
    """

    file: str
    count: int


class HandleFiles:
    """The folder of these files, beside the state's database."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, found: Handles) -> Part:
        """Write handles, in ascending order, into a new file; durable when this returns.

        Hold `writing` until a row names the file, or it is swept.
        """
        name = f"{secrets.token_hex(16)}{_END}"
        write_file(self._folder / name, found.astype("<u8").tobytes(), mode=0o600)
        return Part(name, int(found.shape[0]))

    def read(self, part: Part) -> Handles | None:
        """The handles of a part; None where its file is gone, or has another size."""
        path = self._folder / part.file
        try:
            if path.stat().st_size != part.count * HANDLE_BYTES:
                return None
            if not part.count:
                return np.empty((0, 2), dtype=np.uint64)
            return np.memmap(path, dtype="<u8", mode="r", shape=(part.count, 2))
        except OSError:
            return None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep `sweep` from files that no row names yet.

        Raises:
            StoreError: Another process sweeps for too long.
        """
        make_folder_for_owner(self._folder)
        with held(self._folder / _LOCK, wait_s=_LOCKED_S, shared=True) as ours:
            if not ours:
                raise StoreError(
                    f"another process holds {self._folder / _LOCK}", remedy="try again"
                )
            yield

    @contextmanager
    def sweeping(self) -> Iterator[bool]:
        """Keep others from writing; gives whether that is so, and does not wait."""
        if not self._folder.is_dir():
            yield False
            return
        with held(self._folder / _LOCK) as ours:
            yield ours

    def sweep(self, named: Sequence[str]) -> None:
        """Delete files that no row names; inside `sweeping`, with what the rows name by now."""
        kept, gone = {*named, _LOCK}, False
        for path in list(self._folder.iterdir()):
            if path.name not in kept:
                path.unlink(missing_ok=True)
                gone = True
        if gone:
            sync_folder(self._folder)


def marked(parts: Sequence[Handles | None], counted: Handles) -> tuple[list[Marks], Handles]:
    """Which handles of each part are counted, and the counted ones that are in none.

    Args:
        parts: Each in ascending order; None where a file is gone.
        counted: In ascending order.
    """
    found, rest = [], counted
    for part in parts:
        if part is None:
            found.append(np.zeros(0, dtype=np.bool_))
            continue
        marks = np.zeros(part.shape[0], dtype=np.bool_)
        missing = np.ones(rest.shape[0], dtype=np.bool_)
        for start in range(0, rest.shape[0], _BLOCK):
            some = rest[start : start + _BLOCK]
            rows = between(part, int(some[0, 0]), int(some[-1, 0]) + 1)
            beside = np.ascontiguousarray(part[rows])
            if not beside.shape[0]:
                continue
            places = np.searchsorted(beside[:, 0].copy(), some[:, 0])
            places[places == beside.shape[0]] = 0
            same = (beside[places] == some).all(axis=1)
            marks[rows.start + places[same]] = True
            missing[start : start + _BLOCK] = ~same
        found.append(marks)
        rest = rest[missing]
    return found, rest


def joined(parts: Sequence[Handles]) -> Handles:
    """The handles of parts, each in ascending order, in one."""
    some = [part for part in parts if part.shape[0]]
    return some[0] if len(some) == 1 else merged(some)


def chosen(part: Handles, marks: Marks) -> Handles:
    """The marked handles of a part; the part itself where that is all of them."""
    return part if marks.shape[0] == part.shape[0] and marks.all() else part[marks]


def pack(marks: Marks) -> bytes:
    """Marks as bytes."""
    return zlib.compress(np.packbits(marks).tobytes(), _LEVEL)


def unpack(data: bytes, count: int) -> Marks:
    """The marks of a part of so many handles."""
    bits = np.unpackbits(np.frombuffer(zlib.decompress(data), dtype=np.uint8))
    marks = np.zeros(count, dtype=np.bool_)
    marks[: bits.shape[0]] = bits[:count]
    return marks


def between(part: Handles, low: int, high: int) -> slice:
    """Where the handles of a part stand whose first halves are from `low` up to `high`."""
    return slice(first_at(part, low), first_at(part, high))
