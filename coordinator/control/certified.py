"""Until when the certificates hold that nodes were given; certificates themselves are not kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.times import stamp


class Certified:
    """The ends of nodes' newest certificates in the coordinator's database."""

    def __init__(self, store: CoordinatorStore) -> None:
        self._store = store

    def note(self, node_key: str, ends: datetime) -> None:
        """Keep the end of a certificate, in place of the one before."""
        with self._store.transaction():
            self._store.ask(
                "INSERT INTO certified VALUES (?, ?)"
                " ON CONFLICT (node_key) DO UPDATE SET ends = excluded.ends",
                node_key,
                stamp(ends),
            )

    def all(self) -> Mapping[str, str]:
        """The end of each node's newest certificate, by its key."""
        return dict(self._store.ask("SELECT node_key, ends FROM certified"))
