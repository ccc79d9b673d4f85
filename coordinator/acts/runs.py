"""Starting and stopping runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from coordinator.control.standing import (
    AWAY,
    NOT_READY,
    READY,
    PartnerReadiness,
    parties_readiness,
)
from coordinator.control.unready import Unready, check_enough_ready
from coordinator.runs.in_force import chosen_in_force
from coordinator.runs.late_refusals import late_refusal_words
from coordinator.runs.obstacles import check_may_begin, check_parties
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.records import RunRow
from machine.text import short
from protocol.agreement.document import Agreement
from protocol.errors import UsageError


def to_know_before(
    rows: Sequence[RunRow],
    agreement: Agreement,
    not_ready: Sequence[Unready],
    partners: Sequence[PartnerReadiness],
    *,
    grace_s: float,
) -> list[str]:
    """What to know before a run under an agreement.

    Who is away and how long it waits, who is not ready, and who refused late before.

    Args:
        rows: Runs, also of other agreements.
        not_ready: As `unready_for` says.
        partners: As `parties_readiness` says.
        grace_s: Seconds that missing partners are waited for.
    """
    earlier = [row for row in rows if row.agreement_hash == agreement.hash]
    return [
        *_away_words(partners, grace_s),
        *(one.words for one in not_ready),
        *late_refusal_words(earlier),
    ]


def _away_words(partners: Sequence[PartnerReadiness], grace_s: float) -> list[str]:
    """Who is away and who is there, as far as that is known, and how long the run waits."""
    away = [one.partner for one in partners if one.state == AWAY]
    if not away:
        return []
    there = [one.partner for one in partners if one.state in (READY, NOT_READY)]
    return [
        f"not connected now: {', '.join(away)}; connected: {', '.join(there) or 'nobody'}. The run "
        f"waits {grace_s:g} s for whoever is missing, then goes on without, or ends"
    ]


def start_run(
    store: CoordinatorStore, agreement: str, *, run_id: bytes, without: Collection[str],
    now: datetime,
) -> None:  # fmt: skip
    """Ask for a run, which whoever serves the coordinator drives.

    Args:
        agreement: Its id; empty for the only one in force.
        run_id: 16 random bytes.
        without: Ids of partners that are left out.

    Raises:
        UsageError: There is no such agreement or party, or a run goes on (E-RUN-ACTIVE).
        RuleError: No run may begin under the agreement now, or too many of its partners said that
            they are not ready (E-SET-QUORUM).
    """
    chosen = chosen_in_force(store, agreement, now)
    check_may_begin(store, chosen, now)
    check_parties(chosen, without)
    check_enough_ready(chosen, parties_readiness(store, chosen, without=without, now=now))
    store.request_run(run_id, chosen, without=tuple(without))


def stop_run(store: CoordinatorStore, row: RunRow) -> None:
    """End a run; its driver notices within a second. Raises UsageError when it has ended."""
    if row.ended:
        raise UsageError(f"run {short(row.run_id)} has ended already: {row.state}")
    store.fail(row.run_id, "E-STOPPED", "stopped by the operator", "start a new run")
