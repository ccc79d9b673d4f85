"""Selection of the agreement that a command refers to."""

from __future__ import annotations

from datetime import UTC, datetime

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
    published = [signed.agreement for signed in store.agreements()]
    newest = {agreement.id: agreement for agreement in reversed(published)}
    now = datetime.now(UTC)
    ids = [one.id for one in newest.values() if one.expires > now and not store.stops_of(one.hash)]
    if not id and len(ids) > 1:
        raise UsageError(
            f"several agreements are in force: {', '.join(sorted(ids))}",
            code="E-AGR-WHICH",
            remedy="name the one that is meant: --agreement ID",
        )
    wanted = id or next(iter(ids), published[0].id if published else "")
    for signed in store.agreements():
        if signed.agreement.id == wanted:
            return signed.verify()
    raise UsageError(
        f"no agreement {id!r} is published here" if id else "no agreement is published here",
        remedy="fedseg-coordinator agreement publish",
    )
