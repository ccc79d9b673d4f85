"""Requests that a node refused, as far back as they fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from partner_node.store.node_store import NodeStore

#: Refusals kept, so that whoever sends nonsense cannot fill the disk.
MAX_REFUSALS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Requests that this node refused.

    Attributes:
        at: When the last of them came.
        code: Why.
        run_id: Of the run that they were about; empty when they did not say.
        times: How many came.
    """

    at: str
    code: str
    run_id: bytes
    times: int


class Refusals:
    """The refusals in a node's state database."""

    def __init__(self, store: NodeStore) -> None:
        self._store = store

    def add(self, code: str, run_id: bytes, *, now: str) -> None:
        """Remember that a request was refused; inside a transaction. The oldest are forgotten.

        The audit log forgets none: it has those that are not on record, as far as it takes them.
        """
        known = self._store.one(
            "SELECT 1 FROM refusals WHERE run_id = ? AND code = ?", run_id, code
        )
        if known is None:
            self._store.log.append_refusal(code, run_id, at=now)
        self._store.ask(
            "INSERT INTO refusals VALUES (?, ?, ?, 1) ON CONFLICT (run_id, code)"
            " DO UPDATE SET at = excluded.at, times = times + 1",
            run_id,
            code,
            now,
        )
        self._store.ask(
            "DELETE FROM refusals WHERE rowid NOT IN"
            " (SELECT rowid FROM refusals ORDER BY at DESC, rowid DESC LIMIT ?)",
            MAX_REFUSALS,
        )

    def all(self) -> list[Refusal]:
        """Requests that were refused, newest first."""
        rows = self._store.ask(
            "SELECT at, code, run_id, times FROM refusals ORDER BY at DESC, rowid DESC"
        )
        return [
            Refusal(at=at, code=code, run_id=run_id, times=times)
            for at, code, run_id, times in rows
        ]
