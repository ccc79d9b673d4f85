"""The plan lloyd-exact, against k-means worked out by hand."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partner_node.customers.answers import answer
from protocol.clustering.lloyd_exact import LloydExact, spread_start
from protocol.clustering.plan import plan_seed, restore_plan, step_hash
from protocol.errors import MalformedError
from protocol.queries import customer_vectors

ONE = 1 << 20
SEED = bytes(32)


def plan_at(*centroids: list[int], rounds: int = 8) -> LloydExact:
    """The plan at given centroids, in round 0."""
    values = np.array(centroids, dtype=np.int64)
    return LloydExact(
        limit=np.full(values.shape[1], ONE),
        max_rounds=rounds,
        seed=SEED,
        round=0,
        centroids=values,
    )


def advance(plan: LloydExact, rows: list[list[int]]) -> LloydExact:
    grid = np.array(rows, dtype=np.float64).reshape(-1, plan.limit.shape[0])
    total, customers = answer(plan.query, [customer_vectors(grid)])
    return plan.advance(total, customers=customers)


def test_two_clusters_worked_out_by_hand() -> None:
    """Customers 0, 2, 10, 12 and 100 on a line, from centroids 0 and 10.

    Round 0: {0, 2} and {10, 12, 100}: means 1 and 122/3 = 40.67, rounded to 41.
    Round 1: 12 is nearer to 1: {0, 2, 10, 12} and {100}: means 6 and 100.
    Round 2: the same clusters; nothing moves.
    """
    rows = [[0], [2], [10], [12], [100]]
    plan = plan_at([0], [10])
    plan = advance(plan, rows)
    assert plan.centroids.tolist() == [[1], [41]]
    plan = advance(plan, rows)
    assert plan.centroids.tolist() == [[6], [100]]
    assert plan.result is None
    plan = advance(plan, rows)
    assert plan.query is None
    assert plan.result.centroids.tolist() == [[6], [100]]
    assert plan.result.counts.tolist() == [4, 1]
    assert plan.result.rounds == 3
    assert plan.result.converged


@pytest.mark.parametrize(
    ("rows", "mean"),
    [([0, 1], 1), ([0, -1], 0), ([1, 1, 2], 1), ([1, 2, 2], 2), ([-1, -1, -2], -1), ([0, 3], 2)],
)
def test_means_are_rounded_half_up(rows: list[int], mean: int) -> None:
    plan = advance(plan_at([50]), [[row] for row in rows])
    assert plan.centroids.tolist() == [[mean]]


def test_an_empty_cluster_takes_half_of_the_largest() -> None:
    """Four customers at -3/4, -1/4, 1/4 and 3/4, two centroids in one place.

    Ties go to the lower centroid, so the upper is empty. The mean is 0, the variance
    (9 + 1 + 1 + 9)/16/4 = 5/16; both are put one standard deviation beside the mean, 586171 steps.
    Then the clusters are the two halves, with means -1/2 and 1/2 and a variance of 1/16.
    """
    quarter = ONE // 4
    rows = [[-3 * quarter], [-quarter], [quarter], [3 * quarter]]
    plan = advance(plan_at([0], [0]), rows)
    assert sorted(plan.centroids[:, 0].tolist()) == [-586_171, 586_171]
    plan = advance(plan, rows)
    assert sorted(plan.centroids[:, 0].tolist()) == [-ONE // 2, ONE // 2]
    plan = advance(plan, rows)
    assert plan.result.spread.tolist() == [ONE // 16, ONE // 16]
    assert plan.result.counts.tolist() == [2, 2]


def test_two_empty_clusters_split_the_two_largest_each_by_inertia() -> None:
    rows = [[-800_000], [-600_000], [500_000], [900_000], [0]]
    plan = advance(plan_at([-700_000], [0], [0], [700_000], [0]), rows)
    moved = plan.centroids[:, 0].tolist()
    assert moved[1] == 0
    spread_of_left, spread_of_right = 100_000, 200_000
    assert {moved[2], moved[3]} == {700_000 - spread_of_right, 700_000 + spread_of_right}
    for found, expected in zip(
        sorted([moved[0], moved[4]]),
        [-700_000 - spread_of_left, -700_000 + spread_of_left],
        strict=True,
    ):
        assert abs(found - expected) <= 6


def test_a_split_stays_inside_the_cube() -> None:
    rows = [[ONE]] * 9 + [[-ONE]]
    plan = advance(plan_at([ONE], [ONE]), rows)
    assert plan.centroids.max() == ONE
    assert np.abs(plan.centroids).max() <= ONE


def test_an_empty_cluster_stays_where_it_is_when_nothing_can_be_split() -> None:
    plan = advance(plan_at([7], [9]), [[7], [7]])
    assert plan.result.centroids.tolist() == [[7], [9]]
    assert plan.result.counts.tolist() == [2, 0]
    assert plan.result.spread.tolist() == [0, 0]
    assert plan.result.converged


def test_empty_clusters_are_left_alone_in_the_second_half_of_the_rounds() -> None:
    quarter = ONE // 4
    rows = [[-3 * quarter], [-quarter], [quarter], [3 * quarter]]
    late = dataclasses.replace(plan_at([1], [1]), round=4)
    assert advance(late, rows).centroids.tolist() == [[0], [1]]


def test_without_customers_nothing_moves() -> None:
    plan = advance(plan_at([3, 4], [5, 6]), [])
    assert plan.result.converged
    assert plan.result.rounds == 1
    assert plan.result.counts.tolist() == [0, 0]


@pytest.mark.parametrize("rounds", [1, 2])
def test_the_agreed_number_of_rounds_ends_the_plan(rounds: int) -> None:
    """The result is what the last round counted, so sizes and centroids belong together."""
    rows = [[0], [2], [10], [12], [100]]
    plan = plan_at([0], [10], rounds=rounds)
    for _ in range(rounds):
        assert plan.result is None
        plan = advance(plan, rows)
    assert plan.result.rounds == rounds
    assert not plan.result.converged
    assert plan.result.centroids.tolist() == ([[0], [10]] if rounds == 1 else [[1], [41]])
    assert plan.result.counts.tolist() == [2, 3] if rounds == 1 else [4, 1]


@settings(max_examples=40)
@given(st.integers(2, 12), st.integers(1, 6), st.binary(min_size=32, max_size=32))
def test_the_start_depends_on_the_seed_only_and_lies_inside(k: int, d: int, seed: bytes) -> None:
    limit = np.array([ONE >> (i % 3) for i in range(d)])
    start = spread_start(k, limit, seed)
    assert start.shape == (k, d)
    assert start.dtype == np.int64
    assert (np.abs(start) <= limit).all()
    assert (spread_start(k, limit, seed) == start).all()
    other = spread_start(k, limit, hashlib.sha256(seed).digest())
    assert (other != start).any()


def test_centres_of_the_start_keep_their_distance() -> None:
    for number in range(20):
        start = spread_start(8, np.array([ONE, ONE]), bytes([number]) * 32).astype(float)
        distances = np.sqrt(((start[:, None] - start[None]) ** 2).sum(axis=2))
        assert distances[~np.eye(8, dtype=bool)].min() >= ONE / 8


def test_a_start_in_a_cube_without_room_still_ends() -> None:
    assert spread_start(5, np.array([0, 0]), SEED).tolist() == [[0, 0]] * 5


def test_the_seed_is_made_from_the_run_hash() -> None:
    assert plan_seed(bytes(32)) != plan_seed(bytes([1] * 32))


def test_a_stored_plan_goes_on_where_it_was() -> None:
    rows = [[0], [2], [10], [12], [100]]
    plan = plan_at([0], [10])
    hashes = []
    for _ in range(3):
        plan = restore_plan(json.loads(json.dumps(plan.to_dict())))
        hashes.append(step_hash(plan))
        plan = advance(plan, rows)
    restored = restore_plan(json.loads(json.dumps(plan.to_dict())))
    assert restored.query is None
    assert step_hash(restored) == step_hash(plan)
    assert len({*hashes, step_hash(plan)}) == 4


def test_a_plan_is_read_as_earlier_versions_wrote_it() -> None:
    """Runs that ended long ago are on record, results without what only noise brought."""
    best = {"centroids": [[4], [-6]], "counts": [2, 3], "inertias": [10, 2**70], "inertia": 2**71}
    written = {
        "plan": "lloyd-exact",
        "limit": [ONE],
        "max_rounds": 8,
        "seed": SEED.hex(),
        "round": 3,
        "centroids": [[5], [-7]],
        "search": {"over": False, "before": 2**72, "best": best, "failures": 1},
        "result": {
            "centroids": [[5], [-7]],
            "counts": [2, 3],
            "spread": [1, 0],
            "rounds": 4,
            "converged": True,
        },
    }
    plan = restore_plan(json.loads(json.dumps(written)))
    assert isinstance(plan, LloydExact)
    assert (plan.max_rounds, plan.seed, plan.round) == (8, SEED, 3)
    assert (plan.limit.tolist(), plan.centroids.tolist()) == ([ONE], [[5], [-7]])
    search, result = plan.search, plan.result
    assert (search.over, search.before, search.failures) == (False, 2**72, 1)
    assert search.best is not None
    assert (search.best.inertias, search.best.inertia) == ((10, 2**70), 2**71)
    assert (search.best.centroids.tolist(), search.best.counts.tolist()) == ([[4], [-6]], [2, 3])
    assert result is not None
    assert (result.centroids.tolist(), result.counts.tolist()) == ([[5], [-7]], [2, 3])
    assert (result.spread.tolist(), result.rounds, result.converged) == ([1, 0], 4, True)
    assert (result.noise, result.sizes, result.choice) == (None, None, None)
    arrays = (plan.limit, plan.centroids, search.best.counts, result.centroids, result.spread)
    assert {array.dtype for array in arrays} == {np.dtype(np.int64)}
    again = json.loads(json.dumps(plan.to_dict()))
    assert again["result"].items() >= written["result"].items()
    assert again | {"result": written["result"]} == written


def test_a_stored_plan_of_another_name_is_refused() -> None:
    with pytest.raises(MalformedError):
        restore_plan({**plan_at([0]).to_dict(), "plan": "other"})
