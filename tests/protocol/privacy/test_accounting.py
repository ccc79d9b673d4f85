"""Costs are counted in whole numbers, never too low, and mean the epsilon that they say."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import exp, log, pi, sqrt

import pytest
from dp_accounting import GaussianDpEvent
from dp_accounting.pld import PLDAccountant
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from protocol.errors import LocalProtocolError
from protocol.privacy.accounting import (
    RHO_ONE,
    cost_of_rho,
    epsilon_of,
    query_cost,
    rho_for,
    variance_for,
)


@given(
    sensitivity_squared=st.integers(1, 1 << 70),
    share=st.integers(9, 1 << 90),
    honest=st.integers(1, 50),
)
@example(sensitivity_squared=18, share=9, honest=2)  # a whole number before the last one is added
def test_a_cost_is_never_below_the_true_one(
    sensitivity_squared: int, share: int, honest: int
) -> None:
    cost = query_cost(sensitivity_squared=sensitivity_squared, share_variance=share, honest=honest)
    exact = Fraction(sensitivity_squared * RHO_ONE, 2 * share * honest)
    # Sums of discrete Gaussians (Kairouz, Liu, Steinke 2021, theorem 1) for 10^5 entries.
    tau = 10 * sum(exp(-2 * pi**2 * 9 * k / (k + 1)) for k in range(1, honest))
    assert cost >= exact + Fraction(tau * 10**5 / 4) * RHO_ONE
    assert cost <= exact + 2


@given(sensitivity_squared=st.integers(1, 1 << 70), cost=st.integers(2, 1 << 64))
def test_the_variance_for_a_cost_keeps_to_it(sensitivity_squared: int, cost: int) -> None:
    variance = variance_for(sensitivity_squared=sensitivity_squared, cost=cost)
    assert Fraction(sensitivity_squared * RHO_ONE, 2 * variance) <= cost - 1
    if variance > 1:
        assert Fraction(sensitivity_squared * RHO_ONE, 2 * (variance - 1)) > cost - 1


def test_too_little_noise_is_no_noise_to_count_on() -> None:
    for share, honest in ((8, 3), (9, 0)):
        with pytest.raises(LocalProtocolError):
            query_cost(sensitivity_squared=1, share_variance=share, honest=honest)
    with pytest.raises(LocalProtocolError):
        variance_for(sensitivity_squared=1, cost=1)


def own_epsilon(rho: float, delta: float) -> float:
    """Written anew: the Rényi bound of zCDP, minimised (Canonne et al. 2020, corollary 13)."""

    def bound(alpha: float) -> float:
        return rho * alpha + log(1 / (alpha * delta)) / (alpha - 1) + log(1 - 1 / alpha)

    found = minimize_scalar(
        lambda x: bound(1 + exp(x)), bounds=(-5, 12), method="bounded", options={"xatol": 1e-10}
    )
    return float(found.fun)


@pytest.mark.parametrize("rho", [1e-4, 0.01, 0.0244, 0.5, 4.0])
@pytest.mark.parametrize("delta", [1e-9, 1e-6, 1e-3])
def test_epsilon_agrees_with_a_second_implementation(rho: float, delta: float) -> None:
    ours = epsilon_of(int(rho * RHO_ONE), delta)
    assert own_epsilon(rho, delta) <= ours * 1.0001 + 1e-9
    # The library tries a fixed list of orders, which costs a little where rho is tiny.
    assert ours <= 1.05 * own_epsilon(rho, delta) + 1e-6
    assert ours <= rho + 2 * sqrt(rho * log(1 / delta))


@pytest.mark.parametrize("epsilon", [0.1, 0.5, 1.0, 2.0, 8.0])
@pytest.mark.parametrize("delta", [1e-9, 1e-6, 1e-3])
def test_the_rho_for_an_epsilon_is_the_largest(epsilon: float, delta: float) -> None:
    rho = rho_for(epsilon, delta)
    assert epsilon_of(cost_of_rho(rho), delta) <= epsilon
    assert epsilon_of(cost_of_rho(rho + Decimal("0.000000002")), delta) > epsilon


def test_units_of_rho_are_whole_and_rounded_down() -> None:
    assert cost_of_rho(Decimal(1)) == RHO_ONE
    assert cost_of_rho(Decimal("0.5")) == RHO_ONE // 2
    assert cost_of_rho(Decimal("0.000000001")) == RHO_ONE // 10**9
    assert cost_of_rho(Decimal("123456.000000001")) == 123456 * RHO_ONE + RHO_ONE // 10**9
    assert epsilon_of(0, 1e-6) == 0.0


@pytest.mark.parametrize("rho", [0.0005, 0.006, 0.024])
@pytest.mark.parametrize("delta", [1e-6, 1e-4])
def test_privacy_loss_distributions_agree_within_their_known_slack(
    rho: float, delta: float
) -> None:
    """For votes, where one customer moves one number, the exact curve of the Gaussian is known.

    Privacy loss distributions give it (Koskela et al. 2020); zCDP is a bound for vectors and any
    adaptivity, and may be above it, by less than a quarter here, never below.
    """
    accountant = PLDAccountant()
    accountant.compose(GaussianDpEvent(sqrt(1 / (2 * rho))))
    exact = accountant.get_epsilon(delta)
    bound = epsilon_of(int(rho * RHO_ONE), delta)
    assert exact <= bound * 1.0001
    assert bound < 1.25 * exact
