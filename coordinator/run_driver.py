"""Drives one run over an `Exchange` until it is finished or failed with a reason.

The state machine (`protocol.coordinator_round`) says whom it waits for; the driver asks, collects,
waits for the grace time, and proposes a smaller participant set or ends the run. Every input is
stored before anything follows from it, so another process can go on where this one was killed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from coordinator.exchange import Exchange, Reply
from coordinator.store import CoordinatorStore, RoundRow, Traffic
from protocol import coordinator_round as phases
from protocol.clustering.release import SignedRelease
from protocol.coordinator_round import CoordinatorRound
from protocol.errors import FedsegError, RemoteProtocolError, RunFailedError
from protocol.participants import Members, bitmap, parse_bitmap

logger = logging.getLogger(__name__)

RECEIVED: Final = "received"
CLOSED: Final = "roster closed"
DROPPED: Final = "dropped"

#: Codes of a node that may go away by themselves; the node is asked again.
_PASSING: Final = ("E-SOURCE", "E-STORE", "E-INTERNAL", "E-TRANSPORT")

#: An answer to one of so many earlier copies of a request still counts.
_COPIES_KEPT: Final = 7
#: Seconds between looks whether the operator stopped the run.
_LOOK_FOR_STOP_S: Final = 1.0

PHASE_WORDS: Final = {
    phases.HELLOS: "waiting for partners to join",
    phases.READYS: "setting up keys",
    phases.ACCEPTS: "agreeing on a smaller participant set",
    phases.ANSWERS: "adding masked answers",
    phases.APPROVALS: "collecting signatures on the release",
    phases.ACKS: "handing out the release",
    phases.ENDED: "finished",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a run waits.

    Attributes:
        grace_s: Seconds that a missing partner is waited for before the run goes on without it or
            ends.
        resend_s: Seconds after which an unanswered request is sent again.
        poll_s: Seconds between looks for answers.
        farewell_s: Seconds that the last acknowledgements are waited for.
    """

    grace_s: float = 60.0
    resend_s: float = 5.0
    poll_s: float = 0.03
    farewell_s: float = 5.0


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


@dataclass(slots=True)
class _Links:
    """Which node speaks for which partner, learned from HELLOs."""

    node_of: dict[int, int] = field(default_factory=dict)
    partner_of: dict[int, int] = field(default_factory=dict)

    def join(self, node: int, partner: int, connected: Collection[int]) -> bool:
        """Let `node` speak for `partner`, unless another connected node does already.

        HELLOs are known to every partner by the roster; with another's, a node could take over
        its place and refuse in its name.
        """
        before = self.node_of.get(partner)
        if before is not None and before != node:
            if before in connected:
                return False
            self.partner_of.pop(before, None)
        after = self.partner_of.get(node)
        if after is not None and after != partner:
            return False
        self.node_of[partner] = node
        self.partner_of[node] = partner
        return True


class RunDriver:
    """Drives one run to its end.

    Args:
        machine: The run's state machine, already replayed to where it stood.
        on_progress: Called with the run's progress whenever it changes.
        clock, sleep: Seconds; simulations pass their own.
    """

    def __init__(
        self,
        machine: CoordinatorRound,
        store: CoordinatorStore,
        exchange: Exchange,
        *,
        patience: Patience,
        on_progress: Callable[[dict[str, Any]], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._machine = machine
        self._store = store
        self._exchange = exchange
        self._patience = patience
        self._on_progress = on_progress
        self._clock = clock
        self._sleep = sleep
        self._links = _Links()
        self._asked: dict[int, _Asked] = {}
        self._greeted: dict[int, _Asked] = {}
        self._refusals: dict[int, str] = {}
        self._sent_home: set[int] = set()
        self._counters: dict[int, _Counter] = {}
        self._stage: tuple[Any, ...] = ()
        self._stage_began = clock()
        self._reported: dict[str, Any] = {}
        self._started = clock()
        self._looked_for_stop = clock()

    def drive(self) -> SignedRelease:
        """Run to the end.

        Returns:
            The release, signed by every participant.

        Raises:
            RunFailedError: The run ended without one; the code and message say why.
        """
        try:
            while self._machine.phase != phases.ENDED:
                self._note_stage()
                if self._step():
                    continue
                self._look_for_stop()
                if self._out_of_patience():
                    self._go_on_without()
                    continue
                self._sleep(self._patience.poll_s)
        except RunFailedError as failure:
            self._say_stop(failure.code)
            raise
        finally:
            self._save_traffic()
        self._report()
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
        """Tell the nodes of partners that the roster left out that the run goes on without them."""
        for partner in sorted(self._machine.left_out - self._sent_home):
            node = self._links.node_of.get(partner)
            if node is not None:
                self._push(node, self._machine.stop_request("E-LEFT-OUT"), partner)
                self._sent_home.add(partner)
                logger.warning(
                    "going on without %s, who would be singled out", self._names({partner})
                )

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
        for node in self._exchange.nodes():
            asked = self._greeted.get(node)
            again = asked is None or now - asked.at > self._patience.resend_s
            if again and node not in self._links.partner_of:
                handle = self._push(node, self._machine.open_request(), None)
                before = [] if asked is None else asked.handles[-_COPIES_KEPT:]
                self._greeted[node] = _Asked(handles=[*before, handle], at=now)

    def _ask_missing(self) -> None:
        now = self._clock()
        for partner in sorted(self._machine.waiting_for):
            node = self._links.node_of.get(partner)
            if node is None or self._refused_for_good(partner):
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
        return self._exchange.push(node, message, ttl_s=self._patience.grace_s)

    def _collect(self) -> bool:
        asked = (*self._asked.values(), *self._greeted.values())
        open_handles = {handle for a in asked for handle in a.handles}
        if not open_handles:
            return False
        replies = self._exchange.pull(open_handles)
        took = False
        for reply in replies.values():
            if reply.error is not None:
                self._note_refusal(reply.node, reply.error)
            elif reply.message is not None:
                took = self._take(reply, reply.message) or took
        return took

    def _take(self, reply: Reply, message: bytes) -> bool:
        machine = self._machine
        try:
            greeted = machine.partner_of_hello(message)
            if greeted is not None and self._links.node_of.get(greeted) != reply.node:
                if not self._links.join(reply.node, greeted, self._exchange.nodes()):
                    logger.warning("node %s speaks for a partner that has a node", reply.node)
                    return False
                self._asked.pop(greeted, None)
            if greeted is not None and machine.phase != phases.HELLOS:
                return True
            partner = machine.receive(message)
        except RemoteProtocolError as error:
            logger.warning("node %s: %s", reply.node, error)
            return False
        if partner is None:
            return False
        # The last HELLO extends the chain: it is stored with that, before anybody hears of it.
        self._store.append_input(machine.run_id, RECEIVED, message, machine.chain)
        counter = self._counters.setdefault(partner, _Counter())
        counter.bytes_up += len(message)
        self._refusals.pop(partner, None)
        return True

    def _note_refusal(self, node: int, code: str) -> None:
        partner = self._links.partner_of.get(node)
        logger.warning("node %s refuses: %s", node, code)
        if partner is not None:
            self._refusals[partner] = code

    def _refused_for_good(self, partner: int) -> bool:
        code = self._refusals.get(partner)
        return code is not None and not code.startswith(_PASSING)

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
            self._stage = stage
            self._stage_began = self._clock()
            self._asked = {}
        self._report()

    def _out_of_patience(self) -> bool:
        machine = self._machine
        waited = self._clock() - self._stage_began
        if machine.phase == phases.ACKS:
            return waited > self._patience.farewell_s
        everyone_refused = all(self._refused_for_good(p) for p in machine.waiting_for)
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
            self._attempt(CLOSED, b"", missing)
        else:
            self._attempt(DROPPED, bitmap(missing, machine.agreement.n_partners), missing)

    def _attempt(self, kind: str, data: bytes, missing: Members) -> None:
        """Change the participant set; the new chain is stored before anybody hears of it."""
        try:
            apply_input(self._machine, kind, data)
        except RunFailedError as failure:
            raise RunFailedError(
                f"{self._why(missing)}; {failure.message}", code=failure.code, remedy=failure.remedy
            ) from failure
        self._store.append_input(self._machine.run_id, kind, data, self._machine.chain)

    def _why(self, missing: Members) -> str:
        said = []
        for partner in sorted(missing):
            name = self._machine.agreement.parties[partner].id
            code = self._refusals.get(partner)
            said.append(f"{name} refused with {code}" if code else f"{name} did not answer")
        return f"within {self._patience.grace_s:g} s " + ", ".join(said)

    # --- reports -------------------------------------------------------------------------------

    def _report(self) -> None:
        machine = self._machine
        progress: dict[str, Any] = {
            "phase": machine.phase,
            "doing": PHASE_WORDS[machine.phase],
            "round": machine.round,
            "max_rounds": machine.agreement.plan.max_rounds,
            "participants": self._names(machine.members),
            "waiting_for": self._names(machine.waiting_for),
            "left_out": self._names(machine.left_out),
            "refusals": {
                machine.agreement.parties[i].id: code for i, code in self._refusals.items()
            },
        }
        if progress != self._reported:
            self._reported = progress
            elapsed = round(self._clock() - self._started, 3)
            self._on_progress({**progress, "elapsed_s": elapsed})

    def _save_totals(self) -> None:
        """Note how rounds went whose totals were formed since; the totals are let go."""
        for formed in self._machine.totals:
            self._store.save_round(
                self._machine.run_id,
                RoundRow(
                    round=formed.round,
                    partners=len(formed.members),
                    seconds=self._clock() - self._stage_began,
                    inertia=formed.inertia,
                    length=int(formed.total.shape[0]),
                ),
            )
        self._machine.totals.clear()

    def _names(self, partners: Iterable[int]) -> list[str]:
        return [self._machine.agreement.parties[i].id for i in sorted(partners)]

    def _save_traffic(self) -> None:
        self._store.save_traffic(
            self._machine.run_id,
            [
                Traffic(
                    partner=self._machine.agreement.parties[partner].id,
                    messages=c.messages,
                    bytes_up=c.bytes_up,
                    bytes_down=c.bytes_down,
                )
                for partner, c in sorted(self._counters.items())
            ],
        )

    def _say_stop(self, code: str) -> None:
        message = self._machine.stop_request(code)
        for node in self._links.partner_of:
            try:
                self._exchange.push(node, message, ttl_s=self._patience.grace_s)
            except FedsegError as error:
                logger.warning("node %s was not told that the run ended: %s", node, error.code)


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
