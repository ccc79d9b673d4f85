"""The baselines without privacy compute what their names say."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans

from simulations.baselines import kmeans, nicv, one_cluster


def blobs() -> np.ndarray:
    """Two groups of 5,000 records around (-0.5, -0.5) and (0.5, 0.5)."""
    centres = np.repeat([[-0.5, -0.5], [0.5, 0.5]], 5_000, axis=0)
    return centres + np.random.default_rng(1).uniform(-0.1, 0.1, (10_000, 2))


def test_nicv_is_the_mean_squared_distance_to_the_nearest_centroid() -> None:
    points = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [-1.0, 0.5]])
    centroids = np.array([[0.0, 0.0], [1.0, 0.5]])
    assert nicv(points, centroids) == (0 + 0.25 + 0.25 + 1.25) / 4


def test_one_cluster_is_the_mean_and_its_error_the_variance() -> None:
    points = blobs()
    assert one_cluster(points).shape == (1, 2)
    assert nicv(points, one_cluster(points)) == pytest.approx(points.var(axis=0).sum())


def test_kmeans_finds_the_groups_and_repeats_itself() -> None:
    points = blobs()
    found = kmeans(points, 2, seed=4)
    expected = [points[:5_000].mean(axis=0), points[5_000:].mean(axis=0)]
    np.testing.assert_allclose(found[found[:, 0].argsort()], expected, atol=1e-12)
    np.testing.assert_array_equal(found, kmeans(points, 2, seed=4))


def test_kmeans_is_the_best_of_several_starts() -> None:
    rng = np.random.default_rng(1)
    centres = rng.uniform(-1, 1, (30, 2))
    points = np.repeat(centres, 20, axis=0) + rng.normal(scale=0.01, size=(600, 2))
    best_of_ten = [nicv(points, kmeans(points, 30, seed)) for seed in range(5)]
    one_start = [
        nicv(points, KMeans(30, n_init=1, random_state=seed).fit(points).cluster_centers_)
        for seed in range(5)
    ]
    assert np.mean(best_of_ten) < 0.9 * np.mean(one_start)
