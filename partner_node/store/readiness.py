"""What this node's preflight found last, for each agreement, and whether the coordinator knows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from partner_node.store.node_store import NodeStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """How ready this node is for runs under one agreement.

    Attributes:
        codes: What is told of why it is not; empty when the preflight passed.
        since: Since when it is so.
        checked_at: When it was checked last.
        told: Whether the coordinator has it.
    """

    agreement_hash: bytes
    codes: tuple[str, ...]
    since: str
    checked_at: str
    told: bool

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values; of which agreement, its reader says."""
        return {
            "passed": not self.codes,
            "codes": list(self.codes),
            "since": self.since,
            "checked_at": self.checked_at,
            "told": self.told,
        }


class ReadinessRecords:
    """The readiness in a node's state database."""

    def __init__(self, store: NodeStore) -> None:
        self._store = store

    def note(self, agreement_hash: bytes, codes: Sequence[str], *, now: str) -> None:
        """Keep what a check found; what was found before as well keeps its beginning."""
        with self._store.transaction():
            before = self.of(agreement_hash)
            same = before is not None and before.codes == tuple(codes)
            self._store.ask(
                "INSERT OR REPLACE INTO readiness VALUES (?, ?, ?, ?, 0)",
                agreement_hash,
                json.dumps(list(codes)),
                before.since if before is not None and same else now,
                now,
            )

    def of(self, agreement_hash: bytes) -> Readiness | None:
        """What was found last under an agreement; None before the first check."""
        row = self._store.one(
            "SELECT codes, since, checked_at, told FROM readiness WHERE agreement_hash = ?",
            agreement_hash,
        )
        if row is None:
            return None
        codes, since, checked_at, told = row
        return Readiness(
            agreement_hash=agreement_hash,
            codes=tuple(json.loads(codes)),
            since=since,
            checked_at=checked_at,
            told=bool(told),
        )

    def note_told(self, found: Readiness) -> None:
        """Keep that the coordinator has what was found, unless there was a check since."""
        with self._store.transaction():
            self._store.ask(
                "UPDATE readiness SET told = 1 WHERE agreement_hash = ? AND checked_at = ?",
                found.agreement_hash,
                found.checked_at,
            )
