"""Commands that change what a serving coordinator holds in memory: nobody serves meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Final

from coordinator.config import CoordinatorConfig
from coordinator.runs.life import run_lock, serve_lock
from protocol.errors import UsageError

#: A console's pages and commands hold the lock for a moment to see whether a process serves.
_LOOKED_AT_S: Final = 1.0


@contextmanager
def nobody_serves(config: CoordinatorConfig, *, then: str) -> Iterator[None]:
    """Hold the locks of the serving process, and of every driver of a run.

    Args:
        then: What is done after that, for people.

    Raises:
        UsageError: A process serves the folder, or drives a run.
    """
    with ExitStack() as held:
        free = held.enter_context(serve_lock(config.directory, wait_s=_LOOKED_AT_S))
        if free and config.store is not None:
            held.enter_context(closing(lease := config.store.lease()))
            lease.hold()
        with closing(config.open_store()) as store:
            open_runs = [run.run_id for run in store.open_runs()]
        for run_id in open_runs:
            free = held.enter_context(run_lock(config.directory, run_id)) and free
        if not free:
            raise UsageError(
                f"a process serves {config.directory}", remedy=f"stop it first, then {then}"
            )
        yield
