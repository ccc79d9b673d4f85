"""Privacy cost of queries: zero-concentrated differential privacy, in whole numbers.

Costs are counted in units of ``2^-60`` of rho and rounded up, so that everybody computes the
same total. Adding Gaussian noise of variance ``v`` to a sum that one customer changes by at most
``D`` in L2 norm costs ``rho = D^2 / (2 v)`` (Bun and Steinke 2016; for discrete Gaussians Canonne,
Kamath and Steinke 2020). A sum of discrete Gaussian shares is not exactly one discrete Gaussian;
what that costs is in the rounding (Kairouz, Liu and Steinke 2021, see `query_cost`). Rho is
converted to epsilon by `dp_accounting`, whose bound holds for vectors and for adaptive queries.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import cache
from typing import Final

from protocol.errors import LocalProtocolError
from protocol.privacy.mechanisms import MIN_SHARE_VARIANCE

RHO_BITS: Final = 60
#: One rho, in units of cost.
RHO_ONE: Final = 1 << RHO_BITS
#: Decimals of a rho as agreements write it.
RHO_DECIMALS: Final = 9
_HALVINGS: Final = 60


def query_cost(*, sensitivity_squared: int, share_variance: int, honest: int) -> int:
    """Cost of one answer to a query, in units of ``2^-60`` of rho.

    Args:
        sensitivity_squared: Square of the most by which one customer changes the sum, in L2 norm,
            times the square of the most partners that a person is a customer of; in squared units.
        share_variance: Variance of one partner's noise, squared units, at least 9.
        honest: Number of shares that are relied on: the participant set's size less ``t``.

    Returns:
        ``ceil(2^60 * D^2 / (2 * share_variance * honest)) + 1``. The one is for the sum of
        ``honest`` shares not being exactly a discrete Gaussian: with a share's sigma of at least
        3 that adds ``tau * length / 4`` to rho with ``tau < 1e-35``, which is below 1e-30 for any
        vector that an agreement allows (Kairouz et al., 2021, theorem 1).

    >>> query_cost(sensitivity_squared=2, share_variance=25, honest=4) == RHO_ONE // 100 + 2
    True
    """
    if share_variance < MIN_SHARE_VARIANCE or honest < 1:
        raise LocalProtocolError(
            f"{honest} shares of variance {share_variance} are too little noise to count on"
        )
    return -(-(sensitivity_squared << RHO_BITS) // (2 * share_variance * honest)) + 1


def variance_for(*, sensitivity_squared: int, cost: int) -> int:
    """The variance with which a query costs at most `cost` (units of ``2^-60`` of rho)."""
    if cost < 2:
        raise LocalProtocolError(f"a query cannot cost {cost} units")
    return -(-(sensitivity_squared << RHO_BITS) // (2 * (cost - 1)))


def cost_of_rho(rho: Decimal) -> int:
    """A rho of at most nine decimals in units of cost, rounded down."""
    return int(rho.scaleb(RHO_DECIMALS)) * RHO_ONE // 10**RHO_DECIMALS


def rho_of_cost(cost: int) -> float:
    """Units of cost as rho."""
    return cost / RHO_ONE


@cache
def epsilon_of(cost: int, delta: float) -> float:
    """The epsilon of a cost (units of ``2^-60`` of rho) at `delta`; 0 for no cost."""
    if cost == 0:
        return 0.0
    from protocol.privacy.renyi import accountant_of_zcdp

    return float(accountant_of_zcdp(rho_of_cost(cost)).get_epsilon(delta))


@cache
def rho_for(epsilon: float, delta: float) -> Decimal:
    """The largest rho, with nine decimals, whose epsilon at `delta` is at most `epsilon`."""
    low, high = 0.0, max(1.0, 10.0 * epsilon)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        if epsilon_of(int(middle * RHO_ONE), delta) <= epsilon:
            low = middle
        else:
            high = middle
    step = Decimal(1).scaleb(-RHO_DECIMALS)
    return Decimal(low).quantize(step, rounding=ROUND_FLOOR)


def epsilon_text(epsilon: float) -> str:
    """An epsilon with three significant digits, rounded up.

    >>> [epsilon_text(e) for e in (0.0, 0.12345, 1.0, 1.00499, 12.0, 123.4)]
    ['0', '0.124', '1', '1.01', '12', '124']
    """
    if epsilon <= 0.0:
        return "0"
    shown = Decimal(epsilon)
    unit = Decimal(1).scaleb(shown.adjusted() - 2)
    # An excess that is only float rounding does not raise the last digit.
    up = (shown / unit - Decimal("0.000001")).to_integral_value(ROUND_CEILING) * unit
    return f"{up.normalize():f}"
