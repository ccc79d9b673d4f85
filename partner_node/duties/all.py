"""Every duty of a node, in one list: what `compliance status`, the console and metrics tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial

from machine.duties.duty import Duty, State, looked_at
from partner_node.duties.agreements import agreement_duties
from partner_node.duties.budget import budget_duty, cap_duty
from partner_node.duties.customers import (
    consent_duty,
    notice_duty,
    request_duty,
    retention_duties,
)
from partner_node.duties.keeping import (
    backup_duty,
    certificate_duties,
    cosigning_duty,
    fork_duty,
)
from partner_node.duties.keys import key_duty
from partner_node.duties.people import held_duty, two_people_duty
from partner_node.duties.training import training_duty
from partner_node.home import NodeHome
from partner_node.store.node_store import NodeStore
from protocol.agreement.document import Agreement
from protocol.errors import FedsegError


def duties_of(
    home: NodeHome, store: NodeStore, now: datetime, *, under: str | None = None
) -> list[Duty]:
    """How every duty stands; customers' rows are not read, and nothing is changed.

    Args:
        under: Only what is of this agreement, or of the whole folder.
    """
    in_force, trouble = _in_force(home)
    found = list(_of_folder(home, store, in_force, now))
    if trouble or not in_force:
        found.append(_no_agreement(trouble))
    for agreement in in_force:
        if under in (None, agreement.id):
            found += _of_agreement(home.under(agreement.id), store, agreement, now)
    return [one for one in found if under is None or one.about in ("", under)]


def _of_folder(
    home: NodeHome, store: NodeStore, in_force: list[Agreement], now: datetime
) -> Iterator[Duty]:
    yield request_duty(store, now)
    yield from retention_duties(store, in_force, now)
    yield cap_duty(store)
    yield held_duty(store, now)
    yield backup_duty(home, now)
    yield from certificate_duties(home, now)
    yield key_duty(home, store, in_force)
    yield fork_duty(store)


def _of_agreement(
    home: NodeHome, store: NodeStore, agreement: Agreement, now: datetime
) -> Iterator[Duty]:
    looks: dict[str, Callable[[], list[Duty]]] = {
        "agreement": lambda: list(agreement_duties(store, agreement, now)),
        "consents": lambda: [consent_duty(home, agreement, now)],
        "notice": lambda: [notice_duty(home, store, agreement)],
        "budget": lambda: [budget_duty(store, agreement)],
        "two-people": lambda: [two_people_duty(home, agreement)],
        "cosigning": lambda: [cosigning_duty(store, agreement)],
        "training": lambda: [training_duty(store, agreement, now)],
    }
    unread = partial(Duty, about=agreement.id, state=State.OVERDUE, found="")
    for name, look in looks.items():
        source = f"agreement {agreement.id} v{agreement.version}"
        yield from looked_at(look, unread(name=name, source=source, way_out="fedseg-node check"))


def _in_force(home: NodeHome) -> tuple[list[Agreement], str]:
    """The agreements in force, and what keeps one from being read; empty where nothing does."""
    try:
        in_force = home.agreements_in_force()
        trouble = "" if home.all_are_read() else "an agreement's file is there and cannot be read"
    except FedsegError as error:
        return [], f"{error.code}: {error.message}"
    return in_force, trouble


def _no_agreement(trouble: str) -> Duty:
    """No agreement is in force: that is no duty before the first, and trouble afterwards."""
    return Duty(
        name="agreement",
        state=State.OVERDUE if trouble else State.NOT_ASKED,
        found=trouble or "no agreement is in force here",
        way_out="fedseg-node check says which, and what to do" if trouble else "",
        source="the agreements' files",
    )
