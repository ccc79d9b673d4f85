"""The driver of a run: waits, asks again, goes on without, ends with a reason; never in silence."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from coordinator.patience import Patience
from coordinator.runs.exchange import Reply
from coordinator.runs.late_refusals import late_refusal_words
from coordinator.runs.life import execute
from coordinator.runs.links import Links
from coordinator.store.admitted_nodes import AdmittedNodes
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.records import FAILED, FINISHED
from protocol.errors import RunFailedError, StoreError
from protocol.messages import Ack, Announce, Hello, Open, Propose, Roster, open_request
from protocol.release.document import SignedRelease
from protocol.ring import WORD_BYTES
from simulations import federation as module
from simulations.federation import FeatureTerms, FederatedRun, Federation, MemoryExchange

FEATURES = [
    FeatureTerms(name="visits", min="0", max="10"),
    FeatureTerms(name="spent", min="0", max="100"),
]
PATIENCE = Patience(grace_s=60, resend_s=5, poll_s=0.1, farewell_s=5)


#: A set may change by three partners at once, never by fewer: they would be singled out.
GONE = (6, 7, 8)
STAYED = [0, 1, 2, 3, 4, 5]
#: The other way out where code differs.
OR_SIGNED = ", or have that build signed where the agreement lets builds be added"


def make(n: int = 4, *, patience: Patience = PATIENCE, **terms: Any) -> Federation:
    rng = np.random.default_rng(n)
    centres = np.array([[1, 10], [5, 90], [9, 30]])
    data = [centres[rng.integers(0, 3, 12)] + rng.normal(0, 0.5, (12, 2)) for _ in range(n)]
    return Federation(
        data, FEATURES, n_clusters=3, max_rounds=6, patience=patience, seed=1, **terms
    )


class Watch:
    """Notes what is asked of whom and when; loses or changes what a test wants."""

    def __init__(self, federation: Federation) -> None:
        self.federation = federation
        self.asked: list[tuple[int, str, float]] = []
        self.lost: Callable[[int, str], bool] = lambda node, kind: False
        self.before: Callable[[int, str], None] = lambda node, kind: None
        federation.exchange.tamper_request = self.tamper

    def tamper(self, node: int, message: bytes) -> bytes | None:
        kind = self.kind(message)
        self.asked.append((node, kind, self.federation.clock.now_s))
        self.before(node, kind)
        return None if self.lost(node, kind) else message

    def kind(self, message: bytes) -> str:
        key = self.federation.agreement.coordinator.public_key
        return type(open_request(message, coordinator_key=key)).__name__

    def count(self, node: int, kind: str) -> int:
        return sum((n, k) == (node, kind) for n, k, _ in self.asked)


def failure(federation: Federation) -> RunFailedError:
    with pytest.raises(RunFailedError) as caught:
        federation.run()
    row = federation.store.runs()[0]
    assert row.state == FAILED
    assert (row.code, row.reason) == (caught.value.code, caught.value.message)
    assert row.reason
    assert federation.store.inputs(row.run_id) == []
    assert federation.clock.now_s < 1_000
    return caught.value


@contextlib.contextmanager
def going_without(federation: Federation, *partners: int) -> Iterator[None]:
    """Runs that are asked for here are to go without these partners."""
    request = federation.store.request_run
    names = [f"partner-{i}" for i in partners]
    federation.store.request_run = partial(request, without=names)  # type: ignore[method-assign]
    try:
        yield
    finally:
        federation.store.request_run = request  # type: ignore[method-assign]


def participants(federation: Federation, run: FederatedRun) -> list[int]:
    """Who signed; every signature is checked."""
    release = run.release.verify(federation.agreement)
    assert federation.store.runs()[0].state == FINISHED
    assert federation.store.release(federation.store.runs()[0].run_id) == run.release.to_bytes()
    return [int(name.removeprefix("partner-")) for name in release.participants]


# --- waiting and asking again ----------------------------------------------------------------


def test_a_run_in_which_all_answer_waits_for_nobody() -> None:
    federation = make()
    watch = Watch(federation)
    assert participants(federation, federation.run()) == [0, 1, 2, 3]
    assert federation.clock.now_s < 1
    assert all(watch.count(n, k) == 1 for n in range(4) for k in ("Open", "Roster", "Publish"))


@pytest.mark.parametrize("kind", ["Open", "Roster", "Announce", "Publish"])
def test_a_lost_message_is_sent_again_and_nothing_else_changes(kind: str) -> None:
    federation = make()
    watch = Watch(federation)
    watch.lost = lambda node, what: (node, what) == (1, kind) and watch.count(1, kind) == 1
    assert participants(federation, federation.run()) == [0, 1, 2, 3]
    assert PATIENCE.resend_s < federation.clock.now_s < PATIENCE.resend_s + 2


def test_nothing_is_asked_twice_before_the_time_to_resend() -> None:
    federation = make(9, patience=replace(PATIENCE, grace_s=23))
    watch = Watch(federation)
    watch.lost = lambda node, kind: node in GONE and kind == "Roster"
    assert participants(federation, federation.run()) == STAYED
    times = [at for node, kind, at in watch.asked if (node, kind) == (7, "Roster")]
    assert 4 <= len(times) <= 5
    assert min(b - a for a, b in itertools.pairwise(times)) > PATIENCE.resend_s


def woken(federation: Federation, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When nodes were woken in a run, in seconds of its clock."""
    at: list[float] = []

    def wake(store: CoordinatorStore, run_id: bytes) -> None:
        assert store.run(run_id).run_id == run_id
        at.append(federation.clock.now_s)

    monkeypatch.setattr(module, "execute", partial(execute, on_asleep=wake))
    federation.run()
    return at


def test_nodes_are_woken_when_a_run_asks_first_and_not_while_it_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    federation = make()
    (at,) = woken(federation, monkeypatch)
    assert at < 0.2


def test_nodes_are_woken_again_after_a_wait_for_one_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    federation = make()
    watch = Watch(federation)
    watch.lost = lambda node, kind: (node, kind) == (1, "Roster") and watch.count(1, kind) < 4
    first, again = woken(federation, monkeypatch)
    assert first < 0.2
    assert again > 15, "when the others are asked again, after 15 seconds of silence"


def test_a_run_goes_on_where_nobody_can_be_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    federation = make()

    def full(store: CoordinatorStore, run_id: bytes) -> None:
        raise StoreError("no room")

    monkeypatch.setattr(module, "execute", partial(execute, on_asleep=full))
    assert participants(federation, federation.run()) == [0, 1, 2, 3]


class SlowExchange(MemoryExchange):
    """Node 1 answers each message so many seconds after it was sent."""

    federation: Federation
    held: dict[str, tuple[float, Reply]]
    late_s: float

    def push(self, node: int, message: bytes, *, ttl_s: float, beside: bytes = b"") -> str:
        handle = super().push(node, message, ttl_s=ttl_s, beside=beside)
        if node == 1 and handle in self.waiting:
            due = self.federation.clock.now_s + self.late_s
            self.held[handle] = (due, self.waiting.pop(handle))
        return handle

    def pull(self, handles: Collection[str]) -> Mapping[str, Reply]:
        for handle, (due, reply) in list(self.held.items()):
            if self.federation.clock.now_s >= due:
                self.waiting[handle] = reply
                del self.held[handle]
        return super().pull(handles)


@pytest.mark.parametrize("late_s", [7, 38])
def test_an_answer_that_took_longer_than_the_time_to_resend_counts(late_s: float) -> None:
    """The first of the copies that were sent is answered, while later ones are still waited for.

    Of the first, seven more are sent within 38 seconds.
    """
    federation = make()
    federation.exchange = SlowExchange(nodes_by_id=federation.nodes)
    federation.exchange.federation, federation.exchange.held = federation, {}
    federation.exchange.late_s = late_s
    run = federation.run()
    assert participants(federation, run) == [0, 1, 2, 3]
    stages = 2 + run.rounds + 1
    assert federation.clock.now_s < (late_s + 0.5) * stages + PATIENCE.farewell_s + 1


class LifetimeExchange(MemoryExchange):
    """Notes for how long each message is kept for a node."""

    lives: set[float]

    def push(self, node: int, message: bytes, *, ttl_s: float, beside: bytes = b"") -> str:
        self.lives.add(ttl_s)
        return super().push(node, message, ttl_s=ttl_s, beside=beside)


def test_no_message_lives_longer_than_its_answer_is_looked_for() -> None:
    """The carrier keeps a message and its answer in memory for as long, whoever waits for it."""
    federation = make(patience=replace(PATIENCE, grace_s=3_600, resend_s=4))
    federation.exchange = exchange = LifetimeExchange(nodes_by_id=federation.nodes)
    exchange.lives = set()
    federation.run()
    assert exchange.lives == {36}


class LaterExchange(MemoryExchange):
    """Node 1 answers each message so many turns later: it was away while the coordinator was."""

    turns: int = 3
    held: dict[str, Reply]

    def push(self, node: int, message: bytes, *, ttl_s: float, beside: bytes = b"") -> str:
        handle = super().push(node, message, ttl_s=ttl_s, beside=beside)
        if node == 1 and handle in self.waiting:
            self.held[handle] = self.waiting.pop(handle)
            self.turns = LaterExchange.turns
        return handle

    def pull(self, handles: Collection[str]) -> Mapping[str, Reply]:
        self.turns -= 1
        if self.turns <= 0:
            self.waiting |= self.held
            self.held.clear()
        return super().pull(handles)


class SleepyExchange(LaterExchange):
    """In which the process can be stopped while it asks for answers and there are none."""

    meanwhile: Callable[[], None]

    def pull(self, handles: Collection[str]) -> Mapping[str, Reply]:
        replies = super().pull(handles)
        if not replies:
            self.meanwhile()
        return replies


@pytest.mark.parametrize("where", ["between two turns", "within a turn"])
@pytest.mark.parametrize("kind", ["Open", "Roster", "Announce", "Publish"])
def test_a_pause_of_the_coordinator_is_held_against_no_partner(kind: str, where: str) -> None:
    """Stopped, or asleep, for longer than the grace time, with a request on its way."""
    federation = make(9)
    federation.exchange = exchange = SleepyExchange(nodes_by_id=federation.nodes)
    exchange.held = {}
    watch = Watch(federation)
    slept: list[float] = []
    sleep = federation.clock.sleep

    def stop_once() -> None:
        if watch.count(1, kind) and not slept:
            slept.append(10 * PATIENCE.grace_s)
            sleep(slept[0])

    def sleep_long(seconds: float) -> None:
        if where == "between two turns":
            stop_once()
        sleep(seconds)

    federation.clock.sleep = sleep_long  # type: ignore[method-assign]
    exchange.meanwhile = stop_once if where == "within a turn" else lambda: None
    assert participants(federation, federation.run()) == list(range(9))
    assert slept
    if kind == "Publish":  # nobody is dropped for that, but its last word is waited for
        assert (
            federation.store.unacknowledged(federation.agreement.hash, "partner-1", at_most=1) == []
        )


def test_pauses_between_turns_give_a_partner_that_is_away_no_endless_time() -> None:
    """Of each slow turn the longest that counts as one is counted."""
    federation = make(9)
    federation.exchange.down.update(GONE)
    sleep = federation.clock.sleep

    def sleep_slowly(_: float) -> None:
        sleep(30)
        assert federation.clock.now_s < 10_000

    federation.clock.sleep = sleep_slowly  # type: ignore[method-assign]
    assert participants(federation, federation.run()) == STAYED
    assert federation.clock.now_s <= 30 * (PATIENCE.grace_s / 2 + 2)


# --- going on without ------------------------------------------------------------------------


def test_partners_that_never_join_are_waited_for_during_the_grace_time_only() -> None:
    federation = make(9)
    federation.exchange.down.update(GONE)
    assert participants(federation, federation.run()) == STAYED
    assert PATIENCE.grace_s < federation.clock.now_s < PATIENCE.grace_s + 2


def test_an_agreements_first_run_does_not_begin_without_a_few_of_its_partners() -> None:
    """Two that miss it could never join again: every later set would single them out."""
    federation = make(6)
    federation.exchange.down.update({4, 5})
    error = failure(federation)
    assert error.code == "E-FIRST-RUN"
    assert "partner-4 did not answer, partner-5 did not answer" in error.message
    assert "--without partner-4 --without partner-5" in error.remedy
    assert federation.store.runs()[0].remedy == error.remedy
    assert PATIENCE.grace_s < federation.clock.now_s < PATIENCE.grace_s + 2
    federation.exchange.down.clear()
    assert participants(federation, federation.run()) == [0, 1, 2, 3, 4, 5]


def test_the_operator_can_begin_without_partners_which_are_then_not_waited_for() -> None:
    federation = make(6)
    federation.exchange.down.add(5)
    with going_without(federation, 4, 5):
        assert participants(federation, federation.run()) == [0, 1, 2, 3]
    assert federation.clock.now_s < 2
    (record,) = federation.nodes[4].store.runs()
    assert (record.phase, record.reason) == ("aborted", "E-LEFT-OUT")


def test_to_name_one_partner_is_no_leave_to_begin_without_another() -> None:
    federation = make(6)
    federation.exchange.down.update({4, 5})
    with going_without(federation, 5):
        error = failure(federation)
    assert error.code == "E-FIRST-RUN"
    assert "partner-4 did not answer;" in error.message


@pytest.mark.parametrize("kind", ["Roster", "Announce"])
def test_partners_that_fall_silent_are_dropped_after_the_grace_time(kind: str) -> None:
    federation = make(9)
    watch = Watch(federation)
    watch.lost = lambda node, what: node in GONE and what == kind
    assert participants(federation, federation.run()) == STAYED
    assert PATIENCE.grace_s < federation.clock.now_s < PATIENCE.grace_s + 2
    assert watch.count(0, "Propose") == 1
    assert watch.count(7, "Propose") == 0


def test_partners_that_fall_silent_before_signing_the_release_are_left_out_of_it() -> None:
    rounds = make(9).run().rounds
    federation = make(9)
    watch = Watch(federation)
    watch.lost = lambda node, kind: (
        node in GONE and kind == "Announce" and watch.count(node, kind) > rounds
    )
    assert participants(federation, federation.run()) == STAYED


def test_one_partner_that_falls_silent_ends_the_run_when_leaving_it_out_would_single_it_out() -> (
    None
):
    federation = make(4)
    watch = Watch(federation)
    watch.lost = lambda node, kind: node == 3 and kind == "Announce"
    error = failure(federation)
    assert error.code == "E-SET-ISOLATES"
    assert "partner-3 did not answer" in error.message
    assert error.remedy
    assert all(n.store.releases() == [] for n in federation.nodes.values())


@pytest.mark.slow
def test_more_partners_lost_later_shrink_the_set_again() -> None:
    federation = make(12)
    watch = Watch(federation)
    gone = {11: 1, 10: 1, 9: 1, 8: 2, 7: 2}
    watch.lost = lambda node, kind: watch.count(node, "Announce") > gone.get(node, 99)
    with pytest.raises(RunFailedError, match="partner-7 did not answer, partner-8"):
        federation.run()  # two alone would be singled out

    federation = make(16)
    watch = Watch(federation)
    gone = {15: 1, 14: 1, 13: 1, 12: 3, 11: 3, 10: 3}
    watch.lost = lambda node, kind: watch.count(node, "Announce") > gone.get(node, 99)
    assert participants(federation, federation.run()) == list(range(10))
    row = federation.store.runs()[0]
    assert row.progress["participants"] == [f"partner-{i}" for i in range(10)]
    rounds = federation.store.rounds(row.run_id)
    assert [r.partners for r in rounds][:3] == [16, 13, 10]


def test_another_partner_falls_silent_while_the_smaller_set_is_agreed_on() -> None:
    federation = make(9)
    watch = Watch(federation)
    watch.lost = lambda node, kind: (
        (node in (6, 7, 8) and kind == "Announce") or (node in (3, 4, 5) and kind == "Propose")
    )
    with pytest.raises(RunFailedError) as caught:
        federation.run()
    assert "partner-3, partner-4, partner-5" in caught.value.message
    assert caught.value.code


def test_below_the_quorum_the_run_ends_with_names_and_a_way_out() -> None:
    federation = make(4)
    federation.exchange.down.update({2, 3})
    error = failure(federation)
    assert "partner-2 did not answer, partner-3 did not answer" in error.message
    assert error.remedy


def test_nobody_there_is_an_end_with_a_reason_too() -> None:
    federation = make(3)
    federation.exchange.down.update({0, 1, 2})
    assert failure(federation).code == "E-NO-PARTNERS"


class RefusesAll(MemoryExchange):
    """Every node refuses, each with its own code; of those with none nothing is heard."""

    codes: tuple[str | None, ...] = ()

    def _ask(self, node: int, request: bytes, beside: bytes) -> Reply | None:
        code = self.codes[node]
        return None if code is None else Reply(node=node, message=None, error=code)


@pytest.mark.parametrize("admitted", [True, False])
def test_when_all_partners_refuse_the_failure_says_so_and_with_which_codes(admitted: bool) -> None:
    federation = make(3)
    exchange = RefusesAll(nodes_by_id=federation.nodes)
    exchange.codes = ("E-AGR-OTHER", "E-CODE", "E-AGR-OTHER")
    federation.exchange = exchange
    if admitted:
        admit_all(federation)
    error = failure(federation)
    assert error.code == "E-NO-PARTNERS"
    assert "no partner takes part: all refused, with E-AGR-OTHER, E-CODE" in error.message
    who = ("partner-0, partner-2", "partner-1")
    others, older = who if admitted else ("the partner of 2 nodes", "the partner of 1 node")
    assert error.remedy == (
        f"have {others} install the published agreement (fedseg-node agreement install); have "
        f"{older} install the version that the agreement names{OR_SIGNED}; then start a new run"
    )


@pytest.mark.parametrize(
    ("code", "way_out"),
    [
        (
            "E-BUDGET-SPENT",
            "have every party sign a version with more runs (fedseg-node budget forecast at "
            "partner-0, partner-1)",
        ),
        (
            "E-AGR-OTHER",
            "have partner-0, partner-1 install the published agreement (fedseg-node agreement "
            "install); then start a new run",
        ),
        *(
            (
                code,
                "restore the coordinator's folder from its newest backup, which has to have the "
                "last run; or have every party sign a new version; then start a new run",
            )
            for code in ("E-RUN-START", "E-CHAIN-FORK")
        ),
        (
            "E-RETENTION",
            "look up E-RETENTION in docs/errors.md and have partner-0, partner-1 put that right "
            "(its node's log and fedseg-node check say more); then start a new run",
        ),
    ],
)
def test_a_run_below_its_quorum_names_the_way_out_of_what_kept_partners_away(
    code: str, way_out: str
) -> None:
    federation = make(4)

    class RefusesSome(MemoryExchange):
        def _ask(self, node: int, request: bytes, beside: bytes) -> Reply | None:
            if node in (0, 1):
                return Reply(node=node, message=None, error=code)
            return super()._ask(node, request, beside)

    federation.exchange = RefusesSome(nodes_by_id=federation.nodes)
    admit_all(federation)
    error = failure(federation)
    assert (error.code, error.remedy.partition("; to go on")[0]) == ("E-SET-QUORUM", way_out)


def test_who_is_away_is_to_be_brought_back_and_who_refused_is_not() -> None:
    federation = make(3)
    exchange = RefusesAll(nodes_by_id=federation.nodes)
    exchange.codes = ("E-CODE", None, "E-BUNDLE")
    federation.exchange = exchange
    admit_all(federation)
    assert failure(federation).remedy == (
        f"have partner-2 install the version that the agreement names{OR_SIGNED}; have partner-0 "
        f"install the version that the agreement names{OR_SIGNED}; bring partner-1 back "
        "(fedseg-node status, check); then start a new run"
    )


def test_bytes_that_are_no_message_are_not_called_silence() -> None:
    federation = make(4)
    admit_all(federation)
    federation.exchange.tamper_reply = lambda node, message: b"\xff" * 100 if node == 3 else message
    error = failure(federation)
    assert "partner-3 sent what cannot be taken (E-MALFORMED)" in error.message
    assert "did not answer" not in error.message
    assert "find out what answers in place of partner-3" in error.remedy


def test_when_one_partner_is_away_and_the_others_refuse_not_all_are_said_to_refuse() -> None:
    federation = make(3)
    exchange = RefusesAll(nodes_by_id=federation.nodes)
    exchange.codes = ("E-CODE", None, "E-CODE")
    federation.exchange = exchange
    admit_all(federation)
    error = failure(federation)
    assert error.code == "E-NO-PARTNERS"
    assert "all refused" not in error.message
    assert "partner-1 did not answer" in error.message
    assert "look up" not in error.remedy


def test_a_partner_that_comes_late_but_in_time_is_in_the_run() -> None:
    federation = make()
    federation.exchange.down.add(2)
    sleep = federation.clock.sleep

    def sleep_and_come(seconds: float) -> None:
        sleep(seconds)
        if federation.clock.now_s > 40:
            federation.exchange.down.discard(2)

    federation.clock.sleep = sleep_and_come  # type: ignore[method-assign]
    assert participants(federation, federation.run()) == [0, 1, 2, 3]
    assert 40 < federation.clock.now_s < 50


def test_partners_that_come_after_the_roster_is_closed_are_in_the_next_run() -> None:
    federation = make(9)
    watch = Watch(federation)
    federation.exchange.down.update(GONE)

    def come(node: int, kind: str) -> None:
        if kind == "Roster":
            federation.exchange.down.clear()

    watch.before = come
    assert participants(federation, federation.run()) == STAYED
    assert participants(federation, federation.run()) == [*STAYED, *GONE]


def test_partners_that_a_full_set_would_single_out_are_left_out_and_told_so() -> None:
    """A total with them, less the earlier total without them, would be theirs alone."""
    federation = make(6)
    federation.exchange.down.update({4, 5})
    with going_without(federation, 4, 5):
        assert participants(federation, federation.run()) == [0, 1, 2, 3]
    federation.exchange.down.clear()
    assert participants(federation, federation.run()) == [0, 1, 2, 3]
    row = federation.store.runs()[0]
    assert row.progress["left_out"] == ["partner-4", "partner-5"]
    for number, node in federation.nodes.items():
        record = node.store.run_by_id(row.run_id)
        assert record is not None
        assert record.reason == ("E-LEFT-OUT" if number in (4, 5) else "")
        assert record.phase == ("aborted" if number in (4, 5) else "done")


def test_the_largest_set_that_is_here_again_is_opened() -> None:
    federation = make(10)
    federation.exchange.down.update({7, 8, 9})
    assert participants(federation, federation.run()) == [0, 1, 2, 3, 4, 5, 6]
    federation.exchange.down = {9}
    assert participants(federation, federation.run()) == [0, 1, 2, 3, 4, 5, 6]
    federation.exchange.down.clear()
    assert participants(federation, federation.run()) == list(range(10))
    federation.exchange.down = {9}
    assert participants(federation, federation.run()) == [0, 1, 2, 3, 4, 5, 6]


def test_a_run_that_no_allowed_set_is_here_for_says_who_would_be_singled_out() -> None:
    federation = make(6)
    federation.exchange.down.update({4, 5})
    with going_without(federation, 4, 5):
        federation.run()
    federation.exchange.down = {0}
    error = failure(federation)
    assert error.code == "E-SET-ISOLATES"
    assert "without partner-0" in error.message
    assert "singled out: partner-0" in error.message
    assert error.remedy


def test_a_driver_that_goes_on_in_another_process_still_leaves_them_out() -> None:
    federation = make(6)
    federation.exchange.down.update({4, 5})
    with going_without(federation, 4, 5):
        federation.run()
    federation.exchange.down.clear()
    watch = Watch(federation)

    class DiedError(Exception):
        pass

    def die(node: int, kind: str) -> None:
        if kind == "Roster":
            raise DiedError

    watch.before = die
    with pytest.raises(DiedError):
        federation.run()
    watch.before = lambda node, kind: None
    run_id = federation.store.runs()[0].run_id
    release = drive_again(federation)
    names = release.verify(federation.agreement).participants
    assert names == ("partner-0", "partner-1", "partner-2", "partner-3")
    for number in (4, 5):
        record = federation.nodes[number].store.run_by_id(run_id)
        assert record is not None
        assert record.reason == "E-LEFT-OUT"


def test_a_partner_that_was_away_for_a_moment_is_found_again() -> None:
    federation = make()
    watch = Watch(federation)

    def away(node: int, kind: str) -> None:
        if kind == "Announce" and watch.count(node, kind) == 1:
            federation.exchange.down.add(1)

    watch.before = away
    sleep = federation.clock.sleep

    def sleep_and_come(seconds: float) -> None:
        sleep(seconds)
        if federation.clock.now_s > 30:
            federation.exchange.down.clear()

    federation.clock.sleep = sleep_and_come  # type: ignore[method-assign]
    assert participants(federation, federation.run()) == [0, 1, 2, 3]


def test_a_run_is_finished_although_an_acknowledgement_is_missing() -> None:
    federation = make()
    watch = Watch(federation)
    watch.lost = lambda node, kind: node == 1 and kind == "Publish"
    assert participants(federation, federation.run()) == [0, 1, 2, 3]
    assert federation.clock.now_s < PATIENCE.farewell_s + 2
    assert federation.nodes[1].store.releases() == []
    assert len(federation.nodes[0].store.releases()) == 1


# --- refusals --------------------------------------------------------------------------------


class RefusingExchange(MemoryExchange):
    """Some nodes refuse announcements with a code, so many times each."""

    code: str
    left: dict[int, int]

    def _ask(self, node: int, request: bytes, beside: bytes) -> Reply | None:
        if self.left.get(node, 0) > 0 and b"fedseg/v1/announce" in request:
            self.left[node] -= 1
            return Reply(node=node, message=None, error=self.code)
        return super()._ask(node, request, beside)


def refusing(n: int, code: str, left: dict[int, int]) -> Federation:
    federation = make(n)
    exchange = RefusingExchange(nodes_by_id=federation.nodes)
    exchange.code, exchange.left = code, left
    federation.exchange = exchange
    return federation


@pytest.mark.parametrize(
    "code", ["E-SOURCE", "E-STORE", "E-INTERNAL", "E-TRANSPORT", "E-EGRESS-HELD"]
)
def test_a_refusal_that_may_pass_is_asked_again(code: str) -> None:
    federation = refusing(4, code, {1: 3})
    assert participants(federation, federation.run()) == [0, 1, 2, 3]
    assert 3 * PATIENCE.resend_s < federation.clock.now_s < 4 * PATIENCE.resend_s


@pytest.mark.parametrize("code", ["E-TRANSPORT", "E-SOURCE"])
def test_a_node_that_is_away_refused_nothing_and_was_not_heard(
    code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The carrier says that no reply came; what the node itself says was heard."""
    calls = itertools.count()
    monkeypatch.setattr("coordinator.runs.driver.stamp_now", lambda: f"moment {next(calls)}")
    federation = refusing(4, code, {1: 3})
    seen: list[dict[str, Any]] = []
    federation.run(on_progress=seen.append)
    waits = [said for said in seen if said["waiting_for"] == ["partner-1"] and said["round"] == 1]
    heard = {said["heard"]["partner-1"] for said in waits if said["phase"] == "answers"}
    refused = code != "E-TRANSPORT"
    assert (len(heard) > 1) is refused
    assert heard
    assert ({"partner-1": code} in [said["refusals"] for said in seen]) is refused


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        "E-ROW-CAP", "E-AGR-EXPIRED", "E-CODE", "E-RUN-ABORTED", "E-EGRESS", "E-EGRESS-REFUSED",
        "E-WITHDRAWN",
    ],
)  # fmt: skip
def test_refusals_for_good_end_the_waiting_at_once(code: str) -> None:
    left = dict.fromkeys(GONE, 99)
    federation = refusing(9, code, left)
    assert participants(federation, federation.run()) == STAYED
    assert federation.clock.now_s < 2
    assert left == dict.fromkeys(GONE, 98)


def test_a_refusal_of_one_partner_ends_a_run_that_cannot_go_on_without_it() -> None:
    federation = refusing(4, "E-ROW-CAP", {1: 99})
    error = failure(federation)
    assert "partner-1 refused with E-ROW-CAP" in error.message
    assert federation.clock.now_s < 2


def test_a_stop_that_no_coordinator_has_seen_is_the_refusal_of_whoever_says_so() -> None:
    """A bare code of one partner's node ends nobody else's run; its signed stop does."""
    federation = refusing(9, "E-WITHDRAWN", dict.fromkeys(GONE, 99))
    assert participants(federation, federation.run()) == STAYED
    assert not federation.store.ask("SELECT 1 FROM stops")
    for number in STAYED:
        (run,) = federation.nodes[number].store.runs()
        assert run.phase == "done"


def test_when_all_say_that_it_was_stopped_the_failure_says_so_and_asks_for_the_stop() -> None:
    federation = make(3)
    exchange = RefusesAll(nodes_by_id=federation.nodes)
    exchange.codes = ("E-WITHDRAWN",) * 3
    federation.exchange = exchange
    admit_all(federation)
    error = failure(federation)
    assert error.code == "E-WITHDRAWN"
    assert "the agreement was stopped there" in error.message
    assert "ask partner-0, partner-1, partner-2 for the signed stop" in error.remedy
    assert "start a new run" not in error.remedy


def test_the_rest_is_told_that_the_run_ended() -> None:
    federation = make(3)
    watch = Watch(federation)
    watch.lost = lambda node, kind: node == 2 and kind == "Announce"
    code = failure(federation).code
    for number in (0, 1):
        (run,) = federation.nodes[number].store.runs()
        assert (run.phase, run.reason) == ("aborted", code)


def test_who_was_dropped_or_left_out_is_told_too() -> None:
    """Also by a driver that did not see it happen; each node keeps secrets of the run."""
    federation = make(9)
    watch = Watch(federation)
    watch.lost = lambda node, kind: (
        (node in GONE and kind in ("Announce", "Stop")) or (node == 0 and kind == "Propose")
    )
    federation.store.node_of_partner = lambda: {  # type: ignore[method-assign]
        f"partner-{i}": i for i in range(9)
    }
    came: list[int] = []

    def come(node: int, kind: str) -> None:
        if kind == "Stop" and node == 0 and not came:
            came.append(node)
            watch.lost = lambda node, kind: False

    watch.before = come
    code = failure(federation).code
    for node in federation.nodes.values():
        (run,) = node.store.runs()
        assert run.phase == "aborted"
        assert run.reason in (code, "E-LEFT-OUT")
        assert run.state["x_private"] == ""


@pytest.mark.parametrize("reached", ["at once", "in the next run"])
def test_dropped_partners_are_sent_home(reached: str) -> None:
    federation = make(9)
    watch = Watch(federation)
    unheard = ("Announce",) if reached == "at once" else ("Announce", "Stop")
    watch.lost = lambda node, kind: node in GONE and kind in unheard
    assert participants(federation, federation.run()) == STAYED
    run_id = federation.store.runs()[0].run_id
    if reached == "in the next run":
        watch.lost = lambda node, kind: False
        assert participants(federation, federation.run()) == [*STAYED, *GONE]
    for number in GONE:
        run = federation.nodes[number].store.run_by_id(run_id)
        assert run is not None
        assert (run.phase, run.reason) == ("aborted", "E-LEFT-OUT")
        assert run.state["pair_keys"] == {}


def test_a_partner_that_was_away_gets_its_release_in_the_next_run() -> None:
    federation = make()
    watch = Watch(federation)
    watch.lost = lambda node, kind: node == 1 and kind == "Publish"
    first = federation.run().release
    assert federation.nodes[1].store.releases() == []
    watch.lost = lambda node, kind: False
    watch.asked.clear()
    second = federation.run().release
    kept = {envelope for _, envelope in federation.nodes[1].store.releases()}
    assert kept == {first.to_bytes(), second.to_bytes()}
    assert {node: watch.count(node, "Publish") for node in range(4)} == {0: 1, 1: 2, 2: 1, 3: 1}
    watch.asked.clear()
    federation.run()
    assert watch.count(1, "Publish") == 1, "an acknowledged release is not handed out again"


def test_an_acknowledgement_in_the_name_of_another_partner_is_no_farewell() -> None:
    """Else a node could say that it has a release, or knows an end, in another one's place."""
    federation = make()
    watch = Watch(federation)
    watch.lost = lambda node, kind: node == 1 and kind == "Publish"
    federation.run()
    watch.lost = lambda node, kind: False
    own, anothers = Ack(partner=1).to_bytes(), Ack(partner=2).to_bytes()
    federation.exchange.tamper_reply = lambda node, message: (
        anothers if (node, message) == (1, own) else message
    )
    federation.run()
    second, first = [row.run_id for row in federation.store.runs()]
    assert owed(federation, "partner-1") == {first, second}
    assert owed(federation, "partner-2") == set()
    federation.exchange.tamper_reply = None
    federation.run()
    assert owed(federation, "partner-1") == set()


def owed(federation: Federation, partner: str) -> set[bytes]:
    """Runs whose ends a partner has not acknowledged."""
    rows = federation.store.unacknowledged(federation.agreement.hash, partner, at_most=8)
    return {row.run_id for row in rows}


def test_a_partner_that_missed_the_end_of_a_failed_run_is_told_in_the_next() -> None:
    federation = make(4)
    watch = Watch(federation)
    watch.lost = lambda node, kind: node == 3 and kind in ("Announce", "Stop")
    code = failure(federation).code
    (run,) = federation.nodes[3].store.runs()
    assert run.phase == "ready"
    watch.lost = lambda node, kind: False
    federation.run()
    again = federation.nodes[3].store.run_by_id(run.run_id)
    assert again is not None
    assert (again.phase, again.reason) == ("aborted", code)


def test_a_refused_hello_is_named_with_its_code_when_the_node_was_admitted() -> None:
    """The usual reason that a partner does not join: an old agreement is installed there."""

    class Old(MemoryExchange):
        def _ask(self, node: int, request: bytes, beside: bytes) -> Reply | None:
            if node == 2:
                return Reply(node=node, message=None, error="E-AGR-OTHER")
            return super()._ask(node, request, beside)

    federation = make()
    federation.exchange = Old(nodes_by_id=federation.nodes)
    admit_all(federation)
    seen: list[dict[str, Any]] = []
    with pytest.raises(RunFailedError) as caught:
        federation.run(on_progress=seen.append)
    assert "partner-2 refused with E-AGR-OTHER (another agreement is installed there)" in (
        caught.value.message
    )
    assert seen[-1]["refusals"] == {"partner-2": "E-AGR-OTHER"}


def test_a_partner_that_refuses_at_the_end_again_and_again_is_named_before_the_next_run() -> None:
    federation = make(3)
    admit_all(federation)
    approvals = {"asked": 0}

    class RefusesTheEnd(MemoryExchange):
        def _ask(self, node: int, request: bytes, beside: bytes) -> Reply | None:
            reply = super()._ask(node, request, beside)
            if node == 1 and reply is not None and reply.message and b"approv" in reply.message:
                approvals["asked"] += 1
                return Reply(node=node, message=None, error="E-EGRESS-REFUSED")
            return reply

    federation.exchange = RefusesTheEnd(nodes_by_id=federation.nodes)
    first = failure(federation)
    assert "partner-1 refused with E-EGRESS-REFUSED" in first.message
    assert late_refusal_words(federation.store.runs()) == []
    with pytest.raises(RunFailedError):
        federation.run()
    assert approvals["asked"] >= 2
    assert late_refusal_words(federation.store.runs()) == [
        "partner-1 refused at the end of 2 runs under this agreement (E-EGRESS-REFUSED), when "
        "every partner's budget had been charged for them: ask why before the next"
    ]


# --- partners that lie -----------------------------------------------------------------------


def lying(change: Callable[[int, bytes], bytes | None], n: int = 4) -> Federation:
    federation = make(n)
    federation.exchange.tamper_reply = change
    return federation


@pytest.mark.parametrize("garbage", [b"", b"\0", b"x" * 10_000, b"\xff" * 100])
def test_garbage_is_treated_like_silence(garbage: bytes) -> None:
    federation = lying(lambda node, message: garbage if node in GONE else message, 9)
    assert participants(federation, federation.run()) == STAYED


def test_a_flipped_bit_anywhere_is_treated_like_silence() -> None:
    rng = np.random.default_rng(1)

    def flip(node: int, message: bytes) -> bytes:
        if node not in GONE or len(message) < 100:
            return message
        changed = bytearray(message)
        changed[int(rng.integers(len(changed)))] ^= 1 << int(rng.integers(8))
        return bytes(changed)

    federation = lying(flip, 9)
    assert participants(federation, federation.run()) == STAYED


@pytest.mark.parametrize("attempt", range(4))
def test_a_partner_that_masks_wrongly_voids_the_round_and_never_makes_a_release(
    attempt: int,
) -> None:
    """It signs whatever it likes; the total is then no total of true answers."""
    federation = make()
    node = federation.nodes[1]
    answered = federation.exchange._ask

    class Liar(MemoryExchange):
        def _ask(self, number: int, request: bytes, beside: bytes) -> Reply | None:
            record_before = None
            if number == 1 and b"announce" in request:
                (record_before,) = node.store.runs()
                state = dict(record_before.state)
                keys = {i: bytes([attempt]) * 32 for i in state["pair_keys"]}
                state["pair_keys"] = {i: k.hex() for i, k in keys.items()}
                with node.store.transaction():
                    node.store.save_run(
                        state,
                        agreement_hash=federation.agreement.hash,
                        now="2026-01-01T00:00:00.000000Z",
                    )
            return super()._ask(number, request, beside)

    assert answered
    federation.exchange = Liar(nodes_by_id=federation.nodes)
    watch = Watch(federation)
    watch.lost = lambda number, kind: False
    # The keys are replaced once they are there: from the second round on.
    error = failure(federation)
    assert error.code == "E-TOTAL-RANGE"
    assert ", answered by partner-0, partner-1, partner-2, partner-3, is void" in error.message
    assert "round 2, " in error.message
    assert all(n.store.releases() == [] for n in federation.nodes.values())


def test_partners_that_send_anothers_messages_get_nowhere() -> None:
    said: dict[int, bytes] = {}

    def copy(node: int, message: bytes) -> bytes:
        opened = node in said
        said[node] = message
        return said[0] if node in GONE and opened else message

    federation = lying(copy, 9)
    assert participants(federation, federation.run()) == STAYED


def test_a_partner_cannot_take_anothers_place_with_its_hello() -> None:
    """The roster shows every HELLO to every partner; with another's, a node could refuse for it."""
    federation = make()
    hellos: dict[int, bytes] = {}

    class Thief(MemoryExchange):
        def _ask(self, node: int, request: bytes, beside: bytes) -> Reply | None:
            reply = super()._ask(node, request, beside)
            if reply is None or reply.message is None:
                return reply
            key = federation.agreement.coordinator.public_key
            asked = open_request(request, coordinator_key=key)
            if isinstance(asked, Open):
                hellos[node] = reply.message
            if node == 1 and isinstance(asked, Roster | Announce) and thefts:
                thefts.pop()
                return replace(reply, message=hellos[2])
            return reply

    for stolen in (1, 3):
        thefts = [1] * stolen
        federation = make()
        federation.exchange = Thief(nodes_by_id=federation.nodes)
        watch = Watch(federation)
        assert participants(federation, federation.run()) == [0, 1, 2, 3]
        assert {n for n, kind, _ in watch.asked if kind != "Open"} == {0, 1, 2, 3}
        assert thefts == []
        assert watch.count(2, "Open") == 1, "partner 2 lost its place for a while"


def admit_all(federation: Federation) -> None:
    """Each node is admitted for its partner, and the carrier knows it by its number."""
    parties = federation.agreement.parties
    AdmittedNodes(federation.store).admit({party.id: f"key {i}" for i, party in enumerate(parties)})
    AdmittedNodes(federation.store).save_nodes({f"key {i}": i for i in federation.nodes})


def test_after_a_new_driver_started_a_partners_hello_does_not_give_its_place_away() -> None:
    """The thief answers first with the HELLO that it knows from the roster."""
    federation = make()
    admit_all(federation)
    hellos: dict[int, bytes] = {}
    stealing: list[bool] = []

    class Thief(MemoryExchange):
        def _ask(self, node: int, request: bytes, beside: bytes) -> Reply | None:
            reply = super()._ask(node, request, beside)
            key = federation.agreement.coordinator.public_key
            if reply is None or not isinstance(open_request(request, coordinator_key=key), Open):
                return reply
            if reply.message is not None:
                hellos[node] = reply.message
            return replace(reply, message=hellos[2]) if node == 0 and stealing else reply

    class DiedError(Exception):
        pass

    federation.exchange = Thief(nodes_by_id=federation.nodes)
    watch = Watch(federation)

    def die(node: int, kind: str) -> None:
        if kind == "Announce" and not stealing:
            stealing.append(True)
            raise DiedError

    watch.before = die
    with pytest.raises(DiedError):
        federation.run()
    watch.asked.clear()
    with pytest.raises(RunFailedError):
        drive_again(federation)
    assert [n for n, kind, _ in watch.asked if kind == "Announce" and n == 0] == []
    assert "partner-0 did not answer" in federation.store.runs()[0].reason


def drive_again(federation: Federation) -> SignedRelease:
    """Drive the newest run in what could be another process."""
    return federation.drive(federation.store.runs()[0].run_id)


def test_an_admitted_node_takes_its_place_from_one_that_came_first() -> None:
    links = Links(admitted={5: 2})
    assert not links.join(7, 2, [5, 7])
    assert links.join(5, 2, [5, 7])
    assert not links.join(5, 1, [5, 7]), "it was admitted for another partner"
    links.admitted = {6: 2}
    assert links.join(6, 2, [5, 6]), "the key was replaced, or the carrier started again"
    assert links.partner(5) is None
    assert links.join(8, 0, [8])
    assert not links.join(9, 0, [8, 9])
    assert links.join(9, 0, [9])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Publish", "Announce"])
def test_a_reply_in_the_name_of_another_partner_is_not_taken(kind: str) -> None:
    federation = make()
    kept: dict[int, bytes] = {}

    class Forger(MemoryExchange):
        """Node 1 sends what node 2 would have said, and node 2 is silent."""

        def _ask(self, node: int, request: bytes, beside: bytes) -> Reply | None:
            key = federation.agreement.coordinator.public_key
            asked = type(open_request(request, coordinator_key=key)).__name__
            if asked != kind or node not in (1, 2):
                return super()._ask(node, request, beside)
            if node == 2:
                return None
            reply = self.nodes_by_id[2].handle(request)
            kept[node] = reply
            return Reply(node=1, message=reply, error=None)

    federation.exchange = Forger(nodes_by_id=federation.nodes)
    if kind == "Publish":
        federation.run()
        assert kept
        row = federation.store.runs()[0]
        owed = federation.store.unacknowledged(federation.agreement.hash, "partner-2", at_most=8)
        assert [r.run_id for r in owed] == [row.run_id]
    else:
        assert "partner-2 did not answer" in failure(federation).message


def test_a_node_of_nobody_is_asked_but_never_listened_to() -> None:
    federation = make()
    stranger = make()

    class Crowd(MemoryExchange):
        def nodes(self) -> Collection[int]:
            return [77, 78, *super().nodes()]

        def _ask(self, node: int, request: bytes, beside: bytes) -> Reply | None:
            if node == 77:
                return Reply(node=node, message=None, error="E-AGR-OTHER")
            if node == 78:
                hello = Hello(
                    agreement_hash=federation.agreement.hash,
                    run_id=bytes(16),
                    partner=0,
                    nonce=bytes(16),
                    x25519=bytes(32),
                    kem=bytes(1184),
                ).signed(stranger.partner_keys[0])
                return Reply(node=node, message=hello, error=None)
            return super()._ask(node, request, beside)

    federation.exchange = Crowd(nodes_by_id=federation.nodes)
    assert participants(federation, federation.run()) == [0, 1, 2, 3]


def test_two_nodes_of_one_partner_make_one_participant() -> None:
    """A second machine with a copy of the folder: whichever speaks first is the partner."""
    federation = make()
    twin = federation.node(1, np.asarray(federation.nodes[1]._customers.prepared))  # type: ignore[attr-defined]
    federation.exchange = MemoryExchange(nodes_by_id={**federation.nodes, 9: twin})
    run = federation.run()
    assert participants(federation, run) == [0, 1, 2, 3]
    assert sum(bool(n.store.releases()) for n in (federation.nodes[1], twin)) == 1


def test_a_node_that_comes_back_under_another_number_goes_on() -> None:
    """The SuperLink gives new numbers after it was started again."""
    federation = make()
    exchange = MemoryExchange(nodes_by_id=dict(federation.nodes))
    federation.exchange = exchange
    watch = Watch(federation)

    def renumber(node: int, kind: str) -> None:
        if kind == "Announce" and node == 1:
            exchange.nodes_by_id[101] = exchange.nodes_by_id[1]  # type: ignore[index]
            exchange.down.add(1)

    watch.before = renumber
    assert participants(federation, federation.run()) == [0, 1, 2, 3]
    assert watch.count(101, "Announce") >= 1
    assert federation.clock.now_s < 2 * PATIENCE.resend_s + 1


# --- the chain outlives a failed run ---------------------------------------------------------


@pytest.mark.parametrize("kind", ["Roster", "Propose"])
def test_a_set_that_nodes_signed_is_known_to_the_next_run_although_no_answer_came_back(
    kind: str,
) -> None:
    """Else the next chain would fork from what the nodes signed, and none would ever run again."""
    federation = make(4 if kind == "Roster" else 9)
    key = federation.agreement.coordinator.public_key
    signed: list[int] = []
    lost = {"on": True}

    class Deaf(MemoryExchange):
        """Three fall silent when a set is to get smaller; nobody's signature on a set arrives."""

        def _ask(self, node: int, request: bytes, beside: bytes) -> Reply | None:
            asked = open_request(request, coordinator_key=key)
            if lost["on"] and kind == "Propose" and node in GONE and isinstance(asked, Announce):
                return None
            reply = super()._ask(node, request, beside)
            if not lost["on"] or not isinstance(
                asked, {"Roster": Roster, "Propose": Propose}[kind]
            ):
                return reply
            assert reply is not None
            assert reply.message, reply.error
            signed.append(node)
            return None

    federation.exchange = Deaf(nodes_by_id=federation.nodes)
    failure(federation)
    assert set(signed) == set(federation.nodes if kind == "Roster" else STAYED)
    lost["on"] = False
    assert participants(federation, federation.run()) == list(federation.nodes)


@pytest.mark.slow
def test_many_failed_runs_do_not_keep_the_next_from_working() -> None:
    federation = make(4, max_set_changes=50)
    rng = np.random.default_rng(5)
    watch = Watch(federation)
    ended = []
    for _ in range(12):
        odds = float(rng.choice([0.0, 0.4, 0.95]))
        # HELLOs come through: a first set of three would single out the fourth for ever.
        watch.lost = lambda node, kind, odds=odds: kind != "Open" and rng.random() < odds  # type: ignore[misc]
        try:
            federation.run()
            ended.append(FINISHED)
        except RunFailedError as error:
            assert error.code
            ended.append(FAILED)
    assert set(ended) == {FINISHED, FAILED}
    watch.lost = lambda node, kind: False
    assert participants(federation, federation.run()) == [0, 1, 2, 3]


# --- the operator, reports -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Open", "Roster", "Announce"])
def test_a_stopped_run_ends_within_a_second_also_while_somebody_is_waited_for(kind: str) -> None:
    federation = make()
    watch = Watch(federation)
    watch.lost = lambda node, what: node == 3 and what == kind
    stopped_at: list[float] = []
    sleep = federation.clock.sleep

    def sleep_and_stop(seconds: float) -> None:
        sleep(seconds)
        if federation.clock.now_s > 10 and not stopped_at:
            stopped_at.append(federation.clock.now_s)
            run_id = federation.store.runs()[0].run_id
            federation.store.fail(run_id, "E-STOPPED", "stopped by the operator")

    federation.clock.sleep = sleep_and_stop  # type: ignore[method-assign]
    assert failure(federation).code == "E-STOPPED"
    assert federation.clock.now_s <= stopped_at[0] + 1.2
    assert federation.nodes[0].store.runs()[0].reason == "E-STOPPED"


def test_progress_says_the_phase_the_round_and_who_is_missing() -> None:
    federation = make(9)
    watch = Watch(federation)
    watch.lost = lambda node, kind: node in GONE and kind == "Announce"
    seen: list[dict[str, Any]] = []
    federation.run(on_progress=seen.append)
    assert seen[0]["doing"] == "waiting for partners to join"
    assert seen[0]["waiting_for"] == [f"partner-{i}" for i in range(9)]
    gone = [f"partner-{i}" for i in GONE]
    assert any(p["waiting_for"] == gone and p["phase"] == "answers" for p in seen)
    assert {p["round"] for p in seen if p["phase"] in ("hellos", "readys")} == {0}
    assert next(p["round"] for p in seen if p["phase"] == "answers") == 1
    assert seen[-1]["round"] == max(p["round"] for p in seen if p["phase"] == "answers")
    assert seen[-1]["doing"] == "finished"
    assert seen[-1]["participants"] == [f"partner-{i}" for i in STAYED]
    assert all(a != b for a, b in itertools.pairwise(seen))
    assert [p["round"] for p in seen] == sorted(p["round"] for p in seen)


def test_refusals_show_in_the_progress_while_they_last() -> None:
    federation = refusing(4, "E-SOURCE", {1: 2})
    seen: list[dict[str, Any]] = []
    federation.run(on_progress=seen.append)
    shown = [p["refusals"] for p in seen]
    assert {"partner-1": "E-SOURCE"} in shown
    assert shown[-1] == {}


def test_traffic_and_rounds_are_what_really_went_over_the_wire() -> None:
    federation = make()
    sent = dict.fromkeys(range(4), 0)

    def note(node: int, message: bytes) -> bytes:
        sent[node] += len(message)
        return message

    federation.exchange.tamper_reply = note
    run = federation.run()
    row = federation.store.runs()[0]
    assert {t.partner: t.bytes_up for t in run.traffic} == {
        f"partner-{i}": n for i, n in sent.items()
    }
    # ROSTER, an announcement a round, one for the signatures, PUBLISH; OPEN goes to strangers.
    assert {t.messages for t in run.traffic} == {run.rounds + 3}
    assert all(t.bytes_down > run.rounds * 4 * 3 * 4 * WORD_BYTES for t in run.traffic)
    rounds = federation.store.rounds(row.run_id)
    assert [r.round for r in rounds] == list(range(run.rounds))
    assert all((r.partners, r.length) == (4, 3 * (2 + 2)) for r in rounds)
    assert rounds[-1].inertia <= rounds[0].inertia
