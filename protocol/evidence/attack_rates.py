"""How often an attack succeeds, and how much of that the data are to blame for.

Formulas of Giomi, Boenisch, Wehmeyer and Tasnádi, "A Unified Framework for Quantifying Privacy
Risk in Synthetic Data" (PoPETs 2023), section 4: the success rate with Wilson's score interval
(Wilson 1927), and the risk, which is what an attack finds about customers in the data beyond what
it finds about customers outside of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, sqrt
from typing import Any, Final, Self

#: The normal quantile of an interval of 95 %.
Z_95: Final = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Rate:
    """A share with the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, successes: int, of: int) -> Self:
        """Wilson's score interval.

        >>> found = Rate.of(10, 20)
        >>> (round(found.low, 4), round(found.high, 4))
        (0.2993, 0.7007)
        """
        square = Z_95 * Z_95
        centre = (successes + square / 2.0) / (of + square)
        half = Z_95 / (of + square) * sqrt(successes * (of - successes) / of + square / 4.0)
        return cls(successes / of, max(0.0, centre - half), min(1.0, centre + half))

    @staticmethod
    def largest_advantage(epsilon: float, delta: float) -> float:
        """The largest advantage of any attack (Kairouz, Oh and Viswanath 2015).

        >>> round(Rate.largest_advantage(1.0, 0.0), 4)
        0.4621
        """
        return (exp(epsilon) - 1.0 + 2.0 * delta) / (exp(epsilon) + 1.0)

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {name: f"{getattr(self, name):.6f}" for name in ("value", "low", "high")}


def risk(successes: int, control: int, of: int) -> Rate:
    """``(rate - control) / (1 - control)``, its interval by propagation of both errors.

    Rates are the middles of Wilson's intervals, as in the paper; below 0 it is 0.

    Args:
        successes: Attacks that succeeded on customers in the data.
        control: The same on customers outside of them.
        of: How many attacks of each.
    """
    (rate, rate_error), (base, base_error) = _middle(successes, of), _middle(control, of)
    value = (rate - base) / (1.0 - base)
    error = sqrt(
        (rate_error / (1.0 - base)) ** 2 + ((rate - 1.0) / (1.0 - base) ** 2 * base_error) ** 2
    )
    return Rate(max(0.0, value), max(0.0, value - error), min(1.0, max(0.0, value + error)))


def _middle(successes: int, of: int) -> tuple[float, float]:
    found = Rate.of(successes, of)
    square = Z_95 * Z_95
    centre = (successes + square / 2.0) / (of + square)
    return centre, max(found.high - centre, centre - found.low)
