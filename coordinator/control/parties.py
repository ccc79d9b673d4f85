"""Which published agreements are a caller's."""

from __future__ import annotations

from coordinator.control.callers import Caller
from coordinator.control.guard import RefusedError
from coordinator.store.coordinator_store import CoordinatorStore
from protocol.agreement.document import Agreement
from protocol.errors import StoreError


def agreement_of(store: CoordinatorStore, caller: Caller, agreement_hash: bytes) -> Agreement:
    """A published agreement to which the caller is a party; else RefusedError (E-PROPOSAL)."""
    try:
        agreement = store.agreement(agreement_hash)
    except StoreError as error:
        raise RefusedError("no such agreement", code="E-PROPOSAL") from error
    if all(party.id != caller.partner for party in agreement.parties):
        raise RefusedError("no such agreement for this partner", code="E-PROPOSAL")
    return agreement
