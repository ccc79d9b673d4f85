"""Exact discrete Gaussian noise from a keyed stream, in integer arithmetic only. SPEC.md, 10.

The sampler is that of Canonne, Kamath and Steinke ("The Discrete Gaussian for Differential
Privacy", NeurIPS 2020): a discrete Laplace proposal whose scale is a power of two, accepted with
probability ``exp(-(|y| - variance/t)^2 / (2 variance))``. Every decision is a comparison of whole
numbers, so the distribution is exact and the same stream gives the same noise on every platform.

Coins of probability ``exp(-x)`` are tossed for whole arrays at once. A uniform number ``u`` is
compared with ``x/k`` by its first 56 bits; in the one case of 2^56 in which they are equal, the
rest of ``u`` is compared with the rest of ``x``, as whole numbers of any size.
"""

from __future__ import annotations

from math import isqrt
from typing import Final

import numpy as np
import numpy.typing as npt

from protocol.errors import LocalProtocolError
from protocol.masking import Stream
from protocol.ring import IntVector

#: Smallest variance of one partner's share, in units squared (sigma of 3 units). Then the sum of
#: shares differs from one discrete Gaussian by less than 1e-37 (`protocol.privacy.accounting`).
MIN_SHARE_VARIANCE: Final = 9
#: Largest: its proposal, a few times wider, still fits into 63 bits with room to spare.
MAX_SHARE_VARIANCE: Final = 1 << 104

#: Bits of a probability that are compared at first.
_BITS: Final = 56
_MOST_TOSSES: Final = 100

_Mask = npt.NDArray[np.bool_]


def share_variance(variance: int, *, partners: int, colluding: int) -> int:
    """Variance of one partner's share of the noise.

    Args:
        variance: Variance that the total must have although `colluding` partners add none.
        partners: Members of the participant set.
        colluding: ``t``, below `partners`.

    Returns:
        ``ceil(variance / (partners - colluding))``, at least `MIN_SHARE_VARIANCE`.

    >>> share_variance(100, partners=5, colluding=1)
    25
    """
    if not 0 <= colluding < partners:
        raise LocalProtocolError(f"{colluding} of {partners} partners cannot be left out")
    return max(MIN_SHARE_VARIANCE, -(-variance // (partners - colluding)))


def total_variance(variance: int, *, partners: int, colluding: int) -> int:
    """Variance of the noise in a total to which every partner added its share; 0 for 0."""
    if not variance:
        return 0
    return partners * share_variance(variance, partners=partners, colluding=colluding)


def discrete_gaussian(stream: Stream, *, variance: int, count: int) -> IntVector:
    """Independent samples of the discrete Gaussian with mean 0.

    ``P(x)`` is proportional to ``exp(-x^2 / (2 variance))`` over all integers.

    Args:
        stream: Where all randomness comes from.
        variance: The parameter ``sigma^2``, a whole number from 1 to `MAX_SHARE_VARIANCE`.
        count: How many.

    Returns:
        Shape ``(count,)``, dtype int64.

    Raises:
        LocalProtocolError: `variance` is out of range.
    """
    if not 1 <= variance <= MAX_SHARE_VARIANCE:
        raise LocalProtocolError(f"variance {variance} is not from 1 to 2^104")
    exponent = _scale_exponent(variance)
    found: list[IntVector] = []
    missing = count
    while missing > 0:
        proposed = _discrete_laplace(stream, exponent, missing + (missing >> 1) + 16)
        accepted = proposed[_accept(stream, proposed, exponent, variance)][:missing]
        found.append(accepted)
        missing -= accepted.shape[0]
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)


def _scale_exponent(variance: int) -> int:
    """The power of two nearest to sigma, as its exponent."""
    sigma = max(1, isqrt(variance))
    exponent = sigma.bit_length() - 1
    # 2^(exponent + 1) is nearer when sigma^2 is above their geometric mean's square.
    return exponent + (variance > 2 << 2 * exponent)


def _accept(stream: Stream, proposed: IntVector, exponent: int, variance: int) -> _Mask:
    """Which proposals are accepted: coins of ``exp(-(|y| t - variance)^2 / (2 variance t^2))``."""
    divisor = 2 * variance << 2 * exponent
    squares = [((abs(y) << exponent) - variance) ** 2 for y in proposed.tolist()]
    whole = np.array([s // divisor for s in squares], dtype=np.int64)
    rests = [s % divisor for s in squares]
    kept = _toss_whole(stream, whole)
    left = np.flatnonzero(kept)
    kept[left] = _toss_fraction(stream, [rests[i] for i in left.tolist()], divisor)
    return kept


def _discrete_laplace(stream: Stream, exponent: int, count: int) -> IntVector:
    """Samples of ``P(y)`` proportional to ``exp(-|y| / 2^exponent)``, at most `count`."""
    scale = 1 << exponent
    low = stream.below(scale, count).astype(np.int64)
    low = low[_toss_fraction(stream, low.tolist(), scale)]
    high = _geometric(stream, low.shape[0])
    size = low + (high << exponent)
    negative = stream.below(2, size.shape[0]) == 1
    signed = np.where(negative, -size, size)
    kept: IntVector = signed[~(negative & (size == 0))]
    return kept


def _geometric(stream: Stream, count: int) -> IntVector:
    """Numbers of successes of coins of ``exp(-1)`` before the first failure."""
    found = np.zeros(count, dtype=np.int64)
    running = np.arange(count)
    while running.size:
        running = running[_toss_one(stream, running.size)]
        found[running] += 1
    return found


def _toss_whole(stream: Stream, powers: IntVector) -> _Mask:
    """Coins of ``exp(-power)`` for whole powers."""
    up = np.ones(powers.shape[0], dtype=np.bool_)
    left = powers.copy()
    running = np.flatnonzero(left > 0)
    while running.size:
        came_up = _toss_one(stream, running.size)
        up[running[~came_up]] = False
        running = running[came_up]
        left[running] -= 1
        running = running[left[running] > 0]
    return up


def _toss_one(stream: Stream, count: int) -> _Mask:
    """Coins of ``exp(-1)``."""
    return _toss(stream, np.full(count, 1 << _BITS, dtype=np.uint64), None, 1)


def _toss_fraction(stream: Stream, numerators: list[int], divisor: int) -> _Mask:
    """Coins of ``exp(-numerator / divisor)``, each fraction from 0 to below 1."""
    scaled = [numerator << _BITS for numerator in numerators]
    first = np.array([s // divisor for s in scaled], dtype=np.uint64)
    return _toss(stream, first, [s % divisor for s in scaled], divisor)


def _toss(
    stream: Stream, first: npt.NDArray[np.uint64], rests: list[int] | None, divisor: int
) -> _Mask:
    """Coins of ``exp(-x)`` for x in 0 … 1 (von Neumann; Algorithm 1 of the paper).

    Coins of ``x``, ``x/2``, ``x/3``, … are tossed until the first that does not come up; the
    result is whether that was an odd one.

    Args:
        first: ``floor(x * 2^56)``, shape ``(n,)``.
        rests: ``x * 2^56 - first`` in units of ``1 / divisor``; None when all are 0.
    """
    odd = np.zeros(first.shape[0], dtype=np.bool_)
    running = np.arange(first.shape[0])
    for k in range(1, _MOST_TOSSES):
        if not running.size:
            return odd
        drawn = stream.below(k << _BITS, running.size)
        came_up = drawn < first[running]
        if rests is not None:
            for i in np.flatnonzero(drawn == first[running]).tolist():
                came_up[i] = _below(stream, divisor) < rests[int(running[i])]
        odd[running[~came_up]] = k % 2 == 1
        running = running[came_up]
    raise LocalProtocolError("a coin of probability below 1e-150 came up")


def _below(stream: Stream, bound: int) -> int:
    """A uniform number in 0 … bound-1 of any size."""
    words = -(-bound.bit_length() // 64)
    while True:
        number = 0
        for word in stream.words(words).tolist():
            number = number << 64 | word
        number &= (1 << bound.bit_length()) - 1
        if number < bound:
            return number
