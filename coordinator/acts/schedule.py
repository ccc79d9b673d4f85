"""Pausing a schedule, and ending the pause."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.scheduled_runs import PauseRow, ScheduledRuns
from protocol.agreement.document import Agreement
from protocol.errors import UsageError
from protocol.strict import Fields

_LONGEST_REASON: Final = 200


def change_pause(
    store: CoordinatorStore,
    chosen: Sequence[Agreement],
    *,
    paused: bool,
    reason: str,
    now: datetime,
) -> tuple[Agreement, PauseRow, bool]:
    """Pause the schedule of the only one of some agreements, or end its pause.

    Returns:
        The agreement, the pause or end of one that holds, as it is on record, and whether it is
        this change: not where it was so already.

    Raises:
        UsageError: There is none or more than one agreement (E-SCHEDULE, E-AGR-WHICH), or the
            reason, which is kept on record, is missing.
        MalformedError: The reason is no line of at most 200 characters.
    """
    if not reason:
        raise UsageError("--reason is missing: it is kept on record", remedy="add --reason TEXT")
    if len(chosen) != 1:
        raise UsageError(
            f"{len(chosen)} agreements have a schedule: {', '.join(one.id for one in chosen)}"
            if chosen
            else "no agreement in force has a schedule",
            code="E-AGR-WHICH" if chosen else "E-SCHEDULE",
            remedy="name the one that is meant: --agreement ID",
        )
    words = Fields({"reason": reason}, "--").line("reason", max_length=_LONGEST_REASON)
    (one,), scheduled = chosen, ScheduledRuns(store)
    done = scheduled.note_pause(one.id, paused=paused, reason=words, now=now)
    if done is not None:
        return one, done, True
    before = scheduled.pauses(one.id)
    never = PauseRow(at="", paused=False, reason="")  # it has gone on from the beginning
    return one, before[-1] if before else never, False
