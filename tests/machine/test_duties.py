"""Duties: how a date decides, what fails, and that each change is told once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest

from machine.duties import watching
from machine.duties.duty import Duty, State, dated, looked_at, worst_first
from machine.duties.shown import change_words, duties_shown, fails, states_of
from machine.duties.watching import Change, changes, watched
from protocol.errors import FedsegError, RuleError, StoreError

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
DAY = timedelta(days=1)


def duty(name: str = "review", state: State = State.OK, **more: Any) -> Duty:
    return Duty(name=name, state=state, found="so it is", source="a clause", **more)


@pytest.mark.parametrize(
    ("days", "state", "since"),
    [(31, State.OK, None), (30, State.SOON, 0), (1, State.SOON, -29), (0, State.OVERDUE, 0),
     (-5, State.OVERDUE, -5)],
)  # fmt: skip
def test_a_date_comes_soon_and_then_is_past(days: int, state: State, since: int | None) -> None:
    end = NOW + days * DAY
    found = dated(duty(), end, NOW)
    assert (found.state, found.next) == (state, end)
    assert found.since == (None if since is None else NOW + since * DAY)


def test_whoever_has_to_look_first_stands_first_and_the_exit_status_says_it() -> None:
    each = [duty(str(state).replace(" ", "-"), state) for state in reversed(State)]
    assert [one.state for one in worst_first(each)] == list(State)
    assert states_of(each) == {str(state): 1 for state in State}
    for state, (plain, strict) in {
        State.OVERDUE: (True, True), State.SOON: (False, True), State.UNKNOWN: (False, True),
        State.OK: (False, False), State.NOT_ASKED: (False, False),
    }.items():  # fmt: skip
        one = [duty(state=state)]
        assert (fails(one, strict=False), fails(one, strict=True)) == (plain, strict)
        assert duties_shown(one).refused is plain


def test_what_cannot_be_looked_at_is_overdue_with_its_code() -> None:
    def refuse() -> list[Duty]:
        raise RuleError("the table is gone", code="E-CONSENT-SOURCE", remedy="put it back")

    (found,) = looked_at(refuse, duty("consents"))
    assert (found.name, found.state) == ("consents", State.OVERDUE)
    assert (found.found, found.way_out) == ("E-CONSENT-SOURCE: the table is gone", "put it back")
    assert looked_at(lambda: [duty()], duty("consents")) == [duty()]


def test_what_people_wrote_cannot_write_into_the_table() -> None:
    shown = duties_shown([duty(about="[red]x[/]\x1b[2J", way_out="a\nb", state=State.SOON)])
    assert all("\x1b" not in str(part) for part in shown.parts)
    assert "\x1b" not in change_words(Change(duty(about="\x1b[2J"), None))


def test_a_change_is_of_the_state_and_of_nothing_else() -> None:
    before = [duty("a"), duty("b"), duty("c")]
    now = [duty("a", found_more := State.OK), duty("b", State.OVERDUE), duty("d")]
    assert found_more is State.OK
    found = [(one.duty.name, one.was, one.is_gone) for one in changes(before, now)]
    assert found == [("b", State.OK, False), ("d", None, False), ("c", State.OK, True)]
    assert change_words(changes(before, now)[0]).startswith("b: overdue (was ok)")


def test_a_watch_tells_each_change_once_and_trouble_until_it_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is read, in turn; and the marks: the second and the sixth look find nothing written."""
    monkeypatch.setattr(watching, "LOOK_S", 0)
    stop = Event()
    reads: list[list[Duty] | FedsegError] = [
        [duty()], [duty(state=State.SOON)], StoreError("locked"), StoreError("locked"),
        [duty(state=State.SOON)], [duty(state=State.OVERDUE)],
    ]  # fmt: skip
    marks = iter([1, 1, 2, 3, 3, 3, 3, 4])

    def read() -> list[Duty]:
        found = reads.pop(0)
        if isinstance(found, FedsegError):
            raise found
        return found

    def mark() -> int:
        found = next(marks)
        if found == 4:
            stop.set()
        return found

    told = list(watched(read, mark, stop, every_s=10_000))
    assert told[0] == [duty()]
    assert [(one.was, one.duty.state) for one in told[1]] == [(State.OK, State.SOON)]  # type: ignore[union-attr]
    assert isinstance(told[2], StoreError)
    assert [(one.was, one.duty.state) for one in told[3]] == [(State.SOON, State.OVERDUE)]  # type: ignore[union-attr]
    assert (len(told), reads) == (4, [])


def test_dates_come_though_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LOOK_S", 0)
    stop, states = Event(), iter([State.OK, State.OK, State.SOON])

    def read() -> list[Duty]:
        state = next(states)
        if state is State.SOON:
            stop.set()
        return [duty(state=state)]

    told = list(watched(read, lambda: 1, stop, every_s=0))
    assert len(told) == 2
