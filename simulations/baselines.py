"""What shared segments are compared with: other ways to k centres of records in [-1, 1]^d.

`simulations.fast_lloyd` is one more. `diffprivlib_kmeans` is differentially private with a
curator who sees all records; `kmeans` and `one_cluster` are not private.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any, Final

import numpy as np
from sklearn.cluster import KMeans

from protocol.errors import UsageError
from simulations.cluster import mean_inertia
from simulations.fast_lloyd import FloatMatrix, require_cube

_FOREST: Final = "diffprivlib.models.forest"


def nicv(points: FloatMatrix, centroids: FloatMatrix) -> float:
    """Normalised intra-cluster variance: mean squared distance to the nearest centroid.

    Args:
        points: Shape ``(n_samples, n_features)``.
        centroids: Shape ``(n_clusters, n_features)``, same units.

    Returns:
        The inertia divided by ``n_samples``, in squared units of the points.

    >>> nicv(np.array([[0.0], [1.0], [4.0]]), np.array([[0.0], [3.0]]))
    0.6666666666666666
    """
    return mean_inertia(points, centroids)


def one_cluster(points: FloatMatrix) -> FloatMatrix:
    """The mean as the only centroid, without privacy: k clusters are of use if they beat it.

    Args:
        points: Shape ``(n_samples, n_features)``.

    Returns:
        Shape ``(1, n_features)``.
    """
    return np.asarray(points.mean(axis=0, keepdims=True), dtype=np.float64)


def kmeans(points: FloatMatrix, n_clusters: int, seed: int) -> FloatMatrix:
    """k-means without privacy: scikit-learn's, best of ten starts.

    Args:
        points: Shape ``(n_samples, n_features)``.
        n_clusters: Number of centroids, at most ``n_samples``.
        seed: Decides the starts.

    Returns:
        Shape ``(n_clusters, n_features)``.
    """
    model = KMeans(n_clusters=n_clusters, n_init=10, random_state=seed)
    return np.asarray(model.fit(points).cluster_centers_, dtype=np.float64)


def diffprivlib_kmeans(
    points: FloatMatrix, n_clusters: int, *, epsilon: float, seed: int
) -> FloatMatrix:
    """DPLloyd (Su et al., CODASPY 2016) with pure epsilon, as in IBM's diffprivlib.

    Args:
        points: Shape ``(n_samples, n_features)``, in [-1, 1].
        n_clusters: Number of centroids.
        epsilon: Privacy parameter, above 0; delta is 0.
        seed: Decides start and noise.

    Returns:
        Shape ``(n_clusters, n_features)``.

    Raises:
        UsageError: diffprivlib is not installed, or values lie outside the cube.
    """
    require_cube(points)
    model = _private_kmeans()(n_clusters, epsilon=epsilon, bounds=(-1.0, 1.0), random_state=seed)
    return np.asarray(model.fit(points).cluster_centers_, dtype=np.float64)


def _private_kmeans() -> Any:
    """The class `diffprivlib.models.KMeans`.

    diffprivlib 0.6.6 imports its forests along with its k-means, and they need internals that
    scikit-learn 1.9 no longer has. Where they do not load, k-means is loaded without them.
    """
    try:
        return importlib.import_module("diffprivlib.models").KMeans
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the baseline diffprivlib cannot be measured: {error}",
            remedy="pip install 'fedseg[benchmarks]'",
        ) from error
    except ImportError:
        stand_in = types.ModuleType(_FOREST)
        stand_in.__dict__.update(RandomForestClassifier=None, DecisionTreeClassifier=None)
        sys.modules[_FOREST] = stand_in
    try:
        return importlib.import_module("diffprivlib.models").KMeans
    except ImportError as error:
        raise UsageError(
            f"the installed diffprivlib and scikit-learn do not go together: {error}",
            remedy="pip install 'fedseg[benchmarks]'",
        ) from error
    finally:
        del sys.modules[_FOREST]
