"""What an attacker sees: runs with and without one customer, and what came out.

The attacker gets more than a deployed run shows: every question of a run is asked again, word for
word, after the customer left, with noise of its own. What is left of the two totals is the
customer's answer and two noises. Colluding partners take their own shares of noise off.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
import numpy.typing as npt

from partner_node.customers.answers import answer
from protocol.clustering.hybrid_dp import HybridDP
from protocol.clustering.lloyd_exact import LloydExact
from protocol.clustering.noised import known
from protocol.clustering.plan import Plan
from protocol.clustering.plane import GRID
from protocol.clustering.terms import Terms
from protocol.noised_queries import CountQuery, LocalSumsQuery, MeanQuery
from protocol.privacy.mechanisms import share_variance
from protocol.queries import ClusterSumsQuery, IntMatrix, customer_vectors
from protocol.ring import UNIT, IntVector
from protocol.scaling import FloatMatrix
from protocol.sum_query import SumQuery
from simulations.attacks import Noise

FloatVector = npt.NDArray[np.float64]

EXACT_ROUNDS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is attacked.

    Attributes:
        epsilon, delta: Of one run; None with exact totals.
        cost: Of one run, in units of ``2^-60`` of rho; 0 with exact totals.
        group: At how many partners one person may be a customer.
        customers: Of all partners together.
    """

    epsilon: float | None
    delta: float | None
    cost: int
    group: int
    customers: int
    n_features: int
    n_clusters: int
    partners: int
    colluding: int

    @property
    def exact(self) -> bool:
        """Whether totals are exact."""
        return self.epsilon is None

    def terms(self, seed: bytes) -> Terms:
        """The terms of a plan with noise."""
        return Terms(
            n_clusters=self.n_clusters, n_clusters_min=self.n_clusters,
            limit=np.full(self.n_features, GRID),
            cost=self.cost, group=self.group, seed=seed,
        )  # fmt: skip

    def plan(self, seed: bytes) -> Plan:
        """The first state of a run."""
        if self.exact:
            return LloydExact.start(
                n_clusters=self.n_clusters, limit=np.full(self.n_features, GRID),
                max_rounds=EXACT_ROUNDS, seed=seed,
            )  # fmt: skip
        return HybridDP.start(self.terms(seed))

    def seen_variance(self, query: SumQuery) -> int:
        """The variance that is left in a total for whoever knows the colluding shares."""
        if self.exact:
            return 0
        share = share_variance(query.variance, partners=self.partners, colluding=self.colluding)
        return share * (self.partners - self.colluding)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known after two runs.

    Attributes:
        row: The customer's coordinates as the difference of totals has them, shape
            ``(n_features,)``.
        sigma: Standard deviation of a coordinate of it, as the attacker has to assume.
        count: How many customers the first question counted, noised as it was.
        claim: How many customers less the second time, by the last question that counts them.
        centres: Of the released clusters, shape ``(n_clusters, n_features)``.
    """

    row: FloatVector
    sigma: float
    count: float
    claim: float
    centres: FloatMatrix


def watch(
    others: FloatMatrix,
    target: FloatVector,
    setting: Setting,
    *,
    present: bool,
    noise: bool,
    name: str,
    seed: bytes,
) -> Seen:
    """Run a plan with a customer or without, ask all again without, and note what is seen.

    Args:
        others: Grid coordinates of everybody else, shape ``(n_samples, n_features)``.
        target: Those of the one, shape ``(n_features,)``.
        noise: False switches all noise off, and the attacker knows that.
        name: Decides the noise.
        seed: Decides the plan's start, 32 bytes.
    """
    rest, own = customer_vectors(others), customer_vectors(target[None, :])
    draws, plan = Noise(name, ahead=0), setting.plan(seed)
    count, claim = float("nan"), 0.0
    best: tuple[float, FloatVector] = (float("inf"), np.zeros(setting.n_features))
    while (query := plan.query) is not None:
        variance = setting.seen_variance(query)
        second = answer(query, [rest], threads=1)[0]
        first = second + answer(query, [own], threads=1)[0] if present else second
        plain = first
        if noise and variance:
            first = first + draws.take(variance, query.length)
            second = second + draws.take(variance, query.length)
        if np.isnan(count):
            count = _counted(query, first)
        sigma = sqrt(2.0 * variance) if noise else 0.0
        found = _row(query, first - second, sigma)
        if found is not None:
            lost, spread, row = found
            claim = lost
            if spread < best[0]:
                best = (spread, row)
        # With the noise off the plan goes on as if it were there: the questions are the same.
        total = first if noise else plain
        plan = plan.advance(total, customers=len(others) + present + 1, variance=variance)
    return Seen(
        row=best[1], sigma=best[0], count=count, claim=claim,
        centres=known(plan.result).centroids.astype(np.float64),
    )  # fmt: skip


def _counted(query: SumQuery, total: IntVector) -> float:
    match query:
        case CountQuery():
            return float(total[0]) / UNIT
        case ClusterSumsQuery():
            return float(total.reshape(query.n_clusters, -1)[:, -1].sum())
    return float("nan")


def _row(
    query: SumQuery, difference: IntVector, sigma: float
) -> tuple[float, float, FloatVector] | None:
    """How many left by a difference, how far off the row is, and the row in grid units."""
    match query:
        case MeanQuery():
            per_unit = query.radius / query.norm
            row: FloatVector = difference.astype(np.float64) * per_unit
            # Who lies farther than the radius was shortened: the row tells the direction alone.
            cut = float(np.linalg.norm(row)) > 0.999 * query.radius and sigma == 0.0
            return 1.0, float("inf") if cut else max(1.0, sigma) * per_unit, row
        case LocalSumsQuery():
            table = _table(query.centres, difference)
            group = int(table[:, -1].argmax())
            per_unit = query.radius / query.offset_norm
            offset = table[group, :-1] * per_unit
            cut = float(np.linalg.norm(offset)) > 0.999 * query.radius and sigma == 0.0
            place: FloatVector = query.centres[group].astype(np.float64) + offset
            return (
                float(table[:, -1].sum()) / query.count_unit,
                float("inf") if cut else max(1.0, sigma) * per_unit,
                place,
            )
        case ClusterSumsQuery():
            table = _table(query.centroids, difference)
            group = int(table[:, -1].argmax())
            row = np.asarray(table[group, : query.n_features], dtype=np.float64)
            return float(table[:, -1].sum()), 1.0, row
    return None


def _table(centres: IntMatrix, difference: IntVector) -> FloatMatrix:
    return difference.reshape(centres.shape[0], -1).astype(np.float64)
