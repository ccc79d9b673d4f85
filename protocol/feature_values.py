"""Coordinates from a customer's values, one a feature; missing values by the agreed rule.

SPEC.md, 4.1. A level is given as its index among the agreed ones, any other text as `UNLISTED`, a
missing value as NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from protocol.agreement.features import Feature
from protocol.scaling import FloatMatrix

#: In place of a value that is not an agreed level.
UNLISTED: Final = -1.0
#: What people are shown in its place.
NO_LEVEL: Final = "none of the agreed levels"


def coordinate_values(
    values: FloatMatrix, features: Sequence[Feature]
) -> tuple[npt.NDArray[np.bool_], FloatMatrix]:
    """Select the customers that are counted and compute their coordinates, in input units.

    Args:
        values: Shape ``(n_samples, n_features)``; NaN and `UNLISTED` only where the
            feature has a rule for it.

    Returns:
        Whether each customer is counted, shape ``(n_samples,)``, and the coordinates of those that
        are, shape ``(n_counted, n_coordinates)``, finite.

    Raises:
        ValueError: A value is missing, or not an agreed level, and the feature has no rule for it.
    """
    counted = np.ones(values.shape[0], dtype=np.bool_)
    if all(f.kind.is_number and f.missing is None for f in features):
        _refuse(np.isnan(values).any(), "a value is missing without a rule")
        return counted, values
    columns = []
    for feature, column in zip(features, values.T, strict=True):
        absent = np.isnan(column)
        if absent.any():
            _refuse(feature.missing is None, "a value is missing without a rule")
            if feature.replacement is None:
                counted &= ~absent
            column = np.where(absent, feature.replacement or 0.0, column)
        if feature.levels:
            if feature.other is not None:
                column = np.where(column == UNLISTED, feature.levels.index(feature.other), column)
            places = np.arange(len(feature.levels), dtype=np.float64)
            _refuse(not np.isin(column, places).all(), "a value is no agreed level")
            if feature.kind.each_level:
                columns.append((column[:, None] == places).astype(np.float64))
                continue
        columns.append(column[:, None])
    return counted, np.hstack(columns)[counted]


def _refuse(wrong: bool | np.bool_, what: str) -> None:
    if wrong:
        raise ValueError(what)


def as_read(feature: Feature, value: float) -> float | str | None:
    """A value for display: a number, a level, `NO_LEVEL`, or None where it is missing."""
    if np.isnan(value):
        return None
    if not feature.levels:
        return float(value)
    return NO_LEVEL if value == UNLISTED else feature.levels[int(value)]


def as_counted(feature: Feature, value: float) -> float | str | None:
    """The value that is counted in its place, for display; None where the customer is left out."""
    if np.isnan(value):
        if feature.replacement is None:
            return None
        value = feature.replacement
    if value == UNLISTED and feature.levels:
        return feature.other
    if feature.levels:
        return feature.levels[int(value)]
    return float(np.clip(value, float(feature.min), float(feature.max)))
