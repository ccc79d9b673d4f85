"""The ring Z_2^64 in which masked sums live, and fixed-point numbers. SPEC.md, section 4.

Numbers are quantised to integers before they are added, so that sums are exact and independent
of order. Integers are held as two's complement in unsigned 64-bit words; addition wraps, which is
what lets masks cancel. Ranges are checked, never clipped here: clipping changes the sensitivity.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from protocol.errors import EncodingRangeError, MalformedError

IntVector = npt.NDArray[np.int64]
RingVector = npt.NDArray[np.uint64]

#: Bits after the binary point of scaled coordinates in exact mode.
EXACT_FRACTION_BITS: Final = 20
#: One customer, or one unit of a coordinate, in noised sums: 2^14.
UNIT_BITS: Final = 14
UNIT: Final = 1 << UNIT_BITS
#: Largest magnitude of a total; leaves the sign bit and a factor of two.
MAX_TOTAL: Final = (1 << 62) - 1
WORD_BYTES: Final = 8


def to_ring(answer: IntVector, *, low: IntVector, high: IntVector) -> RingVector:
    """Encode one partner's integer answer as ring elements, ready to be noised and masked.

    Args:
        answer: Integer sums, shape ``(length,)``.
        low, high: Range agreed for each entry of one partner, shape ``(length,)``.

    Returns:
        Shape ``(length,)``, dtype ``uint64``, negative numbers in two's complement.

    Raises:
        EncodingRangeError: Another dtype or shape, or an entry beyond its bound.
    """
    if answer.dtype != np.int64 or answer.shape != high.shape or answer.ndim != 1:
        raise EncodingRangeError(
            f"answer of {answer.dtype} {answer.shape}, expected int64 {high.shape}"
        )
    beyond = np.flatnonzero((answer > high) | (answer < low))
    if beyond.size:
        raise EncodingRangeError(
            f"{beyond.size} entries of the answer exceed the agreed bounds, first at {beyond[0]}",
            remedy="the data break the agreement's bounds or row cap; nothing was sent",
        )
    return answer.view(np.uint64).copy()


def from_ring(total: RingVector) -> IntVector:
    """Decode a sum of ring elements to signed integers, same shape."""
    return total.view(np.int64).copy()


def to_bytes(vector: RingVector) -> bytes:
    """Little-endian bytes, eight an entry."""
    return vector.astype("<u8", copy=False).tobytes()


def from_bytes(data: bytes, *, length: int) -> RingVector:
    """Read `length` ring elements; raises MalformedError on another size."""
    if len(data) != WORD_BYTES * length:
        raise MalformedError(f"vector of {len(data)} bytes, expected {WORD_BYTES * length}")
    return np.frombuffer(data, dtype="<u8").astype(np.uint64, copy=False)


def add(accumulator: RingVector, vector: RingVector) -> None:
    """Add `vector` to `accumulator` in place, modulo 2^64."""
    np.add(accumulator, vector, out=accumulator)
