"""What each page of the coordinator's console shows: the values and words that commands print.

Nothing here is one partner's own: the coordinator learns totals alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, cast

from coordinator.acts.runs import to_know_before
from coordinator.config import CoordinatorConfig
from coordinator.console.drawn import release_drawn
from coordinator.control.proposals import Proposals
from coordinator.control.standing import parties_readiness
from coordinator.control.unready import Unready, unready_for
from coordinator.duties.all import duties_of
from coordinator.report.released import report_of, view_of
from coordinator.runs.due import scheduled_agreements
from coordinator.runs.forecast import budget
from coordinator.runs.in_force import in_force
from coordinator.runs.life import is_served
from coordinator.service.certificates import read_certificate
from coordinator.shown.agreements import agreement_shown, agreements_shown
from coordinator.shown.budget import budgets_shown
from coordinator.shown.certificate import waits_words
from coordinator.shown.diligence import diligence_shown
from coordinator.shown.forks import forks_shown
from coordinator.shown.keys import keys_shown
from coordinator.shown.partners import partners_shown
from coordinator.shown.releases import release_shown, releases_shown
from coordinator.shown.run_plan import plan_shown
from coordinator.shown.runs import run_shown, runs_shown
from coordinator.shown.schedule import schedule_shown
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.hand_overs import KeptHandOvers
from coordinator.store.records import RunRow
from coordinator.store.scheduled_runs import ScheduledRuns
from machine.accounts.accounts import Accounts
from machine.accounts.commands import acts_table
from machine.accounts.roles import Permission, may
from machine.duties.shown import duties_shown
from machine.shown import Shown
from machine.text import short
from machine.web.site import Asked
from protocol.agreement.document import Agreement
from protocol.errors import FedsegError, StoreError, UsageError
from protocol.privacy.accounting import epsilon_text
from protocol.release.view import ReleaseView

#: Seconds after which the page of a run, and of all, renews itself while one goes on; and others.
_WATCHED_S: Final = 2
_LISTED_S: Final = 5
_RENEWED_S: Final = 10
#: Tables of pages fold in the browser.
_ONE_TABLE: Final = 100_000
_MOMENTS: Final = 10
_HEX: Final = re.compile(r"(?:[0-9a-f]{2}){1,64}")


class Pages:
    """The pages of one coordinator.

    Args:
        coordinator_key: Its public key when the console began, which short codes follow from; the
            hand-overs in the database lead from it to the one in force.
    """

    def __init__(
        self,
        config: CoordinatorConfig,
        store: CoordinatorStore,
        accounts: Accounts,
        *,
        coordinator_key: bytes,
    ) -> None:
        self._config = config
        self._store = store
        self._accounts = accounts
        self._key = coordinator_key

    # --- runs ------------------------------------------------------------------------------------

    def runs(self, asked: Asked) -> Shown:
        """As `run list`."""
        return runs_shown(self._store, self._rows(asked), asked.now)

    def about_runs(self, asked: Asked) -> Mapping[str, Any]:
        """The runs to lead to, and the agreements under which this person may start one."""
        rows = self._rows(asked)
        starts = may(asked.account.role, Permission.START_RUNS)
        return {
            "runs": [(row.run_id.hex(), short(row.run_id), row.state) for row in rows],
            "served": is_served(self._config.directory),
            "startable": [
                (id, self._to_know_before(rows, one, asked.now))
                for id, one in in_force(self._store, asked.now).items()
            ]
            if starts
            else [],
            "renewed_s": _RENEWED_S if all(row.ended for row in rows) else _LISTED_S,
        }

    def _to_know_before(self, rows: list[RunRow], one: Agreement, now: datetime) -> list[str]:
        partners = parties_readiness(self._store, one, without=(), now=now)
        grace_s = self._config.patience.grace_s
        return to_know_before(rows, one, self._unready(one, now), partners, grace_s=grace_s)

    def _unready(self, agreement: Agreement, now: datetime) -> list[Unready]:
        return unready_for(self._store, agreement, without=(), now=now)

    def _rows(self, asked: Asked) -> list[RunRow]:
        """All runs: they are read once for what a page shows."""
        if "rows" not in asked.read:
            asked.read["rows"] = self._store.runs()
        return cast(list[RunRow], asked.read["rows"])

    def plan(self, asked: Asked) -> Shown:
        """As `run plan`, of an agreement in force."""
        found = in_force(self._store, asked.now).get(asked.path["id"])
        if found is None:
            raise UsageError(
                f"no agreement {asked.path['id']!r} is in force here",
                code="E-AGR-UNKNOWN",
                remedy="see the page of agreements",
            )
        served = is_served(self._config.directory)
        return plan_shown(
            self._store, found, without=(), customers=None, served=served, now=asked.now
        )

    def run(self, asked: Asked) -> Shown:
        """As `run show`."""
        served = is_served(self._config.directory)
        return run_shown(self._store, self.row(asked.path["run"]), served=served, now=asked.now)

    def about_run(self, asked: Asked) -> Mapping[str, Any]:
        """Whether this person may stop the run, and whether it has a release to lead to."""
        row = self.row(asked.path["run"])
        role = asked.account.role
        return {
            "run": row.run_id.hex(),
            "name": short(row.run_id),
            "may_stop": not row.ended and may(role, Permission.STOP_RUNS),
            "has_release": row.state == "finished" and may(role, Permission.READ_RELEASES),
            "renewed_s": None if row.ended else _WATCHED_S,
        }

    def row(self, text: str) -> RunRow:
        """The run of an id in a path or form; raises StoreError (E-RUN-UNKNOWN)."""
        if not _HEX.fullmatch(text):
            raise StoreError("there is no such run", code="E-RUN-UNKNOWN", remedy="see all runs")
        return self._store.run(bytes.fromhex(text))

    # --- partners --------------------------------------------------------------------------------

    def partners(self, asked: Asked) -> Shown:
        """As `partner list`."""
        found = partners_shown(self._store, coordinator_key=self._key, now=asked.now)
        return replace(found, parts=[*found.parts, *forks_shown(self._store).parts])

    def about_partners(self, asked: Asked) -> Mapping[str, Any]:
        """What this person may do about partners, and until when our own certificate holds."""
        role = asked.account.role
        return {
            "may_change": may(role, Permission.CHANGE_PARTNERS),
            "may_ask": may(role, Permission.ASK_FOR_CHECKS),
            "certificate": self._certificate_words(),
            "renewed_s": _RENEWED_S,
        }

    def _certificate_words(self) -> str:
        try:
            found = read_certificate(self._config.certificate)
            waits = waits_words(self._config, self._store)
        except FedsegError as error:
            return f"{error.code}: {error.message}"
        return (
            f"The certificate of the public ports, for {', '.join(found.names)}, holds until "
            f"{found.expires:%Y-%m-%d %H:%M} UTC. {waits}"
        ).rstrip()

    def diligence(self, asked: Asked) -> Shown:
        """As `partner diligence list`."""
        return diligence_shown(self._store, asked.now)

    def keys(self, _: Asked) -> Shown:
        """As `key show`; the coordinator's own may be another than when the console began."""
        known = KeptHandOvers(self._store).load()
        return keys_shown(self._store, known.latest_of(self._key, partner=""))

    # --- agreements, budget, schedule ------------------------------------------------------------

    def agreements(self, asked: Asked) -> Shown:
        """As `agreement list`."""
        return agreements_shown(self._store, asked.now)

    def about_agreements(self, _: Asked) -> Mapping[str, Any]:
        """The versions to lead to."""
        found = {one.agreement.hash: one.agreement for one in self._store.agreements()}
        proposed = {one.hash: one.draft.agreement for one in Proposals(self._store).all()}
        return {
            "published": [(key.hex(), one.id, one.version) for key, one in found.items()],
            "proposed": [
                (key.hex(), one.id, one.version)
                for key, one in proposed.items()
                if key not in found
            ],
        }

    def agreement(self, asked: Asked) -> Shown:
        """As `agreement show`, also of what was proposed."""
        text = asked.path["hash"]
        return agreement_shown(
            self._store, bytes.fromhex(text) if _HEX.fullmatch(text) else b"", asked.now
        )

    def budgets(self, asked: Asked) -> Shown:
        """What runs have spent under each agreement in force."""
        return budgets_shown(self._store, asked.now)

    def gauges(self, asked: Asked) -> Mapping[str, Any]:
        """What is spent of each budget."""
        found = in_force(self._store, asked.now).values()
        costs = [(one.id, budget(self._store, one)) for one in found]
        return {
            "gauges": [
                (id, one, epsilon_text(one.epsilon_spent), epsilon_text(one.epsilon_budget))
                for id, one in costs
                if one is not None
            ]
        }

    def schedule(self, asked: Asked) -> Shown:
        """As `run schedule`."""
        chosen = scheduled_agreements(self._store, "", asked.now)
        return schedule_shown(self._store, chosen, asked.now, count=_MOMENTS)

    def about_schedule(self, asked: Asked) -> Mapping[str, Any]:
        """The schedules that this person may pause or resume, and which are paused."""
        if not may(asked.account.role, Permission.PAUSE_SCHEDULE):
            return {"schedules": []}
        scheduled = ScheduledRuns(self._store)
        chosen = scheduled_agreements(self._store, "", asked.now)
        return {"schedules": [(one.id, scheduled.paused(one.id)) for one in chosen]}

    # --- releases --------------------------------------------------------------------------------

    def releases(self, _: Asked) -> Shown:
        """As `release list`."""
        return releases_shown(self._store)

    def about_releases(self, _: Asked) -> Mapping[str, Any]:
        """The releases to lead to."""
        return {"runs": [(run.hex(), short(run)) for run, _, _ in self._store.releases()]}

    def release(self, asked: Asked) -> Shown:
        """As `release show`."""
        return release_shown(self._view(asked), width=_ONE_TABLE)

    def release_drawn(self, asked: Asked) -> Mapping[str, Any]:
        """The release's cards and plots, and whether the run may be led to."""
        row = self.row(asked.path["run"])
        view = self._view(asked)
        return {
            "drawn": release_drawn(view, report_of(view, self._store, row)),
            "run": row.run_id.hex(),
            "may_read_runs": may(asked.account.role, Permission.READ_RUNS),
        }

    def _view(self, asked: Asked) -> ReleaseView:
        """The release of a run: verifying all of them is done once for what a page shows."""
        if "view" not in asked.read:
            asked.read["view"] = view_of(self._store, self.row(asked.path["run"]).run_id)
        return cast(ReleaseView, asked.read["view"])

    # --- duties ----------------------------------------------------------------------------------

    def duties(self, asked: Asked) -> Shown:
        """As `compliance status`."""
        return duties_shown(duties_of(self._config, self._store, asked.now))

    # --- log -------------------------------------------------------------------------------------

    def log(self, _: Asked) -> Shown:
        """As `user log`."""
        acts = self._accounts.acts.all()
        return Shown(values={"acts": [act.to_dict() for act in acts]}, parts=[acts_table(acts)])
