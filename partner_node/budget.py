"""A node's privacy budget and its ledger, as JSON values and in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from machine.tables import Table
from protocol.agreement.document import Agreement
from protocol.clustering.plan import most_cost
from protocol.errors import RuleError, StoreError
from protocol.messages import round_number
from protocol.percents import whole_percent_words
from protocol.privacy.accounting import epsilon_text, rho_of_cost
from protocol.privacy.ledger import CARRIED, Charge, runs_left, spent_of, total_cost
from protocol.privacy.terms import PrivacyTerms
from protocol.privacy.words import counted, fuel, meaning


def terms_of(agreement: Agreement) -> PrivacyTerms:
    """The agreement's privacy terms; raises RuleError when it is about exact totals."""
    if agreement.privacy is None:
        raise RuleError(
            f"agreement {agreement.id} is about exact totals: there is no budget, and nothing "
            "limits what its runs show of a customer",
            code="E-NO-BUDGET",
            remedy="agree on an epsilon: `fedseg-coordinator agreement draft` proposes one",
        )
    return agreement.privacy


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldExactly:
    """What this node told under one agreement on exact totals, which no budget limits.

    Attributes:
        agreement: Its id; an earlier version may have had that of one with noise.
        runs: How many runs this node answered, each a question or more.
    """

    agreement: str
    version: int
    runs: int

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {"agreement": self.agreement, "version": self.version, "runs": self.runs}

    @property
    def words(self) -> str:
        """It for people, as part of a sentence."""
        runs = counted(self.runs, "run")
        return f"{runs} under agreement {self.agreement}, version {self.version}"


def told_exactly(answered: Iterable[tuple[Agreement, int]]) -> list[ToldExactly]:
    """What was told under agreements on exact totals.

    Args:
        answered: Agreements with how many runs under them were answered.
    """
    return [
        ToldExactly(agreement=agreement.id, version=agreement.version, runs=runs)
        for agreement, runs in answered
        if agreement.privacy is None
    ]


def exact_words(exact: Sequence[ToldExactly]) -> list[str]:
    """That exact totals were told, too, which no epsilon counts."""
    if not exact:
        return []
    return [
        f"Exact totals were told in {', '.join(told.words for told in exact)}. No epsilon counts "
        "them: the coordinator and every partner can compute single customers' values from them."
    ]


def _spent(agreement: Agreement, charges: Sequence[Charge]) -> int:
    colluding = agreement.secure_sum.max_colluding
    return spent_of(charges, terms_of(agreement), colluding=colluding)


def budget_values(
    agreement: Agreement,
    charges: Sequence[Charge],
    others: Mapping[str, int],
    exact: Sequence[ToldExactly] = (),
) -> dict[str, Any]:
    """The budget as JSON values.

    Args:
        others: Charges under other agreements, by the agreements' ids.
        exact: What was told without noise.
    """
    terms = terms_of(agreement)
    spent = _spent(agreement, charges)
    return {
        **agreement.named(),
        "unit": terms.unit,
        "delta": float(terms.delta),
        "runs_left": runs_left(terms, spent=spent),
        "follow_ups_left": _follow_ups_left(agreement, spent),
        "epsilon_spent": terms.epsilon_of(spent),
        "epsilon_budget": terms.epsilon_of(terms.budget),
        "epsilon_run": float(terms.epsilon),
        "rho_spent": rho_of_cost(spent),
        "rho_budget": rho_of_cost(terms.budget),
        "charges": [charge_values(charge) for charge in charges],
        "other_agreements": {name: rho_of_cost(cost) for name, cost in others.items()},
        "told_exactly": [told.to_dict() for told in exact],
    }


def charge_values(charge: Charge) -> dict[str, Any]:
    """One charge as JSON values; whole numbers beyond 2^53 as text."""
    return {
        "run_id": charge.run_id.hex(),
        "round": round_number(charge.round),
        "asked": charge.asked,
        "sensitivity_squared": str(charge.sensitivity_squared),
        "max_partners_per_customer": charge.group,
        "share_variance": str(charge.share_variance),
        "honest_shares": charge.honest,
        "colluding": charge.colluding,
        "rho": charge.rho,
        "upper_bound": charge.is_bound,
    }


def bound_words(charges: Sequence[Charge]) -> list[str]:
    """That runs which are not on record here were charged with the most that they may have cost."""
    bounds = [charge for charge in charges if charge.is_bound]
    if not bounds:
        return []
    anew = ", or made anew" if any(charge.asked == CARRIED for charge in bounds) else ""
    return [
        f"Of what is spent, a rho of {rho_of_cost(total_cost(bounds)):.3g} is an upper bound, for "
        f"{counted(len(bounds), 'run')} not on record here, since the node was put back from a "
        f"backup{anew}: what was asked then is not known, and the most that it may have cost is "
        "charged."
    ]


def budget_words(
    agreement: Agreement,
    charges: Sequence[Charge],
    others: Mapping[str, int],
    exact: Sequence[ToldExactly] = (),
) -> list[object]:
    """The budget for people: what is left, what it means, and every charge."""
    terms = terms_of(agreement)
    spent = _spent(agreement, charges)
    table = Table("run", "round", "asked", "rho", title="Charges, oldest first")
    for charge in charges:
        table.add_row(
            charge.run_id.hex()[:8],
            str(round_number(charge.round)),
            charge.asked,
            f"{charge.rho:.3g}",
        )
    return [
        f"Agreement {agreement.id}: {fuel(terms, spent=spent)}, for {terms.unit}.",
        *bound_words(charges),
        *_follow_up_words(agreement, spent),
        *([table] if charges else ["Nothing is charged yet."]),
        _meaning_words(terms, spent, exact),
        *exact_words(exact),
        *(_others_words(terms, spent, others)),
    ]


def _meaning_words(terms: PrivacyTerms, spent: int, exact: Sequence[ToldExactly]) -> str:
    if exact and not spent:
        return "Nothing has been told with noise yet."
    words = meaning(terms.epsilon_of(spent), float(terms.delta), terms.unit)
    if exact:
        return f"Spent so far means, of what was told with noise alone: {words}"
    return f"Spent so far means: {words}"


def _follow_ups_left(agreement: Agreement, spent: int) -> int | None:
    """How many runs are left if all follow the last release; None where each starts anew."""
    if agreement.plan.start:
        return None
    cost = most_cost(agreement, follows=True)
    return runs_left(terms_of(agreement), spent=spent, cost=cost)


def _follow_up_words(agreement: Agreement, spent: int) -> list[str]:
    left = _follow_ups_left(agreement, spent)
    if left is None:
        return []
    part = most_cost(agreement, follows=True) / most_cost(agreement, follows=False)
    return [
        f"A run that follows the last release costs {whole_percent_words(part)} of one that starts "
        f"anew: {counted(left, 'run')} left if all of them do."
    ]


def _others_words(terms: PrivacyTerms, spent: int, others: Mapping[str, int]) -> list[str]:
    if not others:
        return []
    listed = ", ".join(f"{name} (rho {rho_of_cost(cost):.3g})" for name, cost in others.items())
    total = terms.epsilon_of(spent + sum(others.values()))
    return [
        f"Other agreements of this node have budgets of their own: {listed}. For a customer who "
        f"was counted under all of them that is epsilon {epsilon_text(total)} together, at delta "
        f"{float(terms.delta):.0e}."
    ]


def forecast_values(
    agreement: Agreement, charges: Sequence[Charge], exact: Sequence[ToldExactly] = ()
) -> dict[str, Any]:
    """Forecast of the budget, run by run, as JSON values."""
    terms = terms_of(agreement)
    spent = _spent(agreement, charges)
    left = runs_left(terms, spent=spent)
    return {
        **agreement.named(),
        "runs_left": left,
        "follow_ups_left": _follow_ups_left(agreement, spent),
        "reserved_spare_rounds": terms.spare_rounds,
        "epsilon_after": [
            terms.epsilon_of(spent + number * terms.run_cost) for number in range(left + 1)
        ],
        "delta": float(terms.delta),
        "told_exactly": [told.to_dict() for told in exact],
    }


def forecast_words(
    agreement: Agreement, charges: Sequence[Charge], exact: Sequence[ToldExactly] = ()
) -> list[object]:
    """Forecast of the budget, for people: of runs that start anew."""
    values = forecast_values(agreement, charges)
    terms = terms_of(agreement)
    table = Table(
        "after so many more runs", "epsilon in all", title="Forecast, of runs that start anew"
    )
    for number, epsilon in enumerate(values["epsilon_after"]):
        table.add_row(str(number), epsilon_text(epsilon))
    left, spare = values["runs_left"], terms.spare_rounds
    spent = _spent(agreement, charges)
    return [
        f"{counted(left, 'run')} left. Each costs a rho of {terms.rho} when no question is asked "
        f"again; {counted(spare, 'spare question')} reserved for all of them together.",
        *_follow_up_words(agreement, spent),
        *bound_words(charges),
        *exact_words(exact),
        table,
    ]


def recompute(charges: Sequence[Charge]) -> int:
    """Recompute each cost from the charge's other fields; returns the total.

    Raises:
        StoreError: A recorded cost differs from the recomputed one (E-LEDGER).
    """
    for number, charge in enumerate(charges, start=1):
        if charge.cost != charge.recomputed:
            raise StoreError(
                f"charge {number} (run {charge.run_id.hex()[:8]}, round "
                f"{round_number(charge.round)}) says rho {charge.rho:.6g}, computed anew it "
                f"is {rho_of_cost(charge.recomputed):.6g}",
                code="E-LEDGER",
                remedy="somebody changed node.db by hand: restore a backup and find out who",
            )
    return total_cost(charges)
