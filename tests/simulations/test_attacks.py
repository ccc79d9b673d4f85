"""Attacks that win without noise and lose with it: what the promise is worth, measured."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pytest
from scipy.stats import chi2, norm

from partner_node.customers.answers import answer
from protocol.clustering import local_sums
from protocol.clustering.lloyd_exact import LloydExact
from protocol.clustering.plane import GRID
from protocol.clustering.result import Clustering, NoiseReport, Sizes
from protocol.clustering.terms import Terms
from protocol.masking import Stream
from protocol.privacy.accounting import cost_of_rho, rho_for
from protocol.privacy.mechanisms import discrete_gaussian, share_variance
from protocol.privacy.terms import PrivacyTerms
from protocol.queries import customer_vectors
from protocol.release.document import make_release
from protocol.ring import UNIT
from protocol.scaling import FloatMatrix
from simulations import attacks
from simulations.attacks import (
    Scores,
    advantage,
    advantage_bound,
    differencing_attack,
    membership_attack,
    membership_scores,
    noised_differencing_attack,
    rows_from_totals,
)
from simulations.federation import FeatureTerms, Federation
from tests import effort

EPSILON, DELTA = 1.0, 1e-3
TERMS = Terms(
    n_clusters=2,
    n_clusters_min=2,
    limit=np.full(2, GRID),
    cost=cost_of_rho(rho_for(EPSILON, DELTA)),
    group=1,
    seed=bytes(32),
)
OTHERS = np.rint(np.clip(np.random.default_rng(0).normal(-0.5, 0.1, (40, 2)), -1, 1) * GRID)
VICTIM = np.full((1, 2), float(GRID))


def test_the_bound_is_that_of_epsilon_and_delta() -> None:
    assert advantage_bound(0.0, 0.0) == 0.0
    assert advantage_bound(1.0, 0.0) == pytest.approx(0.4621, abs=1e-4)
    assert advantage_bound(50.0, 0.0) == pytest.approx(1.0)


def test_without_noise_the_membership_attack_always_wins() -> None:
    found = membership_attack(
        OTHERS, VICTIM, TERMS, epsilon=EPSILON, delta=DELTA, runs=100, noise=False
    )
    assert found.measured == 1.0
    assert found.low > found.bound


@pytest.fixture(scope="module")
def scores() -> Scores:
    """One colluding partner takes its own noise off; the attacker knows everybody else."""
    runs = effort.count(700, 10_000)
    return membership_scores(OTHERS, VICTIM, TERMS, runs=runs, seed=effort.SEED)


@pytest.mark.slow
def test_the_best_membership_attack_stays_below_the_bound(scores: Scores) -> None:
    found = advantage(scores, epsilon=EPSILON, delta=DELTA)
    assert found.high < found.bound
    assert found.low > 0.04, "an attack that finds nothing measures nothing"


def objection(scores: Scores) -> str | None:
    """Why scores are not those of a run whose noise is the agreed one, as rho has it.

    Each of three tests is wrong once in a million times when the noise is right.
    """
    rho, runs = float(rho_for(EPSILON, DELTA)), len(scores.without)
    deviations = np.concatenate([scores.within - rho, scores.without + rho])
    low, high = chi2.ppf([5e-7, 1 - 5e-7], 2 * runs) / (2 * runs)
    ratio = float(np.square(deviations).mean()) / (2 * rho)
    if not low < ratio < high:
        return f"the variance is {ratio:.3f} of what it is to be, not {low:.3f} to {high:.3f}"
    for found in (deviations[:runs], deviations[runs:]):
        away = abs(float(found.mean())) / (2 * rho / runs) ** 0.5
        if away > norm.isf(5e-7):
            return f"a mean is {away:.1f} standard errors away from where it is to be"
    return None


@pytest.mark.slow
def test_what_the_attacker_sees_is_what_the_agreed_rho_says(scores: Scores) -> None:
    """The victim moves every answer by as much as anybody may, so the noise alone decides."""
    assert objection(scores) is None


def wrong_variance(patch: pytest.MonkeyPatch, times: float) -> None:
    def drawn(stream: Stream, *, variance: int, count: int) -> np.ndarray:
        return discrete_gaussian(stream, variance=int(variance * times), count=count)

    patch.setattr(attacks, "discrete_gaussian", drawn)


def wrong_share(patch: pytest.MonkeyPatch, times: float) -> None:
    def shared(variance: int, *, partners: int, colluding: int) -> int:
        return share_variance(int(variance * times), partners=partners, colluding=colluding)

    patch.setattr(attacks, "share_variance", shared)


def wrong_rounds(patch: pytest.MonkeyPatch, times: float) -> None:
    right = Terms.variance_at
    patch.setattr(Terms, "variance_at", lambda *asked: int(right(*asked) * times))


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [wrong_variance, wrong_share, wrong_rounds])
@pytest.mark.parametrize("times", [0.5, 2.0])
def test_half_and_twice_the_noise_are_noticed(
    wrong: Callable[[pytest.MonkeyPatch, float], None],
    times: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong(monkeypatch, times)
    runs = effort.count(150, 200)
    found = objection(membership_scores(OTHERS, VICTIM, TERMS, runs=runs))
    assert found is not None
    assert "variance" in found


@pytest.mark.slow
def test_too_little_noise_would_be_noticed() -> None:
    """The measurement is sharp: with an eighth of the noise the same bound is broken."""
    loose = Terms(
        n_clusters=2, n_clusters_min=2, limit=TERMS.limit, cost=60 * TERMS.cost, group=1,
        seed=bytes(32),
    )  # fmt: skip
    runs = effort.count(120, 300)
    found = membership_attack(OTHERS, VICTIM, loose, epsilon=EPSILON, delta=DELTA, runs=runs)
    assert found.low > found.bound


def noised(total: np.ndarray, variance: int, name: str) -> np.ndarray:
    share = share_variance(variance, partners=5, colluding=1)
    stream = Stream(hashlib.sha256(name.encode()).digest())
    return total + discrete_gaussian(stream, variance=5 * share, count=total.shape[0])


@pytest.mark.parametrize("noise", [False, True])
def test_differencing_two_totals_shows_a_customer_only_without_noise(noise: bool) -> None:
    query = local_sums.local_query(
        np.array([[0, 0], [GRID // 2, GRID // 2]]), radius=1.0, tilt=1.0,
        variance=TERMS.variance(0.2, UNIT * UNIT),
    )  # fmt: skip
    own, _ = answer(query, [customer_vectors(VICTIM)])
    distances = []
    for number in range(40):
        totals = []
        for rows in (np.vstack([OTHERS, VICTIM]), OTHERS):
            total, _ = answer(query, [customer_vectors(rows)])
            name = f"{number} {len(rows)}"
            totals.append(noised(total, query.variance, name) if noise else total)
        distances.append(float(np.linalg.norm(totals[0] - totals[1] - own)))
    size = float(np.linalg.norm(own))
    if noise:
        assert min(distances) > size, "what is left of two totals is noise"
    else:
        assert max(distances) == 0.0, "the customer's vector, to the bit"


def an_exact_run(number: int) -> tuple[FloatMatrix, LloydExact]:
    """400 customers about five places, and a run as a new draft with exact totals has it."""
    drawn = effort.generator(f"exact run {number}")
    places = drawn.uniform(-0.8, 0.8, (5, 4))[drawn.integers(0, 5, 400)]
    customers = np.rint(np.clip(places + drawn.normal(0.0, 0.3, (400, 4)), -1, 1) * GRID)
    plan = LloydExact.start(
        n_clusters=5, limit=np.full(4, GRID), max_rounds=50, seed=drawn.bytes(32)
    )
    return customers, plan


def test_exact_totals_show_rows_of_single_customers_to_whoever_sees_them() -> None:
    runs = effort.count(6, 200)
    found = [differencing_attack(*an_exact_run(number)) for number in range(runs)]
    assert all(run.right == run.claimed for run in found), "every claimed row is a customer's"
    assert sum(run.right > 0 for run in found) > 0.6 * runs


def test_with_noise_at_epsilon_10_differences_show_nobodys_row() -> None:
    terms = Terms(
        n_clusters=5, n_clusters_min=5, limit=np.full(4, GRID),
        cost=cost_of_rho(rho_for(10.0, 1e-5)), group=1, seed=bytes(32),
    )  # fmt: skip
    runs = range(effort.count(6, 100))
    without, within = (
        [
            noised_differencing_attack(
                *an_exact_run(number), terms, noise=noise, seed=effort.SEED + number
            )
            for number in runs
        ]
        for noise in (False, True)
    )
    assert sum(run.right > 0 for run in without) > 0.6 * len(runs), "the attack itself works"
    assert sum(run.claimed for run in within) > len(runs), "it goes on claiming rows"
    assert sum(run.right for run in within) == 0


def test_a_difference_counts_as_a_row_only_when_its_norm_says_that_it_is_one() -> None:
    rows = customer_vectors(np.array([[0.5, 0.25], [-0.5, 0.75], [0.25, 0.125]]) * GRID)
    one, two, three = rows.astype(np.int64)
    empty = np.zeros_like(one)
    base = np.array([one + two + three, three, empty])
    alone = np.array([one + two, three, three])
    assert rows_from_totals([base, alone]) == {tuple(three[:2])}
    swapped = np.array([three, one + two, empty])
    assert rows_from_totals([base, swapped]) == set(), "two came and one left: no row"
    assert rows_from_totals([base, base]) == set()


@pytest.mark.parametrize("noise", [False, True])
def test_a_centre_put_on_a_customer_shows_it_only_without_noise(noise: bool) -> None:
    """Steering: a colluding partner moves a centroid to where the victim may be."""
    centres = np.array([[GRID, GRID], [-GRID // 2, -GRID // 2]])
    query = local_sums.local_query(
        centres, radius=0.2, tilt=1.0, variance=TERMS.variance(0.2, UNIT * UNIT)
    )
    right = 0
    for number in range(200):
        present = number % 2 == 0
        rows = np.vstack([OTHERS, VICTIM]) if present else OTHERS
        total, _ = answer(query, [customer_vectors(rows)])
        if noise:
            total = noised(total, query.variance, f"crafted {number}")
        count = total[query.n_features] / query.count_unit
        right += (count > 0.5) == present
    assert right == 200 if not noise else right < 130


def test_a_tiny_segment_is_released_only_when_its_size_is_beyond_doubt() -> None:
    privacy = PrivacyTerms(
        epsilon=Decimal(1), delta=Decimal("0.00001"), rho=rho_for(1.0, 1e-5), runs=1,
        spare_rounds=0, max_partners_per_customer=1,
    )  # fmt: skip
    fed = Federation(
        [np.zeros((9, 1))] * 3, [FeatureTerms(name="f", min="0", max="1")], n_clusters=3,
        max_rounds=11, plan="hybrid-dp", privacy=privacy, min_segment_size=50,
    )  # fmt: skip

    def released(sigma: int) -> list[int]:
        noise = NoiseReport(
            count_sigmas=np.full(3, sigma), centre_sigmas=np.full(3, 5), cost=10, dearest=5
        )
        clustering = Clustering(
            centroids=np.array([[0], [5], [9]]), counts=np.array([400, 79, 3]),
            spread=np.zeros(3, dtype=np.int64), rounds=5, converged=True, noise=noise,
            sizes=Sizes(kept=(0, 1, 2), counts=np.array([400, 79, 3]), sigmas=np.full(3, sigma)),
        )  # fmt: skip
        release = make_release(
            fed.agreement, clustering, run_hash=bytes(32), members=frozenset({0, 1, 2})
        )
        if len(release.segments) < 3:
            assert release.withheld is not None
            assert "too small to tell under the noise" in release.withheld.reason
        return [s.size for s in release.segments]

    assert released(0) == [400, 79]
    assert released(9) == [400, 79]
    assert released(10) == [400], "79 is not 50 and three standard deviations"
    assert released(200) == []
