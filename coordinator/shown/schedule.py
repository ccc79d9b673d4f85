"""`run schedule`: agreed moments, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from coordinator.runs.due import STARTED, Due, ahead, past
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.scheduled_runs import ScheduledRuns
from machine.shown import Shown
from machine.tables import folding_table
from machine.text import minute, short, shown
from protocol.agreement.document import Agreement


def schedule_shown(
    store: CoordinatorStore, chosen: Sequence[Agreement], now: datetime, *, count: int
) -> Shown:
    """The next and the last moments of agreements, and pauses.

    Args:
        chosen: Agreements with a schedule.
        count: How many moments, next and past.
    """
    scheduled = ScheduledRuns(store)
    values, lines = [], list[object]()
    for one in chosen:
        before = past(store, now, agreement_id=one.id)[:count]
        after = ahead(store, now, agreement_id=one.id, count=count)
        pauses = scheduled.pauses(one.id)
        terms = one.schedule
        values.append(
            {
                **one.named(),
                "schedule": None if terms is None else terms.to_dict(),
                "paused": scheduled.paused(one.id),
                "pauses": [change.to_dict() for change in pauses],
                "next": [due.to_dict() for due in after],
                "past": [due.to_dict() for due in before],
            }
        )
        rule = "no schedule any more" if terms is None else terms.words
        lines.append(f"Agreement {one.id}, version {one.version}: {rule}.")
        if scheduled.paused(one.id):
            last = pauses[-1]
            lines.append(f"PAUSED since {minute(last.at)}: {shown(last.reason)}")
        lines.append(_table(store, [*reversed(after), *before]))
    return Shown(
        values={"schedules": values},
        parts=lines or ["No agreement in force has a schedule."],
    )


def _table(store: CoordinatorStore, found: Sequence[Due]) -> object:
    table = folding_table("due", "version", "what became of it", title="Runs by the schedule")
    for due in found:
        became = due.state
        if due.state == STARTED:
            run = store.run(due.run_id)
            became = f"run {short(due.run_id)} {run.state} {run.code}".strip()
        elif due.why:
            became = f"{due.state}: {shown(due.why)}"
        table.add_row(due.moment.words, str(due.version), became)
    return table if found else "No moment lies ahead, and none was."
