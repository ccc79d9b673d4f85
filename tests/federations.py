"""Federations for tests that do not care who the customers are."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulations.federation import FeatureTerms, Federation


def small_federation(
    *values: float, feature: str = "visits", highest: str = "10", **terms: Any
) -> Federation:
    """Three partners, each with a customer for each of the values of one feature.

    Args:
        values: One customer has the value 1 when none are given.
        terms: Of `Federation`. There is one cluster when they name no number.
    """
    customers = np.array(values or (1.0,))[:, np.newaxis]
    features = [FeatureTerms(name=feature, min="0", max=highest)]
    return Federation([customers] * 3, features, **{"n_clusters": 1, **terms})
