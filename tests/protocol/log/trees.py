"""A log's tiles in memory, filled as a store would fill them."""

from __future__ import annotations

from collections.abc import Sequence

from protocol.log import tree


class Kept:
    """Hashes by level; counts the tiles that are read."""

    def __init__(self) -> None:
        self.levels: list[list[bytes]] = []
        self.reads = 0

    def tile(self, level: int, index: int, width: int) -> Sequence[bytes]:
        self.reads += 1
        start = index * tree.TILE_WIDTH
        return self.levels[level][start : start + width]

    def append(self, leaf: bytes) -> int:
        """Store a leaf; how many hashes that took."""
        size = len(self.levels[0]) if self.levels else 0
        stored = tree.appended(size, leaf, self)
        for one in stored:
            if one.level == len(self.levels):
                self.levels.append([])
            assert one.position == len(self.levels[one.level])
            self.levels[one.level].append(one.hash)
        return len(stored)


def kept(leaves: Sequence[bytes]) -> Kept:
    found = Kept()
    for leaf in leaves:
        found.append(leaf)
    return found


def naive_root(leaves: Sequence[bytes]) -> bytes:
    """RFC 9162, 2.1.1, word for word: the definition over leaf hashes."""
    if not leaves:
        return tree.EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return tree.node_hash(naive_root(leaves[:k]), naive_root(leaves[k:]))
