"""Hand-overs of keys that were refused, here or at the coordinator, until people know why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from partner_node.store.node_store import NodeStore
from protocol.agreement.hand_over import HandOver
from protocol.errors import AgreementError, RuleError
from protocol.log.entries import KEY_FORKED
from protocol.signing import key_id

#: By whom one was refused: this node, or the coordinator, to which this node sent its own.
HERE: Final = "here"
COORDINATOR: Final = "coordinator"
FORK: Final = "E-KEY-FORK"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A hand-over that was refused.

    Attributes:
        by: `HERE`, a second one from a key; or `COORDINATOR`, one of this node's own.
    """

    hand_over: HandOver
    by: str
    code: str
    refused_at: str

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            **self.hand_over.values,
            "code": self.code,
            "refused_by": self.by,
            "refused_at": self.refused_at,
        }


class RefusedHandOvers:
    """The refused ones in a node's state database."""

    def __init__(self, store: NodeStore) -> None:
        self._store = store

    @contextmanager
    def noting_fork(self, one: HandOver, *, now: str) -> Iterator[None]:
        """Note a second hand-over from one key that the block refuses; the first for each key.

        Both keys signed it, so it is true whoever sent it; and it can come for keys alone that were
        handed over, so that nobody fills the disk. Not within a transaction.
        """
        try:
            yield
        except AgreementError as error:
            if error.code == FORK:
                with self._store.transaction():
                    added = self._store.ask(
                        "INSERT INTO refused_hand_overs VALUES (?, ?, ?, ?, ?)"
                        " ON CONFLICT (old_key, refused_by) DO NOTHING RETURNING 1",
                        one.old_key, HERE, one.to_bytes(), FORK, now,
                    )  # fmt: skip
                    if added:
                        self._store.log.append(
                            KEY_FORKED,
                            at=now,
                            old_key=key_id(one.old_key),
                            new_key=key_id(one.new_key),
                        )
            raise

    def note_sent(self, one: HandOver, error: RuleError, *, now: str) -> None:
        """Note that the coordinator refuses one of this node's own."""
        with self._store.transaction():
            self._store.ask(
                "INSERT OR REPLACE INTO refused_hand_overs VALUES (?, ?, ?, ?, ?)",
                one.old_key, COORDINATOR, one.to_bytes(), error.code, now,
            )  # fmt: skip

    def forget_sent(self, one: HandOver) -> None:
        """Forget that the coordinator refused one, as it has it now."""
        with self._store.transaction():
            self._store.ask(
                "DELETE FROM refused_hand_overs WHERE old_key = ? AND refused_by = ?",
                one.old_key,
                COORDINATOR,
            )

    def sent(self, one: HandOver) -> Refused | None:
        """That the coordinator refused one; None where it did not."""
        return next(
            (r for r in self.all() if r.by == COORDINATOR and r.hand_over.hash == one.hash), None
        )

    def all(self) -> list[Refused]:
        """Every one, oldest first."""
        rows = self._store.ask(
            "SELECT envelope, refused_by, code, refused_at FROM refused_hand_overs"
            " ORDER BY refused_at, old_key, refused_by"
        )
        return [
            Refused(hand_over=HandOver.from_bytes(bytes(envelope)), by=by, code=code, refused_at=at)
            for envelope, by, code, at in rows
        ]
