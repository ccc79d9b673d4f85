"""Whatever happens in whatever order: one mask never covers two messages, and totals are right.

A run of nine partners in which requests are delivered, repeated, lost, replayed and changed, nodes
crash before or after they stored, and partners leave.
"""

from __future__ import annotations

import copy
import dataclasses
import sys
from types import ModuleType
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from partner_node.customers.answers import answer
from protocol.canonical import label, unframe
from protocol.clustering.plan import plan_seed, start_plan
from protocol.coordinator_round import Phase as phases
from protocol.errors import FedsegError
from protocol.messages import Announce, Payload, open_request, sign_request
from tests import effort

PARTNERS = st.integers(0, 8)


class AnyOrder(RuleBasedStateMachine):
    """One run, and everything that may go wrong with it."""

    def __init__(self) -> None:
        super().__init__()
        lab = sys.modules["fedseg_tests_counterparties"]
        self.fed = lab.Federation(9, rows=4, rounds=6)
        self.run = self.fed.run("any order").until(phases.READYS)
        self.coordinator = self.run.coordinator
        self.masked: dict[tuple[int, bytes], bytes] = {}
        self.delivered: list[tuple[int, bytes]] = []
        self.checked = 0
        self.plan: Any = None

    # --- what is watched ---

    def seen(self, partner: int, reply: bytes) -> None:
        """A partner let a message out: is it the only one under its mask?"""
        try:
            header = unframe(unframe(reply, 3)[0], 4)
        except FedsegError:
            return
        if header[0] == label("masked"):
            assert self.masked.setdefault((partner, header[1]), reply) == reply

    def totals_are_right(self) -> None:
        for total in self.coordinator.totals[self.checked :]:
            if self.plan is None:
                seed = plan_seed(self.coordinator.run_hash)
                self.plan = start_plan(self.fed.agreement, seed=seed)
            answers = [answer(self.plan.query, [v])[0] for v in self.fed.vectors]
            true = sum(answers[i] for i in total.members)
            assert (total.total == true).all()
            self.plan = self.plan.advance(total.total, customers=10**6)
        self.checked = len(self.coordinator.totals)

    # --- what happens ---

    def asking(self) -> bool:
        return self.coordinator.phase != phases.ENDED

    def request_for(self, partner: int) -> bytes:
        request: bytes = self.coordinator.request(partner)
        return request

    def deliver(self, partner: int, *, arrives: bool) -> None:
        if partner not in self.coordinator.members:
            return
        request = self.request_for(partner)
        reply = self.run.nodes[partner].handle(request)
        self.seen(partner, reply)
        self.delivered.append((partner, request))
        if arrives:
            self.coordinator.receive(reply)
            self.totals_are_right()

    @precondition(asking)
    @rule(partner=PARTNERS)
    def one_reply_arrives(self, partner: int) -> None:
        if partner in self.coordinator.waiting_for:
            self.deliver(partner, arrives=True)

    @precondition(asking)
    @rule()
    def all_replies_arrive(self) -> None:
        self.run.step()
        for node in self.run.nodes:
            for reply in node.sent[-2:]:
                self.seen(node.number, reply)
        self.totals_are_right()

    @precondition(asking)
    @rule(partner=PARTNERS)
    def a_reply_is_lost(self, partner: int) -> None:
        self.deliver(partner, arrives=False)

    @precondition(asking)
    @rule(partner=PARTNERS)
    def a_reply_arrives_twice(self, partner: int) -> None:
        if partner in self.coordinator.waiting_for:
            reply = self.run.nodes[partner].handle(self.request_for(partner))
            self.seen(partner, reply)
            before = self.coordinator.phase, self.coordinator.round, self.coordinator.chain
            self.coordinator.receive(reply)
            after = self.coordinator.phase, self.coordinator.round, self.coordinator.chain
            if before == after:
                assert self.coordinator.receive(reply) is None

    @precondition(lambda self: self.coordinator.phase == phases.ANSWERS)
    @rule(partner=PARTNERS)
    def customers_change_after_the_answer(self, partner: int) -> None:
        """The answer was given: it is not computed again."""
        if partner in self.coordinator.members:
            self.deliver(partner, arrives=False)
            node = self.run.nodes[partner]
            before, node.vectors = node.vectors, node.vectors[:2]
            self.deliver(partner, arrives=False)
            node.vectors = before

    @rule(partner=PARTNERS)
    def a_node_restarts(self, partner: int) -> None:
        self.run.nodes[partner].restart()

    @precondition(asking)
    @rule(partner=PARTNERS)
    def a_node_crashes_after_it_answered_and_is_put_back(self, partner: int) -> None:
        """From a backup made just before: it has to say the same again."""
        if self.coordinator.phase not in (phases.ANSWERS, phases.APPROVALS, phases.ACCEPTS):
            return
        if partner in self.coordinator.members:
            node = self.run.nodes[partner]
            backup = copy.deepcopy(node.state.to_dict()), node.state.chain
            first = node.handle(self.request_for(partner))
            node.go_on_from(*backup)
            assert node.handle(self.request_for(partner)) == first
            self.seen(partner, first)

    @precondition(lambda self: bool(self.delivered))
    @rule(number=st.integers(0, 10**6))
    def an_old_request_comes_again(self, number: int) -> None:
        """The same bytes or a refusal; tried on a copy, since a refusal ends the run there."""
        partner, request = self.delivered[number % len(self.delivered)]
        twin = self.twin(partner)
        try:
            self.seen(partner, twin.handle(request))
        except FedsegError as error:
            assert error.code != "E-LOCAL"

    @precondition(lambda self: self.coordinator.phase == phases.ANSWERS)
    @rule(
        partner=PARTNERS,
        change=st.sampled_from(["step", "transcript", "round", "head", "run", "nothing signed"]),
    )
    def the_coordinator_lies(self, partner: int, change: str) -> None:
        if partner not in self.coordinator.members:
            return
        key = self.fed.agreement.coordinator.public_key
        request = open_request(self.request_for(partner), coordinator_key=key)
        assert isinstance(request, Announce)
        payload = Payload.from_bytes(request.payload)
        lie = {
            "step": {"payload": dataclasses.replace(payload, step_hash=bytes(32)).to_bytes()},
            "transcript": {
                "payload": dataclasses.replace(
                    payload, transcript=payload.transcript[1:] or (b"x",)
                ).to_bytes()
            },
            "round": {"round": request.round + 1},
            "head": {"head": bytes(32)},
            "run": {"run_hash": bytes(32)},
            "nothing signed": {"certificate": None, "round": request.round + 2},
        }[change]
        twin = self.twin(partner)
        message = sign_request(dataclasses.replace(request, **lie), self.fed.coordinator_key)
        try:
            reply = twin.handle(message)
        except FedsegError as error:
            assert error.code != "E-LOCAL"
        else:
            raise AssertionError(f"{change} was answered with {len(reply)} bytes")

    @precondition(
        lambda self: self.coordinator.phase in (phases.ACCEPTS, phases.ANSWERS, phases.APPROVALS)
    )
    @rule()
    def three_partners_leave(self) -> None:
        leaving = frozenset({6, 7, 8})
        if leaving <= self.coordinator.waiting_for:
            self.coordinator.drop(leaving)

    def twin(self, partner: int) -> Any:
        """A copy of a node that can be spoilt."""
        node = self.run.nodes[partner]
        twin = copy.copy(node)
        twin.sent = []
        twin.restart()
        return twin

    def teardown(self) -> None:
        """In the end the run can still be finished."""
        self.run.finish()
        self.totals_are_right()
        release = self.coordinator.release.verify(self.fed.agreement)
        assert len(release.participants) in (6, 9)
        for node in self.run.nodes:
            for reply in node.sent:
                self.seen(node.number, reply)


@pytest.mark.slow
def test_masks_and_totals_stay_right_in_any_order(lab: ModuleType) -> None:
    assert lab.Federation
    options = settings(max_examples=effort.count(6, 60), stateful_step_count=30, deadline=None)
    run_state_machine_as_test(AnyOrder, settings=options)
