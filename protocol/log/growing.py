"""A log's hashes in memory, for one that is built again from its entries."""

from __future__ import annotations

from collections.abc import Sequence

from protocol.log.tree import TILE_WIDTH, appended


class Tiles:
    """The hashes of a log that grows; a `TileReader`."""

    def __init__(self) -> None:
        self.size = 0
        self._levels: list[list[bytes]] = []

    def append(self, leaf: bytes) -> None:
        """Add the hash of an entry."""
        for one in appended(self.size, leaf, self):
            if one.level == len(self._levels):
                self._levels.append([])
            self._levels[one.level].append(one.hash)
        self.size += 1

    def tile(self, level: int, index: int, width: int) -> Sequence[bytes]:
        """See `protocol.log.tree.TileReader`."""
        first = index * TILE_WIDTH
        return self._levels[level][first : first + width]
