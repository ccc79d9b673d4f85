"""k-means on weighted points: near the best, exact where it is counted, the same every time."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans

from protocol.clustering.weighted_kmeans import nearest_of, weighted_kmeans
from protocol.masking import Stream

ONE = 1 << 20


def stream(number: int = 0) -> Stream:
    return Stream(bytes([number]) * 32)


def cloud(seed: int, n: int = 400, d: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    middles = rng.uniform(-0.9, 0.9, (6, d))
    points = middles[rng.integers(0, 6, n)] + rng.normal(0, 0.05, (n, d))
    return np.rint(np.clip(points, -1, 1) * ONE).astype(np.int64), rng.uniform(0, 50, n)


def inertia(points: np.ndarray, weights: np.ndarray, centres: np.ndarray) -> float:
    return float((nearest_of(points, centres)[1] * weights).sum())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_it_is_as_good_as_scikit_learn(seed: int) -> None:
    points, weights = cloud(seed)
    ours = weighted_kmeans(points, weights, 6, restarts=20, stream=stream())
    theirs = KMeans(6, n_init=20, random_state=seed).fit(points, sample_weight=weights)
    assert inertia(points, weights, ours) <= 1.01 * float(theirs.inertia_)


def test_the_same_stream_gives_the_same_centres_and_the_order_of_weights_counts_not() -> None:
    points, weights = cloud(1)
    first = weighted_kmeans(points, weights, 6, restarts=5, stream=stream())
    assert (first == weighted_kmeans(points, weights, 6, restarts=5, stream=stream())).all()
    doubled = weighted_kmeans(points, 2 * weights, 6, restarts=5, stream=stream())
    assert np.abs(first - doubled).max() <= 2


def test_points_without_weight_do_not_count() -> None:
    points = np.array([[0, 0], [10, 0], [ONE, ONE], [ONE, -ONE]])
    weights = np.array([1.0, 3.0, 0.0, 0.0])
    centres = weighted_kmeans(points, weights, 1, restarts=3, stream=stream())
    assert centres.tolist() == [[8, 0]]


@pytest.mark.parametrize("weights", [[1.0, 1.0], [0.0, 0.0], [-1.0, -2.0], [5.0, 0.0]])
def test_fewer_points_than_clusters_are_repeated(weights: list[float]) -> None:
    points = np.array([[1, 2], [3, 4]])
    centres = weighted_kmeans(points, np.array(weights), 5, restarts=2, stream=stream())
    assert centres.shape == (5, 2)
    assert {tuple(c) for c in centres.tolist()} <= {(1, 2), (3, 4)}


def test_equal_points_are_no_trouble() -> None:
    points = np.full((50, 2), 7, dtype=np.int64)
    centres = weighted_kmeans(points, np.ones(50), 3, restarts=2, stream=stream())
    assert (centres == 7).all()


def test_ties_go_to_the_lower_centre() -> None:
    index, distance = nearest_of(np.array([[0, 0]]), np.array([[5, 0], [-5, 0]]))
    assert index.tolist() == [0]
    assert distance.tolist() == [25.0]
