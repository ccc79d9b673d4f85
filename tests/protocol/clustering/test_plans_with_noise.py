"""Plans with noise: near k-means when there is little, within budget, the same at every node."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pytest

from partner_node.customers.answers import answer
from protocol.agreement.plan_names import EXACT_PLAN, NOISED_PLAN_NAMES, PLAN_NAMES
from protocol.agreement.satisfaction import SatisfactionTerms
from protocol.clustering.finish import Finishing
from protocol.clustering.hybrid_dp import HybridDP, Shares, Tuning
from protocol.clustering.lloyd_dp import LloydDP, root
from protocol.clustering.lloyd_exact import LloydExact
from protocol.clustering.noised import Noised
from protocol.clustering.plan import NOISED_PLANS, PLANS, Plan, restore_plan, step_hash
from protocol.clustering.terms import SMALLEST_SHARE, Terms
from protocol.errors import LocalProtocolError, MalformedError, RemoteProtocolError
from protocol.masking import Stream
from protocol.noised_queries import ScoresQuery, SpreadsQuery
from protocol.privacy.accounting import RHO_ONE
from protocol.privacy.mechanisms import discrete_gaussian, share_variance
from protocol.queries import customer_vectors, with_scores
from protocol.ring import UNIT
from tests import effort

ONE = 1 << 20


def terms(
    d: int, k: int, rho: float, *, group: int = 1, seed: int = 0, k_min: int | None = None
) -> Terms:
    return Terms(
        n_clusters=k,
        n_clusters_min=k if k_min is None else k_min,
        limit=np.full(d, ONE),
        cost=int(rho * RHO_ONE),
        group=group,
        seed=hashlib.sha256(bytes([seed])).digest(),
    )


def blobs(n: int, d: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Customers on the grid around k well separated middles."""
    rng = np.random.default_rng(seed)
    middles = rng.uniform(-0.8, 0.8, (k, d))
    points = middles[rng.integers(0, k, n)] + rng.normal(0, 0.04, (n, d))
    return np.rint(np.clip(points, -1, 1) * ONE), middles


#: Every plan, without and with a profile, and with a question about satisfaction.
KINDS = [
    name + asked
    for name in NOISED_PLANS
    for asked in ("", "+profile", "+satisfaction", "+profile+satisfaction")
]
SCALE = SatisfactionTerms(question="How satisfied are you with us?", lowest=1, highest=5)


def start(name: str, own: Terms, *, smallest: int = 1) -> Finishing:
    plan = NOISED_PLANS[name.partition("+")[0]]
    return Finishing.start(
        own,
        lambda rest: plan.start(rest, rounds=plan.LEAST_ROUNDS + 2),
        min_segment_size=smallest,
        profile="profile" in name,
        satisfaction="satisfaction" in name,
    )


def finishing(own: Terms, begin: Callable[[Terms], Noised]) -> Finishing:
    return Finishing.start(own, begin, min_segment_size=1, profile=False, satisfaction=False)


P = TypeVar("P", bound=Plan)


def carried_out(
    plan: P,
    grid: np.ndarray,
    *,
    partners: int = 5,
    colluding: int = 1,
    noise_seed: int = 1,
    scores: np.ndarray | None = None,
) -> list[P]:
    """All states; noise as `partners` of whom all add their share give it.

    `scores` are on `SCALE`, NaN for who gave none; half of the customers give the same otherwise.
    """
    if scores is None:
        scores = np.where(np.arange(len(grid)) % 2, 4.0, np.nan)
    vectors = [customer_vectors(grid)]
    scored = [with_scores(vectors[0], SCALE.in_units(scores))]
    stream = Stream(hashlib.sha256(b"noise %d" % noise_seed).digest())
    states = [plan]
    while plan.query is not None:
        asked = scored if isinstance(plan.query, ScoresQuery) else vectors
        total, counted = answer(plan.query, asked)
        assert counted == len(grid)
        share = share_variance(plan.query.variance, partners=partners, colluding=colluding)
        noise = discrete_gaussian(stream, variance=share * partners, count=plan.query.length)
        plan = plan.advance(total + noise, customers=len(grid), variance=share * partners)
        states.append(plan)
    return states


def mean_distance(grid: np.ndarray, plan: Plan) -> float:
    assert plan.result is not None
    centres = plan.result.centroids / ONE
    points = grid / ONE
    return float(((points[:, None] - centres[None]) ** 2).sum(axis=2).min(axis=1).mean())


@pytest.mark.parametrize("name", ["hybrid-dp", "lloyd-dp"])
@pytest.mark.parametrize("d", [1, 2, 3, 4, 9])
def test_with_next_to_no_noise_clusters_are_found(name: str, d: int) -> None:
    grid, middles = blobs(3_000, d, 3, seed=d)
    best = float((((grid / ONE)[:, None] - middles[None]) ** 2).sum(axis=2).min(axis=1).mean())
    found = min(
        mean_distance(grid, carried_out(start(name, terms(d, 3, 200.0, seed=s)), grid)[-1])
        for s in range(3)
    )
    # Plain Lloyd may stay in a bad optimum.
    one_cluster = float(np.var(grid / ONE, axis=0).sum())
    assert found < (1.15 * best if name == "hybrid-dp" else 0.6 * one_cluster)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("rho", [1e-5, 0.001, 0.02, 1.0])
@pytest.mark.parametrize("shape", [(2, 1), (3, 7), (4, 2), (16, 16)])
@pytest.mark.parametrize("group", [1, 3])
def test_a_run_never_costs_more_than_its_budget(
    name: str, rho: float, shape: tuple[int, int], group: int
) -> None:
    d, k = shape
    own = terms(d, k, rho, group=group)
    grid, _ = blobs(500, d, k, seed=1)
    states = carried_out(start(name, own), grid)
    queries = [s.query for s in states if s.query is not None]
    cost = sum(own.cost_of(query) for query in queries)
    assert cost <= own.cost
    asked_last = states[-1].kept != ()
    assert cost > (0.9 if asked_last else 0.85) * own.cost
    assert all(own.cost_of(query) >= SMALLEST_SHARE * own.cost for query in queries)
    assert all(own.cost_of(query) <= own.cost / 2 for query in queries)
    result = states[-1].result
    assert result is not None
    assert result.noise is not None
    assert result.noise.cost == cost
    assert result.noise.dearest == max(own.cost_of(query) for query in queries)
    last = 2 if "satisfaction" in name else 1
    assert result.rounds == len(queries) <= HybridDP.MOST_ROUNDS + last
    assert (result.profile is not None) == ("profile" in name and asked_last)
    assert (result.satisfaction is not None) == ("satisfaction" in name and asked_last)
    assert result.sizes is not None
    assert result.sizes.kept == states[-1].kept
    for query in queries:
        assert max(abs(bound).max() for bound in query.range(1)) <= own.largest_entry
        assert query.length <= NOISED_PLANS[name.partition("+")[0]].longest_vector(k, d)


@pytest.mark.parametrize("name", KINDS)
def test_a_stored_state_goes_on_as_the_one_that_was_stored(name: str) -> None:
    grid, _ = blobs(4_000, 5, 3, seed=4)
    states = carried_out(start(name, terms(5, 3, 0.5)), grid)
    for state in states:
        restored = restore_plan(json.loads(json.dumps(state.to_dict())))
        assert step_hash(restored) == step_hash(state)
    again = restore_plan(json.loads(json.dumps(states[0].to_dict())))
    assert restore_plan(states[-1].to_dict()).result is not None
    restarted = carried_out(again, grid)
    assert [step_hash(s) for s in restarted] == [step_hash(s) for s in states]


def test_the_same_totals_lead_to_the_same_questions_and_others_to_others() -> None:
    grid, _ = blobs(2_000, 4, 3, seed=4)
    plan = HybridDP.start(terms(4, 3, 0.5))
    first = [step_hash(s) for s in carried_out(plan, grid, noise_seed=1)]
    assert first == [step_hash(s) for s in carried_out(plan, grid, noise_seed=1)]
    other = [step_hash(s) for s in carried_out(plan, grid, noise_seed=2)]
    assert first[0] == other[0]
    assert not set(first[2:]) & set(other[2:])


def test_everything_asked_and_released_lies_in_the_cube() -> None:
    for seed in range(8):
        own = terms(6, 4, 0.0005, seed=seed)
        grid, _ = blobs(200, 6, 4, seed=seed)
        for state in carried_out(HybridDP.start(own), grid, noise_seed=seed):
            for name in ("candidates", "centres", "centre"):
                points = getattr(state.query, name, None)
                assert points is None or (np.abs(points) <= ONE).all()
        assert state.result is not None
        assert (np.abs(state.result.centroids) <= ONE).all()
        assert (state.result.counts >= 0).all()


@pytest.mark.parametrize("rows", [0, 1, 2, 50])
@pytest.mark.parametrize("d", [1, 3, 4, 12])
def test_hardly_any_customers_are_no_trouble(rows: int, d: int) -> None:
    grid = np.zeros((rows, d)) + ONE / 2
    for rho in (1e-6, 0.01, 50.0):
        result = carried_out(HybridDP.start(terms(d, 5, rho)), grid)[-1].result
        assert result is not None
        assert result.centroids.shape == (5, d)


def test_a_total_that_cannot_be_true_is_refused() -> None:
    for kind in NOISED_PLANS.values():
        plan = kind.start(terms(4, 2, 0.1), rounds=kind.LEAST_ROUNDS)
        assert plan.query is not None
        variance = plan.query.variance
        total = np.full(plan.query.length, 1 << 61, dtype=np.int64)
        with pytest.raises(RemoteProtocolError, match="E-TOTAL-RANGE"):
            plan.advance(total, customers=100, variance=variance)


def test_a_profile_that_cannot_be_true_is_refused() -> None:
    grid, _ = blobs(300, 3, 2, seed=1)
    asked = carried_out(start("lloyd-dp+profile", terms(3, 2, 1.0)), grid)[-3]
    assert asked.query is not None
    assert isinstance(asked.query, SpreadsQuery)
    for entry in (-(1 << 61), 1 << 61):
        total = np.full(asked.query.length, entry, dtype=np.int64)
        with pytest.raises(RemoteProtocolError, match="E-TOTAL-RANGE"):
            asked.advance(total, customers=300, variance=asked.query.variance)


def test_scores_that_cannot_be_true_are_refused() -> None:
    grid, _ = blobs(300, 3, 2, seed=1)
    asked = carried_out(start("lloyd-dp+satisfaction", terms(3, 2, 1.0)), grid)[-2]
    assert isinstance(asked.query, ScoresQuery)
    margin = 13 * int(asked.query.variance**0.5 + 1)
    for place, entry in ((0, 1), (0, -1), (1, 1), (1, -1)):
        total = np.zeros(asked.query.length, dtype=np.int64)
        total[place] = entry * (300 * UNIT + margin) if (place, entry) != (1, -1) else -margin
        with pytest.raises(RemoteProtocolError, match="E-TOTAL-RANGE"):
            asked.advance(total, customers=300, variance=asked.query.variance)


def satisfied(grid: np.ndarray, share: float) -> np.ndarray:
    """Scores of a share of the customers: higher along the first feature."""
    rng = np.random.default_rng(11)
    scores = np.clip(3 + 1.8 * grid[:, 0] / ONE + rng.normal(0, 0.7, len(grid)), 1, 5)
    return np.where(rng.random(len(grid)) < share, np.rint(scores * 2) / 2, np.nan)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hybrid-dp+satisfaction", "lloyd-dp+profile+satisfaction"])
@pytest.mark.parametrize("share", [1.0, 0.3])
def test_satisfaction_is_that_of_who_answered_within_the_stated_noise(
    name: str, share: float
) -> None:
    grid, _ = blobs(8_000, 3, 3, seed=6)
    scores = satisfied(grid, share)
    of_counts, of_means = [], []
    for seed in range(20):
        plan = start(name, terms(3, 3, 0.1, seed=seed))
        result = carried_out(plan, grid, noise_seed=seed, scores=scores)[-1].result
        assert result is not None
        assert result.sizes is not None
        assert result.satisfaction is not None
        centres = result.centroids[list(result.sizes.kept)] / ONE
        nearest = (((grid / ONE)[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
        said = ~np.isnan(scores)
        found = result.satisfaction
        for j in range(len(centres)):
            own = scores[said & (nearest == j)]
            of_counts.append((found.answered[j] - len(own)) / found.answered_sigmas[j])
            if len(own) < 300:  # among few the count's noise bends the mean
                continue
            off = SCALE.from_units(int(found.means[j])) - own.mean()
            of_means.append(off / SCALE.width_of(int(found.mean_sigmas[j])))
    assert len(of_means) >= 30
    assert np.abs(of_counts).max() < 4.1
    assert 0.7 < float(np.std(of_counts)) < 1.2
    assert np.abs(of_means).max() < 4.1
    assert 0.75 < float(np.std(of_means)) < 1.25
    assert abs(float(np.mean(of_means))) < 0.4


def test_where_nobody_answers_the_mean_stays_on_the_scale_and_its_noise_says_so() -> None:
    grid, _ = blobs(2_000, 3, 2, seed=3)
    nobody = np.full(len(grid), np.nan)
    for seed in range(10):
        plan = start("lloyd-dp+satisfaction", terms(3, 2, 0.05, seed=seed))
        result = carried_out(plan, grid, noise_seed=seed, scores=nobody)[-1].result
        assert result is not None
        assert result.satisfaction is not None
        found = result.satisfaction
        assert (found.answered >= 0).all()
        assert (found.answered <= 5 * found.answered_sigmas).all()
        assert (np.abs(found.means) <= UNIT).all()
        assert (found.mean_sigmas > UNIT // 8).all()


def uneven_blobs(n: int) -> np.ndarray:
    """Two far clusters whose features vary by their own standard deviations."""
    rng = np.random.default_rng(7)
    deviations = np.array([[0.02, 0.15, 0.08, 0.05], [0.12, 0.03, 0.05, 0.1]])
    middles = np.array([[-0.5] * 4, [0.5] * 4])
    own = np.repeat([0, 1], [n, n // 2])
    points = middles[own] + rng.normal(0, 1, (len(own), 4)) * deviations[own]
    return np.rint(np.clip(points, -1, 1) * ONE)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hybrid-dp+profile", "lloyd-dp+profile"])
def test_a_profile_is_each_features_spread_within_the_stated_noise(name: str) -> None:
    grid = uneven_blobs(4_000)
    misses = []
    runs = effort.count(10, 25)
    for noise_seed in range(runs):
        plan = start(name, terms(4, 2, 0.05, seed=noise_seed))
        result = carried_out(plan, grid, noise_seed=noise_seed)[-1].result
        assert result is not None
        assert result.profile is not None
        places = grid / ONE
        centres = result.centroids / ONE
        nearest = ((places[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
        if np.abs(np.sort(centres[:, 0]) - [-0.5, 0.5]).max() > 0.05:
            continue  # lloyd-dp may end in a bad optimum
        for j in range(2):
            true = ((places[nearest == j] - centres[j]) ** 2).mean(axis=0)
            off = result.profile.spreads[j] / ONE - true
            misses.extend(off / (result.profile.sigmas[j] / ONE))
    assert len(misses) >= 2.4 * runs
    # Noise alone gives 1; where it would lead below 0 it is cut off, and far offsets are shortened.
    assert 0.4 < float(np.std(misses)) < 1.3
    assert abs(float(np.mean(misses))) < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("shape", ["even", "uneven", "more centres than clusters"])
def test_sizes_are_those_about_the_released_centres_within_their_noise(
    name: str, shape: str
) -> None:
    rng = np.random.default_rng(5)
    shares = {"even": [0.25] * 4, "uneven": [0.8, 0.15, 0.04, 0.01]}.get(shape, [0.5, 0.3, 0.2])
    middles = rng.uniform(-0.8, 0.8, (4, 3))
    own = rng.choice(len(shares), 6_000, p=shares)
    points = middles[own] + rng.normal(0, 0.05, (6_000, 3)) * rng.lognormal(0, 0.5, (6_000, 1))
    grid = np.rint(np.clip(points, -1, 1) * ONE)
    misses = []
    for seed in range(15):
        plan = start(name, terms(3, 6 if shape.startswith("more") else 4, 0.05, seed=seed))
        result = carried_out(plan, grid, noise_seed=seed)[-1].result
        assert result is not None
        assert result.sizes is not None
        centres = result.centroids[list(result.sizes.kept)] / ONE
        nearest = (((grid / ONE)[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
        true = np.bincount(nearest, minlength=len(centres))
        misses.extend((result.sizes.counts - true) / result.sizes.sigmas)
        assert true.sum() == 6_000
    # Nothing but the last question's noise, which is rounded up: 4 in 100,000 are beyond 4.1.
    assert np.abs(misses).max() < 4.1
    assert np.mean(np.abs(misses) < 1.96) > 0.85


@pytest.mark.parametrize("name", ["hybrid-dp", "lloyd-dp+profile"])
def test_clusters_too_small_to_tell_are_merged_before_they_are_counted(name: str) -> None:
    grid, _ = blobs(400, 3, 2, seed=3)
    for smallest, most in ((1, 6), (150, 2), (5_000, 0)):
        states = carried_out(start(name, terms(3, 6, 0.02), smallest=smallest), grid)
        result = states[-1].result
        assert result is not None
        assert result.sizes is not None
        assert len(result.sizes.kept) <= most
        sigma = int(result.sizes.sigmas.max(initial=0))
        for place in result.sizes.kept:
            assert result.counts[place] >= smallest + 2.9 * sigma - 3
        before = states[-2] if result.sizes.kept else states[-1]
        assert before.plan.result is not None, "the last question is asked when there is one alone"


def test_further_questions_change_neither_centres_nor_sizes_beyond_their_share() -> None:
    """With little noise all end in the same clusters."""
    grid = uneven_blobs(3_000)
    found = [
        carried_out(start(name, terms(4, 2, 100.0)), grid)[-1].result
        for name in ("hybrid-dp", "hybrid-dp+profile", "hybrid-dp+profile+satisfaction")
    ]
    centres, counts = [], []
    for result in found:
        assert result is not None
        order = np.argsort(result.centroids[:, 0])
        centres.append(result.centroids[order])
        counts.append(result.counts[order])
    for other in (1, 2):
        assert np.abs(centres[0] - centres[other]).max() < ONE / 50
        assert np.abs(counts[0] - counts[other]).max() < 30


def test_more_noise_for_larger_groups() -> None:
    for plan in NOISED_PLANS.values():
        one, three = (plan.start(terms(4, 2, 0.1, group=g), rounds=9).query for g in (1, 3))
        assert one is not None
        assert three is not None
        assert abs(three.variance / one.variance - 9) < 1e-6


def test_the_shares_of_a_run_add_up_to_one() -> None:
    for n in (100.0, 2_000.0, 50_000.0, 1e7):
        for d, k in ((2, 3), (5, 8), (64, 2)):
            own = terms(d, k, 0.05)
            shares = Shares.of(own, n, 3.5, Tuning())
            total = (
                Tuning().count_share
                + shares.mean
                + shares.moments
                + shares.votes
                + shares.coarse * shares.coarse_rounds
                + shares.fine * shares.fine_rounds
            )
            assert abs(total - 1) < 1e-12
            assert shares.n_candidates >= k


def test_whole_number_roots() -> None:
    for value in (0, 1, 2, 7, 8, 9, 26, 27, 10**30):
        for degree in (1, 2, 3, 17):
            found = root(value, degree)
            assert found**degree <= value < (found + 1) ** degree


def test_a_stored_plan_of_another_kind_is_refused() -> None:
    state: dict[str, Any] = HybridDP.start(terms(2, 2, 0.1)).to_dict()
    state["state"]["kind"] = "Popen"
    with pytest.raises(MalformedError, match="Popen"):
        restore_plan(state)
    with pytest.raises(MalformedError, match="'other'"):
        restore_plan({"plan": "other"})
    profiled = start("hybrid-dp+profile", terms(2, 2, 0.1)).to_dict()
    exact = LloydExact.start(n_clusters=2, limit=np.full(2, ONE), max_rounds=3, seed=bytes(32))
    with pytest.raises(MalformedError, match="'lloyd-exact' is none with noise"):
        restore_plan(profiled | {"inner": exact.to_dict()})


@pytest.mark.parametrize("weights", [(1.0, 0.01), (1.0, 0.01, 0.01), (0.01, 0.01, 0.01, 0.01)])
def test_narrow_features_are_no_trouble(weights: tuple[float, ...]) -> None:
    limit = np.rint(np.array(weights) * ONE).astype(np.int64)
    for k, rho in ((1, 1e-5), (3, 0.05), (20, 5.0)):
        own = Terms(
            n_clusters=k, n_clusters_min=k, limit=limit, cost=int(rho * RHO_ONE), group=1,
            seed=bytes(32),
        )  # fmt: skip
        grid, _ = blobs(400, len(weights), 3, seed=1)
        states = carried_out(HybridDP.start(own), np.rint(grid * weights))
        longest = HybridDP.longest_vector(k, len(weights))
        assert all(s.query.length <= longest for s in states if s.query is not None)
        assert states[-1].result is not None


def test_the_plans_that_can_be_agreed_are_those_that_can_be_run() -> None:
    assert tuple(PLANS) == PLAN_NAMES
    assert tuple(NOISED_PLANS) == NOISED_PLAN_NAMES == tuple(p for p in PLANS if p != EXACT_PLAN)


class Dear(LloydDP):
    """Asks its second question with so little noise that it costs most of the run."""

    def advance(self, total: Any, *, customers: int, variance: int) -> Any:
        after = super().advance(total, customers=customers, variance=variance)
        dear = replace(after.query, variance=self.terms.variance(0.6, UNIT * UNIT))
        return replace(after, query=dear)


def test_a_question_that_a_spare_round_could_not_pay_for_is_not_asked() -> None:
    own = terms(2, 3, 0.1)
    grid, _ = blobs(500, 2, 3, seed=1)
    with pytest.raises(LocalProtocolError, match=r"lloyd-dp asks .* for 95 % of what"):
        finishing(own, lambda rest: LloydDP.start(rest, rounds=1))
    half = finishing(own, lambda rest: LloydDP.start(rest, rounds=2))
    assert carried_out(half, grid)[-1].result is not None

    def dear(rest: Terms) -> Dear:
        cheap = LloydDP.start(rest, rounds=4)
        return Dear(**{name: getattr(cheap, name) for name in LloydDP.__slots__})

    with pytest.raises(LocalProtocolError, match=r"lloyd-dp asks .* for 57 % of what"):
        carried_out(finishing(own, dear), grid)


def test_a_plan_is_read_as_the_version_before_the_choice_by_gaps_wrote_it() -> None:
    """Runs that ended long ago are on record: without what is new, with what is no more."""
    grid, _ = blobs(600, 2, 3, seed=2)
    states = carried_out(start("hybrid-dp", terms(2, 4, 0.5, k_min=2)), grid)
    for state in states:
        written = json.loads(json.dumps(state.to_dict()))
        for kind, fields in _kinds(written):
            for name in {"counts", "moved"} if kind == "Coreset" else {"n_clusters_agreed"}:
                fields.pop(name, None)
            if fields.pop("choice", "no") != "no":
                score = {"n_clusters": 2, "silhouette": 1, "davies_bouldin": 2, "stability": 3}
                fields["scores"] = [{"kind": "KScore", "fields": score | {"votes": 4}}]
            fields.pop("distance", None)
        del written["state"]["distance_cost"]
        restored = restore_plan(written)
        assert type(restored.query) is type(state.query)
        assert (restored.result is None) == (state.result is None)
    assert restored.result is not None
    assert restored.result.choice is None


def _kinds(values: Any) -> list[tuple[str, dict[str, Any]]]:
    """Every dataclass in a stored state, by its kind, with its fields."""
    if isinstance(values, list):
        return [found for entry in values for found in _kinds(entry)]
    if not isinstance(values, dict):
        return []
    inner = [found for entry in values.values() for found in _kinds(entry)]
    return [*inner, (values["kind"], values["fields"])] if "kind" in values else inner
