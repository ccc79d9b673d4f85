"""Which nodes listen to announcements now: whoever does is there, whoever stopped is not."""

from __future__ import annotations

from coordinator.store.coordinator_store import CoordinatorStore


class Listening:
    """The nodes with an open stream, by key (OpenSSH, without a comment)."""

    def __init__(self, store: CoordinatorStore) -> None:
        self._store = store

    def begin(self, node_key: str) -> None:
        """Note that a node listens."""
        with self._store.transaction():
            self._store.ask("INSERT INTO listening VALUES (?) ON CONFLICT DO NOTHING", node_key)

    def end(self, node_key: str) -> None:
        """Note that it does no longer."""
        with self._store.transaction():
            self._store.ask("DELETE FROM listening WHERE node_key = ?", node_key)

    def clear(self) -> None:
        """Forget all: of a process that was killed some are left."""
        with self._store.transaction():
            self._store.ask("DELETE FROM listening")

    def all(self) -> frozenset[str]:
        """Those that listen."""
        return frozenset(key for (key,) in self._store.ask("SELECT node_key FROM listening"))
