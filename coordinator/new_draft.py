"""The rules of a new agreement that nobody chose yet: `agreement draft` writes them.

Simulations keep the same rules where no option says otherwise, so that what they show is what a
deployed run under a new agreement would release. How many rounds there are is said beside the
plans' names (`protocol.agreement.plan_names`). Nothing that takes long is imported: help texts
name these rules.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from protocol.agreement.document import SecureSumTerms

MIN_CUSTOMERS_PER_PARTNER: Final = 100
MIN_SEGMENT_SIZE: Final = 50
RUNS: Final = 12
SPARE_ROUNDS: Final = 1
MAX_PARTNERS_PER_CUSTOMER: Final = 1
MAX_COLLUDING: Final = 1

_LEAST_DELTA, _MOST_DELTA = Decimal("0.000000001"), Decimal("0.00001")


def delta_for(customers: int) -> Decimal:
    """Delta of a new agreement: a power of ten well below one in the number of customers.

    Args:
        customers: All parties' row caps together.
    """
    return max(_LEAST_DELTA, min(_MOST_DELTA, Decimal(1).scaleb(-len(str(10 * customers)))))


def secure_sum_for(
    n_partners: int, *, exact: bool, max_colluding: int = MAX_COLLUDING
) -> SecureSumTerms:
    """The participant sets that a new agreement allows.

    Args:
        n_partners: How many parties there are so far.
        exact: Whether totals are exact.
    """
    from protocol.agreement.document import SecureSumTerms

    if exact:
        fewest = max(3, max_colluding + 2)
        return SecureSumTerms(
            min_partners=fewest, max_colluding=max_colluding, min_atom=fewest, max_set_changes=8
        )
    return SecureSumTerms(
        min_partners=max(2, min(3, n_partners), max_colluding + 1),
        max_colluding=max_colluding,
        min_atom=1,
        max_set_changes=100,
    )
