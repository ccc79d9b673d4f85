"""Agreed moments: months without that day, leap years, what a date of the agreement cuts off."""

from __future__ import annotations

import copy
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.agreement.document import Agreement
from protocol.agreement.schedule import DAYS, MONTHS, WEEKS, Moment, ScheduleTerms
from protocol.agreement_rules import problems_of
from protocol.errors import AgreementError
from protocol.signed_agreement import SignedAgreement
from protocol.strict import Fields

MONTHLY = {"every": 1, "unit": "months", "first_day": "2026-01-31", "at": "03:00",
           "window_hours": 12}  # fmt: skip
EARLY = datetime(1890, 1, 1, tzinfo=UTC)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def terms(**values: Any) -> ScheduleTerms:
    return ScheduleTerms.read(Fields(MONTHLY | values, "schedule"))


def days(found: ScheduleTerms, begin: datetime, end: datetime) -> list[str]:
    return [f"{moment.at:%Y-%m-%d}" for moment in found.moments(begin, end)]


def with_schedule(lab: ModuleType, **values: Any) -> dict[str, Any]:
    found: dict[str, Any] = lab.agreement_values(3)
    return found | {
        "effective": "2026-02-01T00:00:00Z", "review_by": "2026-06-30T03:00:00Z",
        "expires": "2027-01-01T00:00:00Z", "schedule": MONTHLY | values,
    }  # fmt: skip


def test_a_short_month_has_its_last_day_and_shifts_no_later_one() -> None:
    assert days(terms(), NOON, NOON + timedelta(days=150)) == [
        "2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31",
    ]  # fmt: skip
    leap = terms(first_day="2027-11-30", every=3)
    assert days(leap, NOON, datetime(2028, 6, 1, tzinfo=UTC)) == [
        "2027-11-30", "2028-02-29", "2028-05-30",
    ]  # fmt: skip


def test_the_time_of_day_is_utc_before_and_after_summer_time_begins_and_ends() -> None:
    weekly = terms(unit=WEEKS, first_day="2026-03-22", at="01:30")
    found = list(weekly.moments(NOON, datetime(2026, 11, 30, tzinfo=UTC)))
    assert {f"{moment.at:%H:%M %Z}" for moment in found} == {"01:30 UTC"}
    steps = {after.at - before.at for before, after in pairwise(found)}
    assert steps == {timedelta(days=7)}
    assert len(found) == 37


def test_a_moment_lasts_for_its_window_and_both_ends_of_a_time_span_count() -> None:
    at = datetime(2026, 1, 31, 3, tzinfo=UTC)
    (one,) = terms().moments(at, at)
    assert one == Moment(at=at, until=at + timedelta(hours=12))
    assert one.words == "2026-01-31 03:00 to 15:00 UTC"
    assert terms(window_hours=24).latest(at, at).words.endswith("to 2026-02-01 03:00 UTC")  # type: ignore[union-attr]
    assert days(terms(), at + timedelta(seconds=1), at + timedelta(days=27)) == []


def test_no_moment_lies_outside_the_times_in_which_a_run_may_begin(lab: ModuleType) -> None:
    agreement = Agreement.from_dict(with_schedule(lab))
    ends = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    found = [f"{moment.at:%m-%d}" for moment in agreement.moments(*ends)]
    assert found == ["02-28", "03-31", "04-30", "05-31", "06-30"]
    assert agreement.latest_moment(datetime(2026, 2, 28, 2, 59, tzinfo=UTC)) is None
    last = agreement.latest_moment(ends[1])
    assert last is not None
    assert f"{last.at:%m-%d}" == "06-30"


@given(
    unit=st.sampled_from((DAYS, WEEKS, MONTHS)),
    every=st.integers(1, 40),
    first=st.dates(date(1900, 1, 1), date(2200, 1, 1)),
    begin=st.timedeltas(timedelta(0), timedelta(days=320 * 365)).map(lambda t: EARLY + t),
    length=st.timedeltas(timedelta(0), timedelta(days=2_000)),
)
def test_moments_are_the_same_however_one_asks_for_them(
    unit: str, every: int, first: date, begin: datetime, length: timedelta
) -> None:
    found = terms(unit=unit, every=every, first_day=first.isoformat(), window_hours=1)
    end = begin + length
    all_of_them = list(found.moments(datetime(1800, 1, 1, tzinfo=UTC), end))
    expected = [m for m in all_of_them if m.at >= begin]
    assert list(found.moments(begin, end)) == expected
    assert found.latest(begin, end) == (expected[-1] if expected else None)
    assert all(a.at < b.at for a, b in pairwise(all_of_them))


def test_windows_never_overlap(lab: ModuleType) -> None:
    for unit, most in ((DAYS, 24), (WEEKS, 168), (MONTHS, 672)):
        found = list(terms(unit=unit, window_hours=most).moments(NOON, NOON + timedelta(days=800)))
        assert all(a.until <= b.at for a, b in pairwise(found))
        with pytest.raises(AgreementError, match="window_hours"):
            Agreement.from_dict(with_schedule(lab, unit=unit, window_hours=most + 1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"every": 0}, {"every": 121}, {"unit": "years"}, {"unit": "hours"},
        {"first_day": "2026-02-30"}, {"first_day": "2026-1-1"}, {"first_day": "1899-12-31"},
        {"at": "24:00"}, {"at": "3:00"}, {"at": "03:60"}, {"window_hours": 0}, {"zone": "CET"},
    ],
)  # fmt: skip
def test_a_schedule_out_of_range_is_refused(lab: ModuleType, wrong: dict[str, Any]) -> None:
    with pytest.raises(AgreementError) as caught:
        Agreement.from_dict(with_schedule(lab, **wrong))
    assert caught.value.code == "E-AGR-SCHEMA"
    assert "agreement.schedule" in caught.value.message


def test_every_part_of_a_schedule_must_be_there(lab: ModuleType) -> None:
    for name in MONTHLY:
        values = copy.deepcopy(with_schedule(lab))
        del values["schedule"][name]
        with pytest.raises(AgreementError, match=f"field '{name}' is missing"):
            Agreement.from_dict(values)


def test_a_schedule_is_signed_and_an_agreement_without_one_keeps_its_hash(lab: ModuleType) -> None:
    values = with_schedule(lab)
    agreement = Agreement.from_dict(values)
    assert Agreement.from_bytes(agreement.to_bytes()) == agreement
    del values["schedule"]
    without = Agreement.from_dict(values)
    assert "schedule" not in without.to_dict()
    assert without.hash != agreement.hash
    assert list(without.moments(NOON, NOON + timedelta(days=999))) == []
    assert without.latest_moment(NOON) is None


def test_a_schedule_without_a_moment_is_not_signed(lab: ModuleType) -> None:
    values = with_schedule(lab, first_day="2026-07-01")
    (problem,) = problems_of(Agreement.from_dict(values))
    assert problem.code == "E-SCHEDULE"
    with pytest.raises(AgreementError, match="no moment"):
        SignedAgreement.draft(Agreement.from_dict(values))


def test_a_schedule_at_the_end_of_time_ends() -> None:
    last = terms(first_day="9998-11-30")
    assert days(last, datetime(9998, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)) == [
        "9998-11-30", "9998-12-30",
    ]  # fmt: skip
    assert last.latest(NOON, datetime.max.replace(tzinfo=UTC)) is not None
