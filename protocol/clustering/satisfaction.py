"""Decoding of the question about satisfaction. SPEC.md, 10.4."""

from __future__ import annotations

from math import ceil, sqrt
from typing import Final

import numpy as np

from protocol.clustering.result import Satisfaction
from protocol.noised_queries import ScoresQuery
from protocol.ring import UNIT, IntVector

#: Share of a run's rho that the question costs.
SATISFACTION_SHARE: Final = 0.03


def satisfaction_of(query: ScoresQuery, total: IntVector, *, variance: int) -> Satisfaction:
    """Decode a total into counts and means.

    Args:
        total: Shape ``(query.length,)``.
        variance: Of the noise in each of its entries.
    """
    table = total.reshape(query.n_clusters, 2).astype(np.float64)
    sigma = sqrt(float(variance)) / UNIT
    answered = table[:, 1] / UNIT
    # A mean over fewer answers than the noise, or than one customer, would be meaningless.
    among = np.maximum(answered, max(sigma, 1.0))
    means = np.clip(table[:, 0] / among, -float(UNIT), float(UNIT))
    # The count in the divisor has noise, too; its effect grows with the mean's size.
    far = means / UNIT
    mean_sigmas = sigma * UNIT * np.sqrt(1.0 + far * far) / among
    return Satisfaction(
        answered=np.maximum(np.rint(answered), 0).astype(np.int64),
        answered_sigmas=np.full(query.n_clusters, ceil(sigma), dtype=np.int64),
        means=np.rint(means).astype(np.int64),
        mean_sigmas=np.array([ceil(s) for s in mean_sigmas.tolist()], dtype=np.int64),
    )
