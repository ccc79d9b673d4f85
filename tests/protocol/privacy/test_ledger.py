"""What one run may cost, without a node; `tests/partner_node/test_ledger.py` has the rest."""

from __future__ import annotations

from decimal import Decimal

import pytest

from protocol.errors import RuleError
from protocol.privacy.accounting import rho_for
from protocol.privacy.ledger import Charge, check_within_run
from protocol.privacy.terms import PrivacyTerms

TERMS = PrivacyTerms(
    epsilon=Decimal(1),
    delta=Decimal("0.000001"),
    rho=rho_for(1.0, 1e-6),
    runs=3,
    spare_rounds=1,
    max_partners_per_customer=1,
)


def charge(number: int, cost: int) -> Charge:
    return Charge(
        run_id=bytes(16), round=number, context=number.to_bytes(32, "big"), asked="how many",
        sensitivity_squared=1, group=1, share_variance=1, honest=1, cost=cost,
    )  # fmt: skip


def test_a_run_may_use_up_its_spare_rounds_to_the_last_unit() -> None:
    asked, again = charge(1, TERMS.run_cost), charge(2, TERMS.reserve - TERMS.run_cost)
    check_within_run(TERMS, [asked], again, cost=TERMS.run_cost)
    with pytest.raises(RuleError, match="E-BUDGET-RUN"):
        check_within_run(TERMS, [asked, again], charge(3, 1), cost=TERMS.run_cost)
    check_within_run(TERMS, [asked, again], again, cost=TERMS.run_cost)
