"""Progress of a run, shown at a terminal or in a log."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from coordinator.runs.life import NOT_SERVED, is_served
from coordinator.shown.progress_words import (
    next_words,
    now_utc,
    partner_words,
    round_words,
    since_words,
)
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.records import RunRow
from machine.console import diagnostics
from machine.text import shown
from protocol.errors import RunFailedError, StoreError

_WATCH_EVERY_S: Final = 0.1
#: So often a database that is away is looked for.
_AWAY_S: Final = 1.0
#: Least seconds between lines where no bar is shown.
_LINE_EVERY_S: Final = 1.0
#: A wait for the same partners that lasts so long is worth a line.
_LASTS_S: Final = 3.0


def follow(store: CoordinatorStore, run_id: bytes, directory: Path) -> RunRow:
    """Show a run's progress until it has ended: a bar on a terminal, else lines.

    Raises:
        RunFailedError: Nobody serves the coordinator, so the run would wait for ever.
    """
    lines = _Lines()
    with Progress(
        TextColumn("{task.fields[doing]}"),
        BarColumn(),
        TextColumn("{task.fields[round]}"),
        TextColumn("{task.fields[partners]}"),
        TimeElapsedColumn(),
        console=diagnostics,
        disable=not diagnostics.is_terminal,
        transient=True,
    ) as bar:
        task = bar.add_task("run", total=1, doing="requested", round="", partners="")
        while True:
            row = _row_of(store, run_id)
            progress = row.progress
            if progress:
                bar.update(
                    task,
                    total=progress["max_rounds"],
                    completed=progress["round"],
                    doing=progress["doing"],
                    round=round_words(progress),
                    partners=_waits(progress),
                )
                if not diagnostics.is_terminal:
                    lines.show(progress)
            if row.ended:
                return row
            if not is_served(directory):
                raise RunFailedError(
                    f"run {run_id.hex()[:8]} stays requested, and {NOT_SERVED}",
                    code="E-NOT-SERVED",
                    remedy=f"fedseg-coordinator serve --dir {directory}: the run then goes on; or "
                    f"give it up: fedseg-coordinator run stop {run_id.hex()[:8]} --dir {directory}",
                )
            time.sleep(_WATCH_EVERY_S)


def _row_of(store: CoordinatorStore, run_id: bytes) -> RunRow:
    """Where a run stands, also after a wait for a server's database that is away."""
    told = False
    while True:
        try:
            return store.run(run_id)
        except StoreError as error:
            if error.code != "E-STORE-CONNECT":
                raise
            if not told:
                diagnostics.print(f"waiting: {shown(error.message)}")
            told = True
            time.sleep(_AWAY_S)


class _Lines:
    """Progress in a log: a line for each change, or for a wait that lasts; at most one a second."""

    def __init__(self) -> None:
        self._shown: object = None
        self._at = -_LINE_EVERY_S
        #: Who was missing in the last line, who is now, and since when.
        self._told: list[str] = []
        self._missing: list[str] = []
        self._since = 0.0
        #: Whether the last line said what comes next.
        self._foretold = False

    def show(self, progress: dict[str, Any]) -> None:
        """Print a line when the phase, the partners or their refusals have changed.

        Also when others are missing than the last line said, for a few seconds already, and once
        to say what comes next in such a wait.
        """
        now = time.monotonic()
        if progress["waiting_for"] != self._missing:
            self._missing, self._since = progress["waiting_for"], now
        news = self._missing != self._told or (bool(progress.get("next")) and not self._foretold)
        lasts = news and now - self._since >= _LASTS_S
        what = [progress.get(k) for k in ("phase", "participants", "left_out", "refusals")]
        if (what == self._shown and not lasts) or now - self._at < _LINE_EVERY_S:
            return
        self._shown, self._at, self._told = what, now, self._missing
        self._foretold = bool(progress.get("next"))
        diagnostics.print(f"{progress['doing']}, {round_words(progress)}, {_waits(progress)}")


def _waits(progress: dict[str, Any]) -> str:
    """Who has answered and who is missing, since when, and what comes next."""
    now = now_utc()
    words = (partner_words(progress), since_words(progress, now), next_words(progress, now))
    return "; ".join(filter(None, (" ".join(filter(None, words[:2])), words[2])))
