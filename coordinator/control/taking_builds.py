"""Taking a build and its signatures, whether they came as files or online."""

from __future__ import annotations

from datetime import datetime

from coordinator.control.announcements import BUILD, Announcements
from coordinator.store.added_builds import AddedBuilds
from coordinator.store.coordinator_store import CoordinatorStore
from protocol.agreement.added_build import AddedBuild
from protocol.agreement.document import Agreement


def keep_build(
    store: CoordinatorStore, added: AddedBuild, agreement: Agreement, *, now: datetime
) -> AddedBuild:
    """Keep a build, wherever it came from, and announce it when that changes anything.

    Returns:
        It with all signatures that are known.

    Raises:
        AgreementError: It is not for this agreement, or a signature does not hold.
    """
    builds = AddedBuilds(store)
    before = builds.with_hash(agreement, added.hash)
    kept = builds.keep(added, agreement, now=now)
    if before is None or kept.envelope.signatures != before.envelope.signatures:
        with store.transaction():
            Announcements(store).add(BUILD, [p.id for p in agreement.parties], agreement.hash)
    return kept
