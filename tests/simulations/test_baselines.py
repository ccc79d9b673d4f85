"""The other baselines: what they compute, and a clear word when diffprivlib is missing."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import KMeans

from protocol.errors import UsageError
from simulations.baselines import diffprivlib_kmeans, kmeans, nicv, one_cluster

needs_diffprivlib = pytest.mark.skipif(
    importlib.util.find_spec("diffprivlib") is None, reason="needs fedseg[benchmarks]"
)


def is_diffprivlib(module: str) -> bool:
    return module.partition(".")[0] == "diffprivlib"


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


@pytest.mark.slow
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


@needs_diffprivlib
def test_diffprivlib_finds_the_groups_with_a_huge_epsilon_and_repeats_itself() -> None:
    points = blobs()
    found = diffprivlib_kmeans(points, 2, epsilon=1e6, seed=4)
    expected = [[-0.5, -0.5], [0.5, 0.5]]
    np.testing.assert_allclose(found[found[:, 0].argsort()], expected, atol=0.01)
    np.testing.assert_array_equal(found, diffprivlib_kmeans(points, 2, epsilon=1e6, seed=4))


@needs_diffprivlib
def test_diffprivlib_adds_more_noise_for_a_smaller_epsilon() -> None:
    points = blobs()[::50]
    errors = [
        np.mean([nicv(points, diffprivlib_kmeans(points, 2, epsilon=e, seed=s)) for s in range(10)])
        for e in (0.01, 100.0)
    ]
    assert errors[0] > 3 * errors[1]


@needs_diffprivlib
def test_loading_diffprivlib_leaves_no_stand_in_for_its_forests_behind() -> None:
    diffprivlib_kmeans(blobs(), 2, epsilon=1.0, seed=1)
    forest = sys.modules.get("diffprivlib.models.forest")
    assert forest is None or forest.__spec__ is not None


def test_values_outside_the_cube_are_refused_before_diffprivlib_clips_them() -> None:
    with pytest.raises(UsageError, match=r"outside \[-1, 1\]"):
        diffprivlib_kmeans(np.array([[0.0], [1.5]]), 1, epsilon=1.0, seed=1)


def test_a_missing_diffprivlib_is_named_with_the_way_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if is_diffprivlib(name)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "diffprivlib", None)
    with pytest.raises(UsageError, match="diffprivlib") as caught:
        diffprivlib_kmeans(blobs(), 2, epsilon=1.0, seed=1)
    assert caught.value.remedy == "pip install 'fedseg[benchmarks]'"


def installed_as(models: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a package diffprivlib in place, whose forests ask for what scikit-learn lacks."""
    for name in [name for name in sys.modules if is_diffprivlib(name)]:
        monkeypatch.delitem(sys.modules, name)
    package = tmp_path / "diffprivlib"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("from diffprivlib import models\n")
    (package / "models" / "__init__.py").write_text(models)
    (package / "models" / "forest.py").write_text("from sklearn.tree._tree import LACKING\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.fixture
def forget_diffprivlib() -> Iterator[None]:
    """Leave loaded what was loaded before, and nothing else."""
    before = {name: module for name, module in sys.modules.items() if is_diffprivlib(name)}
    yield
    for name in [name for name in sys.modules if is_diffprivlib(name)]:
        del sys.modules[name]
    sys.modules.update(before)


@pytest.mark.usefixtures("forget_diffprivlib")
def test_kmeans_is_loaded_without_the_forests_where_they_ask_for_what_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed_as(
        "from diffprivlib.models.forest import RandomForestClassifier, DecisionTreeClassifier\n"
        "class KMeans:\n"
        "    def __init__(self, n_clusters, *, epsilon, bounds, random_state):\n"
        "        self.cluster_centers_ = [[n_clusters, epsilon], bounds, [random_state, 0]]\n"
        "    def fit(self, points):\n"
        "        return self\n",
        tmp_path,
        monkeypatch,
    )
    found = diffprivlib_kmeans(blobs(), 3, epsilon=0.5, seed=7)
    assert found.tolist() == [[3, 0.5], [-1, 1], [7, 0]]
    assert "diffprivlib.models.forest" not in sys.modules


@pytest.mark.usefixtures("forget_diffprivlib")
def test_a_diffprivlib_that_does_not_load_at_all_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed_as("from sklearn.cluster import LACKING_TOO\n", tmp_path, monkeypatch)
    with pytest.raises(UsageError, match=r"do not go together: .*LACKING_TOO"):
        diffprivlib_kmeans(blobs(), 2, epsilon=1.0, seed=1)
    assert "diffprivlib.models.forest" not in sys.modules
