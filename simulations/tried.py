"""Several numbers of clusters tried on exact totals, and one of them told by a stated rule.

A run on exact totals has one number of clusters, which the partners agree on; a simulation tries
several so that they can. The silhouette is the simplified one, with a cluster's centre in place of
its customers (Hruschka, de Castro and Campello 2004).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from protocol.scaling import FloatMatrix

if TYPE_CHECKING:
    from simulations.cluster import ClusterTask
    from simulations.results import ClusterResult

RULE: Final = (
    "the best silhouette among the numbers at which every cluster would be released, or among all "
    "where there is none; the smaller number on a tie"
)
#: What the rule cannot say.
CAVEAT: Final = "A silhouette compares clusters and does not say whether there are groups at all"

_BLOCK_ROWS: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One number of clusters that was tried.

    Attributes:
        silhouette: From 0 to 1, more is better; None for less than two clusters with customers.
        smallest: Customers of the smallest cluster.
        withheld: How many clusters would be in no segment.
    """

    n_clusters: int
    inertia_mean: float
    silhouette: float | None
    smallest: int
    withheld: int
    rounds: int

    def to_dict(self) -> dict[str, Any]:
        """The values as JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def best_of(tasks: Sequence[ClusterTask], results: Sequence[ClusterResult]) -> ClusterResult:
    """The result that `RULE` chooses, with all that were tried; the only one as it is.

    Args:
        tasks: The same tables with one number of clusters each, by rising number.
        results: What each found, with one seed.
    """
    if len(results) == 1:
        return results[0]
    tried = tuple(
        Tried(
            n_clusters=result.n_clusters,
            inertia_mean=result.inertia_formed,
            silhouette=silhouette(task.cube, task.in_cube(result)),
            smallest=min(result.counts),
            withheld=result.withheld,
            rounds=result.rounds,
        )
        for task, result in zip(tasks, results, strict=True)
    )
    return replace(results[tried.index(chosen(tried))], tried=tried)


def chosen(tried: Sequence[Tried]) -> Tried:
    """The one that `RULE` chooses."""
    whole = [one for one in tried if not one.withheld and one.silhouette is not None]
    return max(
        whole or tried,
        key=lambda one: (-inf if one.silhouette is None else one.silhouette, -one.n_clusters),
    )


def silhouette(points: FloatMatrix, centres: FloatMatrix) -> float | None:
    """How much nearer customers are to their own centre than to the next, from 0 to 1.

    Args:
        points: Shape ``(n_samples, n_features)``.
        centres: Of clusters with customers, same units.

    Returns:
        The mean of ``1 - own / next``; None for fewer than two centres.

    >>> silhouette(np.array([[0.0], [1.0], [5.0]]), np.array([[0.0], [5.0]])) == (1 + 0.75 + 1) / 3
    True
    """
    if centres.shape[0] < 2:
        return None
    total = 0.0
    for start in range(0, points.shape[0], _BLOCK_ROWS):
        block = points[start : start + _BLOCK_ROWS]
        distances = np.linalg.norm(block[:, None, :] - centres[None, :, :], axis=2)
        own, following = np.partition(distances, 1, axis=1)[:, :2].T
        total += float((1.0 - own / np.where(following > 0, following, 1.0))[following > 0].sum())
    return total / max(1, len(points))
