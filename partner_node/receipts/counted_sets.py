"""The sets that answers counted, as rows of a node's state; each has its entry in the audit log."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, LiteralString

from partner_node.receipts.handle_files import (
    FOLDER,
    HandleFiles,
    Part,
    between,
    joined,
    unpack,
)
from partner_node.store.node_store import NodeStore
from protocol.canonical import frame, unframe_list
from protocol.errors import LogError
from protocol.log.entries import COUNTED, RECEIPTS
from protocol.receipts.handles import KEY_BYTES, Handles, key_commitment
from protocol.receipts.sets import Committed, Shown, shelf_of, show

_HASH_BYTES: Final = 32
#: Of a run that goes on all stays: its next answer is held against it.
_OLD: Final[LiteralString] = (
    "DELETE FROM counted_keys WHERE coalesce((SELECT max(at) FROM counted_sets c"
    " WHERE c.run_id = counted_keys.run_id), at) < ?1"
    " AND run_id NOT IN (SELECT run_id FROM runs WHERE phase NOT IN ('done', 'aborted'))"
)
_OF_THESE: Final[LiteralString] = " AND hex(run_id) IN (SELECT value FROM json_each(?2))"
_OF_OTHERS: Final[LiteralString] = " AND hex(run_id) NOT IN (SELECT value FROM json_each(?2))"
_WITHOUT_KEY: Final[tuple[LiteralString, ...]] = (
    "DELETE FROM counted_sets WHERE run_id NOT IN (SELECT run_id FROM counted_keys)",
    "DELETE FROM counted_parts WHERE run_id NOT IN (SELECT run_id FROM counted_keys)",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSet:
    """The set that one answer counted, as it is kept.

    Attributes:
        context: Names the answer.
        entry: The number of its entry in the audit log.
        marks: Of each part of its run, which handles are in the set; see `handle_files.pack`.
    """

    at: str
    round: int
    context: bytes
    entry: int
    committed: Committed
    marks: tuple[bytes, ...]


def handle_files(store: NodeStore) -> HandleFiles | None:
    """Where the handles of a state are; None where the state is in memory alone."""
    return None if store.path == ":memory:" else HandleFiles(Path(store.path).parent / FOLDER)


class CountedSets:
    """The sets in a node's state database."""

    def __init__(self, store: NodeStore) -> None:
        self._store = store

    # --- writing -------------------------------------------------------------------------------

    def note_kept(self, kept: bool, *, now: str) -> None:
        """Say in the log when sets are kept from now on and were not, or the other way round.

        Inside a transaction. Before the first word they are kept.
        """
        row = self._store.one("SELECT kept FROM counted_kept ORDER BY number DESC LIMIT 1")
        if (row is None or bool(row[0])) is kept:
            return
        self._store.ask("INSERT INTO counted_kept (at, kept) VALUES (?, ?)", now, int(kept))
        self._store.log.append(RECEIPTS, at=now, kept=kept)

    def begin(self, run_id: bytes, *, now: str) -> None:
        """Draw a run's key, unless it has one; inside a transaction."""
        if self.key(run_id) is None:
            sealed = self._store.sealer.seal(secrets.token_bytes(KEY_BYTES), _place(run_id))
            self._store.ask("INSERT INTO counted_keys VALUES (?, ?, ?)", run_id, now, sealed)

    def add_part(self, run_id: bytes, part: Part) -> None:
        """Name a file that a run's handles are in; inside a transaction."""
        number = len(self.parts(run_id))
        self._store.ask(
            "INSERT INTO counted_parts VALUES (?, ?, ?, ?)", run_id, number, part.file, part.count
        )

    def add(
        self,
        run_id: bytes,
        *,
        agreement_id: str,
        round: int,
        context: bytes,
        committed: Committed,
        marks: Sequence[bytes],
        now: str,
    ) -> None:
        """Commit to the set that an answer counted; in the transaction that stores the answer."""
        key = self.key(run_id)
        if key is None:
            raise LogError("a set without its run's key", code="E-RECEIPT-KEPT")
        ((number,),) = self._store.ask("SELECT count(*) FROM counted_sets WHERE run_id = ?", run_id)
        entry = self._store.log.append(
            COUNTED,
            at=now,
            agreement=agreement_id,
            run=run_id.hex(),
            round=round,
            number=number,
            context=context.hex(),
            key=key_commitment(key).hex(),
            bits=committed.bits,
            root=committed.root.hex(),
        )
        self._store.ask(
            "INSERT INTO counted_sets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            context,
            run_id,
            number,
            round,
            now,
            committed.bits,
            b"".join(committed.shelves),
            frame(*marks),
            entry,
        )

    def forget(self, before: Mapping[str, str], runs_of: Mapping[str, Sequence[str]]) -> None:
        """Forget runs whose last set is older than records are kept; inside a transaction.

        Args:
            before: The time before which, by the id of an agreement.
            runs_of: The ids of each agreement's runs, in hexadecimal as SQLite writes it. Those of
                no agreement go when each of them lets it be.
        """
        for identity, moment in before.items():
            self._store.ask(
                _OLD + _OF_THESE,
                moment,
                json.dumps(list(runs_of[identity])),
            )
        known = [run for own in runs_of.values() for run in own]
        self._store.ask(
            _OLD + _OF_OTHERS,
            min(before.values()),
            json.dumps(known),
        )
        for statement in _WITHOUT_KEY:
            self._store.ask(statement)
        self._store.wipe_at_commit()

    def sweep(self) -> None:
        """Delete files of handles that no row names: forgotten, or left by a killed process."""
        files = handle_files(self._store)
        if files is None:
            return
        with files.sweeping() as ours:
            if ours:
                rows = self._store.ask("SELECT file FROM counted_parts")
                files.sweep([file for (file,) in rows])

    # --- reading -------------------------------------------------------------------------------

    def key(self, run_id: bytes) -> bytes | None:
        """A run's key; None where it has none, or not any more."""
        row = self._store.one("SELECT sealed FROM counted_keys WHERE run_id = ?", run_id)
        return None if row is None else self._store.sealer.unseal(row[0], _place(run_id))

    def parts(self, run_id: bytes) -> list[Part]:
        """Where a run's handles are."""
        rows = self._store.ask(
            "SELECT file, count FROM counted_parts WHERE run_id = ? ORDER BY number", run_id
        )
        return [Part(file, count) for file, count in rows]

    def sets(self, run_id: bytes) -> list[KeptSet]:
        """A run's sets, in their order."""
        rows = self._store.ask(
            "SELECT at, round, context, entry, bits, shelves, marks FROM counted_sets"
            " WHERE run_id = ? ORDER BY number",
            run_id,
        )
        return [
            KeptSet(
                at=at,
                round=number,
                context=context,
                entry=entry,
                committed=Committed(bits=bits, shelves=_hashes(shelves)),
                marks=_framed(marks),
            )
            for at, number, context, entry, bits, shelves, marks in rows
        ]

    @property
    def any_kept(self) -> bool:
        """Whether any run's sets are on record."""
        return self._store.one("SELECT 1 FROM counted_sets LIMIT 1") is not None

    def last_bits(self, run_id: bytes) -> int:
        """How many bits a bucket's number has in a run's last set; 0 before the first."""
        ((bits,),) = self._store.ask(
            "SELECT coalesce(max(bits), 0) FROM counted_sets WHERE run_id = ?", run_id
        )
        return int(bits)


def shown(one: KeptSet, handle: bytes, key: bytes, parts: Sequence[tuple[Part, Handles]]) -> Shown:
    """One handle's bucket in a set.

    Args:
        parts: Of its run.

    Raises:
        LogError: What is kept of it is not what was committed to (E-RECEIPT-KEPT).
    """
    bits = one.committed.bits
    first, count = shelf_of(handle, bits)
    low, high = first << (64 - bits), (first + count) << (64 - bits)
    on_shelf = []
    for (part, own), marks in zip(parts, one.marks, strict=False):
        rows = between(own, low, high)
        on_shelf.append(own[rows][unpack(marks, part.count)[rows]])
    return show(handle, one.committed, joined(on_shelf), key, one.context)


def _place(run_id: bytes) -> bytes:
    return b"counted" + run_id


def _hashes(data: bytes) -> tuple[bytes, ...]:
    return tuple(data[at : at + _HASH_BYTES] for at in range(0, len(data), _HASH_BYTES))


def _framed(data: bytes) -> tuple[bytes, ...]:
    return tuple(unframe_list(data, max_count=1 << 16))
