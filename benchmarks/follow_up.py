"""A run that follows the last release beside one that starts anew, on unchanged and new customers.

Simulated federations of five partners, of whom one may collude: a run whose release is signed, then
one more, warm (from that release) or cold (anew, with fresh noise), on customers who did not
change, who all moved, or of whom some formed a new group. Agreement and plans are the project's
own; nobody chooses the number of segments.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
from sklearn.metrics import adjusted_rand_score

from benchmarks.measure import Table
from benchmarks.noised_totals import PARTNERS, noised_total
from protocol.agreement.document import Agreement
from protocol.clustering.followed import Followed
from protocol.clustering.plan import after_total, start_plan
from protocol.masking import Stream
from protocol.queries import customer_vectors
from protocol.release.document import Release, make_release
from protocol.release.last import begins_at
from protocol.scaling import FloatMatrix
from simulations.agreement import agreement_values, feature_values, party_values
from simulations.baselines import nicv
from simulations.privacy import benchmark_terms

KINDS: Final = ("one cloud", "overlapping", "separated")
EPSILONS: Final = (0.3, 1.0, 3.0)
#: What happened to customers between two runs, by name.
UNCHANGED, OTHERS, MOVED, NEW_5, NEW_15 = (
    "unchanged", "others like them", "all moved by .1", "5 % in a new group",
    "15 % in a new group",
)  # fmt: skip
CHANGES: Final = (UNCHANGED, OTHERS, MOVED, NEW_5, NEW_15)
_N, _D, _K = 5_000, 5, 5
_GRID: Final = 1 << 20
_DELTA: Final = 0.00001


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One simulated federation: its customers before and after a change, and its noise."""

    kind: str
    epsilon: float
    change: str
    seed: int

    def customers(self) -> tuple[FloatMatrix, FloatMatrix]:
        """Grid coordinates before and after, each of shape ``(n, d)``."""
        rng = np.random.default_rng([self.seed, KINDS.index(self.kind)])
        middles = rng.uniform(-0.55, 0.55, (_K, _D))
        width = {"one cloud": 0.25, "overlapping": 0.2, "separated": 0.07}[self.kind]
        if self.kind == "one cloud":
            middles[:] = rng.uniform(-0.2, 0.2, _D)
        before, after = (
            middles[rng.integers(0, _K, _N)] + rng.normal(0.0, width, (_N, _D)) for _ in range(2)
        )
        if self.change != OTHERS:
            after = before.copy()
        if self.change == MOVED:
            direction = rng.normal(size=_D)
            after += 0.1 * direction / np.linalg.norm(direction)
        if self.change in (NEW_5, NEW_15):
            share = 0.05 if self.change == NEW_5 else 0.15
            corner = np.where(middles.mean(axis=0) > 0, -0.8, 0.8)
            came = rng.random(_N) < share
            after[came] = corner + rng.normal(0.0, 0.07, (int(came.sum()), _D))
        return _on_grid(before), _on_grid(after)

    def agreement(self) -> Agreement:
        """What the partners of the federation signed."""
        terms = benchmark_terms(self.epsilon, _DELTA, n_samples=_N)
        return Agreement.from_dict(
            agreement_values(
                parties=[
                    party_values(f"p{i}", bytes([i]) * 32, max_customers=_N)
                    for i in range(PARTNERS)
                ],
                features=[feature_values(f"f{i}") for i in range(_D)],
                coordinator_key=bytes([255]) * 32,
                plan={
                    "name": "hybrid-dp", "n_clusters": _K, "n_clusters_min": _K, "max_rounds": 12,
                },
                privacy=terms.to_dict(),
                min_segment_size=20,
            )
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A warm run, and a cold one, after the same release.

    Attributes:
        alike: Adjusted Rand index of the customers' segments to those of the release before, warm
            and cold.
        nicv: Mean squared distance to the nearest centre: stayed at the old, warm, cold.
        cost: What the warm run cost, as a part of the cold run's.
        changed: Whether the warm run says that customers changed.
        kept: Whether it has as many segments as the release before.
    """

    case: Case
    alike: tuple[float, float]
    nicv: tuple[float, float, float]
    cost: float
    changed: bool
    kept: bool


def outcome(case: Case) -> Outcome:
    """Run one federation three times: for the first release, warm and cold."""
    before, after = case.customers()
    agreement = case.agreement()
    first = released(agreement, before, name=f"{case} first")
    followed = begins_at(agreement, first)
    warm = released(agreement, after, name=f"{case} warm", followed=followed)
    cold = released(agreement, after, name=f"{case} cold")
    if warm.start is None or warm.privacy is None or cold.privacy is None:
        raise RuntimeError("the warm run did not follow the first")
    labels = _nearest(before if case.change == OTHERS else after, first)
    alike = tuple(
        float(adjusted_rand_score(labels, _nearest(before if case.change == OTHERS else after, r)))
        for r in (warm, cold)
    )
    return Outcome(
        case=case,
        alike=(alike[0], alike[1]),
        nicv=(_nicv(after, first), _nicv(after, warm), _nicv(after, cold)),
        cost=float(warm.privacy.rho / cold.privacy.rho),
        changed=warm.start.changed,
        kept=len(warm.segments) == len(first.segments),
    )


def released(
    agreement: Agreement, grid: FloatMatrix, *, name: str, followed: Followed | None = None
) -> Release:
    """The release of one run over all customers."""
    vectors = [customer_vectors(grid)]
    run_hash = hashlib.sha256(name.encode()).digest()
    stream = Stream(hashlib.sha256(run_hash).digest())
    members = frozenset(range(PARTNERS))
    plan = start_plan(agreement, seed=run_hash, followed=followed)
    while plan.query is not None:
        total, _ = noised_total(plan.query, vectors, stream)
        plan = after_total(plan, agreement, total, members=members)
    if plan.result is None:
        raise RuntimeError("the plan has no result")
    return make_release(agreement, plan.result, run_hash=run_hash, members=members)


def run(*, quick: bool) -> list[Table]:
    """Warm against cold for every kind, epsilon and change."""
    seeds = 2 if quick else 24
    kinds, epsilons = (KINDS[-1:], EPSILONS[-1:]) if quick else (KINDS, EPSILONS)
    cases = [
        Case(kind=kind, epsilon=epsilon, change=change, seed=seed)
        for kind in kinds
        for epsilon in epsilons
        for change in CHANGES
        for seed in range(seeds)
    ]
    with ProcessPoolExecutor() as pool:
        found = list(pool.map(outcome, cases, chunksize=4))
    rows = []
    for kind in kinds:
        for epsilon in epsilons:
            for change in CHANGES:
                own = [
                    o for o in found
                    if (o.case.kind, o.case.epsilon, o.case.change) == (kind, epsilon, change)
                ]  # fmt: skip
                rows.append((f"{kind}, {epsilon:g}, {change}", *_row(own)))
    return [
        Table(
            name="follow_up",
            title=f"A run that follows the last release (warm) beside one that starts anew (cold): "
            f"{_N:,} customers, {_D} features, {_K} segments, {seeds} runs a row",
            baseline="cold: the run that every run was before",
            columns=(
                "customers, ε, what happened",
                "adjusted Rand to the last release, warm",
                "cold",
                "NICV / cold's, warm",
                "old centres",
                "cost, warm / cold",
                "says that customers changed",
            ),
            rows=tuple(rows),
            notes=(
                "NICV: mean squared distance of all customers to the nearest centre",
                "“others like them” are fresh customers from the same population: what is said to "
                "have changed there, and on unchanged customers, is a false alarm",
            ),
        )
    ]


def _row(found: Sequence[Outcome]) -> tuple[float | str, ...]:
    cold = [o.nicv[2] for o in found]
    return (
        round(float(np.mean([o.alike[0] for o in found])), 3),
        round(float(np.mean([o.alike[1] for o in found])), 3),
        round(float(np.mean([o.nicv[1] for o in found]) / np.mean(cold)), 3),
        round(float(np.mean([o.nicv[0] for o in found]) / np.mean(cold)), 3),
        round(float(np.mean([o.cost for o in found])), 2),
        f"{sum(o.changed for o in found)} of {len(found)}",
    )


def _on_grid(points: FloatMatrix) -> FloatMatrix:
    return np.rint(np.clip(points, -1.0, 1.0) * _GRID)


def _nearest(grid: FloatMatrix, release: Release) -> np.ndarray:
    squared = ((grid[:, None, :] - release.centres[None]) ** 2).sum(axis=2)
    nearest: np.ndarray = squared.argmin(axis=1)
    return nearest


def _nicv(grid: FloatMatrix, release: Release) -> float:
    return nicv(grid / _GRID, release.centres / _GRID)
