"""A federation in one process: drop-outs and lies end in the true result or in a reason."""

from __future__ import annotations

import numpy as np
import pytest

from partner_node.consent.local_rules import NoRules
from partner_node.customers import answers
from partner_node.node import Node
from partner_node.store.node_store import NodeStore
from protocol.agreement.software import Software
from protocol.errors import AgreementError, RunFailedError
from simulations.federation import (
    EphemeralSealer,
    FeatureTerms,
    FederatedRun,
    Federation,
    GridCustomers,
    MemoryCustomers,
    pooled,
)

FEATURES = [FeatureTerms(name="x", min="-1", max="1"), FeatureTerms(name="y", min="-1", max="1")]


def rows(n_partners: int, each: int = 20) -> list[np.ndarray]:
    rng = np.random.default_rng(n_partners)
    middles = np.array([[-0.6, -0.6], [0.6, -0.5], [0.0, 0.7]])
    values = middles[rng.integers(0, 3, n_partners * each)]
    return list(np.split(values + rng.normal(0, 0.1, values.shape), n_partners))


def federation(n_partners: int, *, seed: int = 1, rounds: int = 30, start: str = "") -> Federation:
    return Federation(
        rows(n_partners), FEATURES, n_clusters=3, max_rounds=rounds, seed=seed, start=start
    )


def outcome(run: FederatedRun) -> tuple[list[list[int]], list[int]]:
    return run.clustering.centroids.tolist(), run.clustering.counts.tolist()


class Leaving:
    """Takes nodes out of reach when the coordinator has sent so many messages."""

    def __init__(self, fed: Federation, nodes: set[int], *, after: int) -> None:
        self.fed, self.leaving, self.after = fed, nodes, after
        fed.exchange.tamper_request = self

    def __call__(self, node: int, message: bytes) -> bytes | None:
        self.after -= 1
        if self.after < 0:
            self.fed.exchange.down |= self.leaving
        return None if node in self.fed.exchange.down else message


def flip(message: bytes, at: int) -> bytes:
    changed = bytearray(message)
    changed[at % len(changed)] ^= 1
    return bytes(changed)


def test_the_same_seed_gives_the_same_run_and_another_seed_another_start() -> None:
    first, again = federation(3).run(), federation(3).run()
    assert outcome(first) == outcome(again)
    assert first.release.release.run_hash == again.release.release.run_hash
    starts = {
        str(federation(3, seed=seed, rounds=1).run().clustering.centroids.tolist())
        for seed in range(4)
    }
    assert len(starts) == 4


def test_without_a_seed_the_start_comes_from_the_run_hash() -> None:
    fed = Federation(rows(3), FEATURES, n_clusters=3, max_rounds=1, start="anew")
    assert outcome(fed.run())[0] != outcome(fed.run())[0]


def test_a_run_says_what_each_partner_sent() -> None:
    run = federation(3).run()
    assert [t.partner for t in run.traffic] == ["partner-0", "partner-1", "partner-2"]
    assert all(t.bytes_up > 0 and t.messages > run.rounds for t in run.traffic)


def test_progress_names_every_round() -> None:
    seen: list[int] = []
    run = federation(3).run(on_progress=lambda values: seen.append(values["round"]))
    assert sorted(set(seen)) == list(range(run.rounds + 1))


@pytest.mark.parametrize("after", [0, 9, 20, 27])
def test_three_of_nine_leave_and_the_run_goes_on_with_the_others(after: int) -> None:
    fed = federation(9)
    Leaving(fed, {2, 5, 7}, after=after)
    run = fed.run()
    stayed = [i for i in range(9) if i not in (2, 5, 7)]
    assert run.release.release.participants == tuple(f"partner-{i}" for i in stayed)
    assert int(run.clustering.counts.sum()) == 6 * 20


def test_three_leave_when_one_of_them_has_answered_and_only_the_next_run_works() -> None:
    """The coordinator misses two of them, and a set without these two would say too much."""
    fed = federation(9)
    Leaving(fed, {2, 5, 7}, after=30)
    with pytest.raises(RunFailedError, match=r"partner-5.*partner-7.*single out 2"):
        fed.run()
    assert len(fed.run().release.release.participants) == 6


def test_three_of_nine_who_never_came_change_nothing_for_the_others() -> None:
    """The result is that of a federation of the six alone."""
    fed = federation(9)
    fed.exchange.down = {2, 5, 7}
    six = [part for i, part in enumerate(rows(9)) if i not in (2, 5, 7)]
    alone = Federation(six, FEATURES, n_clusters=3, max_rounds=30, seed=1)
    assert outcome(fed.run()) == outcome(alone.run())


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 12, 25])
def test_one_of_nine_leaves_and_the_run_ends_with_a_reason(after: int) -> None:
    """Totals with and without one partner would give its numbers away."""
    fed = federation(9)
    fed.run()
    Leaving(fed, {4}, after=after)
    with pytest.raises(RunFailedError, match=r"partner-4.*single out 1") as caught:
        fed.run()
    assert caught.value.code == "E-SET-ISOLATES"


def test_when_everyone_is_back_the_next_run_works() -> None:
    fed = federation(9, start="anew")
    first = outcome(fed.run())
    fed.exchange.down = {4}
    with pytest.raises(RunFailedError):
        fed.run()
    fed.exchange.down = set()
    assert outcome(fed.run()) == first


def test_too_few_partners_end_the_run_with_a_reason() -> None:
    fed = federation(9)
    fed.exchange.down = set(range(5))
    with pytest.raises(RunFailedError, match="partner-0 did not answer") as caught:
        fed.run()
    assert caught.value.code == "E-SET-QUORUM"


def test_nobody_in_reach_ends_the_run_with_a_reason() -> None:
    fed = federation(3)
    fed.exchange.down = {0, 1, 2}
    with pytest.raises(RunFailedError) as caught:
        fed.run()
    assert caught.value.code == "E-NO-PARTNERS"


def test_a_lost_reply_is_asked_for_again() -> None:
    fed = federation(3)
    expected = outcome(federation(3).run())
    lost: list[int] = []

    def lose_every_fifth(node: int, message: bytes) -> bytes | None:
        lost.append(node)
        return None if len(lost) % 5 == 0 else message

    fed.exchange.tamper_reply = lose_every_fifth
    assert outcome(fed.run()) == expected


@pytest.mark.parametrize("at", [3, 40, 100, -1, -70])
def test_replies_with_flipped_bits_never_change_the_result(at: int) -> None:
    """Every seventh reply is changed; the true one is sent again when asked for."""
    fed = federation(3)
    expected = outcome(federation(3).run())
    count = 0

    def lie(node: int, message: bytes) -> bytes:
        nonlocal count
        count += 1
        return flip(message, at) if count % 7 == 0 else message

    fed.exchange.tamper_reply = lie
    assert outcome(fed.run()) == expected


def test_a_partner_whose_replies_are_always_changed_ends_the_run() -> None:
    fed = federation(9)
    fed.run()
    fed.exchange.tamper_reply = lambda node, message: flip(message, -1) if node == 3 else message
    with pytest.raises(RunFailedError, match="partner-3"):
        fed.run()


@pytest.mark.parametrize("at", [2, 60, -1, -40])
def test_requests_with_flipped_bits_are_refused_and_sent_again(at: int) -> None:
    fed = federation(3)
    expected = outcome(federation(3).run())
    count = 0

    def lie(node: int, message: bytes) -> bytes:
        nonlocal count
        count += 1
        return flip(message, at) if count == 5 else message

    fed.exchange.tamper_request = lie
    try:
        assert outcome(fed.run()) == expected
    except RunFailedError as failure:
        assert "refused with E-" in failure.message


def test_a_node_that_refuses_ends_the_run_with_its_code() -> None:
    fed = federation(3)
    fed.nodes[1] = Node(
        fed.signed,
        fed.partner_keys[1],
        NodeStore(":memory:", EphemeralSealer()),
        GridCustomers(prepared=pooled(fed, rows(3)[1:2])),
        NoRules(),
        software=Software(version="9.9.9", sha256=bytes(32)),
        seed_of=fed.seed_of,
    )
    fed.exchange.nodes_by_id = fed.nodes
    with pytest.raises(RunFailedError) as caught:
        fed.run()
    assert caught.value.code == "E-SET-QUORUM"


def test_a_node_with_more_customers_than_agreed_refuses_in_mid_run() -> None:
    fed = federation(3)
    everyone = pooled(fed, rows(3))
    fed.nodes[1] = fed.node(1, everyone)
    with pytest.raises(RunFailedError, match="partner-1 refused with E-ROW-CAP"):
        fed.run()


def test_customers_in_memory_are_the_same_in_chunks() -> None:
    fed = federation(3)
    values = np.vstack(rows(3))
    chunks = list(MemoryCustomers(values=values, scale=fed.scale, chunk_rows=7).vectors())
    assert len(chunks) == 9
    assert (np.vstack(chunks) == pooled(fed, rows(3))).all()


def test_two_partners_are_refused() -> None:
    with pytest.raises(AgreementError) as caught:
        federation(2)
    assert caught.value.code == "E-PARTNERS"
    assert caught.value.exit_code == 3


def test_only_partners_with_many_customers_start_threads_and_nothing_else_differs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    pool = answers.ThreadPoolExecutor
    monkeypatch.setattr(
        answers, "ThreadPoolExecutor", lambda max_workers: asked.append(1) or pool(max_workers)
    )
    few = federation(3).run()
    assert not asked
    monkeypatch.setattr("simulations.federation._FEW_CUSTOMERS", 19)
    many = federation(3).run()
    assert asked
    assert many.release == few.release
