"""Attacks on one customer, run against the code that is deployed: what the promise is worth.

The membership attack is the best there is: the attacker knows every other customer, sees every
total of a run, and asks of each how much more likely it is with the victim than without (the
likelihood ratio of Gaussians, which no other test beats: Neyman and Pearson 1933).

The differencing attack knows nobody: it reads the totals that every partner and the coordinator
see in a run of `lloyd-exact`, and computes rows. When one customer alone comes to a cluster or
leaves it between two rounds, the difference of the cluster's sums is that customer's row; the sums
of squared norms tell whether it was one alone. It is the algebra of TAR (Yang, Luo and Li,
"Breaking Privacy in Federated Clustering", arXiv 2511.07073) in its smallest case. TAR itself is
not rebuilt: it sees centroids alone, without norms, and searches for who moved with whom. Totals
with norms and counts need no search to be confirmed, so it could only add to what is found here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from partner_node.customers.answers import answer
from protocol.clustering import local_sums
from protocol.clustering.hybrid_dp import HybridDP
from protocol.clustering.lloyd_exact import LloydExact
from protocol.clustering.plan import Plan
from protocol.clustering.plane import GRID
from protocol.clustering.terms import Terms
from protocol.masking import Stream
from protocol.privacy.mechanisms import discrete_gaussian, share_variance
from protocol.queries import IntMatrix, customer_vectors
from protocol.ring import UNIT, IntVector
from protocol.scaling import FloatMatrix
from protocol.sum_query import SumQuery

#: Samples of one variance that are drawn together.
_NOISE_AT_ONCE: Final = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Advantage:
    """How much better than a coin an attack tells whether the victim is in the data.

    Attributes:
        measured: True positives' share less false positives', at the best threshold.
        low, high: 95 % interval.
        bound: What epsilon and delta allow.
        runs: Runs with and as many without the victim.
    """

    measured: float
    low: float
    high: float
    bound: float
    runs: int


def advantage_bound(epsilon: float, delta: float) -> float:
    """The largest advantage of any attack (Kairouz, Oh and Viswanath 2015)."""
    return (exp(epsilon) - 1.0 + 2.0 * delta) / (exp(epsilon) + 1.0)


def membership_attack(
    others: FloatMatrix,
    victim: FloatMatrix,
    terms: Terms,
    *,
    epsilon: float,
    delta: float,
    runs: int,
    noise: bool = True,
) -> Advantage:
    """Attack whole runs of `hybrid-dp` with and without one customer; see `membership_scores`."""
    scores = membership_scores(others, victim, terms, runs=runs, noise=noise)
    return advantage(scores, epsilon=epsilon, delta=delta)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What the attacker computes of each run: the log of how much likelier it is with the victim.

    Where the victim moves every answer by as much as anybody can, the noise decides what they
    are: Gaussian with variance 2 rho, around rho with and -rho without the victim.

    Attributes:
        without: One score a run without the victim.
        within: The same of runs with the victim.
    """

    without: npt.NDArray[np.float64]
    within: npt.NDArray[np.float64]


def membership_scores(
    others: FloatMatrix,
    victim: FloatMatrix,
    terms: Terms,
    *,
    runs: int,
    noise: bool = True,
    partners: int = 5,
    colluding: int = 1,
    seed: int = 0,
) -> Scores:
    """What the best attacker computes of whole runs of `hybrid-dp` with and without one customer.

    Colluding partners know their own shares and take them off: what is left is the noise of the
    others.

    Args:
        others: Grid coordinates of everybody else, shape ``(n_samples, n_features)``.
        victim: The one customer, shape ``(1, n_features)``.
        terms: Of the plan.
        runs: How many runs with and how many without the victim.
        noise: False switches all noise off.
        seed: Decides the noise.
    """
    scores = []
    others, victim = customer_vectors(others), customer_vectors(victim)
    for present in (False, True):
        draws = Noise(f"{seed}/{int(present)}/")
        scores.append(
            np.array(
                [
                    _score(
                        others, victim, terms, present=present, draws=draws if noise else None,
                        partners=partners, colluding=colluding,
                    )
                    for _ in range(runs)
                ]
            )
        )  # fmt: skip
    return Scores(without=scores[0], within=scores[1])


def advantage(scores: Scores, *, epsilon: float, delta: float) -> Advantage:
    """How well a threshold of the scores tells who is in the data, and what may be told."""
    runs = len(scores.within)
    # A threshold is chosen on one half and judged on the other, so that it is no luck.
    halves = [(side[: runs // 2], side[runs // 2 :]) for side in (scores.without, scores.within)]
    hits = alarms = 0
    for chosen in (0, 1):
        without, within = (half[chosen] for half in halves)
        thresholds = np.unique(np.concatenate([without, within]))
        rates = [(within >= t).mean() - (without >= t).mean() for t in thresholds]
        best = thresholds[int(np.argmax(rates))]
        without, within = (half[1 - chosen] for half in halves)
        hits, alarms = hits + int((within >= best).sum()), alarms + int((without >= best).sum())
    hit_low, hit_high = _interval(hits, runs)
    alarm_low, alarm_high = _interval(alarms, runs)
    return Advantage(
        measured=(hits - alarms) / runs,
        low=hit_low - alarm_high,
        high=hit_high - alarm_low,
        bound=advantage_bound(epsilon, delta),
        runs=runs,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposed:
    """What the differencing attack made of one run.

    Attributes:
        claimed: Different rows that it takes for a customer's.
        right: How many of them are a customer's row.
    """

    claimed: int
    right: int


def differencing_attack(customers: FloatMatrix, plan: LloydExact) -> Exposed:
    """Compute customers' rows from the totals of a whole run of `lloyd-exact`.

    Args:
        customers: Grid coordinates of everybody, shape ``(n_samples, n_features)``.
        plan: Its first state.
    """
    claims = rows_from_totals([total for _, total in _exact_totals(customers, plan)])
    return Exposed(claimed=len(claims), right=len(claims & set(map(tuple, customers.tolist()))))


def rows_from_totals(totals: Sequence[IntMatrix]) -> set[tuple[int, ...]]:
    """The rows that follow from successive exact totals, and from nothing else.

    Args:
        totals: A round's sums, squared norms and counts each, shape
            ``(n_clusters, n_features + 2)``.
    """
    found: set[tuple[int, ...]] = set()
    for before, after in pairwise(totals):
        gained = after - before
        alone = gained[np.abs(gained[:, -1]) == 1]
        rows = alone * alone[:, -1:]
        # Whoever comes and goes together may leave a count of one, but not the norm of their sum.
        confirmed = (rows == customer_vectors(rows[:, :-2].astype(np.float64))).all(axis=1)
        found |= set(map(tuple, rows[confirmed, :-2].tolist()))
    return found


def noised_differencing_attack(
    customers: FloatMatrix, plan: LloydExact, terms: Terms, *, noise: bool = True, seed: int = 0
) -> Exposed:
    """The same attack where the question that has noise is asked about the same centres.

    The attacker is given more than a plan with noise shows: sums about centres that moved as in
    the exact run, nobody's offset shortened, and a tenth of the run's rho for each round. There are
    no squared norms; a row is claimed wherever a count changed by about one, and right within a
    hundredth of the cube's half.

    Args:
        customers, plan: As for `differencing_attack`.
        terms: What the run may cost.
        noise: False switches all noise off.
        seed: Decides the noise.
    """
    vectors, draws = customer_vectors(customers), Noise(f"{seed}/differencing/")
    seen: list[FloatMatrix] = []
    for centres, _ in _exact_totals(customers, plan):
        query = local_sums.local_query(
            centres, radius=2.0 * terms.reach, tilt=1.0, variance=terms.variance(0.1, UNIT * UNIT)
        )
        total = _answer(query, vectors)
        if noise:
            total = total + draws.take(query.variance, query.length)
        found = local_sums.decode(query, total, variance=query.variance, plane=None)
        sums = found.offsets * GRID + found.counts[:, None] * centres
        seen.append(np.column_stack([sums, found.counts]))
    claims: list[npt.NDArray[np.float64]] = []
    for before, after in pairwise(seen):
        gained = after - before
        sign = np.rint(gained[:, -1])
        claims.extend((gained[:, :-1] * sign[:, None])[np.abs(sign) == 1])
    near = [bool((np.abs(customers - row).max(axis=1) < GRID / 100).any()) for row in claims]
    return Exposed(claimed=len(claims), right=sum(near))


def _exact_totals(
    customers: FloatMatrix, plan: LloydExact
) -> Iterator[tuple[IntMatrix, IntMatrix]]:
    """The centres that each round of a run asks about, and the total that everybody sees."""
    vectors = customer_vectors(customers)
    while (query := plan.query) is not None:
        total = _answer(query, vectors)
        yield query.centroids, total.reshape(query.n_clusters, -1)
        plan = plan.advance(total, customers=len(customers))


class Noise:
    """Independent discrete Gaussian noise, drawn many samples at a time: that is much faster.

    Args:
        name: Decides the noise.
        ahead: Samples that are drawn beside those asked for.
    """

    def __init__(self, name: str, *, ahead: int = _NOISE_AT_ONCE) -> None:
        self._name = name
        self._ahead = ahead
        self._streams: dict[int, Stream] = {}
        self._unused: dict[int, IntVector] = {}

    def take(self, variance: int, count: int) -> IntVector:
        """The next `count` samples of a variance; each is given out once."""
        if variance not in self._streams:
            key = hashlib.sha256(f"{self._name}{variance}".encode()).digest()
            self._streams[variance] = Stream(key)
            self._unused[variance] = np.empty(0, dtype=np.int64)
        if self._unused[variance].shape[0] < count:
            more = discrete_gaussian(
                self._streams[variance], variance=variance, count=count + self._ahead
            )
            self._unused[variance] = np.concatenate([self._unused[variance], more])
        taken, self._unused[variance] = np.split(self._unused[variance], [count])
        return taken


def _score(
    others: FloatMatrix,
    victim: FloatMatrix,
    terms: Terms,
    *,
    present: bool,
    draws: Noise | None,
    partners: int,
    colluding: int,
) -> float:
    """The log of how much likelier one run's totals are with the victim than without."""
    plan: Plan = HybridDP.start(terms)
    score = 0.0
    honest = partners - colluding
    while plan.query is not None:
        query = plan.query
        share = share_variance(query.variance, partners=partners, colluding=colluding)
        expected, one = _answer(query, others), _answer(query, victim)
        # Answers are sums over customers, exact ones.
        total = expected + one if present else expected
        if draws is not None:
            total = total + draws.take(share * honest, query.length)
        difference = (total - expected).astype(np.float64)
        own = one.astype(np.float64)
        score += float(own @ difference - own @ own / 2.0) / float(share * honest)
        customers = len(others) + present
        plan = plan.advance(total, customers=customers + 1, variance=share * honest)
    return score


def _answer(query: SumQuery, vectors: FloatMatrix) -> IntVector:
    return answer(query, [vectors], threads=1)[0]


def _interval(count: int, of: int) -> Sequence[float]:
    """Clopper–Pearson, 97.5 % a side pair, so that a difference of two has 95 %."""
    tail = 0.0125
    low = 0.0 if count == 0 else float(beta.ppf(tail, count, of - count + 1))
    high = 1.0 if count == of else float(beta.ppf(1.0 - tail, count + 1, of - count))
    return low, high
