"""Runs that begin by themselves at agreed moments, each once, while the coordinator serves."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from coordinator.runs.due import PAUSED
from coordinator.runs.in_force import in_force
from coordinator.runs.obstacles import check_may_begin
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.scheduled_runs import ScheduledRuns
from protocol.agreement.document import Agreement
from protocol.agreement.schedule import Moment
from protocol.agreement.software import Software
from protocol.clustering.plan import most_cost
from protocol.errors import FedsegError, RuleError
from protocol.privacy.accounting import cost_of_rho
from protocol.privacy.ledger import check_affordable
from protocol.release.document import SignedRelease

logger = logging.getLogger(__name__)

#: The codes of a run that would end for the same reason.
_QUORUM: Final = "E-SET-QUORUM"
_FIRST_RUN: Final = "E-FIRST-RUN"
_CLOCK: Final = "E-AGR-CLOCK"


@dataclass(slots=True, kw_only=True)
class Scheduler:
    """Starts the runs that are due.

    A moment is looked at again and again until its window is over: what keeps its run from
    beginning is on record with it, and stands there as the reason when it was missed.

    Attributes:
        connected: The partners whose nodes are there now; asked only when a run is due.
        clock: Now, with time zone.
        software: What is installed here; None to look.
    """

    store: CoordinatorStore
    connected: Callable[[], Collection[str]]
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    software: Software | None = None
    #: What was said last of each moment whose window is open.
    _said: dict[tuple[str, Moment], tuple[str, str]] = field(default_factory=dict)

    def look(self) -> list[bytes]:
        """Start what is due and can begin; returns the ids of the runs.

        Raises:
            FedsegError: The store or the carrier fails; it is looked at again.
        """
        now = self.clock()
        begun = []
        for agreement in in_force(self.store, now).values():
            moment = agreement.latest_moment(now)
            if moment is None or now >= moment.until:
                continue
            if self.store.stops_of(agreement.hash):
                continue
            run_id = self._begin(agreement, moment, now)
            if run_id:
                begun.append(run_id)
        return begun

    def _begin(self, agreement: Agreement, moment: Moment, now: datetime) -> bytes:
        """The id of the run that was started; empty when none was."""
        scheduled = ScheduledRuns(self.store)
        row = scheduled.row(agreement.id, moment)
        if row is not None and row.run_id:
            return b""
        run_id = os.urandom(16)
        try:
            self._check(agreement, scheduled, now)
            scheduled.begin(run_id, agreement, moment, now=now)
        except RuleError as obstacle:
            self._hold(agreement, moment, obstacle, now)
            return b""
        logger.info("agreement %s: run %s begins, due %s", agreement.id, run_id.hex(), moment.words)
        return run_id

    def _hold(
        self, agreement: Agreement, moment: Moment, obstacle: RuleError, now: datetime
    ) -> None:
        """Say and note why a run does not begin yet, when that has changed.

        Not by a clock that was set back: the time with which it was noted would be one from which
        the clock is no longer behind.
        """
        why = (obstacle.code, obstacle.message)
        if self._said.get((agreement.id, moment)) == why:
            return
        if obstacle.code != _CLOCK:
            ScheduledRuns(self.store).hold(agreement, moment, code=why[0], reason=why[1], now=now)
        logger.warning(
            "agreement %s: the run due %s does not begin yet: %s",
            *(agreement.id, moment.words, obstacle),
        )
        self._said = {(agreement.id, moment): why} | {
            about: said for about, said in self._said.items() if about[1].until > now
        }

    def _check(self, agreement: Agreement, scheduled: ScheduledRuns, now: datetime) -> None:
        """Raise RuleError when the run would not begin, or only to end."""
        changes = scheduled.pauses(agreement.id)
        if changes and changes[-1].paused:
            raise RuleError(f"the schedule is paused: {changes[-1].reason}", code=PAUSED)
        try:
            agreement.check_clock(now, latest=scheduled.latest(agreement))
            check_may_begin(self.store, agreement, now, software=self.software)
            self.store.check_startable(agreement)
        except FedsegError as error:
            raise RuleError(error.message, code=error.code, remedy=error.remedy) from error
        self._check_budget(agreement)
        self._check_quorum(agreement)

    def _check_budget(self, agreement: Agreement) -> None:
        """Refuse what the nodes' ledgers surely refuse, by what releases say was spent.

        Nodes may have charged more, for runs without a release: they decide.
        """
        terms = agreement.privacy
        if terms is None:
            return
        spent = 0
        for _, _, envelope in self.store.releases():
            release = SignedRelease.from_bytes(envelope).release
            if release.privacy is not None and release.agreement_id == agreement.id:
                spent += cost_of_rho(release.privacy.rho)
        least = most_cost(agreement, follows=not agreement.plan.start)
        check_affordable(terms, spent=spent, more=terms.reserve_for(least))

    def _check_quorum(self, agreement: Agreement) -> None:
        ids = [party.id for party in agreement.parties]
        there = {*self.connected()} & {*ids}
        missing = ", ".join(id for id in ids if id not in there)
        first = not self.store.has_chain(agreement)
        if first and missing:
            raise RuleError(
                f"an agreement's first run waits for all: {missing} not connected", code=_FIRST_RUN
            )
        if len(there) < agreement.smallest_set:
            raise RuleError(
                f"{len(there)} of {len(ids)} partners are connected, at least "
                f"{agreement.smallest_set} are needed: {missing} not connected",
                code=_QUORUM,
            )
