"""What runs have spent of each agreement's budget, as the coordinator knows it."""

from __future__ import annotations

from datetime import datetime

from coordinator.runs.forecast import budget, last_release
from coordinator.runs.in_force import in_force
from coordinator.shown.run_plan import budget_words
from coordinator.store.coordinator_store import CoordinatorStore
from machine.shown import Shown
from protocol.release.last import begins_at


def budgets_shown(store: CoordinatorStore, now: datetime) -> Shown:
    """The budget of each agreement in force; none for exact totals."""
    rows, parts = [], list[object]()
    for one in in_force(store, now).values():
        costs = budget(store, one)
        follows = begins_at(one, last_release(store, one)) is not None
        rows.append(
            {
                **one.named(),
                "follows": follows,
                "budget": None if costs is None else costs.to_dict(),
            }
        )
        parts += [
            f"Agreement {one.id}, version {one.version}.",
            *budget_words(costs, follows=follows),
        ]
    return Shown(values={"budgets": rows}, parts=parts or ["No agreement is in force here."])
