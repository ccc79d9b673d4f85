"""Attacks run on the installed build, and their results as a file has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from importlib import metadata, resources

from protocol.agreement.plan_names import CHOOSING_PLAN, EXACT_PLAN
from protocol.agreement.software import Software, code_hash
from protocol.evidence.attack_results import Attack, Results
from simulations.attacking.customers import WORDS
from simulations.attacking.described import DESCRIBED
from simulations.attacking.measuring import measure
from simulations.attacking.seen import Setting


def attack_results(
    names: Sequence[str],
    setting: Setting,
    *,
    runs: int,
    seed: int,
    now: datetime,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Results:
    """Run attacks and put what they counted beside what was promised."""
    counted = measure(names, setting, runs=runs, seed=seed, on_progress=on_progress)
    attacks = []
    for name, counts in counted.items():
        words = DESCRIBED[name]
        attacks.append(
            Attack(
                name=name, sense=words.sense, knows=words.knows, success=words.success,
                naive=words.baseline, outside=words.outside, attacks=counts.attacks,
                successes=counts.successes, control=counts.control, baseline=counts.baseline,
                unprotected=counts.unprotected,
            )
        )  # fmt: skip
    return Results(
        build=Software.installed(metadata.version, resources.files).build,
        attacks_sha256=code_hash({"simulations": resources.files("simulations")}),
        made_at=now.replace(microsecond=0),
        seed=seed,
        runs=runs,
        plan=EXACT_PLAN if setting.exact else CHOOSING_PLAN,
        epsilon=None if setting.epsilon is None else Decimal(str(setting.epsilon)),
        delta=None if setting.delta is None else Decimal(str(setting.delta)),
        customers=setting.customers,
        n_features=setting.n_features,
        n_clusters=setting.n_clusters,
        partners=setting.partners,
        colluding=setting.colluding,
        dataset=WORDS,
        attacks=tuple(attacks),
    )
