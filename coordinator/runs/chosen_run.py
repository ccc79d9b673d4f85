"""Selection of the run that a command refers to."""

from __future__ import annotations

from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.records import RunRow
from protocol.errors import UsageError


def find_run(store: CoordinatorStore, prefix: str, *, finished: bool = False) -> RunRow:
    """Find the run whose id begins with `prefix`, the newest when it is empty."""
    rows = [
        row
        for row in store.runs()
        if row.run_id.hex().startswith(prefix) and (row.state == "finished" or not finished)
    ]
    if not rows or (prefix and len(rows) > 1):
        what = "finished run" if finished else "run"
        if not prefix:
            none = "no run has ended with a release yet" if finished else "no run was asked for yet"
            raise UsageError(none, remedy="see `run list`; fedseg-coordinator run start --watch")
        found = f"{len(rows)} {what}s begin" if rows else f"no {what} begins"
        raise UsageError(f"{found} with {prefix!r}", remedy="see `run list`")
    return rows[0]
