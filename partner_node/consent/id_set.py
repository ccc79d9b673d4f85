"""A set of customers' ids in 16 bytes each, so that millions fit beside the customers themselves.

An id is kept as 128 bits of a hash (MD5, which DuckDB has for numbers) of a secret followed by the
id. The secret is drawn for each set or gate and is kept nowhere else. Two different ids collide by
chance with a probability of 2^-128; to make texts collide under MD5 one must know the prefix, which
is secret.
"""
# Secrets, which are hex digits, and SQL made here go into SQL:
# ruff: noqa: S608

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from partner_node.consent.workspace import Workspace
from partner_node.sources.duckdb.sandbox import Sandbox

_SECRET_BYTES: Final = 16
#: On average at most 2^this many ids share the first bits of their hashes.
_SHARING_BITS: Final = 1
#: Fewer ids than this are hashed faster without DuckDB.
_FEW: Final = 1_000
_LOW: Final = (1 << 64) - 1
#: From this many bits on, positions need more than four bytes.
_WIDE: Final = 32

_NO_HALVES: Final = np.empty(0, dtype=np.uint64)
#: The two halves of ids' hashes, each of shape ``(n_ids,)``.
Halves = tuple[NDArray[np.uint64], NDArray[np.uint64]]


@dataclass(frozen=True, slots=True)
class IdHash:
    """A salted hash of ids, computed here or in DuckDB."""

    secret: str

    @property
    def sql_type(self) -> str:
        """DuckDB's type of a hash."""
        return "UHUGEINT"

    @staticmethod
    def drawn() -> IdHash:
        """A hash with a new random secret."""
        return IdHash(secrets.token_hex(_SECRET_BYTES))

    def of(self, text: str) -> str:
        """SQL: the hash of an id; NULL for NULL."""
        return f"md5_number('{self.secret}' || {text})"


class InClear(IdHash):
    """Ids as they are, where a person has to be told which they are."""

    def __init__(self) -> None:
        super().__init__("")

    @property
    def sql_type(self) -> str:
        """DuckDB's type of an id."""
        return "VARCHAR"

    def of(self, text: str) -> str:
        """SQL: the id itself."""
        return text


def halves(column: str) -> str:
    """SQL: a hash as the two columns, without NULL, that Arrow can transport."""
    return (
        f"CAST({column} >> 64 AS UBIGINT) AS first, "
        f"CAST({column} & {_LOW}::UHUGEINT AS UBIGINT) AS second"
    )


class IdHasher:
    """Hashes ids from outside DuckDB, in a DuckDB of its own that reads no file.

    Args:
        limits: Resources of this machine that it may use.
    """

    def __init__(self, limits: Sandbox) -> None:
        # One thread keeps the order of rows.
        self._workspace = Workspace(replace(limits, threads=1), keep=True)

    def halves(self, ids: Sequence[str] | NDArray[np.object_], hashing: IdHash) -> Halves:
        """Hash ids, in their order."""
        if len(ids) < _FEW:
            return _hashed_here(ids, hashing)
        with self._workspace.session(()) as session:
            session.register("ids", pa.table({"id": pa.array(ids, pa.string())}))
            sql = f"SELECT {halves('h')} FROM (SELECT {hashing.of('id')} AS h FROM ids)"
            found = session.sql(sql).to_arrow_table()
        first, second = (column.to_numpy() for column in found.columns)
        return first, second


def _hashed_here(ids: Sequence[str] | NDArray[np.object_], hashing: IdHash) -> Halves:
    """The same as `IdHasher.halves`, by Python's own MD5."""
    digests = b"".join(
        hashlib.md5((hashing.secret + i).encode("utf-8"), usedforsecurity=False).digest()
        for i in ids
    )
    found = np.frombuffer(digests, dtype="<u8").reshape(-1, 2).astype(np.uint64)
    return found[:, 1], found[:, 0]


class IdSet:
    """A fixed set of ids.

    Args:
        batches: The ids' hashes, in parts of any size; duplicates are allowed.
        hashing: The hash that was used.
        hasher: Hashes the ids that are looked up.
    """

    def __init__(self, batches: Iterable[Halves], hashing: IdHash, hasher: IdHasher) -> None:
        self._hashing, self._hasher = hashing, hasher
        firsts, seconds = [_NO_HALVES], [_NO_HALVES]
        for one, other in batches:
            firsts.append(one)
            seconds.append(other)
        first, second = np.concatenate(firsts), np.concatenate(seconds)
        del firsts, seconds
        # The first bits are enough to sort by; the last ones make room for the row's number,
        # because sorting numbers takes a tenth of the time of an argsort.
        bits = np.uint64(len(first).bit_length())
        order = first >> bits
        order <<= bits
        order |= np.arange(len(first), dtype=np.uint64)
        order.sort()
        sharing = max(1, int(bits) - _SHARING_BITS)
        self._shift = np.uint64(64 - sharing)
        counts = np.bincount((order >> self._shift).view(np.int64), minlength=1 << sharing)
        self._starts = np.zeros(len(counts) + 1, dtype=np.uint32 if bits < _WIDE else np.int64)
        np.cumsum(counts, out=self._starts[1:])
        del counts
        order &= (np.uint64(1) << bits) - np.uint64(1)
        self._first = first[order.view(np.int64)]
        self._second = second[order.view(np.int64)]

    def __len__(self) -> int:
        """Number of ids, with duplicates."""
        return len(self._first)

    @property
    def hashing(self) -> IdHash:
        """The hash that was used."""
        return self._hashing

    @property
    def n_bytes(self) -> int:
        """Its size in memory, in bytes."""
        return self._first.nbytes + self._second.nbytes + self._starts.nbytes

    def hashed(self, ids: Sequence[str] | NDArray[np.object_]) -> Halves:
        """The hashes of ids, in their order, for `holds_hashed`."""
        return self._hasher.halves(ids, self._hashing)

    def holds(self, ids: Sequence[str] | NDArray[np.object_]) -> NDArray[np.bool_]:
        """Whether each id is in the set, shape ``(n_ids,)``."""
        if not len(self) or not len(ids):
            return np.zeros(len(ids), dtype=np.bool_)
        return self.holds_hashed(self.hashed(ids))

    def holds_hashed(self, hashes: Halves) -> NDArray[np.bool_]:
        """Whether each id is in the set, by its hash, shape ``(n_ids,)``."""
        first, second = hashes
        found = np.zeros(len(first), dtype=np.bool_)
        if not len(self) or not len(first):
            return found
        sharing = (first >> self._shift).astype(np.int64)
        place = self._starts[sharing].astype(np.int64)
        end = self._starts[sharing + 1].astype(np.int64)
        left = np.flatnonzero(place < end)
        place, end, first, second = place[left], end[left], first[left], second[left]
        while left.size:
            same = np.flatnonzero(self._first[place] == first)
            found[left[same[self._second[place[same]] == second[same]]]] = True
            place += 1
            more = np.flatnonzero((place < end) & ~found[left])
            left, place, end = left[more], place[more], end[more]
            first, second = first[more], second[more]
        return found
