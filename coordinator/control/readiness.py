"""How ready partners' nodes are for runs, as each said last: PASSED, or codes and nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from coordinator.store.coordinator_store import CoordinatorStore
from protocol.agreement.document import Agreement

PASSED: Final = "PASSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessRow:
    """What a node said of one agreement.

    Attributes:
        node_key: OpenSSH, without a comment.
        codes: What keeps it from runs; empty when its preflight passed.
        since: Since when it is so, as the node says.
        told_at: When it said so last.
        version: Of its program.
    """

    node_key: str
    agreement_hash: bytes
    codes: tuple[str, ...]
    since: str
    told_at: str
    version: str

    @property
    def words(self) -> str:
        """``PASSED``, or the codes."""
        return ", ".join(self.codes) or PASSED

    def to_dict(self, agreement: Agreement) -> dict[str, Any]:
        """It as JSON values, with the agreement's name."""
        return {
            **agreement.named(version="agreement_version"),
            "passed": not self.codes,
            "codes": list(self.codes),
            "since": self.since,
            "told_at": self.told_at,
            "version": self.version,
        }


class ReadinessRecords:
    """What nodes said, in the coordinator's database."""

    def __init__(self, store: CoordinatorStore) -> None:
        self._store = store

    def save(self, row: ReadinessRow) -> None:
        """Keep what a node says now, in the place of what it said before."""
        with self._store.transaction():
            self._store.ask(
                "INSERT INTO readiness VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (node_key, agreement_hash) DO UPDATE SET codes = excluded.codes,"
                " since = excluded.since, told_at = excluded.told_at, version = excluded.version",
                row.node_key,
                row.agreement_hash,
                json.dumps(row.codes),
                row.since,
                row.told_at,
                row.version,
            )

    def of(self, agreement_hash: bytes) -> dict[str, ReadinessRow]:
        """What nodes said of an agreement, by the node's key."""
        rows = self._store.ask(
            "SELECT node_key, codes, since, told_at, version FROM readiness"
            " WHERE agreement_hash = ?",
            agreement_hash,
        )
        return {
            key: ReadinessRow(
                node_key=key,
                agreement_hash=agreement_hash,
                codes=tuple(json.loads(codes)),
                since=since,
                told_at=told_at,
                version=version,
            )
            for key, codes, since, told_at, version in rows
        }
