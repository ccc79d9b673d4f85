"""Scaling of coordinates from their units to integers on the agreed grid, and back. SPEC.md, 4.

A value is clipped to the agreed bounds, transformed, scaled to [-weight, weight] and rounded to a
multiple of 2^-20. Integers are held in float64, where products and sums of this size are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from protocol.agreement.features import Coordinate
from protocol.ring import EXACT_FRACTION_BITS, IntVector

FloatMatrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureScale:
    """The agreed scaling of all coordinates.

    Attributes:
        lower, upper: Agreed bounds in input units, shape ``(n_coordinates,)``.
        logarithmic: Whether a coordinate is transformed by log(1 + x), shape ``(n_coordinates,)``.
        weights: Half-width of each coordinate's interval in the cube, shape ``(n_coordinates,)``.
        fraction_bits: Bits after the binary point.
    """

    lower: FloatMatrix
    upper: FloatMatrix
    logarithmic: npt.NDArray[np.bool_]
    weights: FloatMatrix
    fraction_bits: int = EXACT_FRACTION_BITS

    @staticmethod
    def of(coordinates: Sequence[Coordinate]) -> FeatureScale:
        """The scaling of an agreement's coordinates, in their order."""
        return FeatureScale(
            lower=np.array([float(f.min) for f in coordinates]),
            upper=np.array([float(f.max) for f in coordinates]),
            logarithmic=np.array([f.transform == "log1p" for f in coordinates]),
            weights=np.array([float(f.weight) for f in coordinates]),
        )

    @property
    def limit(self) -> IntVector:
        """Largest magnitude of a grid coordinate, shape ``(n_coordinates,)``."""
        return np.floor(self.weights * self._one).astype(np.int64)

    @property
    def _one(self) -> float:
        return float(1 << self.fraction_bits)

    def to_grid(self, values: FloatMatrix) -> FloatMatrix:
        """Scale customers' coordinates to the grid.

        Args:
            values: Shape ``(n_samples, n_coordinates)``, input units, finite.

        Returns:
            Same shape; integers held in float64, each within ± `limit`.
        """
        low, high = self._transformed_bounds()
        clipped = np.clip(values, self.lower, self.upper)
        if self.logarithmic.any():
            clipped[:, self.logarithmic] = np.log1p(clipped[:, self.logarithmic])
        clipped -= (low + high) / 2
        clipped *= self.weights * self._one / ((high - low) / 2)
        np.rint(clipped, out=clipped)
        limit = self.limit.astype(np.float64)
        return np.clip(clipped, -limit, limit, out=clipped)

    def from_grid(self, grid: npt.NDArray[np.int64]) -> FloatMatrix:
        """Scale grid coordinates, shape ``(n, n_coordinates)``, back to input units."""
        low, high = self._transformed_bounds()
        scaled = grid.astype(np.float64) / (self.weights * self._one)
        values = (low + high) / 2 + scaled * ((high - low) / 2)
        if self.logarithmic.any():
            values[:, self.logarithmic] = np.expm1(values[:, self.logarithmic])
        result: FloatMatrix = np.clip(values, self.lower, self.upper)
        return result

    def _transformed_bounds(self) -> tuple[FloatMatrix, FloatMatrix]:
        low = np.where(self.logarithmic, np.log1p(np.maximum(self.lower, 0)), self.lower)
        high = np.where(self.logarithmic, np.log1p(np.maximum(self.upper, 0)), self.upper)
        return low, high
