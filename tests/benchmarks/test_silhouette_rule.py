"""The marks by which a number of clusters was chosen first, against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, davies_bouldin_score

from benchmarks import silhouette_rule
from benchmarks.silhouette_rule import choose
from protocol.clustering.plane import GRID
from protocol.clustering.weighted_kmeans import weighted_kmeans
from protocol.masking import Stream


def stream(number: int = 0) -> Stream:
    return Stream(bytes([number]) * 32)


def coreset(k: int, seed: int = 1, d: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    middles = rng.uniform(-0.9, 0.9, (k, d))
    points = middles[np.arange(20 * k) % k] + rng.normal(0, 0.03, (20 * k, d))
    return np.rint(points * GRID).astype(np.int64), rng.uniform(1, 9, 20 * k)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_the_number_of_groups_is_found(k: int) -> None:
    points, weights = coreset(k, seed=k)
    choice = choose(points, weights, smallest=2, largest=7, restarts=10, stream=stream())
    assert choice.centres.shape == (k, 3)
    best = next(s for s in choice.scores if s.n_clusters == k)
    assert best.stability > 9_500
    assert best.votes > 5_000


def test_marks_are_those_of_scikit_learn() -> None:
    points, _ = coreset(4, seed=9)
    weights = np.ones(len(points))
    cloud = points / GRID
    for k in (2, 3, 4, 6):
        centres = weighted_kmeans(points, weights, k, restarts=5, stream=stream())
        distance = silhouette_rule._distances(cloud, centres / GRID)
        labels = distance.argmin(axis=1)
        _, index = silhouette_rule._marks(distance, weights, centres / GRID)
        assert index == pytest.approx(davies_bouldin_score(cloud, labels), rel=1e-4)


def test_the_simplified_silhouette_worked_out_by_hand() -> None:
    cloud = np.array([[0.0], [1.0], [9.0]])
    centres = np.array([[0.0], [10.0]])
    distance = silhouette_rule._distances(cloud, centres)
    silhouette, _ = silhouette_rule._marks(distance, np.array([1.0, 1.0, 2.0]), centres)
    assert silhouette == pytest.approx((1.0 + 8 / 9 + 2 * 8 / 9) / 4)


def test_agreement_of_labels_is_the_adjusted_rand_index_of_weighted_points() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.integers(0, 4, 300), rng.integers(0, 3, 300)
    second[:150] = first[:150] % 3
    weights = rng.integers(1, 5, 300)
    repeated = np.repeat(np.arange(300), weights)
    ours = silhouette_rule._adjusted_rand(first, second, weights.astype(float), 4)
    theirs = adjusted_rand_score(first[repeated], second[repeated])
    assert ours == pytest.approx(theirs, abs=0.01)  # pairs of one customer with itself apart


def test_one_number_is_no_choice() -> None:
    points, weights = coreset(3)
    choice = choose(points, weights, smallest=4, largest=4, restarts=5, stream=stream())
    assert choice.scores == ()
    assert choice.centres.shape == (4, 3)


def test_everything_in_one_place_is_no_trouble() -> None:
    points = np.zeros((10, 2), dtype=np.int64)
    choice = choose(points, np.ones(10), smallest=1, largest=3, restarts=2, stream=stream())
    assert (choice.centres == 0).all()


def test_nothing_above_the_noise_gives_the_fewest_clusters() -> None:
    points, _ = coreset(3)
    for weights in (np.zeros(60), np.full(60, -3.0)):
        choice = choose(points, weights, smallest=2, largest=5, restarts=2, stream=stream())
        assert choice.centres.shape == (2, 3)
        assert choice.scores == ()
