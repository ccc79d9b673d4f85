"""How many segments, and how sure: the choice by gaps beside the first rule, by silhouette.

Simulated federations run the plan whole, with the noise that five partners add of whom one may
collude. Both rules see the same noised points; what each would use is then carried on to its end,
and so is the agreed number. Truth is what was planted: one for customers without groups. A number
that a rule did not tell is the agreed one, so `too many` is what a rule sees, not what is used.

The limits of the rule were chosen on seeds 200 to 207 of other settings: 5,000 customers with 6
features, 2,000 with 4, 1,000 with 8 and 20,000 with 4.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

import numpy as np

from benchmarks import silhouette_rule
from benchmarks.measure import Table
from benchmarks.noised_totals import noised_total
from protocol.clustering import choose_k
from protocol.clustering.choice import Choice
from protocol.clustering.choose_k import Atoms
from protocol.clustering.finish import Finishing
from protocol.clustering.hybrid_dp import HybridDP
from protocol.clustering.terms import Terms
from protocol.masking import Stream
from protocol.noised_queries import DistanceQuery
from protocol.privacy.accounting import cost_of_rho, rho_for
from protocol.queries import customer_vectors
from protocol.scaling import FloatMatrix
from simulations.baselines import nicv

KINDS: Final = ("none", "heavy tails", "separated", "overlapping")
EPSILONS: Final = (0.1, 0.3, 1.0, 3.0)
#: Customers and features of a federation.
SMALL: Final = ((5_000, 2), (5_000, 5), (5_000, 10), (1_000, 5))
LARGE: Final = ((50_000, 5),)
FEWEST, MOST = 2, 8
_GRID: Final = 1 << 20
#: Runs on the same customers, each with its own noise.
_RUNS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Federation:
    """One simulated federation: whose customers, and which noise.

    Attributes:
        groups: How many were planted; 1 for none.
        seed: Of the customers.
        run: Of the noise.
    """

    kind: str
    n: int
    d: int
    epsilon: float
    seed: int
    run: int

    @property
    def groups(self) -> int:
        if self.kind in KINDS[:2]:
            return 1
        return 2 + self.seed % 5

    def customers(self) -> FloatMatrix:
        """Grid coordinates, shape ``(n, d)``."""
        rng = np.random.default_rng([self.seed, KINDS.index(self.kind), self.d])
        if self.groups == 1:
            turn = np.linalg.qr(rng.normal(size=(self.d, self.d)))[0]
            rows = rng.normal(size=(self.n, self.d))
            if self.kind != "none":
                rows = rng.standard_t(4, size=(self.n, self.d)) / math.sqrt(2.0)
            rows = rows * rng.uniform(0.1, 0.3, self.d) @ turn
        else:
            width = rng.uniform(0.05, 0.1)
            apart = (7.0 if self.kind == "separated" else 4.0) * width
            middles = _middles(self.groups, self.d, apart, rng)
            shares = rng.dirichlet(np.full(self.groups, 8.0))
            rows = middles[rng.choice(self.groups, self.n, p=shares)]
            rows = rows + rng.normal(0.0, width, (self.n, self.d))
        return np.rint(np.clip(rows, -1.0, 1.0) * _GRID)


def _middles(k: int, d: int, apart: float, rng: np.random.Generator) -> FloatMatrix:
    """Middles of groups: each at least `apart` from all, and from one of them at most 1.3 times."""
    found = [rng.uniform(-0.2, 0.2, d)]
    while len(found) < k:
        step = rng.normal(size=d)
        step *= rng.uniform(1.0, 1.3) * apart / np.linalg.norm(step)
        place = found[rng.integers(len(found))] + step
        near = min(float(np.linalg.norm(place - other)) for other in found)
        if near >= apart and np.abs(place).max() < 0.85:
            found.append(place)
        elif rng.random() < 0.001:
            found, apart = found[:1], 0.95 * apart
    return np.array(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What both rules said of one federation.

    Attributes:
        nicv: Mean squared distance to the nearest centroid that was formed, with the number that
            the rule uses, the first rule's, and the agreed one.
    """

    federation: Federation
    choice: Choice
    first: int
    nicv: tuple[float, ...]


def outcome(federation: Federation) -> Outcome:
    """Run one federation to its choice, and on with the number of each rule."""
    grid = federation.customers()
    vectors = customer_vectors(grid)
    asked, atoms = _asked(federation, vectors)
    choice = choose_k.choose(
        atoms, smallest=FEWEST, largest=MOST, agreed=MOST, stream=asked.terms.stream("choice")
    )
    coreset = asked.coreset
    if coreset is None:
        raise RuntimeError("the plan asks for distances before it has a coreset")
    first = silhouette_rule.choose(
        coreset.points, coreset.weights, smallest=FEWEST, largest=MOST, restarts=20,
        stream=asked.terms.stream("first rule"),
    )  # fmt: skip
    used = (choice.used, len(first.centres), MOST)
    found: dict[int, float] = {}
    for k in used:
        if k not in found:
            found[k] = _nicv(grid, federation, vectors, asked, atoms, k)
    return Outcome(
        federation=federation,
        choice=choice,
        first=used[1],
        nicv=tuple(found[k] for k in used),
    )


def _asked(federation: Federation, vectors: FloatMatrix) -> tuple[HybridDP, Atoms]:
    """The plan that knows the distances to its coreset, and what it chooses from."""
    delta = 1.0 / (federation.n * math.log(federation.n))
    terms = Terms(
        n_clusters=MOST, n_clusters_min=FEWEST, limit=np.full(federation.d, _GRID),
        cost=cost_of_rho(rho_for(federation.epsilon, delta)), group=1,
        seed=hashlib.sha256(repr(federation).encode()).digest(),
    )  # fmt: skip
    plan = Finishing.start(
        terms, HybridDP.start, min_segment_size=1, profile=False, satisfaction=False
    )
    inner, noise = plan.plan, _noise(federation, "before")
    while inner.query is not None:
        total, variance = noised_total(inner.query, [vectors], noise)
        if isinstance(inner, HybridDP) and isinstance(inner.query, DistanceQuery):
            return inner, inner.atoms(inner.query, total, variance)
        inner = inner.advance(total, customers=federation.n, variance=variance)
    raise RuntimeError("the plan chose no number")


def _nicv(
    grid: FloatMatrix, federation: Federation, vectors: FloatMatrix, asked: HybridDP, atoms: Atoms,
    k: int,
) -> float:  # fmt: skip
    """Carry a plan on with `k` clusters; the mean squared distance of customers to them."""
    plan, noise = asked.with_clusters(k, atoms), _noise(federation, "after")
    while plan.query is not None:
        total, variance = noised_total(plan.query, [vectors], noise)
        plan = plan.advance(total, customers=federation.n, variance=variance)
    if plan.result is None:
        raise RuntimeError("the plan has no result")
    return nicv(grid / _GRID, plan.result.centroids / _GRID)


def _noise(federation: Federation, name: str) -> Stream:
    return Stream(hashlib.sha256(f"{federation} {name}".encode()).digest())


def federations(
    settings: Iterable[tuple[int, int]], kinds: Iterable[str], *, seeds: range
) -> Iterator[Federation]:
    """Every kind, setting and epsilon, with each seed's customers and `_RUNS` draws of noise."""
    settings = list(settings)
    for kind in kinds:
        for epsilon in EPSILONS:
            for n, d in settings:
                for seed in seeds:
                    for run in range(_RUNS):
                        yield Federation(kind=kind, n=n, d=d, epsilon=epsilon, seed=seed, run=run)


def outcomes(found: Iterable[Federation]) -> list[Outcome]:
    """The outcomes of some federations, on all processors."""
    with ProcessPoolExecutor() as pool:
        return list(pool.map(outcome, found, chunksize=4))


def run(*, quick: bool) -> list[Table]:
    """The tables: few and many customers."""
    if quick:
        found = outcomes(federations([(600, 3)], KINDS[::2], seeds=range(1)))
        return [_table("tiny: shows only that it works", found)]
    return [
        _table(f"{title}; {len(settings) * 20} runs a row", outcomes(
            federations(settings, KINDS, seeds=range(5))
        ))
        for title, settings in (
            ("n 5,000 with d 2, 5, 10 and n 1,000 with d 5", SMALL), ("n 50,000, d 5", LARGE)
        )
    ]  # fmt: skip


def _table(title: str, found: Sequence[Outcome]) -> Table:
    rows = []
    for kind in KINDS:
        for epsilon in EPSILONS:
            own = [o for o in found if (o.federation.kind, o.federation.epsilon) == (kind, epsilon)]
            if own:
                rows.append((kind, epsilon, *_cells(own)))
    told = [o for o in found if o.choice.told]
    notes = [
        "seen: the number that a rule sees is that of the planted groups / is smaller / is larger. "
        "The first rule cannot see one.",
        "runs agree: of pairs of runs on the same customers with other noise, those that use the "
        "same number.",
        "NICV: mean squared distance to the nearest centroid, over that of the agreed number "
        f"({MOST}); above 1 is the price of fewer segments.",
    ]
    if told:
        right = sum(o.choice.seen == o.federation.groups for o in told)
        notes.append(f"Told in {len(told)} of {len(found)} runs, right in {right / len(told):.2f}.")
    return Table(
        name="choice_of_k",
        title=f"How many segments: {FEWEST} to {MOST} agreed, {title}",
        baseline="the first rule, the best silhouette of the same noised points",
        columns=(
            "customers", "epsilon", "seen, first: right/few/many", "seen: right/few/many", "told",
            "right when told", "runs agree, first", "runs agree", "NICV, first", "NICV",
        ),
        rows=tuple(rows),
        notes=tuple(notes),
    )  # fmt: skip


def _cells(own: Sequence[Outcome]) -> tuple[str, ...]:
    told = [o for o in own if o.choice.told]
    right = "–"
    if told:
        right = f"{sum(o.choice.seen == o.federation.groups for o in told) / len(told):.2f}"
    ratios = [
        float(np.mean([o.nicv[i] for o in own]) / np.mean([o.nicv[2] for o in own])) for i in (1, 0)
    ]
    return (
        _parts([o.first - o.federation.groups for o in own]),
        _parts([o.choice.seen - o.federation.groups for o in own]),
        f"{len(told) / len(own):.2f}",
        right,
        f"{_agreeing(own, [o.first for o in own]):.2f}",
        f"{_agreeing(own, [o.choice.used for o in own]):.2f}",
        *(f"{ratio:.2f}" for ratio in ratios),
    )


def _parts(differences: Sequence[int]) -> str:
    n = len(differences)
    right, few = differences.count(0), sum(d < 0 for d in differences)
    return "/".join(f"{part / n:.2f}" for part in (right, few, n - right - few))


def _agreeing(own: Sequence[Outcome], used: Sequence[int]) -> float:
    """Share of pairs of runs on the same customers that use the same number."""
    same = [
        a == b
        for (x, a), (y, b) in combinations(zip(own, used, strict=True), 2)
        if replace(x.federation, run=0) == replace(y.federation, run=0)
    ]
    return sum(same) / max(len(same), 1)
