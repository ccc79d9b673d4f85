"""Checking a whole log: every entry, every stored hash, the root, and states that it once had."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from protocol.errors import LogError
from protocol.log.checkpoints import Checkpoint
from protocol.log.entries import Entry
from protocol.log.tree import TILE_WIDTH, TileReader, appended, leaf_hash, root


class LogReader(TileReader, Protocol):
    """Where a log's entries are kept, beside its hashes."""

    @property
    def size(self) -> int:
        """How many entries there are."""
        ...

    def entries(self, start: int, stop: int) -> Sequence[bytes]:
        """The entries `start` to `stop`, at most 256, in order."""
        ...


def check_log(log: LogReader, checkpoints: Iterable[Checkpoint] = ()) -> tuple[int, bytes]:
    """Check a log whole; each entry and each stored hash is read once.

    Args:
        checkpoints: States that the log had earlier; who signed them was checked.

    Returns:
        How many entries there are, and their root.

    Raises:
        MalformedError: An entry is none, or not in its one form (E-LOG-FORMAT).
        LogError: E-LOG-HASHES an entry and a stored hash do not belong together, or one is missing;
            E-LOG-SHORT the log has fewer entries than it had; E-LOG-FORKED its first entries are
            others than they were.
    """
    size, claimed = log.size, sorted(checkpoints, key=lambda one: one.size)
    tower = _Tower()
    for start in range(0, size, TILE_WIDTH):
        stop = min(start + TILE_WIDTH, size)
        batch = log.entries(start, stop)
        if len(batch) != stop - start:
            raise _not_whole(f"of entries {start} to {stop - 1} some are missing")
        for number, data in enumerate(batch, start):
            Entry.from_bytes(data)
            while claimed and claimed[0].size == number:
                _check_root(claimed.pop(0), tower)
            tower.add(leaf_hash(data), log)
    tower.check_last(log)
    while claimed and claimed[0].size == size:
        _check_root(claimed.pop(0), tower)
    if claimed:
        raise LogError(
            f"the log has {size} entries, and a signed checkpoint of it has {claimed[0].size}",
            code="E-LOG-SHORT",
            remedy="Entries were cut off, or an older state was restored: find out which.",
        )
    return size, tower.root


class _Tower:
    """The hashes of a log that is read from its beginning: of each level, the last tile."""

    def __init__(self) -> None:
        self._size = 0
        self._levels: list[tuple[int, list[bytes]]] = []

    @property
    def root(self) -> bytes:
        return root(self._size, self)

    @property
    def size(self) -> int:
        return self._size

    def add(self, leaf: bytes, stored: TileReader) -> None:
        """Add an entry's hash; a tile that it fills is compared with the stored one."""
        for one in appended(self._size, leaf, self):
            if one.level == len(self._levels):
                self._levels.append((0, []))
            index, row = self._levels[one.level]
            if index != one.position // TILE_WIDTH:
                index, row = one.position // TILE_WIDTH, []
            row.append(one.hash)
            self._levels[one.level] = index, row
            if len(row) == TILE_WIDTH:
                _compare(stored, one.level, index, row)
        self._size += 1

    def check_last(self, stored: TileReader) -> None:
        """Compare the tiles that are not full with the stored ones."""
        for level, (index, row) in enumerate(self._levels):
            if row and len(row) < TILE_WIDTH:
                _compare(stored, level, index, row)

    def tile(self, level: int, index: int, width: int) -> Sequence[bytes]:
        """See `TileReader`: only the last tile of each level is ever asked for."""
        found, row = self._levels[level]
        return row[:width] if found == index else []


def _compare(stored: TileReader, level: int, index: int, row: Sequence[bytes]) -> None:
    if list(stored.tile(level, index, len(row))) != list(row):
        raise _not_whole(f"tile {index} of level {level} is not that of the entries")


def _check_root(claimed: Checkpoint, tower: _Tower) -> None:
    if tower.root != claimed.root:
        raise LogError(
            f"the first {claimed.size} entries are not those of a signed checkpoint",
            code="E-LOG-FORKED",
            remedy="Keep the checkpoint and the log: together they show that it was rewritten.",
        )


def _not_whole(what: str) -> LogError:
    return LogError(
        what,
        code="E-LOG-HASHES",
        remedy="Keep it, find out who changed it, and compare it with checkpoints kept elsewhere.",
    )
