"""What partners compute together is what one holder of all rows would compute, bit for bit."""

from __future__ import annotations

import dataclasses
import itertools
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from partner_node.customers.answers import answer
from protocol import ring
from protocol.clustering.lloyd_exact import LloydExact
from protocol.clustering.relocation import Search
from protocol.queries import ClusterSumsQuery, customer_vectors
from tests import effort

ONE = 1 << 20
PLAN_CONFIGURATIONS = effort.count(60, 450)
RUN_CONFIGURATIONS = effort.count(8, 60)


@st.composite
def parts(draw: st.DrawFn, fewest: int, most: int, largest: int) -> list[np.ndarray]:
    """Customers' grid rows of each partner: uneven, some without any, many rows twice."""
    n = draw(st.integers(fewest, most))
    d = draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sizes = draw(st.lists(st.sampled_from([0, 0, 1, 2, 7, largest]), min_size=n, max_size=n))
    step = draw(st.sampled_from([1, 1 << 10, 1 << 19]))
    spread = draw(st.sampled_from([ONE, ONE // 50]))
    rows = rng.integers(-spread, spread + 1, (max(1, sum(sizes)), d)) // step * step
    if draw(st.booleans()):
        rows = rows[rng.integers(0, max(1, len(rows) // 3), len(rows))]
    bounds = np.cumsum([0, *sizes])
    return [rows[a:b].astype(float) for a, b in itertools.pairwise(bounds)]


def total_in_integers(query: ClusterSumsQuery, rows: np.ndarray) -> np.ndarray:
    """The query's answer written down plainly: whole numbers only."""
    whole = rows.astype(np.int64)
    distances = ((query.centroids[None] - whole[:, None]) ** 2).sum(axis=2)
    nearest = distances.argmin(axis=1)
    table = np.zeros((query.n_clusters, query.n_features + 2), dtype=np.int64)
    np.add.at(table[:, :-2], nearest, whole)
    for cluster, square in zip(nearest.tolist(), (whole**2).sum(axis=1).tolist(), strict=True):
        table[cluster, -2] += round(square / ONE)
        table[cluster, -1] += 1
    return table.ravel()


@pytest.mark.slow
@settings(max_examples=PLAN_CONFIGURATIONS)
@given(
    parts=parts(2, 50, 20),
    k=st.integers(1, 7),
    rounds=st.integers(1, 9),
    seed=st.binary(min_size=32, max_size=32),
)
def test_totals_and_centroids_are_those_of_the_pooled_rows(
    parts: list[np.ndarray], k: int, rounds: int, seed: bytes
) -> None:
    d = parts[0].shape[1]
    start = LloydExact.start(n_clusters=k, limit=np.full(d, ONE), max_rounds=rounds, seed=seed)
    vectors = [customer_vectors(part) for part in parts]
    filled = [v for v in vectors if len(v)] or vectors[:1]
    everyone = np.vstack(parts)
    federated = pooled = start
    customers = len(everyone)
    for _ in range(rounds):
        query = federated.query
        words = np.zeros(query.length, dtype=np.uint64)
        for part in filled:
            low, high = query.range(len(part))
            own = ring.to_ring(answer(query, [part])[0], low=low, high=high)
            ring.add(words, own)
        total = ring.from_ring(words)
        together, counted = answer(query, [np.vstack(vectors)])
        assert counted == customers
        assert (total == together).all()
        assert (total == total_in_integers(query, everyone)).all()
        federated = federated.advance(total, customers=customers)
        pooled = pooled.advance(together, customers=customers)
        assert (federated.centroids == pooled.centroids).all()
        if federated.result is not None:
            break
    assert federated.result is not None
    assert int(federated.result.counts.sum()) == customers


@settings(max_examples=RUN_CONFIGURATIONS)
@pytest.mark.slow
@given(
    parts=parts(3, 7, 12),
    k=st.integers(1, 5),
    rounds=st.integers(1, 5),
    number=st.integers(0, 10**9),
)
def test_a_whole_run_gives_what_the_pooled_rows_give(
    lab: ModuleType, parts: list[np.ndarray], k: int, rounds: int, number: int
) -> None:
    run_and_compare(lab, parts, k, rounds, f"run {number}")


@pytest.mark.slow
def test_fifty_partners_give_what_the_pooled_rows_give(lab: ModuleType) -> None:
    rng = np.random.default_rng(50)
    parts = [rng.integers(-ONE, ONE, (i % 5, 3)).astype(float) for i in range(50)]
    run_and_compare(lab, parts, 4, 3, "fifty")


def run_and_compare(lab: Any, parts: list[np.ndarray], k: int, rounds: int, name: str) -> None:
    fed = lab.Federation(len(parts), features=parts[0].shape[1], clusters=k, rounds=rounds, rows=0)
    fed.vectors = [customer_vectors(part) for part in parts]
    run = fed.run(name).until("answers")
    plan = run.coordinator._plan
    run.finish()
    vectors = np.vstack(fed.vectors)
    for found in run.coordinator.totals:
        total, _ = answer(plan.query, [vectors])
        assert (found.total == total).all()
        plan = plan.advance(total, customers=len(vectors))
    released = run.coordinator.release.verify(fed.agreement)
    counts, centroids = plan.result.counts, plan.result.centroids
    expected = sorted(
        (-int(c), j, tuple(row)) for j, (c, row) in enumerate(zip(counts, centroids, strict=True))
    )
    assert [(s.size, s.centre) for s in released.segments] == [
        (-c, row) for c, _, row in expected if c
    ]


def gap(plan: LloydExact, grid: np.ndarray) -> float:
    """How much nearer every row is to its nearest centroid than to the next, at least; in steps."""
    distances = np.sqrt(((grid[:, None] - plan.centroids[None]) ** 2).sum(axis=2))
    distances.sort(axis=1)
    return float((distances[:, 1] - distances[:, 0]).min())


def scikit_learn(start: np.ndarray, grid: np.ndarray, iterations: int) -> KMeans:
    """Lloyd's algorithm of scikit-learn on the rows in the cube."""
    options = {"n_init": 1, "tol": 0, "algorithm": "lloyd"}
    return KMeans(len(start), init=start / ONE, max_iter=iterations, **options).fit(grid / ONE)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_exact_mode_equals_scikit_learn_from_the_same_start() -> None:
    """To within the rounding of centroids to the grid, when no cluster runs empty.

    Every single round is compared. Whole runs are, unless some customer stood so near the border
    of two clusters that the rounding of centroids decides where it belongs.
    """
    rounds = runs = 0
    seeds = effort.count(20, 60)
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        k, d = int(rng.integers(2, 7)), int(rng.integers(1, 6))
        middles = rng.uniform(-0.8, 0.8, (k, d))
        values = middles[rng.integers(0, k, 400)] + rng.normal(0, 0.08, (400, d))
        grid = np.clip(np.rint(values * ONE), -ONE, ONE)
        vectors = customer_vectors(grid)
        plan = LloydExact.start(
            n_clusters=k, limit=np.full(d, ONE), max_rounds=300, seed=rng.bytes(32)
        )
        plan = dataclasses.replace(plan, search=Search(over=True))  # no centroid is moved elsewhere
        start, comparable = plan.centroids, True
        while plan.result is None:
            before = plan
            total, customers = answer(plan.query, [vectors])
            counts = plan.query.decode(total, customers=customers).counts
            comparable &= bool(counts.all()) and gap(plan, grid) > 16
            plan = plan.advance(total, customers=customers)
            if counts.all() and plan.result is None:
                rounds += 1
                model = scikit_learn(before.centroids, grid, 1)
                difference = model.cluster_centers_ - plan.centroids / ONE
                assert np.abs(difference).max() <= 0.5001 / ONE
        if not comparable:
            continue
        runs += 1
        model = scikit_learn(start, grid, 300)
        assert np.abs(model.cluster_centers_ - plan.result.centroids / ONE).max() <= 1 / ONE
        assert (np.bincount(model.labels_, minlength=k) == plan.result.counts).all()
        inertia = (plan.result.spread * plan.result.counts).sum() / ONE
        assert inertia == pytest.approx(model.inertia_, rel=1e-2, abs=400 / ONE)
    assert rounds >= 1.6 * seeds
    assert runs >= seeds // 4
