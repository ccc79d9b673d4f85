"""Handles: what stands for a customer in the sets that one run counted.

A handle follows from the customer's exact id and a key that is drawn for each run. Without the key
nobody can tell whose a handle is, and those of two runs cannot be joined.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protocol.canonical import exactly, label, tagged_hash
from protocol.receipts.text import malformed

KEY_BYTES: Final = 32
HANDLE_BYTES: Final = 16
_LABEL: Final = label("counted-handle")

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


def to_bytes(found: Handles) -> bytes:
    """Handles one after the other, 16 bytes each."""
    return found.astype(">u8").tobytes()


def from_bytes(data: bytes) -> Handles:
    """The handles in `to_bytes`; raises MalformedError."""
    if len(data) % HANDLE_BYTES:
        raise malformed(f"handles take {HANDLE_BYTES} bytes each, found {len(data)}")
    return np.frombuffer(data, dtype=">u8").reshape(-1, 2).astype(np.uint64)
