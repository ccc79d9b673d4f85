"""Which version of each agreement is in force at a time."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Final

from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.hand_overs import KeptHandOvers, under_known
from protocol.agreement.document import Agreement
from protocol.errors import UsageError
from protocol.signed_agreement import SignedAgreement

#: Versions that are kept parsed: those of several agreements over years.
_KEPT: Final = 64


def versions(store: CoordinatorStore) -> dict[str, list[Agreement]]:
    """The published versions of each agreement, by its id, the lowest number first.

    Each as `under_known`.
    """
    found: dict[str, list[Agreement]] = {}
    hand_overs = KeptHandOvers(store).load()
    for (envelope,) in store.ask("SELECT envelope FROM agreements ORDER BY version, number"):
        agreement = under_known(_verified(bytes(envelope)), hand_overs)
        found.setdefault(agreement.id, []).append(agreement)
    return found


def in_force(store: CoordinatorStore, now: datetime) -> dict[str, Agreement]:
    """The newest version of each agreement that is effective at `now`, by its id.

    One whose last version lies ahead has its version before. One that has ended is there still.
    """
    newest = {
        id: [one for one in known if one.effective <= now] for id, known in versions(store).items()
    }
    return {id: known[-1] for id, known in newest.items() if known}


def next_to_run(store: CoordinatorStore, now: datetime) -> dict[str, Agreement]:
    """The version of each agreement that its next run is under, by its id.

    The one in force; of an agreement whose versions all lie ahead its first.
    """
    return {id: known[0] for id, known in versions(store).items()} | in_force(store, now)


def chosen_in_force(store: CoordinatorStore, id: str, now: datetime) -> Agreement:
    """The version in force of an agreement, or of the only one; its first where all lie ahead.

    Args:
        id: Empty for the only one.

    Raises:
        UsageError: There is none, or several are in force and none was named (E-AGR-WHICH).
    """
    known = next_to_run(store, now)
    ids = [
        one.id for one in known.values()
        if one.effective <= now < one.expires and not store.stops_of(one.hash)
    ]  # fmt: skip
    if not id and len(ids) > 1:
        raise UsageError(
            f"several agreements are in force: {', '.join(sorted(ids))}",
            code="E-AGR-WHICH",
            remedy="name the one that is meant: --agreement ID",
        )
    published = [signed.agreement.id for signed in store.agreements()]
    wanted = id or next(iter(ids), published[0] if published else "")
    if wanted in known:
        return known[wanted]
    raise UsageError(
        f"no agreement {id!r} is published here" if id else "no agreement is published here",
        remedy="an agreement that was proposed is in force with its last signature "
        "(fedseg-coordinator agreement status); signed files: agreement publish",
    )


@lru_cache(maxsize=_KEPT)
def _verified(envelope: bytes) -> Agreement:
    """The same bytes are read and verified once a process: they are looked at every few seconds."""
    return SignedAgreement.from_bytes(envelope, kept=True).verify()
