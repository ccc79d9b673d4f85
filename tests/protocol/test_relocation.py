"""Moving centroids out of a local optimum: worked out by hand, and never to the worse."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partner_node.customers.answers import answer
from protocol.clustering.lloyd_exact import LloydExact
from protocol.clustering.plan import restore_plan, step_hash
from protocol.clustering.relocation import Relocation, Search, Settled
from protocol.queries import cluster_inertia, customer_vectors

ONE = 1 << 20
SEED = bytes(32)


def plan_at(centroids: list[list[int]], *, rounds: int = 40, seed: bytes = SEED) -> LloydExact:
    values = np.array(centroids, dtype=np.int64)
    return LloydExact(
        limit=np.full(values.shape[1], ONE), max_rounds=rounds, seed=seed, round=0, centroids=values
    )


def run(plan: LloydExact, rows: np.ndarray) -> tuple[LloydExact, list[int]]:
    """The plan at its end, and the inertia of every round."""
    vectors = customer_vectors(rows.astype(np.float64))
    inertias = []
    while plan.query is not None:
        total, customers = answer(plan.query, [vectors])
        totals = plan.query.decode(total, customers=customers)
        inertias.append(sum(cluster_inertia(plan.centroids, totals)))
        plan = plan.advance(total, customers=customers)
    return plan, inertias


def four_pairs() -> np.ndarray:
    """Twenty customers at each of ±8 and ±9 (tenths of a million), on a line."""
    return np.repeat([[-900_000], [-800_000], [800_000], [900_000]], 20, axis=0)


def test_lloyd_stays_in_a_bad_optimum_and_relocation_leaves_it() -> None:
    """Three centroids, one between two groups on the right, two on one group on the left.

    Groups at -900,000, at 300,000 and at 700,000. Two centroids share the left group (at -901,000
    and -899,000), one stands at 500,000, the mean of the other two groups: Lloyd's algorithm has
    settled. Giving one of the left up costs 20·20/40 · 2,000² = 4·10^7; the right cluster has an
    inertia of 80 · 200,000² = 3.2·10^12 and is split at one standard deviation, so at 300,000 and
    700,000.
    """
    rows = np.concatenate(
        [
            np.repeat([[-901_000], [-899_000]], 20, axis=0),
            np.repeat([[300_000], [700_000]], 40, axis=0),
        ]
    )
    plan = plan_at([[-901_000], [-899_000], [500_000]])
    stuck, _ = run(dataclasses.replace(plan, search=Search(over=True)), rows)
    assert stuck.result.centroids[:, 0].tolist() == [-901_000, -899_000, 500_000]
    vectors = customer_vectors(rows.astype(np.float64))
    trial = plan.advance(*answer(plan.query, [vectors])[:1], customers=len(rows))
    rounded = np.abs(np.sort(trial.centroids[:, 0]) - [-900_000, 300_000, 700_000])
    assert rounded.max() <= 2  # squared norms are rounded
    found, _ = run(plan, rows)
    assert sorted(found.result.centroids[:, 0].tolist()) == [-900_000, 300_000, 700_000]
    assert found.result.converged


def test_no_cluster_is_given_up_when_that_costs_too_much() -> None:
    best = Settled(
        centroids=np.array([[-500_000], [0], [500_000]]),
        counts=np.array([10, 10, 10]),
        inertias=(10**10, 10**10, 10**10),
        inertia=3 * 10**10,
    )
    relocation = Relocation(limit=np.array([ONE]), seed=SEED, round=0)
    assert relocation.trial(best, 0) is None


@pytest.mark.parametrize(("failures", "moves"), [(0, 2), (1, 1), (2, 1)])
def test_after_a_failure_one_centroid_is_moved_at_a_time(failures: int, moves: int) -> None:
    """Two close pairs and two wide clusters: each pair can give one centroid to a wide one."""
    best = Settled(
        centroids=np.array([[-900_000], [-899_000], [-100_000], [100_000], [899_000], [900_000]]),
        counts=np.array([10] * 6),
        inertias=(1, 1, 10**12, 10**12, 1, 1),
        inertia=2 * 10**12,
    )
    relocation = Relocation(limit=np.array([ONE]), seed=SEED, round=3)
    trial = relocation.trial(best, failures)
    assert trial is not None
    assert int((trial != best.centroids).sum()) == 3 * moves


def test_two_clusters_are_never_relocated() -> None:
    plan, inertias = run(plan_at([[-1], [1]]), four_pairs())
    assert plan.result.counts.tolist() == [40, 40]
    assert len(inertias) == 2


def test_when_trials_fail_the_plan_goes_back_to_the_best_it_has_seen() -> None:
    """Every customer alike but for a hair: nothing is to be gained, and nothing is lost."""
    rng = np.random.default_rng(4)
    rows = rng.integers(-ONE, ONE, (300, 2))
    for number in range(20):
        seed = bytes([number]) * 32
        start = LloydExact.start(
            n_clusters=7, limit=np.array([ONE, ONE]), max_rounds=200, seed=seed
        )
        _, plain = run(dataclasses.replace(start, search=Search(over=True)), rows)
        found, inertias = run(start, rows)
        assert found.result.converged
        assert inertias[-1] <= plain[-1] * 1.01


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32), st.integers(1, 8), st.integers(1, 4), st.integers(1, 30), st.booleans()
)
def test_the_end_is_as_good_as_the_best_settled_state(
    number: int, k: int, d: int, rounds: int, twice: bool
) -> None:
    rng = np.random.default_rng(number)
    rows = rng.integers(-ONE, ONE, (int(rng.integers(1, 60)), d))
    if twice:
        rows = rows[rng.integers(0, max(1, len(rows) // 4), len(rows))]
    plan = LloydExact.start(
        n_clusters=k, limit=np.full(d, ONE), max_rounds=rounds, seed=rng.bytes(32)
    )
    vectors = customer_vectors(rows.astype(np.float64))
    best = None
    while plan.query is not None:
        assert (np.abs(plan.centroids) <= ONE).all()
        plan = restore_plan(json.loads(json.dumps(plan.to_dict())))
        total, customers = answer(plan.query, [vectors])
        inertia = sum(
            cluster_inertia(plan.centroids, plan.query.decode(total, customers=customers))
        )
        before, plan = plan, plan.advance(total, customers=customers)
        if before.search.best is not None:
            best = before.search.best.inertia
    assert plan.result.rounds <= rounds
    assert int(plan.result.counts.sum()) == len(rows)
    slack = len(rows) * d << 21  # rounding of means and of squared norms
    late = plan.result.rounds > rounds // 2 + 1
    if best is not None and (plan.result.converged or late):
        assert inertia <= best + slack


def test_a_stored_search_goes_on_where_it_was() -> None:
    rows = np.repeat([[-901_000], [-899_000], [300_000], [700_000]], 20, axis=0)
    vectors = customer_vectors(rows.astype(np.float64))
    kept = stored = plan_at([[-901_000], [-899_000], [500_000]])
    searched = False
    while kept.query is not None:
        total, customers = answer(kept.query, [vectors])
        kept = kept.advance(total, customers=customers)
        stored = restore_plan(json.loads(json.dumps(stored.to_dict())))
        stored = stored.advance(total, customers=customers)
        assert step_hash(stored) == step_hash(kept)
        assert stored.to_dict() == kept.to_dict()
        searched |= kept.search.best is not None
    assert searched
