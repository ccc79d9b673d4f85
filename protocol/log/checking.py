"""Checking a whole log: every entry, every stored hash, the root, and states that it once had."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from protocol.errors import LogError
from protocol.log.checkpoints import Checkpoint
from protocol.log.entries import check_entry
from protocol.log.tree import TILE_WIDTH, TileReader, appended, leaf_hash, perfect_hash, root


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
    size, claimed = log.size, sorted(checkpoints, key=lambda one: -one.size)
    level, row = 0, _check_entries(log, size)
    while row:
        level += 1
        row = _check_row(log, level, row)
    check_states(log, claimed)
    return size, root(size, log)


def check_since(log: LogReader, known: Checkpoint) -> tuple[int, bytes]:
    """Check what came after a state that others vouch for; a few hashes of what was before it.

    The bytes of earlier entries are not read: one that was changed is noticed when it is read or
    proved, as its hash, which the state vouches for, is another one.

    Returns:
        How many entries there are, and their root.

    Raises:
        MalformedError, LogError: As `check_log`.
    """
    check_states(log, [known])
    size = log.size
    for start in range(known.size // TILE_WIDTH * TILE_WIDTH, size, TILE_WIDTH):
        for number, data in enumerate(_checked(log, start, min(start + TILE_WIDTH, size)), start):
            for one in appended(number, leaf_hash(data), log):
                index, place = divmod(one.position, TILE_WIDTH)
                if list(log.tile(one.level, index, place + 1)[place:]) != [one.hash]:
                    raise _not_whole(
                        f"tile {index} of level {one.level} is not that of the entries"
                    )
    return size, root(size, log)


def check_states(log: LogReader, claimed: Sequence[Checkpoint]) -> None:
    """Check by the stored hashes that the log was in some states; raises as `check_log`."""
    size = log.size
    for one in claimed:
        if one.size > size:
            raise LogError(
                f"the log has {size} entries, and a signed checkpoint of it has {one.size}",
                code="E-LOG-SHORT",
                remedy="Entries were cut off, or an older state was restored: find out which.",
            )
        if root(one.size, log) != one.root:
            raise LogError(
                f"the first {one.size} entries are not those of a signed checkpoint",
                code="E-LOG-FORKED",
                remedy="Keep the checkpoint and the log: together they show that it was rewritten.",
            )


def _check_entries(log: LogReader, size: int) -> list[bytes]:
    """Check the entries, and the stored hashes of level 0; the hashes of its full tiles."""
    above = []
    for start in range(0, size, TILE_WIDTH):
        batch = _checked(log, start, min(start + TILE_WIDTH, size))
        above += _check_tile(log, 0, start // TILE_WIDTH, [leaf_hash(data) for data in batch])
    return above


def _checked(log: LogReader, start: int, stop: int) -> Sequence[bytes]:
    """The entries `start` to `stop`, all there and each one well formed."""
    batch = log.entries(start, stop)
    if len(batch) != stop - start:
        raise _not_whole(f"of entries {start} to {stop - 1} some are missing")
    for data in batch:
        check_entry(data)
    return batch


def _check_row(log: LogReader, level: int, row: Sequence[bytes]) -> list[bytes]:
    """Check the stored hashes of a level; the hashes of its full tiles."""
    above = []
    for start in range(0, len(row), TILE_WIDTH):
        above += _check_tile(log, level, start // TILE_WIDTH, row[start : start + TILE_WIDTH])
    return above


def _check_tile(log: LogReader, level: int, index: int, hashes: Sequence[bytes]) -> list[bytes]:
    """Check a tile; its own hash, where it is full."""
    if list(log.tile(level, index, len(hashes))) != list(hashes):
        raise _not_whole(f"tile {index} of level {level} is not that of the entries")
    return [perfect_hash(hashes)] if len(hashes) == TILE_WIDTH else []


def _not_whole(what: str) -> LogError:
    return LogError(
        what,
        code="E-LOG-HASHES",
        remedy="Keep it, find out who changed it, and compare it with checkpoints kept elsewhere.",
    )
