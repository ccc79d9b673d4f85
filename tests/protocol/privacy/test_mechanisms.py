"""The noise has exactly the distribution that the accounting counts on."""

from __future__ import annotations

from fractions import Fraction
from math import exp, pi, sqrt

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from protocol.errors import LocalProtocolError
from protocol.masking import Stream
from protocol.privacy import mechanisms
from protocol.privacy.mechanisms import (
    MAX_SHARE_VARIANCE,
    MIN_SHARE_VARIANCE,
    discrete_gaussian,
    share_variance,
)


def stream(name: str) -> Stream:
    return Stream(name.encode().ljust(32, b"\0"))


def probabilities(variance: int, reach: int) -> np.ndarray:
    """Of -reach … reach."""
    weights = [exp(-(x * x) / (2 * variance)) for x in range(-reach, reach + 1)]
    total = sum(exp(-(x * x) / (2 * variance)) for x in range(-60 * reach, 60 * reach + 1))
    return np.array(weights) / total


def chi_square_p(samples: np.ndarray, variance: int) -> float:
    """Chance of so large a difference from the exact distribution, tails put together."""
    sigma = sqrt(variance)
    reach = max(1, int(3 * sigma))
    step = max(1, int(sigma / 8))
    exact = probabilities(variance, reach)
    edges = np.arange(-reach, reach + 2, step)
    edges[-1] = reach + 1
    inside = samples[(samples >= -reach) & (samples <= reach)]
    observed = np.append(np.histogram(inside, edges)[0], samples.size - inside.size)
    cumulated = np.concatenate([[0.0], np.cumsum(exact)])
    parts = np.diff(cumulated[edges + reach])
    expected = np.append(parts, 1.0 - parts.sum()) * samples.size
    kept = expected > 5
    statistic = ((observed - expected)[kept] ** 2 / expected[kept]).sum()
    return float(chi2.sf(statistic, kept.sum() - 1))


@pytest.mark.slow
@pytest.mark.parametrize("variance", [1, 2, 3, 9, 25, 100, 1_000, 12_345])
def test_samples_follow_the_exact_distribution(variance: int) -> None:
    samples = discrete_gaussian(stream(f"chi {variance}"), variance=variance, count=200_000)
    assert chi_square_p(samples, variance) > 1e-4
    assert chi_square_p(samples + 1, variance) < 1e-4 or variance > 5_000


def test_the_chi_square_test_notices_a_rounded_gaussian() -> None:
    rounded = np.rint(np.random.default_rng(1).normal(size=400_000)).astype(np.int64)
    assert chi_square_p(rounded, 1) < 1e-6


@pytest.mark.parametrize("variance", [1 << 40, 3 << 77, MAX_SHARE_VARIANCE])
def test_wide_noise_looks_like_a_gaussian(variance: int) -> None:
    samples = discrete_gaussian(stream("wide"), variance=variance, count=100_000) / sqrt(variance)
    edges = np.linspace(-3.0, 3.0, 31)
    density = np.exp(-(((edges[1:] + edges[:-1]) / 2) ** 2) / 2) / sqrt(2 * pi) * np.diff(edges)
    observed = np.histogram(samples, edges)[0] / samples.size
    assert np.abs(observed - density).max() < 0.004
    assert abs(samples.mean()) < 5 / sqrt(samples.size)
    assert abs(samples.var() - 1) < 0.03


@pytest.mark.slow
@pytest.mark.parametrize("bits", [1, 2, 5])
def test_the_rest_of_a_probability_counts_when_its_first_bits_are_equal(
    monkeypatch: pytest.MonkeyPatch, bits: int
) -> None:
    """With 56 bits that would never be seen; with few it decides every other coin."""
    monkeypatch.setattr(mechanisms, "_BITS", bits)
    samples = discrete_gaussian(stream(f"bits {bits}"), variance=27, count=100_000)
    assert chi_square_p(samples, 27) > 1e-4


@given(st.fractions(0, 1).filter(lambda x: x < 1 and x.denominator < 1_000))
@settings(max_examples=25, deadline=None)
def test_a_coin_comes_up_with_its_probability(x: Fraction) -> None:
    n = 40_000
    up = mechanisms._toss_fraction(stream(str(x)), [x.numerator] * n, x.denominator).mean()
    assert abs(up - exp(-x)) < 6 * sqrt(exp(-x) * (1 - exp(-x)) / n) + 1e-9


def test_the_same_stream_gives_the_same_noise() -> None:
    """A resent message is the same bytes, on any platform: the numbers are recorded here."""
    found = discrete_gaussian(Stream(bytes(32)), variance=10**6, count=6)
    assert found.tolist() == discrete_gaussian(Stream(bytes(32)), variance=10**6, count=6).tolist()
    assert found.tolist() == RECORDED
    other = discrete_gaussian(Stream(bytes(31) + b"\1"), variance=10**6, count=6)
    assert other.tolist() != found.tolist()


RECORDED = [173, 851, -937, -114, -1745, 65]


@pytest.mark.parametrize("count", [0, 1, 2, 1_000])
def test_as_many_samples_come_as_were_asked_for(count: int) -> None:
    samples = discrete_gaussian(stream("count"), variance=9, count=count)
    assert samples.shape == (count,)
    assert samples.dtype == np.int64


@pytest.mark.parametrize("variance", [0, -1, MAX_SHARE_VARIANCE + 1])
def test_a_variance_out_of_range_is_refused(variance: int) -> None:
    with pytest.raises(LocalProtocolError, match="variance"):
        discrete_gaussian(stream("x"), variance=variance, count=1)


@given(variance=st.integers(1, 1 << 90), partners=st.integers(2, 50), colluding=st.integers(0, 49))
@example(variance=1_000, partners=5, colluding=2)
def test_honest_shares_alone_give_the_agreed_variance(
    variance: int, partners: int, colluding: int
) -> None:
    if colluding >= partners:
        with pytest.raises(LocalProtocolError):
            share_variance(variance, partners=partners, colluding=colluding)
        return
    share = share_variance(variance, partners=partners, colluding=colluding)
    assert share * (partners - colluding) >= variance
    assert share >= MIN_SHARE_VARIANCE
    assert (share - 1) * (partners - colluding) < max(variance, MIN_SHARE_VARIANCE * partners)


def test_shares_of_the_honest_add_up_to_enough_noise() -> None:
    partners, colluding, variance = 5, 1, 10_000
    share = share_variance(variance, partners=partners, colluding=colluding)
    honest = sum(
        discrete_gaussian(stream(f"share {i}"), variance=share, count=50_000)
        for i in range(partners - colluding)
    )
    assert np.var(honest) > 0.97 * variance
    assert chi_square_p(np.asarray(honest), variance) > 1e-4
