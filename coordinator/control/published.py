"""Published agreements, as they are told to their parties alone."""

from __future__ import annotations

from coordinator.control.callers import Caller
from coordinator.control.guard import RefusedError
from coordinator.store.coordinator_store import CoordinatorStore
from protocol.agreement.document import Agreement
from protocol.errors import StoreError


def published_to(caller: Caller, agreement_hash: bytes, store: CoordinatorStore) -> Agreement:
    """A published agreement to which the caller is a party; raises RefusedError (E-PROPOSAL)."""
    try:
        agreement = store.agreement(agreement_hash)
    except StoreError as error:
        raise RefusedError("no such agreement", code="E-PROPOSAL") from error
    if all(party.id != caller.partner for party in agreement.parties):
        raise RefusedError("no such agreement for this partner", code="E-PROPOSAL")
    return agreement
