"""The number of customers that a node counts: eligible now, and not left out as agreed.

The node itself, `check`, `data check` and `consent status` all compare this number with the
agreement.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from partner_node.consent.gate import ConsentGate, Standing
from partner_node.customers.source_customers import SourceCustomers
from protocol.agreement.document import Agreement
from protocol.agreement.parties import Party
from protocol.errors import EncodingRangeError, RuleError, SourceError
from protocol.feature_values import coordinate_values


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """The customers that a node would count now.

    Attributes:
        standing: Number of eligible customers, and of the others by reason.
        customers: Number of customers that are counted.
    """

    standing: Standing
    customers: int

    @property
    def left_out(self) -> int:
        """Number of eligible customers that an agreed rule leaves out for a missing value."""
        return max(self.standing.counted[None] - self.customers, 0)


def count_now(
    customers: SourceCustomers, gate: ConsentGate, agreement: Agreement, now: datetime
) -> Count:
    """Count as a sum query would now.

    Values are read only where the agreement has a rule that leaves customers out.

    Args:
        customers: Everybody in the source, eligible or not.

        Raises:
            SourceError: From the source or the gate.
            RuleError: From the gate.
    """
    standing = gate.standing(customers.ids(), now)
    counted = standing.counted[None]
    if leaves_out(agreement):
        permitted = gate.snapshot(now)
        counted = sum(int(permitted.allowed(ids).sum()) for ids, _ in customers.identified())
    return Count(standing=standing, customers=counted)


def is_left_out(subject: str, customers: SourceCustomers, agreement: Agreement) -> bool:
    """Whether an agreed rule leaves one customer out for a missing value.

    Args:
        customers: Everybody in the source, eligible or not; read only where there is such a rule.
    """
    if not leaves_out(agreement):
        return False
    values = customers.values_of(subject)
    if values is None:
        return False
    counted, _ = coordinate_values(values[None, :], agreement.features)
    return not counted[0]


def leaves_out(agreement: Agreement) -> bool:
    """Whether the agreed rule of any feature leaves out customers without a value."""
    return any(f.missing is not None and f.missing.value is None for f in agreement.features)


def refuse_nobody(standing: Standing) -> None:
    """Refuse when nobody is eligible (E-NO-CONSENT): most often ids are written in two ways."""
    if not standing.counted[None]:
        raise RuleError(
            f"none of {standing.counted.total():,} customers may be counted now",
            code="E-NO-CONSENT",
            remedy="fedseg-node consent status says why, with --agreement FILE before one is in "
            "force; ids must be written alike, letter by letter, in the data and in the tables",
        )


def check_number(customers: int, agreement: Agreement, party: Party) -> None:
    """Refuse a number of counted customers that the agreement does not allow.

    Raises:
        SourceError: They are fewer than agreed (E-TOO-FEW).
        EncodingRangeError: They are more (E-ROW-CAP).
    """
    least = agreement.min_customers_per_partner
    if customers < least:
        raise SourceError(
            f"{customers:,} customers are counted now, the agreement needs {least:,} at each "
            "partner",
            code="E-TOO-FEW",
            remedy="fedseg-node consent status says what keeps the others out; or agree on a "
            "lower min_customers_per_partner",
        )
    if customers > party.max_customers:
        raise EncodingRangeError(
            f"{customers:,} customers are counted now, the agreement allows this partner "
            f"{party.max_customers:,}",
            code="E-ROW-CAP",
            remedy="agree on a higher max_customers, or narrow the feature query",
        )
