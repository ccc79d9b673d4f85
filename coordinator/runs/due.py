"""Agreed moments at the coordinator: which began, which were missed and why, which are next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final

from coordinator.runs.in_force import in_force, versions
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.scheduled_runs import ScheduledRuns
from coordinator.store.times import stamp
from protocol.agreement.document import Agreement
from protocol.agreement.schedule import Moment
from protocol.errors import UsageError

STARTED: Final = "started"
MISSED: Final = "missed"
OPEN: Final = "due"
AHEAD: Final = "ahead"
#: Why a moment was missed that nobody looked at.
NOT_SERVED: Final = "E-NOT-SERVED"
PAUSED: Final = "E-SCHEDULE-PAUSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One agreed moment, and what became of it.

    Attributes:
        version: The agreement's version by which it is due.
        state: `STARTED`, `MISSED`, `OPEN` while its run may still begin, or `AHEAD`.
        run_id: Of its run; empty unless it was started.
        code, reason: Why it has none; empty otherwise.
    """

    agreement_id: str
    version: int
    moment: Moment
    state: str
    run_id: bytes = b""
    code: str = ""
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            "agreement": self.agreement_id,
            "version": self.version,
            **self.moment.to_dict(),
            "state": self.state,
            "run_id": self.run_id.hex() or None,
            "code": self.code,
            "reason": self.reason,
        }

    @property
    def why(self) -> str:
        """Code and reason, for people; empty where there is none."""
        return f"{self.code} {self.reason}".strip()


def past(store: CoordinatorStore, now: datetime, *, agreement_id: str | None = None) -> list[Due]:
    """Every moment until `now`, newest first, of all agreements or of one.

    A moment whose window was over before its version was published here was none, and so was one
    after the version was stopped.
    """
    found = {
        (due.moment, due.agreement_id): due  # a later version's in place of an earlier one's
        for id, known in versions(store).items()
        if agreement_id in (None, id)
        for agreement, end in _until_next(store, known)
        for due in _past_of(store, agreement, end, now)
    }
    return [found[key] for key in sorted(found, reverse=True)]


def scheduled_agreements(store: CoordinatorStore, id: str, now: datetime) -> list[Agreement]:
    """Agreements in force with a schedule, or with moments by an earlier version.

    Args:
        id: Of the one that is meant; empty for all.

    Raises:
        UsageError: The one that was named is not in force, or has none.
    """
    known = in_force(store, now)
    found = [
        one for one in known.values()
        if one.schedule is not None or past(store, now, agreement_id=one.id)
    ]  # fmt: skip
    if not id:
        return found
    if id not in known:
        raise UsageError(
            f"no agreement {id!r} is in force here",
            code="E-AGR-UNKNOWN",
            remedy=f"in force: {', '.join(known) or 'none'}",
        )
    named = [one for one in found if one.id == id]
    if not named:
        raise UsageError(
            f"agreement {id!r} has no schedule",
            code="E-SCHEDULE",
            remedy="agree on one in a new version: agreement draft --next",
        )
    return named


def missed(store: CoordinatorStore, now: datetime) -> list[Due]:
    """Those of `past` that had no run, newest first."""
    return [due for due in past(store, now) if due.state == MISSED]


def ahead(store: CoordinatorStore, now: datetime, *, agreement_id: str, count: int) -> list[Due]:
    """The next moments of an agreement, as far as its published versions say."""
    known = versions(store).get(agreement_id, [])
    moments = (
        Due(agreement_id=one.id, version=one.version, moment=moment, state=AHEAD)
        for one, end in _until_next(store, known)
        if not store.stops_of(one.hash)
        for moment in one.moments(now, one.review_by)
        if moment.at > now and (end is None or moment.at < end)
    )
    return list(islice(moments, count))


def _until_next(
    store: CoordinatorStore, known: Sequence[Agreement]
) -> Iterator[tuple[Agreement, datetime | None]]:
    """Each version, and when the next one took its place; None where there is none."""
    scheduled = ScheduledRuns(store)
    begins = [max(one.effective, scheduled.published_at(one.hash)) for one in known]
    yield from zip(known, [*begins[1:], None], strict=bool(known))


def _past_of(
    store: CoordinatorStore, agreement: Agreement, end: datetime | None, now: datetime
) -> Iterator[Due]:
    scheduled = ScheduledRuns(store)
    published = scheduled.published_at(agreement.hash)
    stopped = scheduled.stopped_at(agreement.hash)
    for moment in agreement.moments(agreement.effective, now):
        was = moment.until > published and (stopped is None or moment.at < stopped)
        if was and (end is None or moment.at < end):
            yield _became(scheduled, agreement, moment, now)


def _became(scheduled: ScheduledRuns, agreement: Agreement, moment: Moment, now: datetime) -> Due:
    row = scheduled.row(agreement.id, moment)
    if row is not None and row.run_id:
        state, run_id, code, reason = STARTED, row.run_id, "", ""
    else:
        state, run_id = (MISSED if now >= moment.until else OPEN), b""
        code, reason = ("", "") if row is None else (row.code, row.reason)
        if row is None and state == MISSED:
            code, reason = _not_looked_at(scheduled, agreement, moment)
    return Due(
        agreement_id=agreement.id, version=agreement.version, moment=moment, state=state,
        run_id=run_id, code=code, reason=reason,
    )  # fmt: skip


def _not_looked_at(
    scheduled: ScheduledRuns, agreement: Agreement, moment: Moment
) -> tuple[str, str]:
    """Why a moment was missed that the schedule never looked at."""
    before = [p for p in scheduled.pauses(agreement.id) if p.at <= stamp(moment.until)]
    if before and before[-1].paused:
        return PAUSED, f"the schedule was paused: {before[-1].reason}"
    return NOT_SERVED, "no process served this coordinator in the window"
