"""The authorities that the coordinator stated, and this node took last, in the node's state."""

from __future__ import annotations

import hashlib

from partner_node.store.node_store import NodeStore
from protocol.control.authorities import Authorities
from protocol.log.entries import AUTHORITY


class TakenAuthorities:
    """The last statement that was taken."""

    def __init__(self, store: NodeStore) -> None:
        self._store = store

    def load(self) -> Authorities | None:
        """It; None before the first."""
        rows = self._store.ask("SELECT envelope FROM authorities ORDER BY number DESC LIMIT 1")
        return Authorities.from_bytes(rows[0][0]) if rows else None

    def note(self, taken: Authorities, *, now: str) -> None:
        """Keep it in the place of the one before, once the node trusts what it says."""
        with self._store.transaction():
            self._store.ask("DELETE FROM authorities")
            self._store.ask(
                "INSERT INTO authorities VALUES (?, ?, ?)", taken.number, taken.to_bytes(), now
            )
            self._store.log.append(
                AUTHORITY,
                at=now,
                number=taken.number,
                sha256=hashlib.sha256(taken.to_bytes()).hexdigest(),
            )
