"""Handles: what stands for a customer in the sets that one run counted.

A handle follows from the customer's exact id and a key that is drawn for each run. Without the key
nobody can tell whose a handle is, and those of two runs cannot be joined.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protocol.canonical import exactly, label, tagged_hash
from protocol.receipts.text import malformed

KEY_BYTES: Final = 32
HANDLE_BYTES: Final = 16
_LABEL: Final = label("counted-handle")
#: Into how many ranges handles are split to be put in order.
_RANGE_BITS: Final = 4

#: Handles as two numbers each, the first eight bytes before the others, big-endian; shape (n, 2).
Handles = NDArray[np.uint64]


def key_commitment(key: bytes) -> bytes:
    """What the log has of a run's key, 32 bytes: whoever is shown the key later can check it."""
    return tagged_hash("counted-key", exactly(key, KEY_BYTES, "a key of receipts"))


def handle(key: bytes, customer: str) -> bytes:
    """The handle of a customer's exact id, 16 bytes.

    The first half of a SHA-256 over label, key and id: all but the id has a fixed length, and what
    is cut off keeps anybody from extending it.
    """
    exactly(key, KEY_BYTES, "a key of receipts")
    return hashlib.sha256(_LABEL + key + customer.encode("utf-8")).digest()[:HANDLE_BYTES]


def handles(key: bytes, customers: Iterable[str]) -> Handles:
    """The handles of customers, in their order."""
    prefix, hashed = _LABEL + exactly(key, KEY_BYTES, "a key of receipts"), hashlib.sha256
    data = b"".join([hashed(prefix + one.encode("utf-8")).digest() for one in customers])
    whole = np.frombuffer(data, dtype=">u8").reshape(-1, 4)
    return whole[:, :2].astype(np.uint64)


def in_order(found: Handles) -> Handles:
    """Handles in ascending order of their first halves, which is that of buckets."""
    return found[np.argsort(found[:, 0])]


def merged(parts: Sequence[Handles]) -> Handles:
    """The handles of several parts in one, in order; each part is in order.

    Parts and result are in memory, and little else: ranges of handles are merged one by one.
    """
    whole = np.empty((sum(part.shape[0] for part in parts), 2), dtype=np.uint64)
    bounds = [number << (64 - _RANGE_BITS) for number in range(1, 1 << _RANGE_BITS)]
    places = [[0, *(first_at(part, bound) for bound in bounds), part.shape[0]] for part in parts]
    done = 0
    for number in range(1 << _RANGE_BITS):
        some = [p[at[number] : at[number + 1]] for p, at in zip(parts, places, strict=True)]
        count = sum(one.shape[0] for one in some)
        if count:
            whole[done : done + count] = in_order(np.concatenate(some))
        done += count
    return whole


def first_at(part: Handles, low: int) -> int:
    """In a part in order, the first row whose first half is at least `low`, up to 2^64.

    By bisection: of a file only the pages that are looked at are read.
    """
    return bisect_left(range(part.shape[0]), low, key=lambda row: int(part[row, 0]))


def to_bytes(found: Handles) -> bytes:
    """Handles one after the other, 16 bytes each."""
    return found.astype(">u8").tobytes()


def from_bytes(data: bytes) -> Handles:
    """The handles in `to_bytes`; raises MalformedError."""
    if len(data) % HANDLE_BYTES:
        raise malformed(f"handles take {HANDLE_BYTES} bytes each, found {len(data)}")
    return np.frombuffer(data, dtype=">u8").reshape(-1, 2).astype(np.uint64)
