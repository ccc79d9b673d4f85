"""What is said to come next in a run is what comes, and it is said before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from coordinator.patience import Patience
from coordinator.runs.outlook import Waiting
from coordinator.store.records import FAILED, FINISHED
from protocol.coordinator_round import Phase
from protocol.errors import RunFailedError
from simulations.federation import Federation
from tests.coordinator.test_run_driver import GONE, Watch, going_without, make

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Told:
    """What is said of a run while it goes on."""

    def __init__(self, federation: Federation) -> None:
        self.federation = federation
        self.said: list[dict[str, Any]] = []

    def run(self) -> str:
        """Run to the end; the code with which it failed."""
        try:
            self.federation.run(on_progress=self.said.append)
        except RunFailedError as failure:
            return failure.code
        return ""

    def outlooks(self, phase: str) -> list[dict[str, Any]]:
        return [one["next"] for one in self.said if one["phase"] == phase and one["next"]]


def names(*partners: int) -> list[str]:
    return [f"partner-{i}" for i in partners]


def test_a_run_in_which_nobody_is_waited_for_has_nothing_to_say() -> None:
    told = Told(make())
    assert told.run() == ""
    assert all(one["next"] is None for one in told.said)


@pytest.mark.parametrize("kind", ["Roster", "Announce"])
@pytest.mark.parametrize("gone", [GONE, (8,)], ids=["a group", "one alone"])
def test_going_on_or_ending_is_said_before_it_happens(kind: str, gone: tuple[int, ...]) -> None:
    told = Told(make(9))
    watch = Watch(told.federation)
    watch.lost = lambda node, what: node in gone and what == kind
    code = told.run()
    phase = {"Roster": Phase.READYS, "Announce": Phase.ANSWERS}[kind]
    (*_, found) = told.outlooks(phase)
    assert found["without"] == names(*gone)
    assert (found["goes_on"], found["code"]) == (code == "", code)
    assert (code == "") is (gone == GONE)
    assert bool(found["reason"]) is (code != "")
    row = told.federation.store.runs()[0]
    assert row.state == (FAILED if code else FINISHED)


def test_a_first_run_that_lacks_a_few_is_said_to_end() -> None:
    told = Told(make(9))
    told.federation.exchange.down = {8}
    assert told.run() == "E-FIRST-RUN"
    (*_, found) = told.outlooks(Phase.HELLOS)
    assert (found["goes_on"], found["code"], found["without"]) == (False, "E-FIRST-RUN", names(8))


def test_a_run_that_begins_without_a_group_names_the_group() -> None:
    told = Told(make(9))
    told.federation.exchange.down = set(GONE)
    assert told.run() == ""
    (*_, found) = told.outlooks(Phase.HELLOS)
    assert (found["goes_on"], found["without"]) == (True, names(*GONE))
    later = Told(told.federation)  # one of them came back: it would be singled out
    told.federation.exchange.down = {6, 7}
    assert later.run() == ""
    (*_, found) = later.outlooks(Phase.HELLOS)
    assert (found["goes_on"], found["without"]) == (True, names(*GONE))


def test_a_run_that_nobody_joins_is_said_to_end() -> None:
    told = Told(make())
    told.federation.exchange.down = {0, 1, 2, 3}
    assert told.run() == "E-NO-PARTNERS"
    (*_, found) = told.outlooks(Phase.HELLOS)
    assert found["code"] == "E-NO-PARTNERS"


def test_who_is_left_out_on_purpose_is_not_counted_among_those_that_a_first_run_lacks() -> None:
    for down, code in (({8, 9, 10, 11}, ""), ({9, 10, 11}, "E-FIRST-RUN")):
        told = Told(make(12, patience=Patience(grace_s=20, poll_s=0.1)))
        told.federation.exchange.down = down
        with going_without(told.federation, 11):
            assert told.run() == code
        (*_, found) = told.outlooks(Phase.HELLOS)
        assert (found["code"], found["without"]) == (code, names(*sorted(down)))


def test_at_the_end_it_is_said_who_gets_the_release_later() -> None:
    told = Told(make())
    watch = Watch(told.federation)
    watch.lost = lambda node, what: (node, what) == (1, "Publish")
    assert told.run() == ""
    (*_, found) = told.outlooks(Phase.ACKS)
    assert (found["goes_on"], found["without"]) == (True, names(1))


def test_the_moment_is_when_the_grace_time_ends() -> None:
    told = Told(make(9, patience=Patience(grace_s=1_000, poll_s=0.1)))
    watch = Watch(told.federation)
    watch.lost = lambda node, what: node in GONE and what == "Announce"
    assert told.run() == ""
    waits = [one for one in told.said if one["phase"] == Phase.ANSWERS and one["next"]]
    since = {datetime.fromisoformat(one["since"]) for one in waits}
    assert len(since) == 1, "the wait began once"
    (began,) = since
    first = datetime.fromisoformat(waits[0]["next"]["at"])
    assert timedelta(seconds=998) < first - began < timedelta(seconds=1_002)


def test_whoever_refuses_was_heard_and_whoever_is_silent_was_not() -> None:
    told = Told(make(9))
    watch = Watch(told.federation)
    watch.lost = lambda node, what: node == 7 and what != "Open"

    def refuse(node: int, what: str) -> None:
        if node == 8 and what == "Roster":
            told.federation.nodes[8].store.close()

    watch.before = refuse
    told.run()
    waits = [one for one in told.said if one["phase"] == Phase.READYS and one["next"]]
    assert set(waits[-1]["waiting_for"]) >= {"partner-7", "partner-8"}
    heard = waits[-1]["heard"]
    assert heard["partner-8"] >= heard["partner-7"], "its HELLO was the last of it"
    assert waits[-1]["refusals"]["partner-8"].startswith("E-")


def test_a_pause_moves_the_moment_and_nothing_else_does() -> None:
    ran = [0.0]
    now = [NOW]
    waiting = Waiting(lambda: ran[0], lambda: now[0])
    first = waiting.until(60)
    assert first == NOW + timedelta(seconds=60)
    for tenths in range(1, 100):
        ran[0], now[0] = tenths / 10, NOW + timedelta(seconds=tenths / 10, milliseconds=40)
        assert waiting.until(60) == first
    now[0] += timedelta(seconds=300)  # the machine slept; the process did not run
    assert waiting.until(60) > first + timedelta(seconds=299)
    assert waiting.since == NOW
    waiting.begin()
    assert (waiting.since, waiting.waited_s) == (now[0], 0.0)
