"""Checking a whole log: every entry, every stored hash, the root, and states that it once had."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from protocol.errors import LogError
from protocol.log.checkpoints import Checkpoint
from protocol.log.entries import check_entry
from protocol.log.tree import TILE_WIDTH, TileReader, leaf_hash, perfect_hash, root


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
    _check_from(log, 0)
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
    _check_from(log, known.size // TILE_WIDTH)
    return log.size, root(log.size, log)


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


def _check_from(log: LogReader, first: int) -> None:
    """Check the entries of the bundles from number `first` on, and all hashes above them."""
    start, size = first * TILE_WIDTH, log.size
    row: list[bytes] = []
    for at in range(start, size, TILE_WIDTH):
        stop = min(at + TILE_WIDTH, size)
        batch = log.entries(at, stop)
        if len(batch) != stop - at:
            raise _not_whole(f"of entries {at} to {stop - 1} some are missing")
        for data in batch:
            check_entry(data)
        row += [leaf_hash(data) for data in batch]
    level = 0
    while row:
        row = _check_row(log, level, start, row)
        level, start = level + 1, start // TILE_WIDTH


def _check_row(log: LogReader, level: int, start: int, row: Sequence[bytes]) -> list[bytes]:
    """Check stored hashes of a level from position `start` on; the hashes of its full tiles."""
    above = []
    stop = start + len(row)
    for index in range(start // TILE_WIDTH, -(-stop // TILE_WIDTH)):
        first = index * TILE_WIDTH
        width = min(TILE_WIDTH, stop - first)
        stored, place = log.tile(level, index, width), max(start - first, 0)
        wanted = row[first + place - start : first + width - start]
        if list(stored[place:]) != list(wanted):
            raise _not_whole(f"tile {index} of level {level} is not that of the entries")
        if width == TILE_WIDTH:
            above.append(perfect_hash(stored))
    return above


def _not_whole(what: str) -> LogError:
    return LogError(
        what,
        code="E-LOG-HASHES",
        remedy="Keep it, find out who changed it, and compare it with checkpoints kept elsewhere.",
    )
