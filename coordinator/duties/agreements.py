"""Duties that agreements bring to the operator: their ends, reviews, due diligence, schedules."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from coordinator.control.standing import NOT_READY, parties_readiness
from coordinator.runs.due import MISSED, ahead, past
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.diligence import Diligence
from coordinator.store.hand_overs import KeptHandOvers
from coordinator.store.scheduled_runs import ScheduledRuns
from machine.duties.duty import Duty, State, dated
from protocol.agreement.document import Agreement
from protocol.agreement.stop import SignedStop

_NEXT = "draft the next version: fedseg-coordinator agreement draft --next"


def agreement_duties(
    store: CoordinatorStore, agreement: Agreement, now: datetime
) -> Iterator[Duty]:
    """Those of one agreement that is in force here."""
    yield _holds(store, agreement, now)
    yield dated(
        Duty(
            name="review",
            about=agreement.id,
            state=State.OK,
            found=f"to be reviewed by {agreement.review_by:%Y-%m-%d}: after it no run begins",
            way_out=_NEXT,
            source=_clause(agreement, "review_by"),
        ),
        agreement.review_by,
        now,
    )
    yield _diligence(store, agreement, now)
    yield _schedule(store, agreement, now)
    yield _readiness(store, agreement, now)


def _holds(store: CoordinatorStore, agreement: Agreement, now: datetime) -> Duty:
    stops = [SignedStop.from_bytes(one) for one in store.stops_of(agreement.hash)]
    source = _clause(agreement, "expires")
    if stops:
        first = min(stops, key=lambda one: one.at)
        return Duty(
            name="agreement",
            about=agreement.id,
            state=State.OVERDUE,
            since=datetime.fromisoformat(first.at),
            found=f"{first.partner} stopped version {agreement.version}: no run begins under it",
            way_out=_NEXT,
            source=source,
        )
    duty = Duty(
        name="agreement",
        about=agreement.id,
        state=State.OK,
        found=f"version {agreement.version} holds until {agreement.expires:%Y-%m-%d}",
        way_out=_NEXT,
        source=source,
    )
    return dated(duty, agreement.expires, now)


def _diligence(store: CoordinatorStore, agreement: Agreement, now: datetime) -> Duty:
    source = _clause(agreement, "diligence")
    if not agreement.diligence:
        return Duty(
            name="due-diligence", about=agreement.id, state=State.NOT_ASKED, source=source,
            found="the agreement demands no record on its parties",
        )  # fmt: skip
    newest, known = Diligence(store).newest(), KeptHandOvers(store).load()
    ends, lacking = [], []
    for party in agreement.parties:
        record = newest.get(party.id)
        if record is None or not record.is_of(party.public_key, known=known):
            lacking.append(party.id)
        else:
            ends.append((record.expires, party.id))
    way_out = "fedseg-coordinator partner diligence add PARTNER"
    if lacking:
        return Duty(
            name="due-diligence", about=agreement.id, state=State.OVERDUE, source=source,
            found=f"no record on the key of {', '.join(lacking)}", way_out=way_out,
        )  # fmt: skip
    end, whose = min(ends)
    duty = Duty(
        name="due-diligence",
        about=agreement.id,
        state=State.OK,
        found=f"records on all {len(ends)} parties; that on {whose} ends first, on {end:%Y-%m-%d}",
        way_out=way_out,
        source=source,
    )
    return dated(duty, end, now)


def _schedule(store: CoordinatorStore, agreement: Agreement, now: datetime) -> Duty:
    source = _clause(agreement, "schedule")
    if agreement.schedule is None:
        return Duty(
            name="scheduled-runs", about=agreement.id, state=State.NOT_ASKED, source=source,
            found="no schedule",
        )  # fmt: skip
    last = next(iter(past(store, now, agreement_id=agreement.id)), None)
    following = ahead(store, now, agreement_id=agreement.id, count=1)
    paused = ScheduledRuns(store).paused(agreement.id)
    missed = last is not None and last.state == MISSED
    state, found, way_out = State.OK, "the last agreed moment had its run, or none was yet", ""
    if paused:
        state, found = State.SOON, "paused: no run begins by the schedule"
        way_out = "fedseg-coordinator run schedule --resume"
    if missed and last is not None:
        state, way_out = State.OVERDUE, "fedseg-coordinator run schedule says why"
        found = f"the run of {last.moment.words} was missed: {last.code}"
    return Duty(
        name="scheduled-runs",
        about=agreement.id,
        state=state,
        since=last.moment.until if missed and last is not None else None,
        next=following[0].moment.at if following else None,
        found=found,
        way_out=way_out,
        source=source,
    )


def _readiness(store: CoordinatorStore, agreement: Agreement, now: datetime) -> Duty:
    told = parties_readiness(store, agreement, without=(), now=now)
    unready = [one.partner for one in told if one.state == NOT_READY]
    return Duty(
        name="readiness",
        about=agreement.id,
        state=State.SOON if unready else State.OK,
        found=f"not ready, as their nodes said: {', '.join(unready)}"
        if unready
        else "no node said that it is not ready",
        way_out="fedseg-coordinator run plan names codes and ways out" if unready else "",
        source="what nodes say of themselves",
    )


def _clause(agreement: Agreement, name: str) -> str:
    return f"agreement {agreement.id} v{agreement.version}, {name}"
