"""Very many messages with something wrong: none is taken, and only our own errors are raised.

A message counts as taken when it has an effect that the honest message does not have. Most mutants
of requests are signed again with the coordinator's key, so that they get past the signature.
"""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from protocol import messages
from protocol.agreement.document import Agreement
from protocol.canonical import frame, unframe, unframe_list
from protocol.coordinator_round import CoordinatorRound
from protocol.coordinator_round import Phase as phases
from protocol.errors import FedsegError, MalformedError
from protocol.participants import Chain, Link, SetRules
from protocol.release.document import SignedRelease
from protocol.signed_agreement import SignedAgreement
from simulations.agreement import signed_with
from tests import effort

MUTANTS = effort.count(8_000, 100_000)

Tree = bytes | list[Any]


@dataclass(frozen=True, kw_only=True)
class Target:
    """A kind of message at the moment when it is expected.

    Attributes:
        honest: The message as it should be.
        feed: Hands a message to a fresh copy of the state; returns what came of it.
        signed_again: Whether mutants of the body get the coordinator's signature.
    """

    name: str
    honest: bytes
    feed: Callable[[bytes], object]
    sign: Callable[[bytes], bytes] | None = None


def tree_of(data: bytes) -> Tree:
    """The fields of framed bytes, and theirs; bytes that are not framed stay as they are."""
    try:
        fields = unframe_list(data, max_count=64)
    except MalformedError:
        return data
    return [tree_of(field) for field in fields] if fields else data


def bytes_of(tree: Tree) -> bytes:
    return tree if isinstance(tree, bytes) else frame(*(bytes_of(child) for child in tree))


def mutated_bytes(rng: random.Random, data: bytes) -> bytes:
    """Bits flipped, something cut out, added, doubled or overwritten."""
    what = rng.choice([0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 5])
    at = rng.randrange(len(data) + 1)
    if what == 0 and data:
        changed = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        return bytes(changed)
    if what == 1:
        return data[:at]
    if what == 2:
        return data[:at] + rng.randbytes(rng.choice([1, 4, 8, 32])) + data[at:]
    if what == 3:
        return data[:at] + data[at + rng.choice([1, 4, 8]) :]
    if what == 4:
        return data + data[: rng.choice([1, 4, len(data)])]
    return data[:at] + bytes(len(data[at : at + 4])) + data[at + 4 :]


def mutated_tree(rng: random.Random, tree: Tree) -> Tree:
    """One field somewhere inside changed, dropped, doubled, swapped or put in another's place."""
    if isinstance(tree, bytes) or (tree and rng.random() < 0.03):
        return mutated_bytes(rng, bytes_of(tree))
    children = list(tree)
    i, j = rng.randrange(len(children)), rng.randrange(len(children))
    what = rng.randrange(12)
    if what == 0:
        del children[i]
    elif what == 1:
        children.insert(i, children[j])
    elif what == 2:
        children[i], children[j] = children[j], children[i]
    elif what == 3:
        children[i] = children[j]
    elif what == 4:
        children[i] = b""
    else:
        children[i] = mutated_tree(rng, children[i])
    return children


def mutant(rng: random.Random, target: Target, tree: Tree, body: Tree) -> bytes:
    """A message near the honest one."""
    if target.sign is not None and rng.random() < 0.8:
        return target.sign(bytes_of(mutated_tree(rng, body)))
    if rng.random() < 0.7:
        return bytes_of(mutated_tree(rng, tree))
    return mutated_bytes(rng, target.honest)


def fresh(state: Any) -> Any:
    """A copy of a state machine that can be spoilt."""
    again = copy.copy(state)
    for name, value in vars(state).items():
        if isinstance(value, dict | list | set):
            setattr(again, name, copy.copy(value))
    return again


def request_target(run: Any, name: str, request: bytes) -> Target:
    """A request to node 0 as it now stands."""
    node = run.nodes[0]
    state = node.state
    honest_links = state.chain.links
    if name == "propose":
        asked = messages.open_request(
            request, coordinator_key=run.federation.agreement.coordinator.public_key
        )
        honest_links = Chain.from_bytes(asked.chain, run.federation.agreement).links

    def feed(message: bytes) -> object:
        node.state = fresh(state)
        node.restart = lambda: None
        reply = node.handle(message)
        if name == "propose" and node.state.chain.links != honest_links:
            # Signed by the coordinator, which may propose other sets: they must keep the rules.
            SetRules.of(run.federation.agreement).check(
                node.state.chain, signed=state.chain, run_hash=run.coordinator.run_hash
            )
            raise MalformedError("another proposal than the honest one")
        if name in ("roster", "propose"):  # signed: which sets may be opened
            return {(link.run_hash, link.members) for link in node.state.chain.links}
        return reply

    def sign(body: bytes) -> bytes:
        return frame(body, messages.sign(run.federation.coordinator_key, "request", body))

    return Target(name=name, honest=request, feed=feed, sign=sign)


def reply_target(run: Any, name: str) -> Target:
    """The reply of node 0 to the coordinator as it now stands."""
    coordinator: CoordinatorRound = run.coordinator
    reply = run.nodes[0].handle(coordinator.request(0))

    def feed(message: bytes) -> object:
        state = fresh(coordinator)
        found = state.receive(message)
        if found != 0:  # the carrier knows that node 0 sent it
            raise MalformedError("a message under another partner's number")
        return "taken" if state._answers or state._readys or state._hellos else "nothing"

    return Target(name=name, honest=reply, feed=feed)


def targets(lab: ModuleType) -> list[Target]:
    """Every kind of message, each at its moment."""
    fed = lab.Federation(3, rows=8)
    found = []

    def moment(name: str, phase: str, number: int = 0) -> Any:
        return fed.run(name).until(phase, number=number)

    run = moment("open", phases.HELLOS)
    run.nodes[0].handle(run.coordinator.request(0))
    found.append(request_target(run, "open", run.coordinator.request(0)))
    run = moment("roster", phases.READYS)
    found.append(request_target(run, "roster", run.coordinator.request(0)))
    large = lab.Federation(9, rows=3)
    run = large.run("propose").until(phases.ANSWERS)
    smaller = Link(run_hash=run.coordinator.run_hash, members=frozenset(range(6)))
    proposal = messages.Propose(run_hash=run.coordinator.run_hash, chain=run.chain_with(smaller))
    signed = messages.sign_request(proposal, fed.coordinator_key)
    found.append(request_target(run, "propose", signed))
    for name, phase, number in (
        ("announce the first round", phases.ANSWERS, 0),
        ("announce a later round", phases.ANSWERS, 1),
        ("announce the release", phases.APPROVALS, 0),
        ("publish", phases.ACKS, 0),
    ):
        run = moment(name, phase, number)
        found.append(request_target(run, name, run.coordinator.request(0)))
    for name, phase in (
        ("hello", phases.HELLOS),
        ("ready", phases.READYS),
        ("masked", phases.ANSWERS),
        ("approval", phases.APPROVALS),
        ("ack", phases.ACKS),
    ):
        found.append(reply_target(moment(f"reply {name}", phase), name))
    run = large.run("accept").until(phases.ANSWERS)
    run.coordinator.drop(frozenset({6, 7, 8}))
    found.append(reply_target(run, "accept"))
    found.append(agreement_target(lab))
    found.append(release_target(fed))
    return found


def agreement_target(lab: ModuleType) -> Target:
    agreement = Agreement.from_dict(lab.agreement_values(3))
    signed = signed_with(agreement, [lab.key_of(f"p{i}") for i in range(3)])

    def feed(message: bytes) -> object:
        return SignedAgreement.from_bytes(message).verify()

    return Target(name="agreement", honest=signed.to_bytes(), feed=feed)


def release_target(fed: Any) -> Target:
    signed = fed.run("release").until(phases.ACKS).coordinator.release

    def feed(message: bytes) -> object:
        return SignedRelease.from_bytes(message).verify(fed.agreement)

    return Target(name="release", honest=signed.to_bytes(), feed=feed)


@pytest.mark.slow
def test_mutated_messages_are_refused_with_our_own_errors_only(lab: ModuleType) -> None:
    every = targets(lab)
    codes: Counter[str] = Counter()
    seen = 0
    for number, target in enumerate(every):
        rng = effort.chance(f"mutants of {target.name} {number}")
        honest = target.feed(target.honest)
        tree = tree_of(target.honest)
        body = tree_of(unframe(target.honest, 2)[0]) if target.sign is not None else b""
        for _ in range(-(-MUTANTS // len(every))):
            message = target.honest
            while message == target.honest:
                message = mutant(rng, target, tree, body)
            seen += 1
            try:
                result = target.feed(message)
            except FedsegError as error:
                assert error.code != "E-LOCAL", (target.name, error)
                codes[error.code] += 1
            else:
                assert result == honest, (target.name, message.hex()[:2_000])
                codes["the same effect"] += 1
    assert seen >= MUTANTS
    assert codes["the same effect"] < seen * 0.02, codes
    for code in ("E-MALFORMED", "E-SIGNATURE", "E-QUERY", "E-CERTIFICATE", "E-RELEASE"):
        assert codes[code] > seen // 4_000, codes
