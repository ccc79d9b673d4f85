"""What is attacked: defaults, or what an agreement promises of one run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from protocol.agreement.plan_names import CHOOSING_PLAN, EXACT_PLAN
from protocol.errors import UsageError
from protocol.privacy.accounting import cost_of_rho, rho_for
from simulations.attacking.seen import Setting

EPSILON: Final = 1.0
DELTA: Final = 1e-5
EXACT: Final = Setting(
    epsilon=None, delta=None, cost=0, group=1, customers=400, n_features=4, n_clusters=4,
    partners=5, colluding=1,
)  # fmt: skip
NOISED: Final = replace(
    EXACT, epsilon=EPSILON, delta=DELTA, cost=cost_of_rho(rho_for(EPSILON, DELTA))
)


def setting_of(plan: str, file: Path | None) -> Setting:
    """The setting of an agreement, or defaults.

    Raises:
        UsageError: The agreement's plan is another.
    """
    if file is None:
        return EXACT if plan == EXACT_PLAN else NOISED
    from coordinator.agreement_file import load_agreement

    agreed = load_agreement(file)
    if agreed.plan.name != plan:
        raise UsageError(
            f"--plan {plan}, but in {file} plan.name is {agreed.plan.name}",
            remedy=f"attacks are built for {CHOOSING_PLAN} and {EXACT_PLAN}; name the agreed one",
        )
    setting = replace(
        EXACT,
        n_features=max(2, len(agreed.coordinates)),
        n_clusters=agreed.plan.n_clusters,
        partners=agreed.n_partners,
        colluding=agreed.secure_sum.max_colluding,
    )
    if agreed.privacy is None:
        return setting
    privacy = agreed.privacy
    return replace(
        setting,
        epsilon=round(privacy.epsilon_of(privacy.run_cost), 6),
        delta=float(privacy.delta),
        cost=privacy.run_cost,
        group=privacy.max_partners_per_customer,
    )
