"""What people do in the coordinator's console: what the commands of the same names do."""

from __future__ import annotations

import os
from collections.abc import Callable

from coordinator.acts.partners import admit, ask_to_check
from coordinator.acts.runs import start_run, stop_run
from coordinator.acts.schedule import change_pause
from coordinator.console.pages import Pages
from coordinator.control.standing import shut_out
from coordinator.runs.due import scheduled_agreements
from coordinator.store.coordinator_store import CoordinatorStore
from machine.web.site import Asked
from protocol.errors import UsageError


class Acts:
    """The acts of one coordinator.

    Args:
        pages: Find the run that a form names.
        coordinator_key: Its public key when the console began, which short codes follow from; the
            hand-overs in the database lead from it to the one in force.
    """

    def __init__(self, store: CoordinatorStore, pages: Pages, *, coordinator_key: bytes) -> None:
        self._store = store
        self._pages = pages
        self._key = coordinator_key

    def start(self, asked: Asked) -> str:
        """As `run start`; leads to the run."""
        run_id = os.urandom(16)
        without = asked.form.get("without", "").replace(",", " ").split()
        start_run(self._store, _named(asked, "id"), run_id=run_id, without=without, now=asked.now)
        return f"/runs/{run_id.hex()}"

    def stop(self, asked: Asked) -> str:
        """As `run stop`; leads to the run."""
        row = self._pages.row(_named(asked, "run"))
        stop_run(self._store, row)
        return f"/runs/{row.run_id.hex()}"

    def pausing(self, *, paused: bool) -> Callable[[Asked], str]:
        """What pauses a schedule or ends the pause, as `run schedule --pause` and `--resume`."""

        def act(asked: Asked) -> str:
            chosen = scheduled_agreements(self._store, _named(asked, "id"), asked.now)
            reason = _named(asked, "reason")
            change_pause(self._store, chosen, paused=paused, reason=reason, now=asked.now)
            return "/schedule"

        return act

    def admit(self, asked: Asked) -> str:
        """As `partner admit --code`."""
        admit(self._store, (), [_named(asked, "code")], coordinator_key=self._key)
        return "/partners"

    def remove(self, asked: Asked) -> str:
        """As `partner remove`."""
        shut_out(self._store, _named(asked, "partner"))
        return "/partners"

    def check(self, asked: Asked) -> str:
        """As `partner check` of all that joined."""
        ask_to_check(self._store, (), coordinator_key=self._key, now=asked.now)
        return "/partners"


def _named(asked: Asked, field: str) -> str:
    """A field that has to be filled in; raises UsageError (E-FORM)."""
    text = asked.form.get(field, "").strip()
    if not text:
        raise UsageError(
            f"the form names no {field}",
            code="E-FORM",
            remedy="open the page again, and fill it in",
        )
    return text
