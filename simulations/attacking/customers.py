"""Generated customers: those in the data, and as many of the same kind outside of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from protocol.clustering.plane import GRID
from protocol.scaling import FloatMatrix

#: How far customers of one kind lie apart, in the cube's halves.
SPREAD: Final = 0.15
WORDS: Final = (
    "Generated customers, no real ones: in each run as many kinds as segments are asked for, at "
    "places drawn between -0.5 and 0.5 of each feature's range of -1 to 1, and customers about "
    "them with a standard deviation of 0.15. As many of the same kinds are left out of the data; "
    "attacks on them are the control."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Customers of one run, each of shape ``(n_samples, n_features)``; grid coordinates."""

    inside: FloatMatrix
    outside: FloatMatrix


def drawn(seed: int, run: int, *, customers: int, n_features: int, n_clusters: int) -> Drawn:
    """The customers of a run, which seed and number decide."""
    generator = np.random.default_rng([seed, run])
    places = generator.uniform(-0.5, 0.5, (n_clusters, n_features))
    kinds = generator.integers(0, n_clusters, 2 * customers)
    rows = places[kinds] + generator.normal(0.0, SPREAD, (2 * customers, n_features))
    grid = np.rint(np.clip(rows, -1.0, 1.0) * GRID)
    return Drawn(inside=grid[:customers], outside=grid[customers:])
