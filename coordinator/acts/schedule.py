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
) -> tuple[Agreement, PauseRow | None]:
    """Pause the schedule of the only one of some agreements, or end its pause.

    Returns:
        The agreement and the change; None where it was so already.

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
    (one,) = chosen
    return one, ScheduledRuns(store).note_pause(one.id, paused=paused, reason=words, now=now)
