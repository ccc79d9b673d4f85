"""The agreement that `cluster` simulates: made of options with the rules of a new draft, or given.

Beside one that is given, an option may say the same, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coordinator import new_draft
from protocol.agreement.plan_names import (
    CHOOSING_PLAN,
    EXACT_PLAN,
    NOISED_PLAN_NAMES,
    USUAL_ROUNDS,
)
from protocol.errors import UsageError

if TYPE_CHECKING:
    from protocol.agreement.document import Agreement, PlanTerms

#: The plan that runs with --epsilon where none is named, and the others that need one.
USUAL_PLAN, *OTHER_PLANS = NOISED_PLAN_NAMES


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options that say what an agreement would say; None where one was left out."""

    partners: int | None
    k: int | None
    k_min: int | None
    plan: str | None
    epsilon: float | None
    delta: float | None
    profile: bool
    max_rounds: int | None
    min_segment_size: int | None
    min_customers: int | None
    spare_rounds: int | None
    partners_per_customer: int | None
    colluding: int | None

    def plan_terms(self) -> PlanTerms:
        """The plan that is asked for; raises UsageError when options do not go together."""
        if self.k is None:
            raise UsageError(
                "--k is missing: how many clusters to look for",
                remedy="give --k 8, with --k-min 3 to choose among several",
            )
        name = self._plan_name()
        if self.profile and self.epsilon is None:
            raise UsageError(
                "--profile needs --epsilon",
                remedy=f"{EXACT_PLAN} has no profile; try --epsilon 1",
            )
        for option, value in (
            ("--spare-rounds", self.spare_rounds),
            ("--partners-per-customer", self.partners_per_customer),
        ):
            if value is not None and self.epsilon is None:
                raise UsageError(
                    f"{option} {value} needs --epsilon",
                    remedy="it says what a budget is for; try --epsilon 1, or leave it out",
                )
        ranged = name in (CHOOSING_PLAN, EXACT_PLAN)
        if self.k_min is not None and (not ranged or self.k_min > self.k):
            raise UsageError(
                f"--k-min {self.k_min} with --k {self.k} and plan {name}",
                remedy=f"{CHOOSING_PLAN} chooses from --k-min up to --k, {EXACT_PLAN} tries each",
            )
        from protocol.agreement.document import PlanTerms

        return PlanTerms(
            name=name,
            n_clusters=self.k,
            n_clusters_min=self.k_min or self.k if name == CHOOSING_PLAN else self.k,
            max_rounds=self.max_rounds or USUAL_ROUNDS[name],
            profile=self.profile,
            exact_totals=name == EXACT_PLAN,
        )

    @property
    def tried(self) -> range:
        """The numbers of clusters that are tried one by one; empty where a plan chooses."""
        if self.epsilon is not None or self.k is None or self.k_min is None:
            return range(0)
        return range(self.k_min, self.k + 1)

    def _plan_name(self) -> str:
        if self.epsilon is None:
            if self.plan not in (None, EXACT_PLAN):
                raise UsageError(
                    f"--plan {self.plan} needs --epsilon",
                    remedy="--epsilon 1 is a usual choice; see docs/privacy.md",
                )
            if self.delta is not None:
                raise UsageError("--delta without --epsilon", remedy="give --epsilon too")
            return EXACT_PLAN
        if self.plan == EXACT_PLAN:
            raise UsageError(
                f"--plan {EXACT_PLAN} works on exact totals and takes no --epsilon",
                remedy=f"--plan {USUAL_PLAN}, or leave --epsilon out",
            )
        return self.plan or USUAL_PLAN


def asked_agreement(
    asked: Asked,
    plan: PlanTerms,
    features: Sequence[dict[str, Any]],
    *,
    n_samples: int,
    n_partners: int,
) -> Agreement:
    """The agreement of the options, in the rest a new draft.

    Args:
        plan: As `Asked.plan_terms` gives it.
        features: As an agreement has them.
        n_samples: Customers of all partners.

    Raises:
        UsageError: Epsilon or delta is out of range.
    """
    from simulations.agreement import numbered_agreement
    from simulations.privacy import benchmark_terms

    privacy: Any = "none"
    if asked.epsilon is not None:
        privacy = benchmark_terms(
            asked.epsilon,
            float(new_draft.delta_for(n_samples)) if asked.delta is None else asked.delta,
            n_samples=n_samples,
            runs=new_draft.RUNS,
            spare_rounds=_or(asked.spare_rounds, new_draft.SPARE_ROUNDS),
            max_partners_per_customer=_or(
                asked.partners_per_customer, new_draft.MAX_PARTNERS_PER_CUSTOMER
            ),
        ).to_dict()
    return numbered_agreement(
        [n_samples // n_partners] * n_partners,
        features,
        plan=plan.to_dict(),
        privacy=privacy,
        secure_sum=new_draft.secure_sum_for(
            n_partners,
            exact=asked.epsilon is None,
            max_colluding=_or(asked.colluding, new_draft.MAX_COLLUDING),
        ).to_dict(),
        min_customers_per_partner=_or(asked.min_customers, new_draft.MIN_CUSTOMERS_PER_PARTNER),
        min_segment_size=_or(asked.min_segment_size, new_draft.MIN_SEGMENT_SIZE),
    )


def refuse_contradictions(asked: Asked, agreement: Agreement, file: Path) -> None:
    """Refuse an option that says otherwise than an agreement (E-USAGE), naming both.

    Args:
        file: The agreement's.
    """
    plan, privacy, sets = agreement.plan, agreement.privacy, agreement.secure_sum
    for option, given, place, agreed in (
        ("--partners", asked.partners, "the number of parties", agreement.n_partners),
        ("--k", asked.k, "plan.n_clusters", plan.n_clusters),
        ("--k-min", asked.k_min, "plan.n_clusters_min", plan.n_clusters_min),
        ("--plan", asked.plan, "plan.name", plan.name),
        ("--max-rounds", asked.max_rounds, "plan.max_rounds", plan.max_rounds),
        ("--profile", asked.profile or None, "plan.profile", plan.profile),
        ("--epsilon", asked.epsilon, "privacy.epsilon", privacy and privacy.epsilon),
        ("--delta", asked.delta, "privacy.delta", privacy and privacy.delta),
        (
            "--spare-rounds",
            asked.spare_rounds,
            "privacy.spare_rounds",
            privacy and privacy.spare_rounds,
        ),
        (
            "--partners-per-customer",
            asked.partners_per_customer,
            "privacy.max_partners_per_customer",
            privacy and privacy.max_partners_per_customer,
        ),
        ("--colluding", asked.colluding, "secure_sum.max_colluding", sets.max_colluding),
        (
            "--min-customers",
            asked.min_customers,
            "min_customers_per_partner",
            agreement.min_customers_per_partner,
        ),
        (
            "--min-segment-size",
            asked.min_segment_size,
            "min_segment_size",
            agreement.min_segment_size,
        ),
    ):
        same = float(agreed) == given if isinstance(agreed, Decimal) else agreed == given
        if given is not None and not same:
            said = option if given is True else f"{option} {_plain(given)}"
            words = "none" if agreed is None or agreed is False else agreed
            raise UsageError(
                f"{said}, but in {file} {place} is {words}",
                remedy=f"leave {option} out, or change the agreement: it is simulated as it is",
            )


def _plain(given: object) -> object:
    """A number without exponent and without zeros at the end; all else as it is."""
    return f"{Decimal(repr(given)).normalize():f}" if isinstance(given, float) else given


def _or(given: int | None, usual: int) -> int:
    return usual if given is None else given
