"""Privacy terms of an agreement: the budget of one customer, run by run."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Self

from protocol import limits
from protocol.privacy.accounting import cost_of_rho, epsilon_of
from protocol.schema import Part
from protocol.strict import Fields

#: The smallest positive decimal with nine places.
SMALLEST_DELTA: Final = Decimal("0.000000001")
LARGEST_DELTA: Final = Decimal("0.001")
SMALLEST_RHO: Final = Decimal("0.000001")
LARGEST_RHO: Final = Decimal(1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyTerms(Part):
    """Customer-level differential privacy, as agreed.

    The unit is one customer at one partner (added or removed); with `max_partners_per_customer`
    above 1 it is one customer at that many partners.

    Attributes:
        epsilon, delta: Guarantee of one run for one customer, when no round is asked again.
        rho: The same as zero-concentrated differential privacy: the most that a run may cost.
            Stated, so that everybody computes with the same number.
        runs: Number of such runs that every node's budget covers.
        spare_rounds: Questions that may be asked again, after a drop-out, in all runs together; a
            run begins only when the budget covers them too.
        max_partners_per_customer: The most partners that a person is a customer of.
    """

    epsilon: Decimal
    delta: Decimal
    rho: Decimal
    runs: int
    spare_rounds: int
    max_partners_per_customer: int

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        return cls(
            epsilon=fields.decimal("epsilon"),
            delta=fields.decimal("delta"),
            rho=fields.decimal("rho"),
            runs=fields.integer("runs", at_least=1, at_most=limits.MAX_RUNS),
            spare_rounds=fields.integer(
                "spare_rounds", at_least=0, at_most=limits.MAX_SPARE_ROUNDS
            ),
            max_partners_per_customer=fields.integer(
                "max_partners_per_customer", at_least=1, at_most=limits.MAX_PARTNERS_PER_CUSTOMER
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "epsilon": format(self.epsilon, "f"),
            "delta": format(self.delta, "f"),
            "rho": format(self.rho, "f"),
            "runs": self.runs,
            "spare_rounds": self.spare_rounds,
            "max_partners_per_customer": self.max_partners_per_customer,
        }

    @property
    def run_cost(self) -> int:
        """Largest cost of one run, in units of ``2^-60`` of rho."""
        return cost_of_rho(self.rho)

    @property
    def reserve(self) -> int:
        """Cost that must be left for a run that starts anew to begin."""
        return self.reserve_for(self.run_cost)

    def reserve_for(self, cost: int) -> int:
        """Cost that must be left for a run of `cost` to begin: the run and its spare rounds.

        No question of any plan gets more than half of a run's rho: one that would is refused
        (`protocol.clustering.finish`).
        """
        return cost + self.spare_rounds * -(-self.run_cost // 2)

    @property
    def budget(self) -> int:
        """Largest cost of all runs together for a customer, in the same units."""
        return (self.runs - 1) * self.run_cost + self.reserve

    def epsilon_of(self, cost: int) -> float:
        """The epsilon of a cost at the agreed delta."""
        return epsilon_of(cost, float(self.delta))

    @property
    def unit(self) -> str:
        """Whose data is protected, in words."""
        if self.max_partners_per_customer == 1:
            return "one customer at one partner"
        return f"one customer at up to {self.max_partners_per_customer} partners"
