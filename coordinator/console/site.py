"""The coordinator's console: which pages there are, who may see them, what people do there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from coordinator.config import CoordinatorConfig
from coordinator.console.acts import Acts
from coordinator.console.pages import Pages
from coordinator.store.acting import acting
from coordinator.store.coordinator_store import CoordinatorStore
from machine.accounts.accounts import Accounts
from machine.accounts.roles import Permission
from machine.shown import Shown
from machine.web.site import Act, Asked, Page, Site, Waits
from protocol.signing import public_bytes

if TYPE_CHECKING:
    from machine.web.oidc.sign_in import SignInByProvider

_TEMPLATES: Final = Path(__file__).parent / "templates"
_P = Permission
_Do = Callable[[Asked], str | Shown | Waits]


def coordinator_site(
    config: CoordinatorConfig,
    store: CoordinatorStore,
    *,
    hosts: frozenset[str],
    accounts: Accounts | None = None,
    oidc: SignInByProvider | None = None,
) -> Site:
    """The console of one coordinator's folder.

    Args:
        oidc: Signing in by an identity provider; None where there is none.

    Raises:
        FedsegError: Key or accounts cannot be opened.
    """
    accounts = config.open_accounts() if accounts is None else accounts
    key = public_bytes(config.signing_key())
    pages = Pages(config, store, accounts, coordinator_key=key)
    return Site(
        name=f"Coordinator {config.legal_name}",
        short="coordinator",
        first="fedseg-coordinator user add NAME --role ROLE",
        accounts=accounts,
        pages=_pages(pages),
        acts=_acts(Acts(store, pages, coordinator_key=key)),
        hosts=hosts,
        secure=config.console.secure,
        clock=lambda: datetime.now(UTC),
        templates=_TEMPLATES,
        oidc=oidc,
    )


def _pages(pages: Pages) -> tuple[Page, ...]:
    return (
        Page(
            path="/runs", title="Runs", permission=_P.READ_RUNS, show=pages.runs,
            template="runs.html", extra=pages.about_runs,
        ),
        Page(
            path="/runs/{run}", title="One run", permission=_P.READ_RUNS, show=pages.run,
            template="run.html", extra=pages.about_run, in_menu=False,
        ),
        Page(
            path="/plan/{id}", title="The next run", permission=_P.READ_RUNS, show=pages.plan,
            in_menu=False,
        ),
        Page(
            path="/partners", title="Partners", permission=_P.READ_PARTNERS, show=pages.partners,
            template="partners.html", extra=pages.about_partners,
        ),
        Page(
            path="/diligence", title="Due diligence", permission=_P.READ_PARTNERS,
            show=pages.diligence, in_menu=False,
        ),
        Page(
            path="/keys", title="Keys", permission=_P.READ_PARTNERS, show=pages.keys, in_menu=False,
        ),
        Page(
            path="/agreements", title="Agreements", permission=_P.READ_AGREEMENTS,
            show=pages.agreements, template="agreements.html",
            extra=pages.about_agreements,
        ),
        Page(
            path="/agreements/{hash}", title="One agreement", permission=_P.READ_AGREEMENTS,
            show=pages.agreement, in_menu=False,
        ),
        Page(
            path="/releases", title="Releases", permission=_P.READ_RELEASES, show=pages.releases,
            template="releases.html", extra=pages.about_releases,
        ),
        Page(
            path="/releases/{run}", title="One release", permission=_P.READ_RELEASES,
            show=pages.release, template="release.html", extra=pages.release_drawn, in_menu=False,
        ),
        Page(
            path="/budget", title="Budget", permission=_P.READ_BUDGET, show=pages.budgets,
            template="budgets.html", extra=pages.gauges,
        ),
        Page(
            path="/schedule", title="Schedule", permission=_P.READ_RUNS, show=pages.schedule,
            template="schedule.html", extra=pages.about_schedule,
        ),
        Page(path="/duties", title="Duties", permission=_P.READ_RUNS, show=pages.duties),
        Page(path="/log", title="Log", permission=_P.READ_LOG, show=pages.log),
    )  # fmt: skip


def _acts(acts: Acts) -> tuple[Act, ...]:
    """What people do; the audit log has it with who did it."""
    return tuple(replace(act, do=_by_whom(act.do)) for act in _listed(acts))


def _by_whom(do: _Do) -> _Do:
    def done(asked: Asked) -> str | Shown | Waits:
        with acting(asked.account.name):
            return do(asked)

    return done


def _listed(acts: Acts) -> tuple[Act, ...]:
    return (
        Act(
            path="/runs/start", title="Start a run", name="run start", permission=_P.START_RUNS,
            about=_about("id"), do=acts.start,
        ),
        Act(
            path="/runs/stop", title="Stop a run", name="run stop", permission=_P.STOP_RUNS,
            about=_about("run"), do=acts.stop,
        ),
        Act(
            path="/schedule/pause", title="Pause a schedule", name="schedule pause",
            permission=_P.PAUSE_SCHEDULE, about=_about("id"), do=acts.pausing(paused=True),
        ),
        Act(
            path="/schedule/resume", title="Resume a schedule", name="schedule resume",
            permission=_P.PAUSE_SCHEDULE, about=_about("id"), do=acts.pausing(paused=False),
        ),
        Act(
            path="/partners/admit", title="Admit a partner", name="partner admit",
            permission=_P.CHANGE_PARTNERS, about=_about("code"), do=acts.admit,
        ),
        Act(
            path="/partners/remove", title="Remove a partner", name="partner remove",
            permission=_P.CHANGE_PARTNERS, about=_about("partner"), do=acts.remove,
        ),
        Act(
            path="/partners/check", title="Ask for checks", name="partner check",
            permission=_P.ASK_FOR_CHECKS, about=lambda _: "", do=acts.check,
        ),
    )  # fmt: skip


def _about(field: str) -> Callable[[Asked], str]:
    """What a form is about, for the log: a field of it."""
    return lambda asked: asked.form.get(field, "")[:100]
