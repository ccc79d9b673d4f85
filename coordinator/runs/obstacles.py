"""What would keep a run from beginning now, as far as the coordinator knows."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from importlib import metadata, resources

from coordinator.store.added_builds import AddedBuilds
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.diligence import Diligence
from protocol.agreement.document import Agreement
from protocol.agreement.software import Software
from protocol.agreement.stop import SignedStop
from protocol.errors import FedsegError, RunFailedError, UsageError
from protocol.privacy.words import counted


def check_parties(agreement: Agreement, without: Collection[str]) -> None:
    """Refuse names of partners that are no parties; raises UsageError."""
    strangers = set(without) - {party.id for party in agreement.parties}
    if strangers:
        raise UsageError(
            f"--without: {', '.join(sorted(strangers))} is no party of agreement {agreement.id!r}",
            remedy=f"its parties are {', '.join(party.id for party in agreement.parties)}",
        )


def check_may_begin(
    store: CoordinatorStore,
    agreement: Agreement,
    now: datetime,
    *,
    software: Software | None = None,
) -> None:
    """Refuse an agreement under which no run may begin.

    Args:
        software: What is installed here; None to look.

    Raises:
        RuleError: It is not in force, its review is over, it names other software, or due
            diligence that it demands is missing.
    """
    for check in _checks(store, agreement, now, software):
        check()


def obstacles(
    store: CoordinatorStore, agreement: Agreement, *, without: Collection[str], now: datetime
) -> list[FedsegError]:
    """All that would keep a run from beginning, or end it at once."""
    stops = store.stops_of(agreement.hash)
    found: list[FedsegError] = [
        SignedStop.from_bytes(envelope).refusal(agreement) for envelope in stops[:1]
    ]
    for check in _checks(store, agreement, now):
        try:
            check()
        except FedsegError as error:
            found.append(error)
    here = agreement.n_partners - len(set(without))
    if here < agreement.smallest_set:
        found.append(
            RunFailedError(
                f"{counted(here, 'partner')} would take part, {agreement.smallest_set} are needed",
                code="E-SET-QUORUM",
                remedy="leave out fewer",
            )
        )
    for run in store.open_runs():
        if run.agreement_hash == agreement.hash:
            found.append(
                UsageError(
                    f"run {run.run_id.hex()[:8]} has not ended",
                    code="E-RUN-ACTIVE",
                    remedy="wait for it: fedseg-coordinator run watch",
                )
            )
    return found


def _checks(
    store: CoordinatorStore, agreement: Agreement, now: datetime, software: Software | None = None
) -> tuple[Callable[[], None], ...]:
    return (
        lambda: agreement.check_time(now),
        lambda: agreement.check_review(now),
        lambda: agreement.check_software(
            software or Software.installed(metadata.version, resources.files),
            added=lambda: AddedBuilds(store).allowed(agreement),
        ),
        lambda: Diligence(store).check(agreement, now),
    )
