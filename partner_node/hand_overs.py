"""The hand-overs of keys that a node knows: one file beside its state.

They are public, and each proves itself, so the file is neither sealed nor in the database: whoever
reads an agreement here reads them with it, also without the node's keys. One is kept before
anything is done under it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Final

from machine.files import make_folder_of, mark_of, open_regular, write_file
from machine.locks import held
from protocol.agreement.hand_over import HandOver
from protocol.agreement.hand_overs import MAX_LIST_BYTES, NONE, HandOvers
from protocol.errors import AgreementError, MalformedError, StoreError

#: In the folder of the node's state.
FILE_NAME: Final = "hand-overs"
_LOCK_END: Final = ".lock"
_LOCK_WAIT_S: Final = 10.0
_PARSED: Final = 8


class KnownHandOvers:
    """Those that a node knows.

    Args:
        file: Where they are kept; None for memory, in simulations.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._in_memory = NONE

    @property
    def mark(self) -> tuple[int, ...]:
        """By which to see that others may be known now; as `mark_of`."""
        return () if self._file is None else mark_of(self._file)

    def load(self) -> HandOvers:
        """All of them; raises StoreError when the file is damaged (E-STORE)."""
        if self._file is None:
            return self._in_memory
        try:
            with open_regular(self._file) as file:
                data = file.read(MAX_LIST_BYTES + 1)
        except FileNotFoundError:
            return NONE
        except OSError as error:
            raise StoreError(f"{self._file} cannot be read: {error.strerror}") from error
        try:
            return _parsed(data)
        except (AgreementError, MalformedError) as error:
            raise StoreError(
                f"{self._file} is damaged: {error.message}",
                remedy="put it back from a backup; hand-overs since then come again with the next "
                "run",
            ) from error

    def take(self, found: Iterable[HandOver]) -> list[HandOver]:
        """Keep more of them, durably; those that were not known come back.

        Raises:
            AgreementError: One does not go with those that are known, and none is kept (E-KEY-…).
            StoreError: The file is damaged, or another process holds it.
            UsageError: The file cannot be written (E-FILE).
        """
        if self._file is None:
            known, new = _joined(self._in_memory, found)
            self._in_memory = known
            return new
        make_folder_of(self._file)
        lock = self._file.with_name(self._file.name + _LOCK_END)
        with held(lock, wait_s=_LOCK_WAIT_S) as ours:
            if not ours:
                raise StoreError(f"another process holds {lock}", remedy="try again")
            known, new = _joined(self.load(), found)
            if new:
                write_file(self._file, known.to_bytes(), mode=0o600)
        return new


def _joined(known: HandOvers, found: Iterable[HandOver]) -> tuple[HandOvers, list[HandOver]]:
    new = []
    for one in found:
        if not known.knows(one):
            known = known.with_one(one)
            new.append(one)
    return known, new


@lru_cache(maxsize=_PARSED)
def _parsed(data: bytes) -> HandOvers:
    """The same bytes are checked once a process: every reading of an agreement needs them."""
    return HandOvers.from_bytes(data)
