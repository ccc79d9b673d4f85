"""A federation in one process computes, bit for bit, what one holder of all rows would."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partner_node.customers.answers import answer
from protocol.clustering.lloyd_exact import LloydExact
from protocol.clustering.result import Clustering
from protocol.state import fields_to_json
from simulations.federation import FeatureTerms, Federation, pooled, simulation_seed
from tests import effort

#: `protocol/test_federated_equals_pooled.py` says the same of the plan and of whole runs.
CONFIGURATIONS = effort.count(6, 100)


@st.composite
def partners(draw: st.DrawFn) -> list[np.ndarray]:
    """Three to twelve partners' rows: uneven sizes, some empty, many rows twice."""
    n_partners = draw(st.integers(3, 12))
    n_features = draw(st.integers(1, 4))
    sizes = draw(
        st.lists(st.sampled_from([0, 1, 1, 2, 5, 30]), min_size=n_partners, max_size=n_partners)
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    total = max(1, sum(sizes))
    kind = draw(st.sampled_from(["uniform", "blobs", "few values", "one place", "beyond"]))
    if kind == "uniform":
        rows = rng.uniform(-5, 20, (total, n_features))
    elif kind == "blobs":
        middles = rng.uniform(-5, 20, (4, n_features))
        rows = middles[rng.integers(0, 4, total)] + rng.normal(0, 0.2, (total, n_features))
    elif kind == "few values":
        rows = rng.integers(0, 3, (total, n_features)).astype(float)
    elif kind == "one place":
        rows = np.full((total, n_features), 1.25)
    else:
        rows = rng.uniform(-500, 500, (total, n_features))
    return np.split(rows, np.cumsum(sizes)[:-1])


def one_holder(
    federation: Federation, parts: list[np.ndarray], k: int, rounds: int, seed: int
) -> Clustering:
    vectors = pooled(federation, parts)
    plan = LloydExact.start(
        n_clusters=k,
        limit=federation.scale.limit,
        max_rounds=rounds,
        seed=simulation_seed(seed),
    )
    while plan.query is not None:
        total, customers = answer(plan.query, [vectors])
        plan = plan.advance(total, customers=customers)
    assert plan.result is not None
    return plan.result


@pytest.mark.slow
@settings(max_examples=CONFIGURATIONS, deadline=None)
@given(
    parts=partners(),
    k=st.integers(1, 8),
    rounds=st.integers(1, 12),
    seed=st.integers(0, 1000),
    transform=st.sampled_from(["none", "log1p"]),
    weight=st.sampled_from(["1", "0.3"]),
)
def test_federated_equals_pooled_bit_for_bit(
    parts: list[np.ndarray], k: int, rounds: int, seed: int, transform: str, weight: str
) -> None:
    low = "0" if transform == "log1p" else "-5"
    features = [
        FeatureTerms(name=f"f{i}", min=low, max="20", transform=transform, weight=weight)
        for i in range(parts[0].shape[1])
    ]
    federation = Federation(parts, features, n_clusters=k, max_rounds=rounds, seed=seed)
    run = federation.run()
    expected = one_holder(federation, parts, k, rounds, seed)
    # One holder is one party, so its row cap stands for all of theirs.
    caps = federation.agreement.parties
    answered = [{"what": "sizes", "customers": sum(party.max_customers for party in caps)}]
    assert fields_to_json(run.clustering) == fields_to_json(expected) | {"answered": answered}
    assert int(expected.counts.sum()) == sum(len(part) for part in parts)
    released = [(s.size, s.centre, s.spread) for s in run.release.release.segments]
    order = sorted(range(k), key=lambda j: (-int(expected.counts[j]), j))
    assert released == [
        (int(expected.counts[j]), tuple(expected.centroids[j].tolist()), int(expected.spread[j]))
        for j in order
        if expected.counts[j]
    ]
