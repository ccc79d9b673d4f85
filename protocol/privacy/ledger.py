"""Privacy charges for a node's answers. Pure: the node keeps the charges on disk.

A charge is made before a row is read and is never refunded; a context is charged once, since the
same question gets the same bytes again. The node's own ledger decides, never the coordinator's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from protocol.errors import LocalProtocolError, RuleError
from protocol.privacy.accounting import cost_of_rho, epsilon_text, query_cost, rho_of_cost
from protocol.privacy.mechanisms import share_variance
from protocol.privacy.terms import PrivacyTerms
from protocol.sum_query import SumQuery

#: What is said in place of a question for a run that is not on record.
_UNKNOWN: Final = (
    "an upper bound: this run is not on record here, since the node was put back from a backup, so "
    "the node cannot know what it asked; as much as a run that starts anew and all spare rounds"
)
_STATED: Final = (
    "an upper bound: this run is not on record here, since the node was put back from a backup; as "
    "much as the run's release, which this node signed, says that it cost at most"
)
#: The same for one of an earlier node, which a person charged.
CARRIED: Final = (
    "an upper bound: a run of an earlier node, which was charged by hand; as much as a run that "
    "starts anew and all spare rounds"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One answer's cost, with everything that it is computed from.

    Attributes:
        run_id: 16 bytes.
        context: The round's context, 32 bytes; names the answer.
        asked: What was asked, in words.
        sensitivity_squared: Of one customer at one partner.
        group: The most partners that a person is a customer of.
        share_variance: Variance of this partner's share of the noise.
        honest: Number of such shares that are relied on; 0 for a run that is not on record.
        colluding: Number of partners' shares that are not; 0 where that is not on record.
        cost: In units of 2^-60 of rho.
    """

    run_id: bytes
    round: int
    context: bytes
    asked: str
    sensitivity_squared: int
    group: int
    share_variance: int
    honest: int
    cost: int
    colluding: int = 0

    @staticmethod
    def of(
        query: SumQuery,
        terms: PrivacyTerms,
        *,
        run_id: bytes,
        round: int,
        context: bytes,
        partners: int,
        colluding: int,
    ) -> Charge:
        """The charge for answering `query` under a set of `partners`.

        Raises:
            LocalProtocolError: The query has no noise: no budget covers that.
        """
        if query.variance < 1:
            raise LocalProtocolError("a question without noise is asked under a privacy budget")
        share = share_variance(query.variance, partners=partners, colluding=colluding)
        group, honest = terms.max_partners_per_customer, partners - colluding
        return Charge(
            run_id=run_id,
            round=round,
            context=context,
            asked=query.words,
            sensitivity_squared=query.sensitivity_squared,
            group=group,
            share_variance=share,
            honest=honest,
            colluding=colluding,
            cost=query_cost(
                sensitivity_squared=query.sensitivity_squared * group * group,
                share_variance=share,
                honest=honest,
            ),
        )

    @staticmethod
    def unrecorded(run_hash: bytes, terms: PrivacyTerms, *, stated: Decimal | None) -> Charge:
        """The most that a run may have cost of which the node has no record.

        The signed chain names the node in it: its state was restored from a backup.

        Args:
            stated: The rho that the run's release states, if the node signed that release; else
                it cannot know what the run asked, and all that it may have asked is charged: a run
                that starts anew, with all spare rounds.
        """
        most = terms.reserve
        return Charge(
            run_id=run_hash[:16],
            round=0,
            context=run_hash,
            asked=_UNKNOWN if stated is None else _STATED,
            sensitivity_squared=0,
            group=terms.max_partners_per_customer,
            share_variance=0,
            honest=0,
            cost=most if stated is None else min(most, cost_of_rho(stated)),
        )

    @staticmethod
    def carried(context: bytes, terms: PrivacyTerms) -> Charge:
        """The most that a run of an earlier node may have cost, as a person charges it.

        Args:
            context: 32 random bytes, as nobody knows the run's.
        """
        return replace(Charge.unrecorded(context, terms, stated=None), asked=CARRIED)

    @property
    def is_bound(self) -> bool:
        """Whether it is the most that a run may have cost which is not on record."""
        return self.honest == 0

    @property
    def recomputed(self) -> int:
        """The cost, recomputed from the other fields; of a run not on record, as charged."""
        return self._computed(self.group, self.honest)

    def under(self, *, group: int, colluding: int) -> int:
        """The cost for another group size and number of colluders; never less than was charged.

        Args:
            group: The most partners that a person may be with.
            colluding: Partners whose shares may not be counted on.
        """
        honest = min(self.honest, max(self.honest + self.colluding - colluding, 1))
        if group <= self.group and honest == self.honest:
            return self.cost
        return max(self.cost, self._computed(max(group, self.group), honest))

    def _computed(self, group: int, honest: int) -> int:
        if self.is_bound:
            return -(-self.cost * group * group // (self.group * self.group))
        return query_cost(
            sensitivity_squared=self.sensitivity_squared * group * group,
            share_variance=self.share_variance,
            honest=honest,
        )

    @property
    def rho(self) -> float:
        """The cost as rho."""
        return rho_of_cost(self.cost)


def total_cost(charges: Iterable[Charge]) -> int:
    """Sum of all costs, in units of ``2^-60`` of rho."""
    return sum(charge.cost for charge in charges)


def spent_of(charges: Iterable[Charge], terms: PrivacyTerms, *, colluding: int) -> int:
    """Sum of charges made under any version of an agreement, recomputed for its present terms.

    Args:
        colluding: Partners that may collude now.
    """
    group = terms.max_partners_per_customer
    return sum(charge.under(group=group, colluding=colluding) for charge in charges)


def check_within_run(
    terms: PrivacyTerms, own: Iterable[Charge], more: Charge, *, cost: int
) -> None:
    """Refuse a charge that takes its run beyond its cost with the agreed spare rounds.

    Args:
        cost: What the run costs at most when nothing is asked again.
        own: What the run was charged so far.
        more: Cost about to be charged; 0 when its context was charged already.

    Raises:
        RuleError: E-BUDGET-RUN.
    """
    before = list(own)
    if any(charge.context == more.context for charge in before):
        return
    if total_cost(before) + more.cost > terms.reserve_for(cost):
        raise RuleError(
            f"this run has asked again more often than the agreed {terms.spare_rounds} times",
            code="E-BUDGET-RUN",
            remedy="start a new run; agree on more spare_rounds when partners often drop out",
        )


def check_affordable(terms: PrivacyTerms, *, spent: int, more: int) -> None:
    """Refuse a charge that exceeds what is left of the budget.

    Args:
        spent: Charged so far, in units of 2^-60 of rho.
        more: Cost about to be charged.

        Raises:
            RuleError: It would exceed the agreed budget (E-BUDGET-SPENT).
    """
    if spent + more > terms.budget:
        charged, budget = (epsilon_text(terms.epsilon_of(c)) for c in (spent, terms.budget))
        raise RuleError(
            f"the privacy budget is spent: epsilon {charged} of {budget} at delta {terms.delta} is "
            "charged, and this would go beyond",
            code="E-BUDGET-SPENT",
            remedy="`fedseg-node budget show` lists every charge; more needs a new agreement",
        )


def runs_left(terms: PrivacyTerms, *, spent: int, cost: int | None = None) -> int:
    """Number of runs that can still begin, if no more rounds are asked again.

    Args:
        cost: What each of them costs; that of a run that starts anew when left out.
    """
    each = terms.run_cost if cost is None else cost
    left, reserve = terms.budget - spent, terms.reserve_for(each)
    return 0 if left < reserve else 1 + (left - reserve) // each
