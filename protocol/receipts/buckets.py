"""Buckets: a set of customers as rows of numbers that look alike, whoever is in them.

A set has ``2^bits`` buckets, and the first bits of a handle are the number of its bucket. A bucket
shows `WIDTH` elements in ascending order: one for each of its customers, and for the rest numbers
that follow from the run's key. An element follows from the handle and the answer that counted it,
one way only: whoever knows a handle finds its element, whoever does not learns neither how many
customers a bucket has nor whether one of another answer is in it again.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from protocol.canonical import exactly, label, tagged_hash
from protocol.receipts.handles import HANDLE_BYTES, KEY_BYTES, Handles, to_bytes
from protocol.receipts.text import malformed

#: Elements of a bucket, and how many of them are customers on average at most. With 32 of them a
#: bucket has more than 96 with a probability below 2^-65 (Poisson).
WIDTH: Final = 96
MEAN: Final = 32
ELEMENT_BYTES: Final = 8
BUCKET_BYTES: Final = WIDTH * ELEMENT_BYTES
CONTEXT_BYTES: Final = 32
#: 2^30 buckets hold more customers than there are people.
MAX_BITS: Final = 30
_LEAF: Final = label("counted-bucket")
_AES_BYTES: Final = 16

#: Elements, as numbers.
Elements = NDArray[np.uint64]


def least_bits(customers: int) -> int:
    """Of a set of so many customers, how many bits a bucket's number has; always even.

    So a receipt shows the number of a node's customers to within a factor of four, no more.
    """
    bits = max(0, (max(customers, 1) - 1) // MEAN).bit_length()
    return bits + bits % 2


def bucket_of(handle: bytes, bits: int) -> int:
    """The number of a handle's bucket."""
    first = int.from_bytes(exactly(handle, HANDLE_BYTES, "a handle")[:8], "big")
    return first >> (64 - check_bits(bits))


def buckets_of(found: Handles, bits: int) -> NDArray[np.int64]:
    """The number of each handle's bucket, shape ``(n,)``."""
    if not bits:  # NumPy has no shift by 64
        return np.zeros(found.shape[0], dtype=np.int64)
    return (found[:, 0] >> np.uint64(64 - bits)).astype(np.int64)


def elements(found: Handles, context: bytes) -> Elements:
    """The element of each handle in the set that an answer counted, shape ``(n,)``.

    The first eight bytes of ``AES-128(k, handle) XOR handle``, where k, which is no secret, follows
    from the answer's context: one way (Matyas, Meyer and Oseas), and a hundredth of the time that
    a hash of each takes.

    Args:
        context: The answer's context, 32 bytes.
    """
    key = tagged_hash("counted-element", exactly(context, CONTEXT_BYTES, "a context"))
    cipher = Cipher(algorithms.AES(key[:_AES_BYTES]), modes.ECB()).encryptor()  # noqa: S305
    hidden = np.frombuffer(cipher.update(to_bytes(found)), dtype=">u8").reshape(-1, 2)
    return hidden[:, 0].astype(np.uint64) ^ found[:, 0]


def fill(key: bytes, context: bytes, first: int, count: int) -> Elements:
    """What fills `count` buckets from bucket `first` on, shape ``(count, WIDTH)``.

    The stream of AES-128 in counter mode from 0, under a key that follows from the run's key and
    the context; each bucket has the 768 bytes at its place in it.
    """
    exactly(key, KEY_BYTES, "a key of receipts")
    secret = tagged_hash("counted-fill", key, exactly(context, CONTEXT_BYTES, "a context"))
    counter = (first * BUCKET_BYTES // _AES_BYTES).to_bytes(_AES_BYTES, "big")
    cipher = Cipher(algorithms.AES(secret[:_AES_BYTES]), modes.CTR(counter)).encryptor()
    stream = cipher.update(bytes(count * BUCKET_BYTES))
    return np.frombuffer(stream, dtype=">u8").reshape(count, WIDTH).astype(np.uint64)


def filled(
    found: Handles, key: bytes, context: bytes, *, bits: int, first: int, count: int
) -> Elements | None:
    """The buckets of some handles, shape ``(count, WIDTH)``; None where one has too many.

    A bucket's customers take the places before those that are filled; then it is put in order.

    Args:
        found: All handles whose bucket is one of `count` from `first` on, in ascending order.
    """
    rows = buckets_of(found, bits) - first
    sizes = np.bincount(rows, minlength=count)
    if sizes.max(initial=0) > WIDTH:
        return None
    places = np.arange(found.shape[0]) - (np.cumsum(sizes) - sizes)[rows]
    table = fill(key, context, first, count)
    table[rows, places] = elements(found, context)
    table.sort(axis=1)
    return table


def leaves(table: Elements) -> list[bytes]:
    """The bytes of each bucket as a leaf of the set's tree."""
    data = table.astype(">u8").tobytes()
    return [leaf(data[at : at + BUCKET_BYTES]) for at in range(0, len(data), BUCKET_BYTES)]


def leaf(bucket: bytes) -> bytes:
    """A bucket as a leaf: its label, then its elements, big-endian."""
    return _LEAF + bucket


def read_bucket(data: bytes) -> Elements:
    """The elements of a bucket, shape ``(WIDTH,)``; raises MalformedError."""
    if len(data) != BUCKET_BYTES:
        raise malformed(f"a bucket takes {BUCKET_BYTES} bytes, found {len(data)}")
    found = np.frombuffer(data, dtype=">u8").astype(np.uint64)
    if (found[1:] < found[:-1]).any():
        raise malformed("the elements of a bucket are in another order than from low to high")
    return found


def check_bits(bits: int) -> int:
    """The number itself; raises MalformedError unless a bucket's number may have so many bits."""
    if not 0 <= bits <= MAX_BITS or bits % 2:
        raise malformed(f"a bucket's number has an even number of bits up to {MAX_BITS}: {bits}")
    return bits
