"""Privacy terms for simulations and benchmarks."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal
from math import log

from protocol.errors import UsageError
from protocol.privacy.accounting import rho_for
from protocol.privacy.terms import LARGEST_DELTA, SMALLEST_RHO, PrivacyTerms

_DECIMALS = Decimal("0.000000001")
_LARGEST_EPSILON = 100.0


def benchmark_terms(
    epsilon: float,
    delta: float | None,
    *,
    n_samples: int,
    runs: int = 1,
    spare_rounds: int = 0,
    max_partners_per_customer: int = 1,
) -> PrivacyTerms:
    """Terms of one run, or of more.

    Args:
        delta: ``1 / (n ln n)`` when None, as is usual in comparisons; an agreement states it.
        runs, spare_rounds, max_partners_per_customer: As in `PrivacyTerms`.

    Raises:
        UsageError: Out of range.
    """
    if not 0.0 < epsilon <= _LARGEST_EPSILON:
        raise UsageError(
            f"--epsilon {epsilon:g}: above 0 and at most {_LARGEST_EPSILON:g} are allowed",
            remedy="0.1 is strong, 1 usual, above 4 weak",
        )
    if delta is None:
        most = float(LARGEST_DELTA)
        delta = min(1.0 / (n_samples * log(n_samples)), most) if n_samples > 2 else most
    stated = (
        Decimal(repr(delta)).quantize(_DECIMALS, rounding=ROUND_FLOOR)
        if 0 < delta <= float(LARGEST_DELTA)
        else None
    )
    if not stated:
        raise UsageError(
            f"--delta {delta:g}: from 1e-9 to 0.001 are allowed",
            remedy="choose it well below one in the number of customers",
        )
    rho = rho_for(epsilon, float(stated))
    if rho < SMALLEST_RHO:
        raise UsageError(
            f"--epsilon {epsilon:g} at delta {float(stated):g} is too small: hardly anything could "
            "be asked",
            remedy="0.1 is strong, 1 usual",
        )
    return PrivacyTerms(
        epsilon=Decimal(f"{epsilon:.9f}"),
        delta=stated,
        rho=rho,
        runs=runs,
        spare_rounds=spare_rounds,
        max_partners_per_customer=max_partners_per_customer,
    )
