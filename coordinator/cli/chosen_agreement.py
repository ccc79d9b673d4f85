"""Selection of the agreement that a command refers to."""

from __future__ import annotations

from datetime import UTC, datetime

from coordinator.runs.in_force import in_force
from coordinator.store.coordinator_store import CoordinatorStore
from protocol.agreement.document import Agreement
from protocol.errors import UsageError


def choose_agreement(store: CoordinatorStore, id: str) -> Agreement:
    """The newest version of a published agreement.

    Args:
        id: Empty for the only one in force; where all have ended, for the newest.

    Raises:
        UsageError: There is none, or several are in force and none was named (E-AGR-WHICH).
    """
    now = datetime.now(UTC)
    published = [signed.agreement for signed in store.agreements()]
    known = in_force(store, now)
    going_on = [
        one.id for one in known.values() if one.expires > now and not store.stops_of(one.hash)
    ]
    if not id and len(going_on) > 1:
        raise UsageError(
            f"several agreements are in force: {', '.join(sorted(going_on))}",
            code="E-AGR-WHICH",
            remedy="name the one that is meant: --agreement ID",
        )
    wanted = id or next(iter(going_on), published[0].id if published else "")
    if wanted in known:
        return known[wanted]
    for signed in store.agreements():  # it lies ahead
        if signed.agreement.id == wanted:
            return signed.verify()
    raise UsageError(
        f"no agreement {id!r} is published here" if id else "no agreement is published here",
        remedy="fedseg-coordinator agreement publish",
    )
