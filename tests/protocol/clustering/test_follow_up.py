"""The plan of a run that follows a release: what it asks, what it costs, what a change is."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from protocol.clustering.finish import Finishing
from protocol.clustering.follow_up import FollowUp
from protocol.clustering.followed import Followed
from protocol.clustering.plan import (
    longest_vector,
    most_cost,
    query_of,
    restore_plan,
    start_plan,
    step_hash,
)
from protocol.errors import RemoteProtocolError
from protocol.noised_queries import DistanceQuery, LocalSumsQuery, SpreadsQuery, VotesQuery
from protocol.release.document import Release, Withheld, make_release
from protocol.release.last import begins_at
from protocol.release.lineage import lineage
from protocol.release.view import release_view
from protocol.ring import UNIT
from simulations.federation import FeatureTerms, Federation
from simulations.privacy import benchmark_terms

ONE = 1 << 20


def federation() -> Federation:
    rng = np.random.default_rng(1)
    middles = rng.uniform(2, 8, (5, 5))
    data = [middles[rng.integers(0, 5, 700)] + rng.normal(0, 0.3, (700, 5)) for _ in range(4)]
    return Federation(
        data,
        [FeatureTerms(name=f"f{i}", min="0", max="10") for i in range(5)],
        n_clusters=5,
        max_rounds=12,
        seed=1,
        min_segment_size=20,
        plan="hybrid-dp",
        privacy=benchmark_terms(3.0, 0.00001, n_samples=2_800),
    )


# --- what is asked ---------------------------------------------------------------------------


def asked(agreement: Any, followed: Followed | None, n: int = 1_000) -> list[Any]:
    """All questions of a run, each answered by `n` customers at the first centre."""
    plan = start_plan(agreement, seed=bytes(32), followed=followed)
    queries = []
    while plan.query is not None:
        query = query_of(plan)
        queries.append(query)
        total = np.zeros(query.length, dtype=np.int64)
        if isinstance(query, LocalSumsQuery | SpreadsQuery):
            total = query.range(n)[1] * (np.arange(query.length) % (query.n_features + 1) == 5)
        if isinstance(query, VotesQuery):
            total[:] = UNIT * n
        plan = plan.advance(total, customers=n * 8, variance=query.variance)
    return queries


@pytest.fixture(scope="module")
def first() -> tuple[Any, Release]:
    fed = federation()
    return fed.agreement, fed.run().release.release


def test_it_asks_two_questions_before_the_last_ones_and_none_about_numbers(
    first: tuple[Any, Release],
) -> None:
    agreement, release = first
    followed = begins_at(agreement, release)
    queries = asked(agreement, followed)
    kinds = [DistanceQuery, LocalSumsQuery, VotesQuery, DistanceQuery]
    assert [type(query) for query in queries] == kinds
    assert np.array_equal(queries[0].points, release.centres)
    assert release.distance is not None
    assert queries[0].radius == release.distance.radius
    assert np.array_equal(queries[1].centres, release.centres)
    assert max(query.length for query in queries) <= longest_vector(agreement)


def test_it_costs_what_is_said_and_no_question_more_than_half_of_a_run(
    first: tuple[Any, Release],
) -> None:
    agreement, release = first
    plan = start_plan(agreement, seed=bytes(32), followed=begins_at(agreement, release))
    assert isinstance(plan, Finishing)
    most = most_cost(agreement, follows=True)
    assert most_cost(agreement, follows=False) == agreement.privacy.run_cost
    costs = [plan.plan.terms.cost_of(q) for q in asked(agreement, begins_at(agreement, release))]
    assert 0.999 * most < sum(costs) <= most < 0.4 * agreement.privacy.run_cost
    assert max(costs) <= agreement.privacy.run_cost / 2


def test_a_stored_state_goes_on_as_the_one_that_was_stored(first: tuple[Any, Release]) -> None:
    agreement, release = first
    followed = begins_at(agreement, release)
    plan = start_plan(agreement, seed=bytes(32), followed=followed)
    steps = 0
    while plan.query is not None:
        restored = restore_plan(json.loads(json.dumps(plan.to_dict())))
        assert step_hash(restored) == step_hash(plan)
        total = np.full(plan.query.length, UNIT * 100, dtype=np.int64)
        total = np.minimum(total, plan.query.range(4_000)[1])
        plan, restored = (
            p.advance(total, customers=4_000, variance=plan.query.variance)
            for p in (plan, restored)
        )
        assert step_hash(restored) == step_hash(plan)
        steps += 1
    assert steps == 4


def test_a_total_that_cannot_be_true_is_refused(first: tuple[Any, Release]) -> None:
    agreement, release = first
    plan = start_plan(agreement, seed=bytes(32), followed=begins_at(agreement, release))
    for _ in range(2):
        query = query_of(plan)
        high = query.range(10)[1]
        with pytest.raises(RemoteProtocolError, match="E-TOTAL-RANGE"):
            plan.advance(high * 1_000_000 + 10**12, customers=10, variance=query.variance)
        plan = plan.advance(high, customers=10, variance=query.variance)


# --- what a change is ------------------------------------------------------------------------


def changed(followed: Followed, *, part: float, n: int, left: int | None = None) -> bool:
    """Whether a run says so in which `n` customers lie at `part` of the squared radius.

    Args:
        left: How many are left for the sums, after a partner dropped out.
    """
    agreement = federation().agreement
    plan = start_plan(agreement, seed=bytes(32), followed=followed)
    assert isinstance(plan, Finishing)
    distance = query_of(plan)
    total = np.array([round(UNIT * part * n)], dtype=np.int64)
    plan = plan.advance(total, customers=2 * n, variance=distance.variance)
    sums = query_of(plan)
    assert isinstance(sums, LocalSumsQuery)
    each = np.zeros((sums.n_clusters, sums.n_features + 1), dtype=np.int64)
    n = n if left is None else left
    each[:, -1] = sums.count_unit * n // sums.n_clusters
    plan = plan.advance(each.ravel(), customers=2 * n, variance=sums.variance)
    assert isinstance(plan.plan, FollowUp)
    assert plan.plan.result is not None
    beginning = plan.plan.result.beginning
    assert beginning is not None
    return beginning.changed


def followed_of(*, part: float = 0.25, n: int = 5_000, **changes: Any) -> Followed:
    radius = ONE // 4
    square = radius // 4
    values = Followed(
        release=bytes(32),
        centres=np.rint(np.eye(5) * ONE / 2).astype(np.int64),
        sizes=np.full(5, n // 5),
        sigmas=np.full(5, 5),
        centre_sigmas=np.full(5, 100),
        mean=round(part * square),
        sigma=round(0.002 * square),
        radius=radius,
    )
    return replace(values, **changes)


def test_a_difference_within_noise_and_sampling_is_no_change_whichever_way_it_goes() -> None:
    """Three standard deviations are about .035 here: noise, and each customer a sample."""
    for apart, beyond in ((0.0, False), (0.01, False), (0.06, True), (-0.06, True)):
        assert changed(followed_of(), part=0.25 + apart, n=5_000) is beyond


def test_more_customers_of_the_same_kind_are_no_change() -> None:
    for n in (2_500, 10_000):
        assert not changed(followed_of(), part=0.25, n=n)


def test_a_partner_that_drops_out_between_distances_and_sums_is_no_change() -> None:
    """Distances of 5,000 over a count of 3,750 would be .33 instead of .25."""
    assert not changed(followed_of(), part=0.25, n=5_000, left=3_750)
    assert changed(followed_of(), part=0.33, n=5_000)


def test_no_mean_distance_is_stated_when_a_partner_drops_out_between_sizes_and_distances(
    first: tuple[Any, Release],
) -> None:
    """Distances of 2,100 over the sizes of 2,800 would be too small by a quarter."""
    agreement, release = first
    for left in (2_100, 2_800):
        plan = start_plan(agreement, seed=bytes(32), followed=begins_at(agreement, release))
        assert isinstance(plan, Finishing)
        customers = 2_800
        while plan.query is not None:
            query = plan.query
            if isinstance(query, DistanceQuery) and plan.sized is not None:
                customers = left
                restored = restore_plan(json.loads(json.dumps(plan.to_dict())))
                assert isinstance(restored, Finishing)
                plan = restored
            each = 100 * UNIT if isinstance(query, VotesQuery) else 0
            total = np.full(query.length, each, dtype=np.int64)
            if isinstance(query, LocalSumsQuery):
                total = query.range(100)[1] * (np.arange(query.length) % 6 == 5)
            plan = plan.advance(total, customers=customers, variance=query.variance)
        assert plan.result is not None
        assert (plan.result.distance is None) == (left < 2_800)
        made = make_release(
            agreement, plan.result, run_hash=bytes(32), members=frozenset(range(3)),
            sets=[frozenset(range(4)), frozenset(range(3))][: 1 + (left < 2_800)],
        )  # fmt: skip
        assert Release.from_bytes(made.to_bytes()) == made
        (step,) = lineage([(made, agreement)])
        words = release_view(made, agreement, step).distance_words
        assert words.startswith("Inertia is not stated") == (left < 2_800)


def test_customers_of_withheld_clusters_who_count_again_are_no_change() -> None:
    followed = followed_of(uncounted=400)
    assert not changed(followed, part=0.32, n=5_000)
    assert changed(followed, part=0.40, n=5_000)


def test_what_was_withheld_widens_what_is_no_change(first: tuple[Any, Release]) -> None:
    agreement, release = first
    some = replace(release, withheld=Withheld(clusters=2, reason="too small"))
    followed, whole = begins_at(agreement, some), begins_at(agreement, release)
    assert followed is not None
    assert whole is not None
    sigma = release.segments[0].size_sigma
    assert followed.uncounted == 2 * (agreement.min_segment_size + 3 * sigma)
    assert whole.uncounted == 0


def test_a_noised_release_that_does_not_say_how_far_customers_lie_is_not_followed(
    first: tuple[Any, Release],
) -> None:
    agreement, release = first
    assert begins_at(agreement, replace(release, distance=None)) is None
