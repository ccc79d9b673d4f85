"""Drives one run over an `Exchange` until it is finished or failed with a reason.

The state machine (`protocol.coordinator_round`) says whom it waits for; the driver asks, collects,
waits for the grace time, and proposes a smaller participant set or ends the run. Every input is
stored before anything follows from it, so another process can go on where this one was killed.

A node that was admitted for a party speaks for that party and for no other
(`AdmittedNodes.node_of_partner`); HELLOs are no secret, so one alone proves nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.patience import Patience
from coordinator.runs.exchange import Exchange, Reply
from coordinator.runs.farewells import LEFT_OUT, Farewells
from coordinator.runs.links import Links
from coordinator.runs.outlook import FIRST_RUN, Outlook, Waiting, lacks_few_at_first, outlook
from coordinator.runs.refusals import Refusals
from coordinator.runs.relay import Relay
from coordinator.runs.remedies import NO_ANSWER
from coordinator.runs.running_time import RunningTime
from coordinator.store.admitted_nodes import AdmittedNodes
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.records import RoundRow, Traffic
from coordinator.store.times import stamp, stamp_now
from protocol.coordinator_round import CoordinatorRound
from protocol.coordinator_round import Phase as phases
from protocol.errors import FedsegError, RemoteProtocolError, RunFailedError, StoreError
from protocol.participants import Members, bitmap, parse_bitmap
from protocol.release.document import SignedRelease

logger = logging.getLogger(__name__)

RECEIVED: Final = "received"
CLOSED: Final = "roster closed"
DROPPED: Final = "dropped"

#: An answer to one of so many earlier copies of a request still counts.
_COPIES_KEPT: Final = 7
#: Seconds between looks whether the operator stopped the run.
_LOOK_FOR_STOP_S: Final = 1.0
#: A node that was sent nothing for so long may ask seldom again; less than its `fast_for_s`.
_AWAKE_S: Final = 8.0
#: A wait that lasts so long is worth saying what comes next.
_WORTH_SAYING_S: Final = 0.5


@dataclass(slots=True)
class _Asked:
    """A request that was sent, perhaps several times: an answer to an early copy counts too."""

    handles: list[str]
    at: float


@dataclass(slots=True)
class _Counter:
    messages: int = 0
    bytes_up: int = 0
    bytes_down: int = 0


class RunDriver:
    """Drives one run to its end.

    Args:
        machine: The run's state machine, replayed to where it stood before `drive`.
        key: The coordinator's key of the agreement.
        without: Partners that the operator told it to go without.
        on_progress: Called with the run's progress whenever it changes.
        wake: Called after something was sent to nodes of which one was sent nothing for so long
            that it may ask seldom by now.
        clock, sleep: Seconds; simulations pass their own. Partners are waited for by `RunningTime`.
    """

    def __init__(
        self,
        machine: CoordinatorRound,
        store: CoordinatorStore,
        exchange: Exchange,
        *,
        key: Ed25519PrivateKey,
        patience: Patience,
        without: Members = frozenset(),
        on_progress: Callable[[dict[str, Any]], None],
        wake: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._machine = machine
        self._store = store
        self._exchange = exchange
        self._without = without
        self._patience = patience
        self._on_progress = on_progress
        self._wake = wake
        #: When each node was sent something last, and whether one has to be woken.
        self._sent_at: dict[int, float] = {}
        self._asleep = False
        self._clock = RunningTime(clock)
        self._sleep = sleep
        self._links = Links()
        self._asked: dict[int, _Asked] = {}
        self._greeted: dict[int, _Asked] = {}
        self._refusals = Refusals(machine.agreement, self._links, grace_s=patience.grace_s)
        self._leaving: dict[int, float] = {}
        self._farewells = Farewells(
            store, key, machine.agreement, lambda node, message: self._push(node, message, None)
        )
        self._relay = Relay(store, machine.agreement)
        self._counters: dict[int, _Counter] = {}
        self._stage: tuple[Any, ...] = ()
        self._waiting = Waiting(self._clock)
        #: When each partner was heard last in this run: an answer, or a refusal.
        self._heard: dict[int, str] = {}
        #: What comes next, and of what state of the run that was said.
        self._outlook: tuple[object, Outlook | None] = ((), None)
        self._reported: dict[str, Any] = {}
        self._wall_clock = clock
        self._started = clock()
        self._looked_for_stop = self._clock()

    def drive(self) -> SignedRelease:
        """Run to the end.

        Returns:
            The release, signed by every participant.

        Raises:
            RunFailedError: The run ended without one; the code and message say why. Whoever
                catches it ends the run in the store, then calls `say_stop`.
        """
        try:
            while self._machine.phase != phases.ENDED:
                self._note_stage()
                if self._step():
                    continue
                self._look_for_stop()
                if self._out_of_patience():
                    self._report()  # also who has just refused
                    self._go_on_without()
                    continue
                self._sleep(self._patience.poll_s)
        finally:
            self._relay.save()
            self._save_traffic()
        self._report()
        self._flush()
        release = self._machine.release
        if release is None:
            raise RunFailedError("the run ended without a release")
        return release

    # --- one turn ------------------------------------------------------------------------------

    def _step(self) -> bool:
        """Ask whoever is to be asked, take what has come in; whether anything came in."""
        if self._machine.phase == phases.HELLOS or self._unreachable():
            self._greet_strangers()
        if self._machine.phase != phases.HELLOS:
            self._send_home()
            self._ask_missing()
        return self._collect()

    def _send_home(self) -> None:
        """Tell partners with whom the run does not go on, until they have taken note."""
        now = self._clock()
        for partner in sorted(self._leavers() - self._farewells.taken(self._machine.run_id)):
            node = self._links.node_of.get(partner)
            told_at = self._leaving.get(partner)
            if node is None or (told_at is not None and now - told_at < self._patience.resend_s):
                continue
            if told_at is None:
                logger.warning("going on without %s", self._names({partner}))
            self._leaving[partner] = now
            message = self._machine.stop_request(LEFT_OUT)
            self._farewells.bid(node, self._machine.run_id, message, partner)

    def _leavers(self) -> Members:
        """Partners that are not, or no longer, in the run's participant set."""
        machine = self._machine
        sets = [link.members for link in machine.chain.links if link.run_hash == machine.run_hash]
        dropped = sets[0] - machine.members if sets else frozenset()
        return machine.left_out | dropped | self._without

    def _unreachable(self) -> bool:
        now = self._clock()
        for partner in self._machine.waiting_for:
            if partner not in self._links.node_of:
                return True
            asked = self._asked.get(partner)
            if asked is not None and now - asked.at > self._patience.resend_s:
                return True
        return False

    def _greet_strangers(self) -> None:
        """Ask nodes that speak for nobody yet for their HELLO."""
        now = self._clock()
        strangers = []
        for node in self._exchange.nodes():
            asked = self._greeted.get(node)
            again = asked is None or now - asked.at > self._patience.resend_s
            if again and node not in self._links.partner_of:
                strangers.append(node)
        if strangers:
            self._look_up_admitted()
        for node in strangers:
            partner = self._links.admitted.get(node)
            if partner in self._without:
                continue
            if partner is not None:
                self._farewells.tell_of_earlier_runs(node, partner)
            asked = self._greeted.get(node)
            handle = self._push(node, self._machine.open_request(), None)
            before = [] if asked is None else asked.handles[-_COPIES_KEPT:]
            self._greeted[node] = _Asked(handles=[*before, handle], at=now)

    def _look_up_admitted(self) -> None:
        """Which node was admitted for which partner; ids change when the carrier starts again."""
        nodes = AdmittedNodes(self._store).node_of_partner()
        self._links.admitted = {
            nodes[party.id]: index
            for index, party in enumerate(self._machine.agreement.parties)
            if party.id in nodes
        }

    def _ask_missing(self) -> None:
        now = self._clock()
        for partner in sorted(self._machine.waiting_for):
            node = self._links.node_of.get(partner)
            if node is None or self._refusals.for_good(partner):
                continue
            asked = self._asked.get(partner)
            if asked is None or now - asked.at > self._patience.resend_s:
                handle = self._push(node, self._machine.request(partner), partner)
                before = [] if asked is None else asked.handles[-_COPIES_KEPT:]
                self._asked[partner] = _Asked(handles=[*before, handle], at=now)

    def _push(self, node: int, message: bytes, partner: int | None) -> str:
        if partner is not None:
            counter = self._counters.setdefault(partner, _Counter())
            counter.messages += 1
            counter.bytes_down += len(message)
        now = self._clock()
        self._asleep |= now - self._sent_at.get(node, float("-inf")) > _AWAKE_S
        self._sent_at[node] = now
        # No longer than an answer would count: the carrier keeps both until then.
        looked_for_s = (_COPIES_KEPT + 2) * self._patience.resend_s
        return self._exchange.push(
            node,
            message,
            ttl_s=min(self._patience.grace_s, looked_for_s),
            beside=self._relay.beside(node, self._links.partner_of.get(node)),
        )

    def _collect(self) -> bool:
        asked = (*self._asked.values(), *self._greeted.values())
        open_handles = {handle for a in asked for handle in a.handles}
        open_handles |= self._farewells.open
        if not open_handles:
            return False
        took = False
        replies = self._exchange.pull(open_handles)
        if self._asleep:  # what was pushed has left
            self._asleep = False
            self._wake()
        for handle, reply in replies.items():
            if handle in self._farewells.open:
                self._farewells.take(handle, reply)
            elif reply.error is not None:
                self._take_error(reply.node, reply.error)
            elif reply.message is not None:
                took = self._take(reply, reply.message) or took
            self._pass_on(reply)
        return took

    def _pass_on(self, reply: Reply) -> None:
        """Keep what came beside a message for the other partners' nodes."""
        partner = self._links.partner_of.get(reply.node)
        self._relay.take(reply.node, partner, b"" if reply.message is None else reply.beside)

    def _take_error(self, node: int, code: str) -> None:
        """Note a node's refusal, or that no reply came: then nobody was heard, nothing refused."""
        if code == NO_ANSWER:
            logger.warning("no reply of %s came", self._named(node))
            self._refusals.forget_code(node)
            return
        logger.warning("%s refuses: %s", self._named(node), code)
        self._refusals.note(node, code)
        self._note_heard(self._links.partner(node))

    def _take(self, reply: Reply, message: bytes) -> bool:
        machine = self._machine
        try:
            greeted = machine.partner_of_hello(message)
            if greeted is not None and self._links.node_of.get(greeted) != reply.node:
                self._look_up_admitted()
                if not self._links.join(reply.node, greeted, self._exchange.nodes()):
                    logger.warning(
                        "%s speaks for %s, which has a node",
                        self._named(reply.node),
                        machine.agreement.parties[greeted].id,
                    )
                    return False
                self._asked.pop(greeted, None)
                self._farewells.tell_of_earlier_runs(reply.node, greeted)
            if greeted is not None and (machine.phase != phases.HELLOS or greeted in self._without):
                return True
            partner = machine.check(message)
            if partner is None:
                return False
            if self._links.node_of.get(partner) != reply.node:
                logger.warning("%s answers in another partner's name", self._named(reply.node))
                return False
            releasing = machine.phase == phases.ACKS
            machine.receive(message)
        except RemoteProtocolError as error:
            logger.warning("%s: %s", self._named(reply.node), error)
            self._refusals.note_not_taken(reply.node, error.code)
            return False
        # The last HELLO extends the chain: it is stored with that, before anybody hears of it.
        self._store.append_input(machine.run_id, RECEIVED, message, machine.chain)
        if releasing:
            self._farewells.acknowledge(machine.run_id, partner)
        counter = self._counters.setdefault(partner, _Counter())
        counter.bytes_up += len(message)
        self._refusals.forget(reply.node, partner)
        self._note_heard(partner)
        return True

    def _note_heard(self, partner: int | None) -> None:
        if partner is not None:
            self._heard[partner] = stamp_now()

    def _look_for_stop(self) -> None:
        """End when the operator ended the run; RunFailedError."""
        now = self._clock()
        if now - self._looked_for_stop >= _LOOK_FOR_STOP_S:
            self._looked_for_stop = now
            self._store.check_not_ended(self._machine.run_id)

    # --- patience ------------------------------------------------------------------------------

    def _note_stage(self) -> None:
        machine = self._machine
        stage = (machine.phase, machine.round, len(machine.chain.links))
        if stage != self._stage:
            self._save_totals()
            self._relay.save()
            if machine.release is not None:
                self._store.save_release(
                    machine.run_id, machine.release.to_bytes(), machine.agreement.hash
                )
            self._stage = stage
            self._waiting.begin()
            self._asked = {}
        self._report()

    def _out_of_patience(self) -> bool:
        machine = self._machine
        waited = self._waiting.waited_s
        if machine.phase == phases.ACKS:
            return waited > self._patience.farewell_s
        if machine.phase == phases.HELLOS and machine.waiting_for <= self._without:
            return True
        if machine.phase == phases.HELLOS and self._refusals.all_spent(self._exchange.nodes()):
            return True
        everyone_refused = all(self._refusals.for_good(p) for p in machine.waiting_for)
        if machine.phase != phases.HELLOS and everyone_refused:
            return True
        return waited > self._patience.grace_s

    def _go_on_without(self) -> None:
        machine = self._machine
        missing = machine.waiting_for
        logger.warning("going on without %s", self._names(missing))
        if machine.phase == phases.ACKS:
            machine.finish()
        elif machine.phase == phases.HELLOS:
            self._check_first_run(missing - self._without)
            self._attempt(CLOSED, b"", missing)
        else:
            self._attempt(DROPPED, bitmap(missing, machine.agreement.n_partners), missing)

    def _check_first_run(self, missing: Members) -> None:
        """Refuse to begin an agreement without a few of its partners: they could never join.

        Once a set without fewer than ``min_atom`` partners was opened, each later set with them
        would single them out.

        Raises:
            RunFailedError: Some are missing, too few to be a group of their own (E-FIRST-RUN).
        """
        if not lacks_few_at_first(self._machine, without=self._without):
            return
        min_atom = self._machine.agreement.secure_sum.min_atom
        names = self._names(missing)
        raise RunFailedError(
            f"{self._refusals.why(missing)}; an agreement's first run begins with all its "
            f"partners: fewer than {min_atom} that miss it could never take part under this "
            "agreement",
            code=FIRST_RUN,
            remedy=f"{self._refusals.way_out(missing)}; to go on without them under this "
            "agreement for good: run start " + " ".join(f"--without {name}" for name in names),
        )

    def _attempt(self, kind: str, data: bytes, missing: Members) -> None:
        """Change the participant set; the new chain is stored before anybody hears of it."""
        try:
            apply_input(self._machine, kind, data)
        except RunFailedError as failure:
            raise self._refusals.behind(failure, missing) from failure
        self._store.append_input(self._machine.run_id, kind, data, self._machine.chain)

    # --- reports -------------------------------------------------------------------------------

    def _report(self) -> None:
        machine = self._machine
        progress: dict[str, Any] = {
            "phase": machine.phase,
            "doing": machine.phase.doing,
            "round": machine.rounds_begun,
            "max_rounds": machine.agreement.plan.max_rounds,
            "participants": self._names(machine.members),
            "waiting_for": self._names(machine.waiting_for),
            "left_out": self._names(machine.left_out),
            "refusals": {
                machine.agreement.parties[i].id: code
                for i, code in self._refusals.by_partner.items()
            },
            "since": stamp(self._waiting.since),
            "heard": {
                machine.agreement.parties[i].id: self._heard[i]
                for i in sorted(machine.waiting_for & self._heard.keys())
            },
            "next": self._next(),
        }
        if progress != self._reported:
            self._reported = progress
            elapsed = round(self._wall_clock() - self._started, 3)
            self._on_progress({**progress, "elapsed_s": elapsed})

    def _next(self) -> dict[str, Any] | None:
        """What comes if nobody answers any more; None where the run has hardly begun to wait."""
        machine = self._machine
        if not machine.waiting_for or self._waiting.waited_s < _WORTH_SAYING_S:
            return None
        state = (self._stage, machine.waiting_for)
        if self._outlook[0] != state:
            self._outlook = (state, outlook(machine, without=self._without))
        found = self._outlook[1]
        limit_s = self._patience.grace_s
        if machine.phase == phases.ACKS:
            limit_s = self._patience.farewell_s
        return None if found is None else found.to_dict(self._waiting.until(limit_s))

    def _save_totals(self) -> None:
        """Note how rounds went whose totals were formed since; the totals are let go."""
        rows = [
            RoundRow(
                round=formed.round,
                partners=len(formed.members),
                seconds=self._waiting.waited_s,
                inertia=formed.inertia,
                length=int(formed.total.shape[0]),
                asked=formed.asked,
            )
            for formed in self._machine.totals
        ]
        self._machine.totals.clear()
        for row in rows:
            self._note(partial(self._store.save_round, self._machine.run_id, row))

    @staticmethod
    def _note(save: Callable[[], None]) -> None:
        """Store what no run depends on; a store that does not take it ends nothing."""
        try:
            save()
        except StoreError as error:
            logger.warning("not noted: %s", error)

    def _named(self, node: int) -> str:
        """The partner that a node speaks for; its number where that is not known."""
        partner = self._links.partner(node)
        return f"node {node}" if partner is None else self._machine.agreement.parties[partner].id

    def _names(self, partners: Iterable[int]) -> list[str]:
        return [self._machine.agreement.parties[i].id for i in sorted(partners)]

    def _save_traffic(self) -> None:
        rows = [
            Traffic(
                partner=self._machine.agreement.parties[partner].id,
                messages=c.messages,
                bytes_up=c.bytes_up,
                bytes_down=c.bytes_down,
            )
            for partner, c in sorted(self._counters.items())
        ]
        self._note(lambda: self._store.save_traffic(self._machine.run_id, rows))

    # --- the end -------------------------------------------------------------------------------

    def say_stop(self, code: str) -> None:
        """Tell every node that the run ended without a release; wait a little for them to hear it.

        Also nodes of partners that were dropped or left out: each may keep secrets of the run. The
        carrier throws away what is on its way when this process ends. Failures are logged: who was
        not reached is told in the next run.
        """
        message = self._machine.stop_request(code)
        try:
            self._look_up_admitted()
            open_handles = set()
            gone_home = self._farewells.taken(self._machine.run_id)
            connected = set(self._exchange.nodes())
            for node in sorted(connected | self._links.partner_of.keys()):
                partner = self._links.partner(node)
                if partner is None:
                    self._push(node, message, None)
                elif partner not in gone_home:
                    handle = self._farewells.bid(node, self._machine.run_id, message, partner)
                    if node in connected:
                        open_handles.add(handle)
            self._exchange.flush()
            deadline = self._clock() + self._patience.farewell_s
            while open_handles & self._farewells.open and self._clock() < deadline:
                if not self._collect_farewells():
                    self._sleep(self._patience.poll_s)
        except FedsegError as error:
            logger.warning("not every node was told that the run ended: %s", error)

    def _collect_farewells(self) -> bool:
        replies = self._exchange.pull(list(self._farewells.open))
        for handle, reply in replies.items():
            self._farewells.take(handle, reply)
            self._pass_on(reply)
        return bool(replies)

    def _flush(self) -> None:
        try:
            self._exchange.flush()
        except FedsegError as error:
            logger.warning("not every node was told that the run ended: %s", error)


def apply_input(machine: CoordinatorRound, kind: str, data: bytes) -> None:
    """Apply one stored input to a run's state machine."""
    if kind == RECEIVED:
        machine.receive(data)
    elif kind == CLOSED:
        machine.close_roster()
    elif kind == DROPPED:
        machine.drop(parse_bitmap(data, machine.agreement.n_partners))
    else:
        raise RunFailedError(f"stored input of unknown kind {kind!r}", code="E-STORE")
