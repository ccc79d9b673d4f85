"""Runs by a schedule: each agreed moment has one run at most, or says why it had none."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, LiteralString

import pytest

from coordinator.runs import scheduling
from coordinator.runs.due import AHEAD, MISSED, OPEN, STARTED, ahead, missed, past
from coordinator.runs.in_force import in_force
from coordinator.runs.scheduling import Scheduler
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.scheduled_runs import ScheduledRuns
from coordinator.store.times import stamp
from protocol.agreement.document import Agreement
from protocol.agreement.schedule import Moment, ScheduleTerms
from protocol.agreement.stop import SignedStop
from protocol.clustering.plan import most_cost
from protocol.errors import UsageError
from protocol.participants import Link
from protocol.privacy.accounting import rho_for
from protocol.privacy.terms import PrivacyTerms
from simulations.agreement import signed_with
from simulations.federation import Federation
from tests.federations import small_federation
from tests.store_servers import StorePlace

DAILY = ScheduleTerms(
    every=1, unit="days", first_day=date(2026, 3, 1), at="03:00", window_hours=6
)  # fmt: skip
FIRST = datetime(2026, 3, 1, 3, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Lab:
    """A coordinator whose clock and connected partners a test says."""

    def __init__(self, folder: Path, **terms: Any) -> None:
        self.federation: Federation = small_federation(**terms)
        self.path = folder / "coordinator.db"
        self.store = CoordinatorStore.in_file(self.path)
        self.now = FIRST - DAY
        self.there: Iterable[str] = [party.id for party in self.federation.agreement.parties]
        self.asked = 0
        self.agreement = self.publish(schedule=DAILY)
        self.scheduler = self.restarted()

    def publish(self, **changes: Any) -> Agreement:
        """Publish a version, at the time that the clock says."""
        agreement = replace(
            self.federation.agreement,
            **{"effective": FIRST - 30 * DAY, "review_by": FIRST + 300 * DAY} | changes,
        )
        self.store.add_agreement(signed_with(agreement, self.federation.partner_keys))
        self.store.ask(
            "UPDATE agreements SET added_at = ? WHERE agreement_hash = ?",
            stamp(self.now),
            agreement.hash,
        )
        return agreement

    def restarted(self) -> Scheduler:
        self.scheduler = Scheduler(
            store=self.store, connected=self.connected, clock=lambda: self.now,
            software=self.federation.agreement.software,
        )  # fmt: skip
        return self.scheduler

    def connected(self) -> Iterable[str]:
        self.asked += 1
        return self.there

    def look(self, at: datetime) -> list[bytes]:
        self.now = at
        return self.scheduler.look()

    def end(self, run_id: bytes) -> None:
        """End a run, at the time that the clock says."""
        self.store.fail(run_id, "E-STOPPED", "ended by a test")
        self.store.ask("UPDATE runs SET updated_at = ?", stamp(self.now))

    def became(self) -> list[tuple[str, str, str]]:
        return [(f"{d.moment.at:%m-%d}", d.state, d.code) for d in past(self.store, self.now)]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_a_run_begins_in_its_window_once_and_another_in_the_next(lab: Lab) -> None:
    assert lab.look(FIRST - timedelta(seconds=1)) == []
    assert lab.asked == 0
    (run_id,) = lab.look(FIRST)
    assert lab.store.run(run_id).agreement_hash == lab.agreement.hash
    lab.end(run_id)
    assert lab.look(FIRST + HOUR) == []
    lab.restarted()
    assert lab.look(FIRST + 2 * HOUR) == []
    (other,) = lab.look(FIRST + DAY + HOUR)
    assert lab.became() == [("03-02", STARTED, ""), ("03-01", STARTED, "")]
    assert set(ScheduledRuns(lab.store).runs()) == {run_id, other}


def test_a_restart_within_the_window_starts_it_and_one_after_it_does_not(lab: Lab) -> None:
    (run_id,) = lab.look(FIRST + 6 * HOUR - timedelta(seconds=1))
    lab.end(run_id)
    assert lab.look(FIRST + DAY + 6 * HOUR) == []
    assert lab.became()[0] == ("03-02", MISSED, "E-NOT-SERVED")


def test_what_was_missed_is_not_made_up(lab: Lab) -> None:
    assert lab.look(FIRST + 9 * DAY + 7 * HOUR) == []
    assert [due.code for due in missed(lab.store, lab.now)] == ["E-NOT-SERVED"] * 10
    assert len(lab.look(FIRST + 10 * DAY)) == 1
    assert len(missed(lab.store, lab.now)) == 10


def test_too_few_connected_partners_keep_it_waiting_while_the_window_is_open(lab: Lab) -> None:
    lab.there = ["partner-0"]
    assert lab.look(FIRST) == []
    assert lab.became() == [("03-01", OPEN, "E-FIRST-RUN")]
    lab.there = [party.id for party in lab.agreement.parties]
    assert len(lab.look(FIRST + HOUR)) == 1
    assert lab.became() == [("03-01", STARTED, "")]


def test_a_later_run_needs_the_smallest_set(lab: Lab) -> None:
    (run_id,) = lab.look(FIRST)
    chain = lab.store.chain_at_start(run_id, lab.agreement)
    lab.store.append_input(
        run_id, "hello", b"x", chain.extended(Link(run_hash=b"\x01" * 32, members=(0, 1, 2)))
    )
    lab.end(run_id)
    lab.there = [lab.agreement.parties[0].id]
    assert lab.look(FIRST + DAY) == []
    assert lab.look(FIRST + DAY + 7 * HOUR) == []
    (due,) = missed(lab.store, lab.now)
    assert due.code == "E-SET-QUORUM"
    assert lab.agreement.parties[2].id in due.reason


def test_pauses_are_kept_in_order_on_either_kind_of_store(store_place: StorePlace) -> None:
    with closing(store_place.open()) as store:
        scheduled = ScheduledRuns(store)
        for hour, paused in enumerate((True, False, True)):
            change = scheduled.note_pause(
                "ours", paused=paused, reason=f"reason {hour}", now=FIRST + hour * HOUR
            )
            assert change is not None
        assert scheduled.note_pause("ours", paused=True, reason="again", now=FIRST) is None
        assert [(one.paused, one.reason) for one in scheduled.pauses("ours")] == [
            (True, "reason 0"), (False, "reason 1"), (True, "reason 2"),
        ]  # fmt: skip
        assert scheduled.paused("ours")
        assert not scheduled.paused("another")


def test_a_run_that_goes_on_keeps_the_next_one_waiting(lab: Lab) -> None:
    (run_id,) = lab.look(FIRST)
    lab.store.ask("UPDATE runs SET updated_at = ?", stamp(lab.now))
    assert lab.look(FIRST + DAY) == []
    assert lab.became()[0] == ("03-02", OPEN, "E-RUN-ACTIVE")
    lab.end(run_id)
    assert len(lab.look(FIRST + DAY + HOUR)) == 1


def test_a_run_by_hand_is_none_by_the_schedule(lab: Lab) -> None:
    lab.store.request_run(b"\x07" * 16, lab.agreement)
    lab.store.ask("UPDATE runs SET updated_at = ?", stamp(FIRST - HOUR))
    lab.now = FIRST
    lab.end(b"\x07" * 16)
    assert len(lab.look(FIRST + HOUR)) == 1


def test_a_pause_is_on_record_with_its_reason_and_ends(lab: Lab) -> None:
    scheduled = ScheduledRuns(lab.store)
    assert scheduled.note_pause(lab.agreement.id, paused=True, reason="audit", now=FIRST - HOUR)
    assert scheduled.note_pause(lab.agreement.id, paused=True, reason="x", now=FIRST) is None
    assert lab.look(FIRST) == []
    assert lab.look(FIRST + DAY + 7 * HOUR) == []
    assert [(d.code, d.reason) for d in missed(lab.store, lab.now)] == [
        ("E-SCHEDULE-PAUSED", "the schedule was paused: audit"),
        ("E-SCHEDULE-PAUSED", "the schedule is paused: audit"),
    ]
    assert scheduled.note_pause(
        lab.agreement.id, paused=False, reason="done", now=FIRST + 2 * DAY + HOUR
    )
    assert len(lab.look(FIRST + 2 * DAY + HOUR)) == 1
    assert [(p.paused, p.reason) for p in scheduled.pauses(lab.agreement.id)] == [
        (True, "audit"),
        (False, "done"),
    ]


def test_a_clock_that_was_set_back_starts_nothing_again_or_late(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    (run_id,) = lab.look(FIRST + 5 * DAY)
    lab.end(run_id)
    for back in (FIRST, FIRST + 3 * DAY + HOUR, FIRST + 5 * DAY):
        assert lab.look(back) == []
    assert "E-AGR-CLOCK" in caplog.text
    (_,) = lab.look(FIRST + 6 * DAY)


def test_to_say_that_the_clock_was_set_back_does_not_set_it_right(lab: Lab) -> None:
    everybody, lab.there = lab.there, []
    assert lab.look(FIRST + 5 * HOUR) == []
    lab.there = everybody
    for _ in range(2):
        assert lab.look(FIRST + HOUR) == []
    assert len(lab.look(FIRST + 5 * HOUR)) == 1


def test_a_clock_that_runs_ahead_uses_up_moments_and_starts_none_twice(lab: Lab) -> None:
    (run_id,) = lab.look(FIRST + DAY)  # it is FIRST in truth
    lab.end(run_id)
    lab.store.ask("UPDATE runs SET updated_at = ?", stamp(FIRST))
    lab.store.ask("UPDATE scheduled SET noted_at = ?", stamp(FIRST))
    assert len(lab.look(FIRST)) == 1
    lab.end(lab.store.runs()[0].run_id)
    assert lab.look(FIRST + DAY) == []


def test_an_agreement_that_was_stopped_has_no_moments_any_more(lab: Lab) -> None:
    stop = SignedStop.sign(lab.agreement, lab.federation.partner_keys[0], at="2026-03-01T02:00:00Z")
    lab.store.stop_agreement(stop)
    lab.store.ask("UPDATE stops SET noted_at = ?", stamp(FIRST - HOUR))
    assert lab.look(FIRST) == []
    rows = lab.store.ask("SELECT moment FROM scheduled")
    assert rows == [], "nothing is looked at, held and said every time"
    assert lab.became() == []
    assert ahead(lab.store, lab.now, agreement_id=lab.agreement.id, count=5) == []


def test_other_software_than_agreed_starts_nothing(lab: Lab) -> None:
    lab.scheduler.software = replace(lab.agreement.software, version="9.9")
    assert lab.look(FIRST) == []
    assert lab.became() == [("03-01", OPEN, "E-CODE")]


def test_without_the_due_diligence_that_is_demanded_nothing_begins(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.publish(version=2, supersedes=lab.agreement.hash, schedule=DAILY, diligence=True)
    assert lab.look(FIRST) == []
    assert lab.became() == [("03-01", OPEN, "E-DILIGENCE")]


def test_no_run_begins_after_the_review_date_or_before_effective(lab: Lab) -> None:
    assert lab.look(lab.agreement.review_by + HOUR) == []
    last = past(lab.store, lab.now)[0].moment
    assert last.at <= lab.agreement.review_by < last.at + DAY


def test_the_budget_that_releases_say_is_spent_starts_nothing(tmp_path: Path) -> None:
    terms = PrivacyTerms(
        epsilon=Decimal(1), delta=Decimal("0.000001"), rho=rho_for(1.0, 1e-6), runs=1,
        spare_rounds=0, max_partners_per_customer=1,
    )  # fmt: skip
    lab = Lab(tmp_path, plan="lloyd-dp", privacy=terms, max_rounds=6, seed=1)
    signed = lab.federation.run().release
    (run_id,) = lab.look(FIRST)
    lab.store.finish(run_id, signed.to_bytes(), lab.agreement.hash)
    lab.store.ask("UPDATE runs SET updated_at = ?", stamp(lab.now))
    assert lab.look(FIRST + DAY) == []
    assert lab.became()[0] == ("03-02", OPEN, "E-BUDGET-SPENT")


@pytest.mark.parametrize(("start", "begun"), [("", 1), ("anew", 0)])
def test_what_is_left_has_to_pay_for_a_run_as_the_agreement_has_it_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str, begun: int
) -> None:
    """A run that begins anew costs more than one that follows a release."""
    terms = PrivacyTerms(
        epsilon=Decimal(1), delta=Decimal("0.000001"), rho=rho_for(1.0, 1e-6), runs=1,
        spare_rounds=0, max_partners_per_customer=1,
    )  # fmt: skip
    lab = Lab(tmp_path, plan="lloyd-dp", privacy=terms, max_rounds=6, seed=1)
    release = lab.federation.run().release
    (run_id,) = lab.look(FIRST)
    lab.store.finish(run_id, release.to_bytes(), lab.agreement.hash)
    lab.store.ask("UPDATE runs SET updated_at = ?", stamp(lab.now))
    lab.publish(
        version=2, supersedes=lab.agreement.hash, schedule=DAILY,
        plan=replace(lab.agreement.plan, start=start),
    )  # fmt: skip
    spent = terms.budget - terms.reserve_for(most_cost(lab.agreement, follows=True))
    monkeypatch.setattr(scheduling, "cost_of_rho", lambda rho: spent)
    assert len(lab.look(FIRST + DAY)) == begun
    assert begun or lab.became()[0] == ("03-02", OPEN, "E-BUDGET-SPENT")


def test_two_versions_share_a_moment_and_the_later_ones_rule_holds_from_its_effective_date(
    lab: Lab,
) -> None:
    (run_id,) = lab.look(FIRST)
    lab.end(run_id)
    lab.now = FIRST + HOUR
    weekly = replace(DAILY, every=1, unit="weeks")
    second = lab.publish(
        version=2, supersedes=lab.agreement.hash, schedule=weekly, effective=FIRST - DAY
    )
    assert lab.look(FIRST + 2 * HOUR) == [], "the moment had its run under version 1"
    assert in_force(lab.store, lab.now)[second.id] == second
    third = lab.publish(
        version=3, supersedes=second.hash, schedule=DAILY, effective=FIRST + 9 * DAY - HOUR
    )
    assert in_force(lab.store, FIRST + 9 * DAY - 2 * HOUR)[second.id] == second
    following = ahead(lab.store, lab.now, agreement_id=third.id, count=3)
    assert [(due.version, f"{due.moment.at:%m-%d}", due.state) for due in following] == [
        (2, "03-08", AHEAD), (3, "03-10", AHEAD), (3, "03-11", AHEAD),
    ]  # fmt: skip
    assert lab.look(FIRST + DAY) == []
    (run_id,) = lab.look(FIRST + 9 * DAY)
    assert lab.store.run(run_id).agreement_hash == third.hash
    lab.end(run_id)
    assert lab.became() == [
        ("03-10", STARTED, ""), ("03-08", MISSED, "E-NOT-SERVED"), ("03-01", STARTED, ""),
    ]  # fmt: skip


def test_moments_before_a_version_was_published_are_none(lab: Lab, tmp_path: Path) -> None:
    lab.now = FIRST + 5 * DAY + HOUR
    lab.publish(id="other", schedule=DAILY)
    lab.now += timedelta(minutes=1)
    assert [(d.state) for d in past(lab.store, lab.now, agreement_id="other")] == [OPEN]


def test_a_moment_has_one_run_whoever_else_starts_one(lab: Lab) -> None:
    moment = Moment(at=FIRST, until=FIRST + HOUR)
    (run_id,) = lab.look(FIRST)
    lab.end(run_id)
    with pytest.raises(UsageError) as caught:
        ScheduledRuns(lab.store).begin(b"\x02" * 16, lab.agreement, moment, now=lab.now)
    assert caught.value.code == "E-SCHEDULED"
    assert [row.run_id for row in lab.store.runs()] == [run_id]


def test_killed_before_any_statement_the_moment_has_one_run_in_the_end(tmp_path: Path) -> None:
    for statement in range(100):
        folder = tmp_path / str(statement)
        folder.mkdir()
        lab = Lab(folder)
        lab.now = FIRST
        lab.store.close()
        killed = _killed_before(statement, lab)
        lab.store = CoordinatorStore.in_file(lab.path)
        before = [row.run_id for row in lab.store.runs()]
        began = lab.restarted().look()
        assert len(lab.store.runs()) == 1
        assert began == ([] if before else [lab.store.runs()[0].run_id])
        lab.end(lab.store.runs()[0].run_id)
        assert lab.scheduler.look() == [], "also once that run has ended"
        lab.store.close()
        if not killed:
            assert statement > 8
            return
    raise AssertionError("it never ended by itself")


def _killed_before(statement: int, lab: Lab) -> bool:
    """Whether a process that looks was killed before that statement of its database."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside the runner's threads
        pid = os.fork()
    if pid == 0:
        try:
            _look_and_die(statement, lab)
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def _look_and_die(statement: int, lab: Lab) -> None:
    store = CoordinatorStore.in_file(lab.path)
    left, ask = statement, store.ask

    def counted(sql: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return ask(sql, *values)

    store.ask = counted  # type: ignore[method-assign]
    lab.store = store
    lab.restarted().look()
