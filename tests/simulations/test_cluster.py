"""Clustering tables: the same result however rows are split, and sensible in every corner."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import AgreementError, RuleError
from protocol.release.document import EXACT_WORDS
from simulations.agreement import numbered_agreement
from simulations.bounds import ColumnBounds, bounds_from_data
from simulations.cluster import ClusterTask, mean_inertia, to_cube
from simulations.federation import FeatureTerms, scale_of
from simulations.results import notices_of


def task(
    *tables: np.ndarray,
    k: int,
    partners: int = 3,
    sizes: str = "equal",
    max_rounds: int = 100,
    **terms: object,
) -> ClusterTask:
    columns = [f"x{i}" for i in range(tables[0].shape[1])]
    bounds = bounds_from_data(np.vstack(tables), columns)
    agreement = numbered_agreement(
        [1] * (len(tables) if len(tables) > 1 else partners),
        [found.feature(name) for name, found in zip(columns, bounds, strict=True)],
        plan={"n_clusters": k, "max_rounds": max_rounds},
        **terms,
    )
    return ClusterTask(agreement, tables, sizes=sizes)


def blobs(n: int, d: int = 3, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    middles = rng.uniform(-10, 50, (4, d))
    return middles[rng.integers(0, 4, n)] + rng.normal(0, 1, (n, d))


@pytest.mark.slow
def test_the_same_seed_gives_the_same_centroids_for_any_number_of_partners() -> None:
    rows = blobs(200)
    expected = task(rows, k=5, partners=3).run(7)
    for partners in (4, 9, 20):
        found = task(rows, k=5, partners=partners, sizes="uneven").run(7)
        assert found.centroids.tobytes() == expected.centroids.tobytes()
        assert found.counts == expected.counts
        assert found.inertia_mean == expected.inertia_mean
        assert len(found.bytes_up) == partners


def test_files_of_partners_give_what_the_joined_file_gives() -> None:
    rows = blobs(120)
    joined = task(rows, k=4, partners=5).run(2)
    parts = task(rows[:1], rows[1:70], rows[70:], k=4).run(2)
    assert parts.centroids.tobytes() == joined.centroids.tobytes()
    assert parts.counts == joined.counts


def test_repeated_runs_of_one_task_are_those_of_fresh_tasks() -> None:
    rows = blobs(100)
    one = task(rows, k=4)
    for seed in (3, 4, 3):
        again = task(rows, k=4).run(seed)
        assert one.run(seed).centroids.tobytes() == again.centroids.tobytes()


def test_the_result_is_told_in_input_units_with_every_cluster() -> None:
    rows = np.repeat([[100.0, -5.0], [900.0, 5.0]], 10, axis=0)
    result = task(rows, k=4).run(0)
    assert result.centroids.shape == (4, 2)
    assert sorted(result.counts) == [0, 0, 10, 10]
    found = result.centroids[np.array(result.counts) > 0]
    assert np.abs(found[found[:, 0].argsort()] - [[100, -5], [900, 5]]).max() < 1e-3
    assert result.inertia_mean < 1e-9
    assert result.converged


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "k"),
    [
        (np.array([[1.0]]), 1),
        (np.array([[1.0]]), 5),
        (np.array([[1.0, 2.0], [3.0, 2.0]]), 3),
        (np.full((7, 2), 3.25), 2),
        (np.arange(12.0)[:, None] * 1e12, 3),
        (np.arange(12.0)[:, None] * 1e-6, 3),
        (-np.arange(12.0)[:, None], 1),
    ],
    ids=["one row", "more clusters than rows", "two rows", "constant", "huge", "tiny", "one k"],
)
@pytest.mark.parametrize("partners", [3, 12])
def test_corners(rows: np.ndarray, k: int, partners: int) -> None:
    result = task(rows, k=k, partners=partners).run(0)
    assert result.centroids.shape == (k, rows.shape[1])
    assert np.isfinite(result.centroids).all()
    assert sum(result.counts) == len(rows)
    assert 0 <= result.inertia_mean <= 4 * rows.shape[1]
    spread = rows.max() - rows.min() + 1
    assert (result.centroids >= rows.min() - spread).all()
    assert (result.centroids <= rows.max() + spread).all()
    if k == 1:
        assert np.abs(result.centroids[0] - rows.mean(axis=0)).max() <= 1e-5 * spread


def test_a_single_cluster_is_the_mean_and_its_inertia_the_variance() -> None:
    rows = blobs(500, d=2)
    result = task(rows, k=1).run(0)
    assert result.centroids[0] == pytest.approx(rows.mean(axis=0), abs=1e-4)
    half = (rows.max(axis=0) - rows.min(axis=0)) / 2
    assert result.inertia_mean == pytest.approx((rows / half).var(axis=0).sum(), rel=1e-6)


def test_two_partners_are_refused_by_the_rule_of_exact_totals() -> None:
    with pytest.raises(AgreementError) as caught:
        task(blobs(10), k=2, partners=2).run(0)
    assert (caught.value.code, caught.value.exit_code) == ("E-PARTNERS", 3)


def test_the_most_rounds_are_kept() -> None:
    result = task(blobs(300), k=6, max_rounds=2).run(0)
    assert result.rounds == 2
    assert not result.converged


def test_transform_weight_and_clipping_shape_the_cube() -> None:
    scale = scale_of(
        [
            FeatureTerms(name="a", min="0", max="99", transform="log1p"),
            FeatureTerms(name="b", min="-1", max="3", weight="0.25"),
        ]
    )
    cube = to_cube(np.array([[0.0, -1.0], [99.0, 3.0], [9.0, 1.0], [-7.0, 500.0]]), scale)
    expected = [[-1, -0.25], [1, 0.25], [0, 0], [-1, 0.25]]
    assert np.abs(cube - expected).max() < 1e-12


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 8), st.integers(0, 10**6))
def test_mean_inertia_is_that_of_plain_differences(n: int, d: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, centres = rng.uniform(-1, 1, (n, d)), rng.uniform(-1, 1, (k, d))
    squared = ((points[:, None] - centres[None]) ** 2).sum(axis=2)
    assert mean_inertia(points, centres) == pytest.approx(squared.min(axis=1).mean(), rel=1e-12)
    assert mean_inertia(points[:0], centres) == 0.0


def test_a_task_describes_itself() -> None:
    bounds = ColumnBounds(min="0", max="9", transform="log1p", weight="0.5")
    agreement = numbered_agreement([9] * 3, [bounds.feature("x1")], min_segment_size=7)
    one = ClusterTask(agreement, [np.ones((4, 1))], columns=["spend"])
    assert one.describe() == {
        "agreement": "simulation",
        "version": 1,
        "privacy": EXACT_WORDS,
        "plan": "lloyd-exact",
        "n_clusters": 2,
        "n_clusters_min": 2,
        "n_samples": 4,
        "n_features": 1,
        "n_partners": 3,
        "max_rounds": 100,
        "min_segment_size": 7,
        "min_customers_per_partner": 0,
        "secure_sum": {
            "min_partners": 3, "max_colluding": 1, "min_atom": 3, "max_set_changes": 8,
        },
        "columns": ["spend"],
        "bounds": {"spend": {"min": "0", "max": "9", "transform": "log1p", "weight": "0.5"}},
    }  # fmt: skip


def test_a_cluster_below_the_agreed_size_is_withheld_as_in_a_release() -> None:
    rows = np.repeat([[0.0], [50.0], [100.0]], [60, 40, 7], axis=0)
    result = task(rows, k=3, min_segment_size=8).run(0)
    assert sorted(result.counts) == [7, 40, 60]
    assert [s.size for s in result.release.segments] == [60, 40]
    assert (result.merged, result.withheld, result.least_size) == (0, 1, 8)
    assert notices_of([result]) == [
        "seed 0: 1 of 3 clusters has fewer than 8 customers; their customers belong to the nearest "
        "released segment and are in no size"
    ]
    assert task(rows, k=3, min_segment_size=7).run(0).withheld == 0


def test_partners_with_too_few_customers_answer_nothing_and_are_named() -> None:
    rows = blobs(200)
    parts = (rows[:9], *np.array_split(rows[9:], 4))
    for least, code in ((10, "E-SET-ISOLATES"), (1_000, "E-NO-PARTNERS")):
        with pytest.raises(RuleError) as caught:
            task(*parts, k=2, min_customers_per_partner=least).run(0)
        assert (caught.value.code, caught.value.exit_code) == ("E-TOO-FEW", 3)
        assert caught.value.__cause__.code == code
        assert "partner-0: 9 customers are counted now" in caught.value.message
        assert f"the agreement needs {least:,}" in caught.value.message
        assert "--min-customers" in caught.value.remedy
