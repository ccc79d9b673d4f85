"""The seals of a node's audit log under one agreement: a log of their own, added and never changed.

Each seal is a state of the audit log that others witness without learning how long it is. Nonces
and states stay here; only checkpoints of this log, and proofs about it, leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from machine.database import Database
from protocol.log.checkpoints import Checkpoint
from protocol.log.names import key_of_seals
from protocol.log.notes import Note, sign_ed25519
from protocol.log.seals import seal
from protocol.log.tree import TILE_WIDTH, appended, leaf_hash, root
from protocol.signing import public_bytes

_SELECT: Final[LiteralString] = "SELECT number, message, nonce, text, note FROM seals WHERE "


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSeal:
    """A seal as it is kept.

    Attributes:
        number: In the log of seals, from 0; that log had `number` + 1 entries with it.
        message: Number of the manifest whose message it went with.
        text: The checkpoint of the audit log that is sealed.
        note: The state of the log of seals with it, signed.
    """

    number: int
    message: int
    nonce: bytes
    text: str
    note: bytes

    @property
    def sealed(self) -> Checkpoint:
        """The state of the audit log that is sealed."""
        return Checkpoint.from_text(self.text)

    @property
    def state(self) -> Checkpoint:
        """The state of the log of seals with it."""
        return Checkpoint.from_text(Note.parse(self.note).text)


class Seals:
    """The seals under one agreement; a `TileReader`.

    Args:
        database: The node's state.
        agreement_id: Without its version: a next one goes on with the same log.
    """

    def __init__(self, database: Database, agreement_id: str) -> None:
        self._database = database
        self._id = agreement_id

    @property
    def size(self) -> int:
        """How many seals there are."""
        ((size,),) = self._database.ask(
            "SELECT coalesce(max(number) + 1, 0) FROM seals WHERE agreement_id = ?", self._id
        )
        return int(size)

    def add(
        self, text: str, *, nonce: bytes, message: int, party: str, key: Ed25519PrivateKey, at: str
    ) -> None:
        """Seal a checkpoint of the audit log, once for a message; inside a transaction.

        Args:
            text: The checkpoint's.
            nonce: 32 random bytes.
            message: Number of the manifest of the message that leaves.
            party: Whose node it is.
            key: Its key, which signs the new state.
        """
        if self._first("agreement_id = ? AND message = ?", self._id, message) is not None:
            return
        number, leaf = self.size, leaf_hash(seal(nonce, text))
        for one in appended(number, leaf, self):
            self._database.ask(
                "INSERT INTO seal_hashes VALUES (?, ?, ?, ?)",
                self._id, one.level, one.position, one.hash,
            )  # fmt: skip
        name = key_of_seals(party, public_bytes(key), self._id).name
        state = Checkpoint(name, number + 1, root(number + 1, self))
        note = sign_ed25519(Note(state.to_text()), name, key).to_bytes()
        self._database.ask(
            "INSERT INTO seals VALUES (?, ?, ?, ?, ?, ?, ?)",
            self._id, number, message, at, nonce, text, note,
        )  # fmt: skip

    def newest(self) -> KeptSeal | None:
        """The newest seal; None before the first."""
        return self._first("agreement_id = ? ORDER BY number DESC LIMIT 1", self._id)

    def of_size(self, size: int) -> KeptSeal | None:
        """The seal with which there were `size`; None where there never were so many."""
        return self._first("agreement_id = ? AND number = ?", self._id, size - 1)

    def since(self, number: int) -> list[KeptSeal]:
        """Seals from a number on, oldest first."""
        return [
            _kept(row)
            for row in self._database.ask(
                _SELECT + "agreement_id = ? AND number >= ? ORDER BY number", self._id, number
            )
        ]

    def tile(self, level: int, index: int, width: int) -> Sequence[bytes]:
        """See `protocol.log.tree.TileReader`."""
        first = index * TILE_WIDTH
        rows = self._database.ask(
            "SELECT hash FROM seal_hashes WHERE agreement_id = ? AND level = ? AND position >= ?"
            " AND position < ? ORDER BY position",
            self._id, level, first, first + width,
        )  # fmt: skip
        return [bytes(one) for (one,) in rows]

    def _first(self, where: LiteralString, *values: object) -> KeptSeal | None:
        row = self._database.one(_SELECT + where, *values)
        return None if row is None else _kept(row)


def sealed_under(database: Database) -> list[str]:
    """The ids of agreements under which there are seals, in their order."""
    rows = database.ask("SELECT DISTINCT agreement_id FROM seals ORDER BY agreement_id")
    return [identity for (identity,) in rows]


def _kept(row: tuple[Any, ...]) -> KeptSeal:
    number, message, nonce, text, note = row
    return KeptSeal(number=number, message=message, nonce=nonce, text=text, note=note)
