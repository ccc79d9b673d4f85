"""Quantiles of a stream of values, within one percent, in little memory.

Values are counted in buckets whose edges grow by a constant factor, so that whatever the range, a
bucket's middle is within one percent of all its values (the idea of DDSketch, Masson et al. 2019).
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Final

import numpy as np
from numpy.typing import NDArray

_ACCURACY: Final = 0.01
_LOG_FACTOR: Final = math.log((1 + _ACCURACY) / (1 - _ACCURACY))
#: Values nearer to zero count as zero.
_SMALLEST: Final = 1e-12


class Quantiles:
    """Counts values in buckets; memory does not grow with their number.

    >>> found = Quantiles()
    >>> found.add(np.arange(1.0, 1002.0))
    >>> abs(found.at(0.5) - 501) < 6
    True
    """

    def __init__(self) -> None:
        self._buckets: Counter[tuple[int, int]] = Counter()  # by sign and exponent
        self._n_values = 0

    def add(self, values: NDArray[np.float64]) -> None:
        """Count finite values, shape ``(n,)``."""
        self._n_values += len(values)
        signs = np.where(np.abs(values) < _SMALLEST, 0, np.sign(values)).astype(np.int64)
        for sign in (-1, 0, 1):
            sizes = np.abs(values[signs == sign])
            if sign == 0:
                self._buckets[0, 0] += len(sizes)
                continue
            exponents = np.ceil(np.log(sizes) / _LOG_FACTOR).astype(np.int64)
            for exponent, count in zip(*np.unique(exponents, return_counts=True), strict=True):
                self._buckets[sign, int(exponent)] += int(count)

    def at(self, share: float) -> float:
        """The value that `share` of all values do not exceed; 0 without values."""
        rank = share * (self._n_values - 1)
        seen = 0
        last = 0.0
        for sign, exponent in sorted(self._buckets, key=lambda b: (b[0], b[0] * b[1])):
            seen += self._buckets[sign, exponent]
            last = _middle(sign, exponent)
            if seen > rank:
                break
        return last


def _middle(sign: int, exponent: int) -> float:
    if sign == 0:
        return 0.0
    logarithm = exponent * _LOG_FACTOR - math.log((1 + math.exp(_LOG_FACTOR)) / 2)
    return sign * math.exp(min(logarithm, math.log(1.7976931348623157e308)))
