"""Copies of a log in files, as C2SP tlog-tiles lays them out: their names, and reading them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from protocol.log.checking import LogReader
from protocol.log.checkpoints import Checkpoint
from protocol.log.notes import MAX_NOTE_BYTES, Note, VerifierKey
from protocol.log.showing import verified_checkpoint
from protocol.log.tiles import (
    MAX_ENTRY_BYTES,
    TilePath,
    read_bundle,
    read_tile,
    write_bundle,
    write_tile,
)
from protocol.log.tree import HASH_BYTES, TILE_BITS, TILE_WIDTH

CHECKPOINT_FILE: Final = "checkpoint"


@dataclass(frozen=True, slots=True)
class CopiedLog:
    """A log in files; a `LogReader`. What is in it is not checked.

    Attributes:
        read: The bytes of a file by its path, at most so many; raises FedsegError.
        size: As its verified checkpoint says.
    """

    read: Callable[[str, int], bytes]
    size: int

    def tile(self, level: int, index: int, width: int) -> Sequence[bytes]:
        """See `protocol.log.tree.TileReader`."""
        stored = _width(self.size, level, index)
        path = TilePath(level, index, stored)
        return read_tile(self.read(str(path), TILE_WIDTH * HASH_BYTES), stored)[:width]

    def entries(self, start: int, stop: int) -> Sequence[bytes]:
        """Entries of one bundle: `start` is a multiple of 256."""
        index = start // TILE_WIDTH
        stored = _width(self.size, 0, index)
        path = str(TilePath(None, index, stored))
        bundle = read_bundle(self.read(path, TILE_WIDTH * (MAX_ENTRY_BYTES + 2)), stored)
        return bundle[start - index * TILE_WIDTH : stop - index * TILE_WIDTH]


def open_copied(
    read: Callable[[str, int], bytes], keys: Sequence[VerifierKey]
) -> tuple[CopiedLog, Checkpoint]:
    """The log in some files and its checkpoint; raises as `verified_checkpoint`.

    Args:
        read: As for `CopiedLog`.
        keys: Those that may sign the checkpoint.
    """
    checkpoint = verified_checkpoint(read(CHECKPOINT_FILE, MAX_NOTE_BYTES), keys)
    return CopiedLog(read, checkpoint.size), checkpoint


def exported_files(log: LogReader, note: Note) -> Iterator[tuple[str, bytes]]:
    """Path and bytes of each file of a log as of a checkpoint, that of the checkpoint last.

    Written over a copy of an earlier state they make it this one.
    """
    yield from copied_files(log, Checkpoint.from_text(note.text).size)
    yield CHECKPOINT_FILE, note.to_bytes()


def paths_of(size: int) -> Iterator[TilePath]:
    """Every file of the copy of a log of `size` entries, the checkpoint aside."""
    for level in range(-(-max(size, 1).bit_length() // TILE_BITS)):
        for index in range(-(-(size >> TILE_BITS * level) // TILE_WIDTH)):
            width = _width(size, level, index)
            yield TilePath(level, index, width)
            if level == 0:
                yield TilePath(None, index, width)


def copied_files(log: LogReader, size: int) -> Iterator[tuple[str, bytes]]:
    """Path and bytes of each of them."""
    for path in paths_of(size):
        yield str(path), copied_file(log, path)


def copied_file(log: LogReader, path: TilePath) -> bytes:
    """The bytes of one of them."""
    if path.level is not None:
        return write_tile(log.tile(path.level, path.index, path.width))
    first = path.index * TILE_WIDTH
    return write_bundle(log.entries(first, first + path.width))


def _width(size: int, level: int, index: int) -> int:
    return min(TILE_WIDTH, (size >> TILE_BITS * level) - index * TILE_WIDTH)
