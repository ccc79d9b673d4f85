"""Duties towards customers: requests, consents' age, notices, and what has to be deleted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Final

from machine.duties.duty import Duty, State, dated
from machine.text import how_many
from partner_node.home import NodeHome
from partner_node.notices.published import Publications, newest
from partner_node.notices.telling import refuse_untold, standing_words
from partner_node.register.requests import RightsRegister
from partner_node.segments.export_records import ExportRecords
from partner_node.segments.retention import records_due
from partner_node.store.node_store import NodeStore
from partner_node.store.times import moment
from protocol.agreement.document import Agreement
from protocol.errors import RuleError

#: So long before its last day a request is said to come soon; before its date a file is.
_WEEK: Final = timedelta(days=7)


def request_duty(store: NodeStore, now: datetime) -> Duty:
    """Answers to customers, within a month (GDPR 12(3)) or what it was extended to."""
    waiting = [one for one in RightsRegister(store).requests() if one.is_open]
    late = [one for one in waiting if one.is_overdue(now.date())]
    duty = Duty(
        name="requests",
        state=State.OK,
        found=f"{how_many(len(waiting), 'request')} of customers open"
        + (f", {len(late)} past the last day" if late else ""),
        way_out="answer or extend them: fedseg-node rights list" if waiting else "",
        source="the register of requests, GDPR 12(3)",
        is_private=True,
    )
    if not waiting:
        return duty
    day = min(one.due for one in waiting)
    return dated(duty, datetime.combine(day + timedelta(days=1), time(), UTC), now, notice=_WEEK)


def consent_duty(home: NodeHome, agreement: Agreement, now: datetime) -> Duty:
    """The age of what is known of customers' wishes, as agreed."""
    most = timedelta(hours=agreement.consent.max_age_hours)
    party = home.party(agreement)
    found = [(table.name, table.changed_at()) for table in home.gate(agreement, party).tables]
    duty = Duty(
        name="consents",
        about=agreement.id,
        state=State.UNKNOWN,
        found="their age follows from rows alone, which this command does not read",
        way_out="fedseg-node check reads them",
        source=f"agreement {agreement.id} v{agreement.version}, consent.max_age_hours",
    )
    known = [(changed, name) for name, changed in found if changed is not None]
    if not known:
        return duty
    changed, name = min(known)
    dating = Duty(
        name="consents",
        about=agreement.id,
        state=State.OK,
        found=f"source {name!r} is from {changed:%Y-%m-%d %H:%M} UTC, the oldest of {len(found)}",
        way_out="export it again; after that date no question is answered (E-CONSENT-STALE)",
        source=duty.source,
    )
    return dated(dating, changed + most, now, notice=most / 4)


def notice_duty(home: NodeHome, store: NodeStore, agreement: Agreement) -> Duty:
    """Whether customers are told of what is done, in the words that were published."""
    published = Publications(store).under(agreement.id)
    state, found, way_out = State.OK, standing_words(agreement, published), ""
    if not newest(published):
        state, way_out = State.UNKNOWN, "publish it here: fedseg-node notice publish"
    else:
        try:
            counted = home.config.consent.notices
            refuse_untold(agreement, home.party(agreement), published, counted)
        except RuleError as error:
            state, found, way_out = State.OVERDUE, error.message, error.remedy
    return Duty(
        name="notice",
        about=agreement.id,
        state=state,
        found=found,
        way_out=way_out,
        source=f"agreement {agreement.id} v{agreement.version}, purpose.notice_version",
    )


def retention_duties(
    store: NodeStore, agreements: Sequence[Agreement], now: datetime
) -> Iterator[Duty]:
    """Files of segments and records, which have to be deleted by a date."""
    records = ExportRecords(store).all()
    files = Duty(
        name="segment-files",
        state=State.OK,
        found=f"{how_many(len({one.path for one in records}), 'file')} on record",
        way_out="fedseg-node retention apply",
        source="retention.assignments_days; fedseg-node retention list",
    )
    ends = [moment(one.delete_by) for one in records]
    yield files if not ends else dated(files, min(ends), now, notice=_WEEK)
    oldest = records_due(store, agreements)
    kept = Duty(
        name="records",
        state=State.OK,
        found="what left, what was refused, and what customers asked is kept as long as agreed",
        way_out="fedseg-node retention apply",
        source="retention.records_days",
    )
    # The oldest record is always about to be deleted: that alone is no news.
    yield kept if oldest is None else dated(kept, oldest, now, notice=timedelta())
