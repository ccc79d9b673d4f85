"""A set of counted customers as a Merkle tree of buckets: its root, and one bucket's proof.

The tree is one of RFC 9162 with a power of two of leaves. Of each set the roots of its shelves are
kept, which have 256 buckets each: a proof makes one shelf again from the handles that are in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from protocol.log.tree import leaf_hash, node_hash
from protocol.receipts.buckets import bucket_of, filled, least_bits, leaves
from protocol.receipts.handles import Handles, first_at
from protocol.receipts.text import does_not_hold

SHELF_BITS: Final = 8
#: Buckets that are made at once, so that memory does not grow with the set.
_AT_ONCE: Final = 1 << 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What a set of customers is committed to by.

    Attributes:
        bits: How many bits a bucket's number has.
        shelves: The root of each shelf, 32 bytes each, from the first on.
    """

    bits: int
    shelves: tuple[bytes, ...]

    @property
    def root(self) -> bytes:
        """The root of the tree, 32 bytes."""
        return _levels(self.shelves)[-1][0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One bucket of a set.

    Attributes:
        bucket: Its elements' bytes.
        path: The proof that it is in the tree, from its own height up.
    """

    bucket: bytes
    path: tuple[bytes, ...]


def commit(found: Handles, key: bytes, context: bytes, *, at_least: int = 0) -> Committed:
    """Commit to the set that an answer counted.

    Args:
        found: The handles of everybody counted, in ascending order.
        key: The run's key.
        context: The answer's context, 32 bytes.
        at_least: The bits of the run's set before: what a set shrinks by is not shown.
    """
    bits = max(at_least, least_bits(found.shape[0]))
    while True:
        shelves = _shelves(found, key, context, bits)
        if shelves is not None:
            return Committed(bits=bits, shelves=shelves)
        bits += 2


def _shelves(found: Handles, key: bytes, context: bytes, bits: int) -> tuple[bytes, ...] | None:
    """The roots of all shelves; None where a bucket has more customers than it holds."""
    made: list[bytes] = []
    for first in range(0, 1 << bits, _AT_ONCE):
        count = min(_AT_ONCE, 1 << bits)
        start = first_at(found, first << (64 - bits))
        stop = first_at(found, (first + count) << (64 - bits))
        table = filled(found[start:stop], key, context, bits=bits, first=first, count=count)
        if table is None:
            return None
        hashes = [leaf_hash(one) for one in leaves(table)]
        size = min(count, 1 << SHELF_BITS)
        made += [_levels(hashes[at : at + size])[-1][0] for at in range(0, count, size)]
    return tuple(made)


def shelf_of(handle: bytes, bits: int) -> tuple[int, int]:
    """Which buckets have to be made to show a handle's: the first one, and how many."""
    count = 1 << min(bits, SHELF_BITS)
    return bucket_of(handle, bits) // count * count, count


def show(
    handle: bytes, committed: Committed, on_shelf: Handles, key: bytes, context: bytes
) -> Shown:
    """Show the bucket in which a handle is, or would be.

    Args:
        on_shelf: The handles of the set in the buckets of `shelf_of`, in ascending order.

    Raises:
        LogError: What was kept of the set is not what was committed to (E-RECEIPT-KEPT).
    """
    bits, bucket = committed.bits, bucket_of(handle, committed.bits)
    first, count = shelf_of(handle, bits)
    table = filled(on_shelf, key, context, bits=bits, first=first, count=count)
    shelf, at = first // count, bucket - first
    if table is None or shelf >= len(committed.shelves):
        raise _other()
    lower = _levels([leaf_hash(one) for one in leaves(table)])
    if lower[-1][0] != committed.shelves[shelf]:
        raise _other()
    path = _siblings(lower, at) + _siblings(_levels(committed.shelves), shelf)
    return Shown(bucket=table[at].astype(">u8").tobytes(), path=tuple(path))


def _levels(hashes: Sequence[bytes]) -> list[Sequence[bytes]]:
    """Every level of a tree above some hashes, a power of two of them, they themselves first."""
    found = [hashes]
    while len(found[-1]) > 1:
        below = found[-1]
        found.append([node_hash(below[at], below[at + 1]) for at in range(0, len(below), 2)])
    return found


def _siblings(levels: Sequence[Sequence[bytes]], at: int) -> list[bytes]:
    return [level[(at >> height) ^ 1] for height, level in enumerate(levels[:-1])]


def _other() -> Exception:
    return does_not_hold(
        "what is kept of the customers that were counted is not what the log was told",
        "E-RECEIPT-KEPT",
    )
