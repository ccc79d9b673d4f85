"""Segments of a real retailer's customers, that a marketer knows by their names."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pytest

from protocol.agreement.document import Agreement
from protocol.release.document import Release, release_centres
from protocol.release.lineage import lineage
from protocol.release.personas import release_names
from simulations.federation import FeatureTerms, Federation
from simulations.privacy import benchmark_terms
from simulations.retail_features import ONLINE_RETAIL_FEATURES, ONLINE_RETAIL_QUERY

INVOICES = (
    Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "online_retail_invoices.csv"
)
FEATURES = [
    FeatureTerms(
        name=f.name, unit=f.unit, min=f.minimum, max=f.maximum, transform=f.transform,
        weight=f.weight,
    )
    for f in ONLINE_RETAIL_FEATURES
]  # fmt: skip
pytestmark = pytest.mark.skipif(not INVOICES.is_file(), reason="the invoices are not at hand")


@pytest.fixture(scope="module")
def customers() -> list[np.ndarray]:
    """The United Kingdom's customers, in two halves, and all others."""
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE VIEW input AS SELECT * FROM read_csv("
            f"'{INVOICES}', header = true, all_varchar = true)"
        )
        british = {
            row[0]
            for row in connection.execute(
                "SELECT DISTINCT CustomerID FROM input WHERE Country = 'United Kingdom'"
            ).fetchall()
        }
        rows = connection.execute(ONLINE_RETAIL_QUERY).fetchall()
    own = np.array([row[1:] for row in rows if row[0] in british], dtype=np.float64)
    others = np.array([row[1:] for row in rows if row[0] not in british], dtype=np.float64)
    assert len(own) + len(others) > 4_000
    return [own[::2], own[1::2], others]


def run(customers: list[np.ndarray], *, seed: int, private: bool) -> tuple[Release, Agreement]:
    n = sum(map(len, customers))
    noise = (
        {"plan": "hybrid-dp", "privacy": benchmark_terms(1.0, 1e-5, n_samples=n), "profile": True}
        if private
        else {}
    )
    federation = Federation(
        customers, FEATURES, n_clusters=5, seed=seed, min_segment_size=50, **noise
    )
    return federation.run().release.verify(federation.agreement), federation.agreement


@pytest.mark.parametrize("private", [False, True], ids=["exact", "epsilon 1"])
def test_a_marketer_knows_the_segments(customers: list[np.ndarray], private: bool) -> None:
    release, agreement = run(customers, seed=1, private=private)
    names = release_names(agreement, release)
    assert {"Loyal big spenders", "Lapsed one-time buyers", "New one-time buyers"} <= set(names)
    centre = dict(zip(names, release_centres(release, agreement), strict=True))
    columns = [feature.name for feature in agreement.features]
    orders, spend, recency = (columns.index(c) for c in ("orders", "net_spend", "recency_days"))
    loyal, lapsed = centre["Loyal big spenders"], centre["Lapsed one-time buyers"]
    assert loyal[orders] > 5 * lapsed[orders]
    assert loyal[spend] > 5 * lapsed[spend]
    assert lapsed[recency] > 5 * loyal[recency]


@pytest.mark.slow
def test_the_next_release_of_the_same_customers_keeps_the_ids(customers: list[np.ndarray]) -> None:
    """Other starting points, local optima that differ a little: what a rerun looks like."""
    history = [run(customers, seed=seed, private=False) for seed in range(3)]
    first, *later = lineage(history)
    for step, (release, agreement) in zip(later, history[1:], strict=True):
        assert {living.status for living in step.living} == {"kept"}
        assert max(living.moved for living in step.living) < 0.1
        names = release_names(agreement, release)
        before = dict(zip(first.ids, release_names(history[0][1], history[0][0]), strict=True))
        assert dict(zip(step.ids, names, strict=True)) == before
