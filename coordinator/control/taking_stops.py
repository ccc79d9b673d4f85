"""Taking a partner's signed stop, whether it came as a file or online."""

from __future__ import annotations

from coordinator.control.announcements import STOPPED, Announcements
from coordinator.store.coordinator_store import CoordinatorStore
from protocol.agreement.stop import SignedStop


def take_stop(store: CoordinatorStore, stop: SignedStop) -> list[bytes]:
    """Take a partner's signed stop, and announce it to every party.

    Returns:
        Ids of the runs that it ended.

    Raises:
        StoreError: The agreement is not published here.
        AgreementError: The stop does not hold (E-AGR-PARTY, E-AGR-SIGNATURE).
    """
    ended = store.stop_agreement(stop)
    parties = [party.id for party in store.agreement(stop.agreement_hash).parties]
    with store.transaction():
        Announcements(store).add(STOPPED, parties, stop.agreement_hash)
    return ended
