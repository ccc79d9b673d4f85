"""What the audit log says of the settings and the signing key with which the coordinator serves."""

from __future__ import annotations

from coordinator.config import CoordinatorConfig
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.times import stamp_now
from protocol.log.outside_facts import OutsideFacts
from protocol.signing import key_id, public_bytes


def note_facts(config: CoordinatorConfig, store: CoordinatorStore) -> None:
    """Have the log say with which settings and key the coordinator serves, where they changed."""
    facts, now = OutsideFacts(store, store.log), stamp_now()
    with store.transaction():
        facts.note_restored(now=now)
        facts.note_settings(config.written, now=now)
        facts.note_key(key_id(public_bytes(config.signing_key())), now=now)
