"""What the question about satisfaction tells of a plan's clusters. SPEC.md, 10.4."""

from __future__ import annotations

from math import ceil, sqrt
from typing import Final

import numpy as np

from protocol.clustering.result import Satisfaction
from protocol.noised_queries import ScoresQuery
from protocol.ring import UNIT, IntVector

#: The part of a run's rho that the question costs.
SATISFACTION_SHARE: Final = 0.03


def satisfaction_of(query: ScoresQuery, total: IntVector, *, variance: int) -> Satisfaction:
    """Counts and means from a total.

    Args:
        total: Shape ``(query.length,)``.
        variance: Of the noise in each of its entries.
    """
    table = total.reshape(query.n_clusters, 2).astype(np.float64)
    sigma = sqrt(float(variance)) / UNIT
    answered = table[:, 1] / UNIT
    # Divided by less than the noise, or than one customer, a mean would tell nothing at all.
    among = np.maximum(answered, max(sigma, 1.0))
    means = np.clip(table[:, 0] / among, -float(UNIT), float(UNIT))
    # The count that it is divided by has noise, too, which counts as much as the mean is far out.
    far = means / UNIT
    mean_sigmas = sigma * UNIT * np.sqrt(1.0 + far * far) / among
    return Satisfaction(
        answered=np.maximum(np.rint(answered), 0).astype(np.int64),
        answered_sigmas=np.full(query.n_clusters, ceil(sigma), dtype=np.int64),
        means=np.rint(means).astype(np.int64),
        mean_sigmas=np.array([ceil(s) for s in mean_sigmas.tolist()], dtype=np.int64),
    )
