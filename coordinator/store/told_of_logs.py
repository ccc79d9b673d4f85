"""What partners' nodes said last of logs, theirs and each other's, to be passed on."""

from __future__ import annotations

from collections.abc import Mapping

from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.times import stamp_now


class ToldOfLogs:
    """What was said under each agreement's id; of each partner the newest."""

    def __init__(self, store: CoordinatorStore) -> None:
        self._store = store

    def all(self, agreement_id: str) -> dict[str, bytes]:
        """By partner, what its node said last."""
        rows = self._store.ask(
            "SELECT partner, told FROM told_of_logs WHERE agreement_id = ? ORDER BY partner",
            agreement_id,
        )
        return {partner: bytes(told) for partner, told in rows}

    def save(self, agreement_id: str, told: Mapping[str, bytes]) -> None:
        """Keep what some of them said, instead of what they said before."""
        now = stamp_now()
        with self._store.transaction():
            for partner, data in told.items():
                self._store.ask(
                    "INSERT INTO told_of_logs VALUES (?, ?, ?, ?)"
                    " ON CONFLICT (agreement_id, partner)"
                    " DO UPDATE SET told = excluded.told, told_at = excluded.told_at",
                    agreement_id, partner, data, now,
                )  # fmt: skip
