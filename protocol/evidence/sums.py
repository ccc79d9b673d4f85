"""Facts of what protects one customer in a sum: masks, noise, and the fewest that are added."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from protocol.evidence.document import Value
from protocol.evidence.forms import text
from protocol.evidence.looking import Look
from protocol.privacy.accounting import epsilon_text
from protocol.privacy.terms import PrivacyTerms
from protocol.privacy.words import counted, meaning, statement
from protocol.release.document import EXACT_WORDS

#: What every node's code holds to, whatever is agreed.
NO_ROW: Final = (
    "No customer's row leaves a partner: each sends sums over its own customers, under masks that "
    "cancel only in the total."
)


def noise(look: Look) -> Value:
    """What one customer's privacy is worth in a run, and over all."""
    if look.maybe("privacy") == "none":
        said = look.clause("plan.exact_totals")
        return text(f"No noise: {EXACT_WORDS}. The agreement says of it: {said}.")
    terms = privacy_terms(look)
    epsilon, delta = terms.epsilon_of(terms.run_cost), float(terms.delta)
    total = terms.epsilon_of(terms.budget)
    return text(
        f"One run: {statement(epsilon, delta, terms.unit)}.",
        meaning(epsilon, delta, terms.unit),
        f"All {counted(terms.runs, 'run')} together: epsilon {epsilon_text(total)} at delta "
        f"{delta:.0e}; each node counts by itself and refuses beyond that.",
    )


def privacy_terms(look: Look) -> PrivacyTerms:
    """The agreed noise; raises Missing where totals are agreed to be exact."""
    return PrivacyTerms(
        epsilon=Decimal(look.clause("privacy.epsilon")),
        delta=Decimal(look.clause("privacy.delta")),
        rho=Decimal(look.clause("privacy.rho")),
        runs=int(look.clause("privacy.runs")),
        spare_rounds=int(look.clause("privacy.spare_rounds")),
        max_partners_per_customer=int(look.clause("privacy.max_partners_per_customer")),
    )


def small_groups(look: Look) -> Value:
    """What keeps few customers, and few partners, from being seen."""
    size = look.clause("min_segment_size")
    partners = look.clause("secure_sum.min_partners")
    colluding = look.clause("secure_sum.max_colluding")
    return text(
        f"Segments of fewer than {counted(size, 'customer')} are withheld. No total over fewer "
        f"than {partners} partners is formed. One partner's sums stay hidden although up to "
        f"{counted(colluding, 'partner')} may collude with the coordinator."
    )
