"""What `run plan` expects beside what runs come to: questions, errors of sizes and of centres.

Simulated federations of five partners, of whom one may collude, with the project's own plans and
noise. What is expected follows from public numbers alone. What is observed: how far a released size
is from the number of customers nearest to the released centre, and how far the centre is from where
the same steps would have put it without noise in the last one, as the interval in a release says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import sqrt
from typing import Any, Final

import numpy as np

from benchmarks.measure import Table
from benchmarks.noised_totals import COLLUDING, PARTNERS, noised_total
from partner_node.customers.answers import answer
from protocol.agreement.document import Agreement
from protocol.clustering.expected import Crowd, ExpectedNoise, even_deviation
from protocol.clustering.finish import Finishing
from protocol.clustering.followed import Followed
from protocol.clustering.plan import after_total, start_plan
from protocol.clustering.plane import GRID
from protocol.clustering.result import Clustering
from protocol.masking import Stream
from protocol.noised_queries import LocalSumsQuery
from protocol.queries import customer_vectors
from protocol.release.document import make_release
from protocol.release.last import begins_at
from protocol.scaling import FloatMatrix
from simulations.agreement import agreement_values, feature_values, party_values
from simulations.privacy import benchmark_terms

EVEN, OVERLAPPING, SEPARATED = KINDS = ("even", "overlapping", "separated")
HYBRID, LLOYD, WARM = PLANS = ("hybrid-dp", "lloyd-dp", "follows")
_WIDTHS: Final = {OVERLAPPING: 0.2, SEPARATED: 0.07}
_DELTA: Final = 0.00001
_MEMBERS: Final = frozenset(range(PARTNERS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One simulated federation.

    Attributes:
        plan: One of `PLANS`; ``follows`` for a run of hybrid-dp that follows the release of one
            before.
    """

    kind: str
    epsilon: float
    n: int
    k: int
    d: int
    plan: str = HYBRID
    profile: bool = False
    seed: int = 0

    def customers(self) -> FloatMatrix:
        """Grid coordinates, shape ``(n, d)``."""
        rng = np.random.default_rng([self.seed, self.n, self.k, self.d])
        if self.kind == EVEN:
            points = rng.uniform(-1.0, 1.0, (self.n, self.d))
        else:
            middles = rng.uniform(-0.55, 0.55, (self.k, self.d))
            points = middles[rng.integers(0, self.k, self.n)]
            points = points + rng.normal(0.0, _WIDTHS[self.kind], points.shape)
        return np.rint(np.clip(points, -1.0, 1.0) * GRID)

    def agreement(self) -> Agreement:
        """What the partners of the federation signed."""
        plan: dict[str, Any] = {"n_clusters": self.k, "max_rounds": 12}
        if self.plan == LLOYD:
            plan |= {"name": "lloyd-dp"}
        else:
            plan |= {"name": "hybrid-dp", "n_clusters_min": self.k}
        if self.profile:
            plan["profile"] = "spread"
        return Agreement.from_dict(
            agreement_values(
                parties=[
                    party_values(f"p{i}", bytes([i]) * 32, max_customers=self.n)
                    for i in range(PARTNERS)
                ],
                features=[feature_values(f"f{i}") for i in range(self.d)],
                coordinator_key=bytes([255]) * 32,
                plan=plan,
                privacy=benchmark_terms(self.epsilon, _DELTA, n_samples=self.n).to_dict(),
                min_segment_size=20,
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was expected of a run, and what came of it.

    Attributes:
        asked: Questions.
        sizes: Errors of the released sizes, customers.
        noise: How far noise moved the released centres, a number a coordinate, in grid units.
        apart: How far these lie from the mean of their customers, the same.
    """

    expected: ExpectedNoise
    asked: int
    sizes: FloatMatrix
    noise: FloatMatrix
    apart: FloatMatrix

    @property
    def sizes_within(self) -> list[bool]:
        """Whether each size is within its expected interval."""
        return list((np.abs(self.sizes) <= self.expected.size_margin).ravel())

    @property
    def noise_within(self) -> list[bool]:
        """Whether the noise in each coordinate of a centre is within its expected interval."""
        return list((np.abs(self.noise) <= self.expected.centre_margin).ravel())


def outcome(case: Case) -> Outcome | None:
    """Run one federation; None where it released nothing."""
    grid, agreement = case.customers(), case.agreement()
    deviation = even_deviation(sqrt(case.d), n_clusters=case.k, n_coordinates=case.d)
    followed: Followed | None = None
    if case.plan == WARM:
        first = _run(agreement, grid, f"{case} before", None)
        followed = begins_at(
            agreement,
            make_release(agreement, first.result, run_hash=bytes(32), members=_MEMBERS),
        )
        if followed is None:
            return None
        deviation = sqrt(followed.mean / GRID)
    ran = _run(agreement, grid, str(case), followed)
    kept = [] if ran.result.sizes is None else list(ran.result.sizes.kept)
    if not kept or ran.result.sizes is None:
        return None
    centres = ran.result.centroids[kept].astype(np.float64)
    labels = np.argmin(((grid[:, None, :] - centres[None]) ** 2).sum(axis=2), axis=1)
    counted = np.bincount(labels, minlength=len(kept))
    means = np.array(
        [grid[labels == j].mean(axis=0) if counted[j] else centres[j] for j in range(len(kept))]
    )
    return Outcome(
        expected=ran.start.expected(
            Crowd(customers=case.n, deviation=deviation, partners=PARTNERS, colluding=COLLUDING)
        ),
        asked=ran.result.rounds,
        sizes=(ran.result.sizes.counts - counted).astype(np.float64),
        noise=centres - ran.quiet.centroids[kept],
        apart=centres - means,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ran:
    """A run: its first state, its result, and the result without noise in the last sums."""

    start: Finishing
    result: Clustering
    quiet: Clustering


def _run(agreement: Agreement, grid: FloatMatrix, name: str, followed: Followed | None) -> _Ran:
    vectors = [customer_vectors(grid)]
    run_hash = hashlib.sha256(name.encode()).digest()
    stream = Stream(hashlib.sha256(run_hash).digest())
    plan = start = start_plan(agreement, seed=run_hash, followed=followed)
    quiet = None
    while plan.query is not None:
        total, _ = noised_total(plan.query, vectors, stream)
        if isinstance(plan.query, LocalSumsQuery):
            exact, _ = answer(plan.query, vectors, threads=1)
            quiet = after_total(plan, agreement, exact, members=_MEMBERS)
        plan = after_total(plan, agreement, total, members=_MEMBERS)
    found = quiet.plan.result if isinstance(quiet, Finishing) else None
    if not isinstance(start, Finishing) or plan.result is None or found is None:
        raise RuntimeError("the plan is none with noise, or has no result")
    return _Ran(start=start, result=plan.result, quiet=found)


#: Kind, epsilon, customers, segments, features, plan, profile.
_ROWS: Final = (
    *((kind, 1.0, 5_000, 5, 5, HYBRID, False) for kind in KINDS),
    *((kind, 0.3, 20_000, 5, 5, HYBRID, False) for kind in KINDS),
    *((kind, 1.0, 20_000, 8, 5, HYBRID, True) for kind in KINDS),
    *((kind, 3.0, 5_000, 5, 3, HYBRID, False) for kind in KINDS),
    *((kind, 1.0, 50_000, 10, 8, HYBRID, True) for kind in KINDS),
    *((kind, 1.0, 20_000, 8, 5, LLOYD, False) for kind in KINDS),
    *((kind, 1.0, 20_000, 8, 5, WARM, True) for kind in KINDS),
    *((kind, 0.3, 20_000, 5, 5, WARM, True) for kind in KINDS),
)


def run(*, quick: bool) -> list[Table]:
    """Expected beside observed, for several kinds of customers, sizes, plans and epsilons."""
    seeds = 2 if quick else 24
    rows = _ROWS[:1] if quick else _ROWS
    cases = [
        Case(kind=kind, epsilon=epsilon, n=n, k=k, d=d, plan=plan, profile=profile, seed=seed)
        for kind, epsilon, n, k, d, plan, profile in rows
        for seed in range(seeds)
    ]
    with ProcessPoolExecutor() as pool:
        found = list(pool.map(outcome, cases, chunksize=2))
    table = []
    for number, (kind, epsilon, n, k, d, plan, profile) in enumerate(rows):
        own = [o for o in found[number * seeds : (number + 1) * seeds] if o is not None]
        name = f"{kind}, {epsilon:g}, {n:,}, {k}, {d}, {plan}{', profile' if profile else ''}"
        table.append((name, *_row(own)))
    return [
        Table(
            name="expected_errors",
            title=f"What `run plan` expects beside what runs came to, {seeds} runs a row",
            baseline="95 % of sizes and of coordinates within the expected interval",
            columns=(
                "customers, ε, how many, segments, features, plan",
                "questions, expected and asked",
                "size ±",
                "sizes within, %",
                "centre ±, % of a feature's range",
                "centres within, %",
                "centre to its customers' mean, % of the range",
            ),
            rows=tuple(table),
            notes=(
                "±: half the interval that is expected to hold 95 of 100 errors; of a centre for a "
                "segment of mean size",
                "“follows” is a run of hybrid-dp that follows a release, which says how far "
                "customers lie from their centre; the other runs are expected as if they filled "
                "the cube evenly, so that their intervals are too wide for the rest",
                "the last column (root mean square) also holds what no noise explains: an optimum "
                "that is not reached, and shortened offsets",
            ),
        )
    ]


def _row(found: Sequence[Outcome]) -> tuple[float | str, ...]:
    if not found:
        return ("nothing was released", *("",) * 5)
    expected = found[0].expected
    asked = sorted({o.asked for o in found})
    half_range = 100.0 / (2.0 * GRID)
    apart = np.concatenate([o.apart.ravel() for o in found])
    return (
        f"{expected.questions}, {' or '.join(map(str, asked))}",
        round(expected.size_margin, 1),
        _percent([within for o in found for within in o.sizes_within]),
        round(float(np.mean([o.expected.centre_margin for o in found])) * half_range, 3),
        _percent([within for o in found for within in o.noise_within]),
        round(sqrt(float(np.mean(apart**2))) * half_range, 3),
    )


def _percent(within: Sequence[bool]) -> str:
    return f"{100 * float(np.mean(within)):.1f} of {len(within)}"
