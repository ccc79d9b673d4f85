"""What shared segments are compared with: other ways to k centres of records in [-1, 1]^d.

These are not private; `simulations.fast_lloyd` is one that is.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans

from simulations.fast_lloyd import FloatMatrix


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
    return float(cdist(points, centroids, "sqeuclidean").min(axis=1).mean())


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
