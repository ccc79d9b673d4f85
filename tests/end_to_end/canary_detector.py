"""Finds planted customers in bytes: their ids and rare values, in the encodings that code uses.

A needle is looked for only when random or zero-padded bytes cannot look like it: numbers that are
small or short (32 bits, cents, grid coordinates) are looked for in pairs, as neighbours in a row
and in a column, which is how arrays are written (every fifth customer's: an array holds many).
"""

from __future__ import annotations

import base64
import itertools
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

_WINDOW: Final = 8
_TABLE_BITS: Final = 26
_MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)
_CHUNK: Final = 4 << 20


class Needle(NamedTuple):
    """Bytes to look for, and what they would tell."""

    data: bytes
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Canaries:
    """Planted customers of one partner.

    Attributes:
        ids: Customers' ids, random letters and digits.
        values: Feature values with six decimals, 10,000 to 99,999; shape ``(n, n_features)``.
        grid: The same on the agreed grid, integers.
    """

    ids: tuple[str, ...]
    values: np.ndarray
    grid: np.ndarray


def needles_of(canaries: Canaries) -> Iterator[Needle]:
    """Everything that would give one of the customers away."""
    for text in canaries.ids:
        yield from _encodings(text.encode("ascii"), "id")
        yield from _encodings(text.encode("utf-16-le"), "id in UTF-16")
    for value in canaries.values.ravel().tolist():
        for text in (f"{value:.6f}"[:10], f"{value:.12e}"[:10], str(round(value * 1e6))):
            yield from _encodings(text.encode("ascii"), "value as text")
        fixed = (round(value * 1e6), round(value * 2**20))
        for order in "<>":
            yield from _encodings(struct.pack(f"{order}d", value), f"{order}float64")
            for number in fixed:
                yield from _encodings(struct.pack(f"{order}q", number), f"{order}int64")
    cents = np.rint(canaries.values * 100).astype(np.int64)
    for order in "<>":
        for name, table, kinds in (
            ("value", canaries.values, "f"),
            ("cents", cents, "iqd"),
            ("grid", canaries.grid.astype(np.int64), "iqdf"),
        ):
            for kind in kinds:
                for pair in _neighbours(table):
                    packed = struct.pack(f"{order}2{kind}", *pair)
                    yield from _encodings(packed, f"two of {name} as {order}{kind}")


def _neighbours(table: np.ndarray) -> Iterator[tuple[float, float]]:
    """Neighbours in every fifth row, and downwards from there."""
    rows = table.tolist()
    for here, below in zip(rows[::5], rows[1::5], strict=True):
        yield from itertools.pairwise(here)
        yield from zip(here, below, strict=True)


def _encodings(data: bytes, what: str) -> Iterator[Needle]:
    yield Needle(data=data, what=what)
    lower = data.hex().encode("ascii")
    yield Needle(data=lower, what=f"{what}, hex")
    if lower.upper() != lower:
        yield Needle(data=lower.upper(), what=f"{what}, hex")
    for shift in range(3):
        bits = 8 * shift
        whole = base64.b64encode(bytes(shift) + data)
        first, last = -(-bits // 6), (bits + 8 * len(data)) // 6
        inner = whole[first:last]
        yield Needle(data=inner, what=f"{what}, base64")
        safe = inner.translate(bytes.maketrans(b"+/", b"-_"))
        if safe != inner:
            yield Needle(data=safe, what=f"{what}, base64url")


class Detector:
    """Looks for many needles at once."""

    def __init__(self, needles: Sequence[Needle]) -> None:
        short = [needle for needle in needles if len(needle.data) < _WINDOW]
        if short:
            raise ValueError(f"{len(short)} needles are shorter than {_WINDOW} bytes")
        self._needles = {needle.data: needle for needle in needles}
        #: Of needles that start alike; thousands do, such as big numbers' zeros in hex.
        self._lengths: dict[bytes, tuple[int, ...]] = {}
        for data in self._needles:
            found = self._lengths.get(data[:_WINDOW], ())
            if len(data) not in found:
                self._lengths[data[:_WINDOW]] = (*found, len(data))
        starts = np.frombuffer(b"".join(self._lengths), dtype="<u8")
        self._table = np.zeros(1 << _TABLE_BITS, dtype=bool)
        self._table[_slot(starts)] = True

    def find(self, data: bytes) -> list[tuple[int, Needle]]:
        """Places and needles found in `data`."""
        found = []
        for start in range(0, max(len(data) - _WINDOW + 1, 0), _CHUNK):
            block = data[start : start + _CHUNK + _WINDOW - 1]
            for shift in range(_WINDOW):
                n = (len(block) - shift) // _WINDOW
                if n <= 0:
                    continue
                words = np.frombuffer(block, dtype="<u8", count=n, offset=shift)
                for index in np.flatnonzero(self._table[_slot(words)]).tolist():
                    place = start + shift + index * _WINDOW
                    for length in self._lengths.get(data[place : place + _WINDOW], ()):
                        needle = self._needles.get(data[place : place + length])
                        if needle is not None:
                            found.append((place, needle))
        return found


def _slot(words: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        mixed = words.astype(np.uint64) * _MULTIPLIER
    return mixed >> np.uint64(64 - _TABLE_BITS)
