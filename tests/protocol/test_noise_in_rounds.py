"""Noise in the secure sum: every share is there, once, and cannot be taken off again."""

from __future__ import annotations

import dataclasses
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from partner_node.customers.answers import answer
from protocol.canonical import tagged_hash, u32
from protocol.coordinator_round import Phase as phases
from protocol.masking import Stream, expand
from protocol.privacy.mechanisms import discrete_gaussian, total_variance
from protocol.ring import UNIT

PRIVACY = {
    "epsilon": "1",
    "delta": "0.00001",
    "rho": "0.0305",
    "runs": 5,
    "spare_rounds": 1,
    "max_partners_per_customer": 1,
}


@pytest.fixture
def fed(lab: ModuleType) -> Any:
    return lab.Federation(5, features=4, rounds=12, privacy=PRIVACY, plan="hybrid-dp")


def true_total(fed: Any, run: Any, members: list[int]) -> np.ndarray:
    query = run.coordinator._plan.query
    return sum(answer(query, [fed.vectors[i]])[0] for i in members)


def totals(lab: ModuleType, run: Any, members: list[int]) -> np.ndarray:
    length = run.coordinator._plan.query.length
    messages = [run.nodes[i].handle(run.coordinator.request(i)) for i in members]
    return lab.total_of(messages, length=length)


def test_a_whole_run_gives_a_release_signed_by_everyone(fed: Any) -> None:
    run = fed.run().finish()
    release = run.coordinator.release.verify(fed.agreement)
    assert release.participants == tuple(f"p{i}" for i in range(5))
    assert release.privacy is not None
    assert release.privacy.rho <= fed.agreement.privacy.rho


@pytest.mark.slow
def test_a_total_is_the_true_one_and_noise_of_the_agreed_width(lab: ModuleType, fed: Any) -> None:
    deviations = []
    for number in range(40):
        run = fed.run(f"run {number}").until(phases.ANSWERS)
        variance = run.coordinator._plan.query.variance
        noise = totals(lab, run, [0, 1, 2, 3, 4]) - true_total(fed, run, [0, 1, 2, 3, 4])
        expected = total_variance(variance, partners=5, colluding=1)
        assert expected >= 1.25 * variance
        deviations.append(float(noise[0]) / float(expected) ** 0.5)
    assert 0.7 < np.std(deviations) < 1.35
    assert abs(np.mean(deviations)) < 0.7


def share_by_hand(run: Any, member: int, *, members: int, colluding: int = 1) -> np.ndarray:
    """A member's share of the noise as SPEC.md has it, from the secret that only it has."""
    machine, query = run.coordinator, run.coordinator._plan.query
    plain = answer(query, [run.nodes[member].vectors])[0].astype("<i8").tobytes()
    place = tagged_hash(
        "noise", machine.run_hash, machine.chain.head, u32(machine.round), query.hash, plain
    )
    stream = Stream(expand(run.nodes[member].entropy[-32:], "noise", place))
    width = -(-query.variance // (members - colluding))
    return discrete_gaussian(stream, variance=width, count=query.length)


def test_the_noise_in_a_total_is_the_share_of_each_member_of_the_set_bit_for_bit(
    lab: ModuleType, fed: Any
) -> None:
    """Five take part, then four: each adds more, so that any three add what was agreed.

    Fifteen numbers are asked for: the same stream often gives the same first few at both widths.
    """
    run = fed.run().until(phases.ANSWERS, number=4)
    for members in ([0, 1, 2, 3, 4], [0, 1, 2, 3]):
        if len(members) == 4:
            run.coordinator.drop(frozenset({4}))
            run.absent = frozenset({4})
            run.until(phases.ANSWERS, number=4)
        noise = totals(lab, run, members) - true_total(fed, run, members)
        assert noise.shape == (15,)
        expected = sum(share_by_hand(run, i, members=len(members)) for i in members)
        assert noise.tolist() == expected.tolist()


def test_the_same_announcement_gets_the_same_bytes_also_after_a_restart(fed: Any) -> None:
    run = fed.run().until(phases.ANSWERS, number=1)
    request = run.coordinator.request(2)
    first = run.nodes[2].handle(request)
    run.nodes[2].restart()
    assert run.nodes[2].handle(request) == first


def test_a_node_put_back_from_a_backup_says_the_same_again(lab: ModuleType, fed: Any) -> None:
    """The same customers, the same question: neither mask nor noise is drawn anew."""
    run = fed.run().until(phases.ANSWERS, number=1)
    backup = run.nodes[2].state.to_dict()
    chain = run.nodes[2].state.chain
    request = run.coordinator.request(2)
    first = run.nodes[2].handle(request)
    node = run.nodes[2]
    node.go_on_from(backup, chain)
    assert node.handle(request) == first


def test_another_answer_never_gets_the_noise_of_the_first(lab: ModuleType, fed: Any) -> None:
    """From a backup, with one customer less: the difference does not show that customer."""
    differences = []
    for number in range(30):
        run = fed.run(f"run {number}").until(phases.ANSWERS)
        node = run.nodes[2]
        backup, chain = node.state.to_dict(), node.state.chain
        request = run.coordinator.request(2)
        first = node.handle(request)
        node.go_on_from(backup, chain)
        node.vectors = node.vectors[:-1]
        second = node.handle(request)
        words = [lab.words_of(m, length=1).view(np.int64)[0] for m in (first, second)]
        differences.append((int(words[0]) - int(words[1])) / UNIT)
        node.vectors = fed.vectors[2]
    sigma = float(np.std(differences))
    assert sigma > 1.0, "the masks cancel, and with them what hid one customer"
    assert len(set(differences)) == len(differences)


def test_what_hides_a_change_within_a_round_is_the_nodes_own_two_shares_alone(
    lab: ModuleType, fed: Any
) -> None:
    """Bit for bit, as docs/privacy.md says: no share of others is in the difference."""
    run = fed.run().until(phases.ANSWERS, number=4)
    node, query = run.nodes[2], run.coordinator._plan.query
    backup, chain = node.state.to_dict(), node.state.chain
    request = run.coordinator.request(2)
    said, known, shares = [], [], []
    for customers in (fed.vectors[2], fed.vectors[2][:-1]):
        node.go_on_from(backup, chain)
        node.vectors = customers
        said.append(lab.words_of(node.handle(request), length=query.length).view(np.int64))
        shares.append(share_by_hand(run, 2, members=5))
        known.append(answer(query, [customers])[0] + shares[-1])
    assert (shares[0] != shares[1]).any()
    assert (said[0] - said[1]).tolist() == (known[0] - known[1]).tolist()
    node.vectors = fed.vectors[2]


def test_a_round_asked_again_has_noise_of_its_own(lab: ModuleType, fed: Any) -> None:
    run = fed.run().until(phases.ANSWERS)
    first = lab.words_of(run.nodes[0].handle(run.coordinator.request(0)), length=1)
    run.coordinator.drop(frozenset({4}))
    run.absent = frozenset({4})
    run.until(phases.ANSWERS)
    second = lab.words_of(run.nodes[0].handle(run.coordinator.request(0)), length=1)
    assert first[0] != second[0]


def test_customers_may_change_while_a_round_is_asked_again(fed: Any) -> None:
    """Unlike with exact totals: each answer has its own noise and its own charge."""
    run = fed.run().until(phases.ANSWERS)
    run.nodes[0].handle(run.coordinator.request(0))
    run.coordinator.drop(frozenset({4}))
    run.absent = frozenset({4})
    run.until(phases.ANSWERS)
    run.nodes[0].vectors = run.nodes[0].vectors[:-3]
    assert run.nodes[0].handle(run.coordinator.request(0))
    run.finish()


@pytest.mark.parametrize("end", ["done", "aborted"])
def test_the_secret_of_the_noise_is_forgotten_at_the_end(fed: Any, end: str) -> None:
    """Whoever breaks into a node later cannot take its share off a total."""
    run = fed.run().until(phases.ANSWERS, number=1)
    assert run.nodes[0].state.to_dict()["noise_secret"]
    if end == "done":
        run.finish()
    else:
        run.nodes[0].state.abort("E-STOPPED")
    assert not run.nodes[0].state.to_dict()["noise_secret"]


def test_a_query_with_less_noise_than_agreed_is_refused(lab: ModuleType, fed: Any) -> None:
    """The coordinator has no say in the noise: the query's hash holds it."""
    run = fed.run().until(phases.ANSWERS)
    query = run.coordinator._plan.query
    quieter = dataclasses.replace(query, variance=query.variance // 4)
    honest = lab.payload_of(run.open_request_for(0))
    lie = dataclasses.replace(honest, step_hash=quieter.hash)
    with run.refused(0, "E-QUERY"):
        run.lie(0, payload=lie.to_bytes())
