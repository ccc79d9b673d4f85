"""RFC 9162 Merkle trees over SHA-256: roots, proofs and their checks. Section 2.1 there.

Hashes are kept as C2SP tlog-tiles addresses them: on tile level ``L`` the hash at position ``p``
is that of the entries ``[p * 256**L, (p + 1) * 256**L)``; tile ``n`` has positions 256 n to
256 n + 255. What lies between two levels is hashed again, so a log of 10^6 entries is proved
with a handful of tiles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from protocol.errors import LogError
from protocol.log.text import MAX_NUMBER, malformed

HASH_BYTES: Final = 32
TILE_BITS: Final = 8
TILE_WIDTH: Final = 1 << TILE_BITS
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()


class TileReader(Protocol):
    """Where a log's hashes are kept."""

    def tile(self, level: int, index: int, width: int) -> Sequence[bytes]:
        """The first `width` hashes, 32 bytes each, of tile `index` on `level`."""
        ...


@dataclass(frozen=True, slots=True)
class Stored:
    """A hash to store: `level` of tiles, `position` on that level, 32 bytes."""

    level: int
    position: int
    hash: bytes


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry as a leaf."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def perfect_hash(hashes: Sequence[bytes]) -> bytes:
    """The hash of a subtree whose lowest row is `hashes`, a power of two of them."""
    row, sha256 = list(hashes), hashlib.sha256
    while len(row) > 1:
        pairs = zip(row[::2], row[1::2], strict=True)
        row = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
    return row[0]


def appended(size: int, leaf: bytes, tiles: TileReader) -> list[Stored]:
    """What to store when the hash `leaf` becomes entry `size`.

    One hash, and one more for each tile that it fills: 1 + 1/255 on average.

    Args:
        size: Entries of the log before.
        tiles: The log as it was before.
    """
    _number(size, "a size")
    found = [Stored(0, size, _hash(leaf))]
    while found[-1].position % TILE_WIDTH == TILE_WIDTH - 1:
        last = found[-1]
        index = last.position // TILE_WIDTH
        before = _read(tiles, last.level, index, TILE_WIDTH - 1)
        found.append(Stored(last.level + 1, index, perfect_hash([*before, last.hash])))
    return found


def root(size: int, tiles: TileReader) -> bytes:
    """The root of the first `size` entries."""
    _number(size, "a size")
    return _Reading(size, tiles).range(0, size) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, tiles: TileReader) -> list[bytes]:
    """The proof that entry `index` is in the tree of `size` entries (RFC 9162, 2.1.3.1)."""
    _number(size, "a size")
    if not 0 <= index < size:
        raise malformed(f"entry {index} is not among {size} entries")
    reading = _Reading(size, tiles)
    found: list[bytes] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            found.append(reading.range(middle, high))
            high = middle
        else:
            found.append(reading.range(low, middle))
            low = middle
    return found[::-1]


def consistency_proof(old: int, new: int, tiles: TileReader) -> list[bytes]:
    """The proof that the tree of `old` entries begins that of `new` ones (RFC 9162, 2.1.4.1).

    Empty where `old` is 0 or `new`, for which the RFC has no proof.
    """
    _number(new, "a size")
    if not 0 <= old <= new:
        raise malformed(f"{old} entries do not come before {new}")
    if old in (0, new):
        return []
    reading = _Reading(new, tiles)
    found: list[bytes] = []
    low, high = 0, new
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            found.append(reading.range(middle, high))
            high = middle
        else:
            found.append(reading.range(low, middle))
            low = middle
    if low:
        found.append(reading.range(low, high))
    return found[::-1]


def check_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root_hash: bytes
) -> None:
    """Check a proof of inclusion (RFC 9162, 2.1.3.2).

    Raises:
        MalformedError: A hash is not of 32 bytes, or a number is out of range.
        LogError: E-LOG-INCLUSION: the entry is not shown to be in that tree.
    """
    _number(size, "a size")
    if not 0 <= index < size:
        raise malformed(f"entry {index} is not among {size} entries")
    at, last, found = index, size - 1, _hash(leaf)
    for one in proof:
        _hash(one)
        if last == 0:
            raise _not_included(index, size)
        if at & 1 or at == last:
            found = node_hash(one, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, one)
        at, last = at >> 1, last >> 1
    if last != 0 or found != _hash(root_hash):
        raise _not_included(index, size)


def check_consistency(
    old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    """Check a proof of consistency (RFC 9162, 2.1.4.2); of 0 or equal sizes it is empty.

    Raises:
        MalformedError: A hash is not of 32 bytes, or a number is out of range.
        LogError: E-LOG-CONSISTENCY: the one tree is not shown to begin the other.
    """
    _number(new, "a size")
    if not 0 <= old <= new:
        raise malformed(f"{old} entries do not come before {new}")
    hashes = [_hash(one) for one in proof]
    _hash(old_root)
    _hash(new_root)
    if old in (0, new):
        same = old_root == (new_root if old == new else EMPTY_ROOT)
        if hashes or not same or (new == 0 and new_root != EMPTY_ROOT):
            raise _not_consistent(old, new)
        return
    if old & (old - 1) == 0:
        hashes.insert(0, old_root)
    if not hashes:
        raise _not_consistent(old, new)
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    first = second = hashes[0]
    for one in hashes[1:]:
        if last == 0:
            raise _not_consistent(old, new)
        if at & 1 or at == last:
            first, second = node_hash(one, first), node_hash(one, second)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            second = node_hash(second, one)
        at, last = at >> 1, last >> 1
    if last != 0 or first != old_root or second != new_root:
        raise _not_consistent(old, new)


class _Reading:
    """Hashes of a tree of `size` entries; each tile is read once."""

    def __init__(self, size: int, tiles: TileReader) -> None:
        self._size = size
        self._tiles = tiles
        self._read: dict[tuple[int, int], Sequence[bytes]] = {}

    def range(self, low: int, high: int) -> bytes:
        """The hash of entries `low` to `high`, where `low` is a multiple of a fitting power."""
        parts = []
        while low < high:
            height = (high - low).bit_length() - 1
            parts.append(self._subtree(height, low >> height))
            low += 1 << height
        found = parts.pop()
        while parts:
            found = node_hash(parts.pop(), found)
        return found

    def _subtree(self, height: int, index: int) -> bytes:
        level, rest = divmod(height, TILE_BITS)
        tile, start = divmod(index << rest, TILE_WIDTH)
        if (level, tile) not in self._read:
            width = min(TILE_WIDTH, (self._size >> (TILE_BITS * level)) - tile * TILE_WIDTH)
            self._read[level, tile] = _read(self._tiles, level, tile, width)
        return perfect_hash(self._read[level, tile][start : start + (1 << rest)])


def _read(tiles: TileReader, level: int, index: int, width: int) -> Sequence[bytes]:
    found = tiles.tile(level, index, width)
    if len(found) != width or any(len(one) != HASH_BYTES for one in found):
        raise LogError(
            f"tile {index} of level {level} has not {width} hashes of {HASH_BYTES} bytes",
            code="E-LOG-TILE",
            remedy="Restore the log from a backup, and compare it with a cosigned checkpoint.",
        )
    return found


def _split(count: int) -> int:
    """The greatest power of two below `count`, which is at least 2."""
    return 1 << ((count - 1).bit_length() - 1)


def _number(value: int, what: str) -> int:
    if not 0 <= value <= MAX_NUMBER:
        raise malformed(f"{what} lies outside 0 to 2^63 - 1: {value}")
    return value


def _hash(data: bytes) -> bytes:
    if len(data) != HASH_BYTES:
        raise malformed(f"a hash takes {HASH_BYTES} bytes, found {len(data)}")
    return data


def _not_included(index: int, size: int) -> LogError:
    return LogError(
        f"entry {index} is not shown to be among {size} entries",
        code="E-LOG-INCLUSION",
        remedy="Do not rely on it; ask the log's keeper for the proof again.",
    )


def _not_consistent(old: int, new: int) -> LogError:
    return LogError(
        f"the log of {new} entries is not shown to begin with that of {old}",
        code="E-LOG-CONSISTENCY",
        remedy="Keep both checkpoints: if no proof is found, the log was rewritten.",
    )
