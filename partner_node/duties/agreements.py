"""Duties that agreements bring: until when they hold, reviews, due diligence, schedules, code."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata, resources

from machine.duties.duty import Duty, State, dated
from partner_node.due import CAME, expected
from partner_node.store.builds import AcceptedBuilds
from partner_node.store.node_store import NodeStore
from partner_node.store.waiting import WaitingVersions
from protocol.agreement.document import Agreement
from protocol.agreement.software import Software
from protocol.errors import RuleError

_NEXT = "ask the operator for the next version, and sign it"


def agreement_duties(store: NodeStore, agreement: Agreement, now: datetime) -> Iterator[Duty]:
    """Those of one agreement in force."""
    yield _holds(store, agreement, now)
    yield _review(store, agreement, now)
    yield _software(store, agreement)
    yield _diligence(agreement)
    yield _schedule(store, agreement, now)


def _holds(store: NodeStore, agreement: Agreement, now: datetime) -> Duty:
    stop = store.stop_of(agreement.hash)
    duty = Duty(
        name="agreement",
        about=agreement.id,
        state=State.OK,
        found=f"version {agreement.version} holds until {agreement.expires:%Y-%m-%d}",
        way_out=_NEXT,
        source=_clause(agreement, "expires"),
    )
    if stop is None:
        return dated(duty, agreement.expires, now)
    return Duty(
        name="agreement",
        about=agreement.id,
        state=State.OVERDUE,
        since=datetime.fromisoformat(stop.at).astimezone(UTC),
        found=f"{stop.partner} stopped version {agreement.version}: nothing is answered under it",
        way_out=_NEXT,
        source="a signed stop, fedseg-node log show --kind stop",
    )


def _review(store: NodeStore, agreement: Agreement, now: datetime) -> Duty:
    waiting = [
        one.agreement.version
        for one in WaitingVersions(store).all()
        if one.agreement.id == agreement.id
    ]
    coming = f"; version {max(waiting)} is installed and takes effect later" if waiting else ""
    duty = Duty(
        name="review",
        about=agreement.id,
        state=State.OK,
        found=f"to be reviewed by {agreement.review_by:%Y-%m-%d}: after it no run begins{coming}",
        way_out=_NEXT,
        source=_clause(agreement, "review_by"),
    )
    return dated(duty, agreement.review_by, now)


def _software(store: NodeStore, agreement: Agreement) -> Duty:
    installed = Software.installed(metadata.version, resources.files)
    state, found, way_out = State.OK, f"fedseg {installed.version} is agreed", ""
    try:
        agreement.check_software(installed, added=lambda: AcceptedBuilds(store).allowed(agreement))
    except RuleError as error:
        state, found, way_out = State.OVERDUE, error.message, error.remedy
    return Duty(
        name="program",
        about=agreement.id,
        state=state,
        found=found,
        way_out=way_out,
        source=_clause(agreement, "software"),
    )


def _diligence(agreement: Agreement) -> Duty:
    asked = agreement.diligence
    return Duty(
        name="due-diligence",
        about=agreement.id,
        state=State.UNKNOWN if asked else State.NOT_ASKED,
        found="the operator keeps the records of all parties"
        if asked
        else "the agreement demands no record on its parties",
        way_out="ask for them: fedseg-node agreement show" if asked else "",
        source=_clause(agreement, "diligence"),
    )


def _schedule(store: NodeStore, agreement: Agreement, now: datetime) -> Duty:
    due = expected(agreement, store, now)
    source = _clause(agreement, "schedule")
    if due is None:
        return Duty(
            name="scheduled-runs", about=agreement.id, state=State.NOT_ASKED, source=source,
            found="no schedule, or it was stopped",
        )  # fmt: skip
    missed = due.last is not None and due.seen != CAME
    return Duty(
        name="scheduled-runs",
        about=agreement.id,
        state=State.OVERDUE if missed else State.OK,
        since=due.last.until if missed and due.last is not None else None,
        next=due.following[0].at if due.following else None,
        found=" ".join(due.trouble) if missed else "the last agreed run came, or none was due yet",
        way_out="ask the operator: fedseg-coordinator run schedule" if missed else "",
        source=source,
    )


def _clause(agreement: Agreement, name: str) -> str:
    return f"agreement {agreement.id} v{agreement.version}, {name}"
