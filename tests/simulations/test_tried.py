"""Numbers of clusters tried on exact totals: what is chosen is what the stated rule says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulations.tried import Tried, chosen, silhouette


def tried(k: int, mark: float | None, withheld: int = 0) -> Tried:
    return Tried(
        n_clusters=k, inertia_mean=1 / k, silhouette=mark, smallest=9, withheld=withheld, rounds=4
    )


@pytest.mark.parametrize(
    ("all_tried", "k"),
    [
        ([tried(1, None), tried(2, 0.4), tried(3, 0.6), tried(4, 0.5)], 3),
        ([tried(2, 0.5), tried(3, 0.5)], 2),
        ([tried(2, 0.4), tried(3, 0.6, withheld=1)], 2),
        ([tried(2, 0.4, withheld=1), tried(3, 0.6, withheld=2)], 3),
        ([tried(1, None), tried(2, 0.0)], 2),
        ([tried(1, None), tried(2, 0.1, withheld=1)], 2),
        ([tried(1, None)], 1),
    ],
    ids=["best", "tie", "released whole", "none whole", "worst of all", "one is no choice", "one"],
)
def test_the_best_silhouette_whose_clusters_are_all_released_is_chosen(
    all_tried: list[Tried], k: int
) -> None:
    assert chosen(all_tried).n_clusters == k
    assert chosen(all_tried[::-1]).n_clusters == k


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 30), st.integers(2, 6), st.integers(1, 4), st.integers(0, 10**6))
def test_a_silhouette_is_the_mean_over_customers(n: int, k: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, centres = rng.uniform(-1, 1, (n, d)), rng.uniform(-1, 1, (k, d))
    marks = []
    for point in points:
        own, following = sorted(np.linalg.norm(centres - point, axis=1))[:2]
        marks.append((following - own) / following)
    assert silhouette(points, centres) == pytest.approx(np.mean(marks), rel=1e-12)


def test_customers_on_two_centres_at_once_count_as_between_them() -> None:
    assert silhouette(np.zeros((3, 1)), np.zeros((2, 1))) == 0.0
    assert silhouette(np.zeros((3, 1)), np.zeros((1, 1))) is None
    assert silhouette(np.array([[0.0], [4.0]]), np.array([[0.0], [4.0]])) == 1.0
    assert replace(tried(2, 0.5)).to_dict()["silhouette"] == 0.5
