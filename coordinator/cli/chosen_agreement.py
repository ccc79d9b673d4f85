"""Selection of the agreement that a command refers to."""

from __future__ import annotations

from coordinator.store.coordinator_store import CoordinatorStore
from protocol.agreement.document import Agreement
from protocol.errors import UsageError


def choose_agreement(store: CoordinatorStore, id: str) -> Agreement:
    """The published agreement with an id, its newest version; the newest of all for no id."""
    for signed in store.agreements():
        if not id or signed.agreement.id == id:
            return signed.verify()
    raise UsageError(
        f"no agreement {id!r} is published here" if id else "no agreement is published here",
        remedy="fedseg-coordinator agreement publish",
    )
