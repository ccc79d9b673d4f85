"""Customers on the agreed grid, kept in memory between the questions of a run.

Reading is what a question costs, and a run asks about ten. So what was read for one is kept for
the next, as long as the files that it was read from are the same: a hash of each id and the
coordinates, of everybody in the data. Who is eligible is asked of the gate before every question,
and applied to what is kept. No coordinate is written to disk, and what is kept is forgotten at the
end of the run, or when no question came for a while.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from partner_node.customers.noting import Noted
from partner_node.kept_room import KeptRoom
from partner_node.sources.data_file import DataFile, digest_of
from protocol.scaling import FloatMatrix

#: A file that changed less than this before it was read may become another and the same again,
#: between the two hashes of what is in it, within one tick of its file system's clock; nanoseconds.
_SETTLED_NS: Final = 2 * 10**9


#: The two halves of ids' keyed hashes, each of shape ``(n_ids,)``.
Hashes = tuple[NDArray[np.uint64], NDArray[np.uint64]]


class Hashed(Protocol):
    """A set of eligible customers, which are known by hashes of their ids."""

    @property
    def hashing(self) -> object:
        """What was hashed with; equal if and only if the same id has the same hash."""
        ...

    def hashed(self, ids: NDArray[np.object_]) -> Hashes:
        """Customers' hashes, each of shape ``(n_ids,)``."""
        ...

    def allowed_hashed(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Whether each customer is eligible, shape ``(n_ids,)``."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class KeptChunk:
    """Some customers.

    Attributes:
        hashes: Of their ids, each of shape ``(n_rows,)``.
        grid: Their coordinates on the grid, shape ``(n_rows, n_coordinates)``.
        handles: Their handles, shape ``(n_rows, 2)``; None where nobody notes who is counted.
    """

    hashes: Hashes
    grid: NDArray[np.int32]
    handles: NDArray[np.uint64] | None = None
    _answered: tuple[weakref.ref[Hashed], NDArray[np.bool_]] | None = None

    def eligible(self, permitted: Hashed, noted: Noted | None = None) -> NDArray[np.int32]:
        """The coordinates of those who are eligible, shape ``(n_eligible, n_coordinates)``.

        Args:
            noted: Notes them, by the same choice of rows.
        """
        if self._answered is None or self._answered[0]() is not permitted:
            self._answered = (weakref.ref(permitted), permitted.allowed_hashed(self.hashes))
        rows = self._answered[1]
        if noted is not None and self.handles is not None:
            noted.add(self.handles[rows])
        return self.grid[rows]

    @property
    def n_bytes(self) -> int:
        """Its size in memory."""
        first, second = self.hashes
        handles = 0 if self.handles is None else self.handles.nbytes
        return int(self.grid.nbytes + first.nbytes + second.nbytes + handles + self.grid.shape[0])


@dataclass(frozen=True, slots=True)
class _Of:
    """What kept customers follow from."""

    files: bytes
    hashing: object


class KeptCustomers:
    """The customers that were read last.

    Args:
        room: No more than fits in it is kept; of more customers, nobody is.
        now_ns: The time by which files change, nanoseconds since the epoch.
    """

    def __init__(self, room: KeptRoom, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._room = room
        self._now_ns = now_ns
        self._kept: tuple[_Of, tuple[KeptChunk, ...]] | None = None
        #: The files, as they were, of more customers than fit.
        self._too_large = ""

    def found(self, files: tuple[DataFile, ...], hashing: object) -> tuple[KeptChunk, ...] | None:
        """What was read from these files; None, and it is forgotten, where that is not the last.

        Args:
            files: The source's files as they are now.
            hashing: The hash of ids that is needed.
        """
        kept = self._kept
        if kept is not None and kept[0] == _of(files, hashing):
            return kept[1]
        self._kept = None
        self._room.take(self, 0)
        return None

    def reading(self, files: tuple[DataFile, ...], hashing: object) -> Reading:
        """Note a reading that begins now.

        Args:
            files: The source's files, looked at before; none for a server, of which nothing is
                kept, since it does not tell whether its data have changed.
        """
        settled = all(file.changed_ns < self._now_ns() - _SETTLED_NS for file in files)
        keeps = bool(files) and settled and repr(files) != self._too_large
        return Reading(self, files, _of(files, hashing) if keeps else None)

    def _keep(self, of: _Of, chunks: tuple[KeptChunk, ...]) -> None:
        if self._room.take(self, sum(chunk.n_bytes for chunk in chunks)):
            self._kept = (of, chunks)

    def _note_too_large(self, files: tuple[DataFile, ...]) -> None:
        self._too_large = repr(files)

    def forget(self) -> None:
        """Forget what is kept."""
        self._kept, self._too_large = None, ""
        self._room.take(self, 0)


def _of(files: tuple[DataFile, ...], hashing: object) -> _Of | None:
    """What customers of these files follow from; None where one cannot be read."""
    digest = digest_of(files)
    return None if digest is None else _Of(digest, hashing)


class Reading:
    """Customers that are being read; kept once all of them are, and none before.

    Args:
        files: Where they are read.
        of: What they follow from; None where nobody is kept.
    """

    def __init__(self, keeper: KeptCustomers, files: tuple[DataFile, ...], of: _Of | None) -> None:
        self._keeper = keeper
        self._files = files
        self._of = of
        self._n_bytes = 0
        self._chunks: list[KeptChunk] = []

    def read(
        self, hashes: Hashes, grid: FloatMatrix, handles: NDArray[np.uint64] | None = None
    ) -> KeptChunk:
        """The next chunk: hashes, coordinates of shape ``(n_rows, n_coordinates)``, handles."""
        chunk = KeptChunk(hashes=hashes, grid=grid.astype(np.int32), handles=handles)
        if self._of is None:
            return chunk
        self._n_bytes += chunk.n_bytes
        self._chunks.append(chunk)
        if not self._keeper._room.fits(self._keeper, self._n_bytes):
            self._keeper._note_too_large(self._files)
            self._of, self._chunks = None, []
        return chunk

    def complete(self, files: tuple[DataFile, ...]) -> None:
        """Keep what was read, unless a file changed meanwhile.

        Args:
            files: The source's files as they are now.
        """
        if self._of is not None and _of(files, self._of.hashing) == self._of:
            self._keeper._keep(self._of, tuple(self._chunks))
