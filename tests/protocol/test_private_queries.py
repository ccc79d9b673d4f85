"""Queries with noise: no customer moves a total by more than the query says."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from partner_node.customers.answers import answer
from protocol.agreement.satisfaction import SatisfactionTerms
from protocol.errors import RemoteProtocolError
from protocol.noised_queries import (
    CountQuery,
    DistanceQuery,
    LocalSumsQuery,
    MeanQuery,
    MomentsQuery,
    ScoresQuery,
    SpreadsQuery,
    VotesQuery,
    check_range,
    clip_to_norm,
    noise_margin,
)
from protocol.queries import customer_vectors, with_scores
from protocol.ring import UNIT
from protocol.sum_query import SumQuery

ONE = 1 << 20
D = 3
CENTRES = np.array([[ONE, -ONE, 0], [0, 5, ONE // 2], [-ONE, -ONE, -ONE]])
QUERIES: list[SumQuery] = [
    CountQuery(variance=100),
    MeanQuery(n_features=D, radius=ONE // 3, variance=100),
    MeanQuery(n_features=D, radius=4 * ONE, variance=100),
    MomentsQuery(centre=CENTRES[1], radius=ONE // 2, variance=100),
    MomentsQuery(centre=CENTRES[2], radius=4 * ONE, variance=100),
    VotesQuery(candidates=CENTRES, variance=100),
    DistanceQuery(points=CENTRES, radius=ONE // 3, variance=100),
    DistanceQuery(points=CENTRES, radius=4 * ONE, variance=100),
    LocalSumsQuery(centres=CENTRES, radius=ONE // 5, offset_norm=15_000, count_unit=6_000,
                   variance=100),
    LocalSumsQuery(centres=CENTRES, radius=4 * ONE, offset_norm=6_000, count_unit=15_000,
                   variance=100),
    SpreadsQuery(centres=CENTRES, radius=ONE // 5, variance=100),
    SpreadsQuery(centres=CENTRES, radius=4 * ONE, variance=100),
    ScoresQuery(centres=CENTRES, variance=100),
]  # fmt: skip
NAMES = [f"{type(q).__name__}-{i}" for i, q in enumerate(QUERIES)]

coordinates = st.integers(-ONE, ONE) | st.sampled_from([-ONE, 0, 1, -1, ONE])
customers = st.lists(st.tuples(*[coordinates] * D), min_size=1, max_size=12)


def vectors_for(query: SumQuery, rows: list[tuple[int, ...]]) -> np.ndarray:
    """Customers' vectors; where scores are asked for, the first coordinate is one, 0 is none."""
    grid = np.array(rows, dtype=np.float64).reshape(len(rows), D)
    vectors = customer_vectors(grid)
    if not isinstance(query, ScoresQuery):
        return vectors
    scale = SatisfactionTerms(question="?", lowest=-7, highest=3)
    scores = scale.from_units(0) + grid[:, 0] / ONE * 5
    return with_scores(vectors, scale.in_units(np.where(grid[:, 0] == 0, np.nan, scores)))


def total_of(query: SumQuery, rows: list[tuple[int, ...]]) -> np.ndarray:
    total, counted = answer(query, [vectors_for(query, rows)])
    assert counted == len(rows)
    return total


@pytest.mark.slow
@pytest.mark.parametrize("query", QUERIES, ids=NAMES)
@given(row=st.tuples(*[coordinates] * D))
@settings(deadline=None)
def test_no_customer_is_longer_than_the_sensitivity(query: SumQuery, row: tuple[int, ...]) -> None:
    vector = total_of(query, [row])
    assert sum(v * v for v in vector.tolist()) <= query.sensitivity_squared
    low, high = query.range(1)
    assert (low <= vector).all()
    assert (vector <= high).all()


@pytest.mark.slow
@pytest.mark.parametrize("query", QUERIES, ids=NAMES)
@given(rows=customers, split=st.integers(0, 12))
@settings(deadline=None, max_examples=40)
def test_an_answer_is_the_sum_of_its_customers_however_they_are_split(
    query: SumQuery, rows: list[tuple[int, ...]], split: int
) -> None:
    one_by_one = sum(total_of(query, [row]) for row in rows)
    assert (total_of(query, rows) == one_by_one).all()
    vectors = vectors_for(query, rows)
    total, _ = answer(query, [vectors[:split], vectors[split:]])
    assert (total == one_by_one).all()
    check_range(query, total, customers=len(rows), variance=0)


def test_some_customer_reaches_the_sensitivity() -> None:
    """The bound is not only true but tight: noise is not wasted."""
    far = (ONE, ONE, ONE)
    for query in QUERIES:
        vector = total_of(query, [far])
        reached = sum(v * v for v in vector.tolist()) / query.sensitivity_squared
        assert reached > 0.98 or not isinstance(query, CountQuery | VotesQuery)
    assert total_of(QUERIES[0], [far]).tolist() == [UNIT]
    reached = [
        sum(v * v for v in total_of(q, [far]).tolist()) / q.sensitivity_squared
        for q in (QUERIES[1], QUERIES[3], QUERIES[6], QUERIES[8], QUERIES[-1])
    ]
    assert min(reached) > 0.98


def test_distances_are_to_the_nearest_point_and_end_at_the_radius() -> None:
    points = np.array([[0, 0, 0], [ONE, 0, 0]])
    rows = [(ONE // 4, 0, 0), (ONE, ONE // 2, 0), (-ONE, ONE, ONE)]  # squares 1/16, 1/4, 3
    near, far = (
        int(total_of(DistanceQuery(points=points, radius=radius, variance=1), rows)[0])
        for radius in (ONE, 2 * ONE)
    )
    assert near == UNIT // 16 + UNIT // 4 + UNIT
    assert far == (UNIT // 16 + UNIT // 4 + 3 * UNIT) // 4


@given(
    rows=st.lists(st.tuples(*[st.integers(-(1 << 22), 1 << 22)] * 4), min_size=1, max_size=20),
    radius=st.integers(1, 1 << 23),
    norm=st.integers(1, 1 << 15),
)
@example(rows=[(1, 1, 1, 1)], radius=2, norm=3)  # 1.5 each
def test_clipped_rows_never_exceed_the_norm_and_keep_their_direction(
    rows: list[tuple[int, ...]], radius: int, norm: int
) -> None:
    given_rows = np.array(rows, dtype=np.float64)
    clipped = clip_to_norm(given_rows, radius=radius, norm=norm)
    for row, short in zip(rows, clipped.tolist(), strict=True):
        assert sum(int(v) ** 2 for v in short) <= norm * norm
        scale = norm / max(radius, sum(v * v for v in row) ** 0.5)
        for before, after in zip(row, short, strict=True):
            assert before * after >= 0
            assert abs(after) <= abs(before) * scale + 1e-6
            assert (
                abs(after) > abs(before) * scale - 1.000001 or abs(after) + 2 > abs(before) * scale
            )


def test_moments_worked_out_by_hand() -> None:
    query = MomentsQuery(centre=np.array([0, 0]), radius=ONE, variance=9)
    unit = ONE // 4096
    row = (3 * unit * 100, -4 * unit * 100)
    total, _ = answer(query, [customer_vectors(np.array([row], dtype=np.float64))])
    assert total.tolist() == [17 * 90_000, -24 * 120_000, 17 * 160_000]


def test_local_sums_worked_out_by_hand() -> None:
    query = LocalSumsQuery(
        centres=np.array([[0, 0], [ONE, 0]]), radius=1000, offset_norm=100, count_unit=7, variance=9
    )
    rows = np.array([[30.0, 40.0], [ONE - 3000, 4000], [ONE, 0]])
    total, _ = answer(query, [customer_vectors(rows)])
    assert total.tolist() == [3, 4, 7, -60, 80, 14]


def test_spreads_worked_out_by_hand() -> None:
    query = SpreadsQuery(centres=np.array([[0, 0], [ONE, 0]]), radius=8192, variance=9)
    rows = np.array([[60.0, -80.0], [ONE - 30_000, 40_000], [ONE, 3]])
    total, _ = answer(query, [customer_vectors(rows)])
    # Halved, and cut toward zero; the second is shortened to (-4096 * 0.6, 4096 * 0.8).
    assert total.tolist() == [
        30**2, 40**2, 1 << 24, 2457**2, 3276**2 + 1, 2 << 24
    ]  # fmt: skip


def test_scores_worked_out_by_hand() -> None:
    query = ScoresQuery(centres=np.array([[0, 0], [ONE, 0]]), variance=9)
    scale = SatisfactionTerms(question="?", lowest=0, highest=10)
    rows = np.array([[5.0, 9.0], [ONE, 3], [ONE - 8, 0], [0, 0], [ONE, ONE]])
    scores = scale.in_units(np.array([10.0, 6.0, 3.5, np.nan, np.nan]))
    assert scores[:3].tolist() == [UNIT, UNIT // 5, -4915]  # 3/10 of 2^14, cut toward the middle
    total, counted = answer(query, [with_scores(customer_vectors(rows), scores)])
    assert total.tolist() == [UNIT, UNIT, UNIT // 5 - 4915, 2 * UNIT]
    assert counted == 5


@given(
    lowest=st.integers(-1_000, 999),
    width=st.integers(1, 2_000),
    score=st.floats(allow_nan=False, allow_infinity=False),
)
def test_a_score_is_never_beyond_the_ends_of_its_scale(
    lowest: int, width: int, score: float
) -> None:
    scale = SatisfactionTerms(question="?", lowest=lowest, highest=min(lowest + width, 1_000))
    (units,) = scale.in_units(np.array([score])).tolist()
    assert -UNIT <= units <= UNIT
    assert units == int(units)
    if scale.allows(score):
        assert abs(scale.from_units(units) - score) <= scale.width_of(1.01)
    ends = scale.in_units(np.array([scale.lowest, scale.highest], dtype=float)).tolist()
    assert ends == [-UNIT, UNIT]


def test_a_customer_far_out_on_one_axis_reaches_the_sensitivity_of_spreads() -> None:
    query = SpreadsQuery(centres=CENTRES[1:2], radius=ONE // 5, variance=100)
    (length,) = {sum(v * v for v in total_of(query, [(ONE, 5, ONE // 2)]).tolist())}
    assert 0.99 < length / query.sensitivity_squared <= 1


@pytest.mark.parametrize("query", QUERIES, ids=NAMES)
def test_a_total_beyond_customers_and_noise_is_refused(query: SumQuery) -> None:
    low, high = query.range(5)
    margin = noise_margin(400)
    assert margin >= 12 * 20
    check_range(query, high + margin, customers=5, variance=400)
    check_range(query, low - margin, customers=5, variance=400)
    for total in (high + margin + 1, low - margin - 1, high[:-1]):
        with pytest.raises(RemoteProtocolError, match="E-TOTAL-RANGE"):
            check_range(query, total, customers=5, variance=400)


CHANGES: list[tuple[SumQuery, list[dict[str, Any]]]] = [
    (QUERIES[0], [{"variance": 101}]),
    (QUERIES[1], [{"variance": 101}, {"radius": 5}, {"n_features": 4}]),
    (QUERIES[3], [{"variance": 101}, {"radius": 5}, {"centre": CENTRES[0]}]),
    (QUERIES[5], [{"variance": 101}, {"candidates": CENTRES[::-1]},
                  {"candidates": CENTRES.reshape(1, 9)}]),
    (QUERIES[6], [{"variance": 101}, {"radius": 5}, {"points": CENTRES[::-1]},
                  {"points": CENTRES.reshape(1, 9)}]),
    (QUERIES[8], [{"variance": 101}, {"radius": 5}, {"centres": CENTRES[::-1]},
                  {"offset_norm": 5}, {"count_unit": 5}, {"centres": CENTRES.reshape(1, 9)}]),
    (QUERIES[10], [{"variance": 101}, {"radius": 5}, {"centres": CENTRES[::-1]},
                  {"centres": CENTRES.reshape(1, 9)}]),
]  # fmt: skip


def test_every_part_of_every_query_changes_its_hash() -> None:
    hashes = [query.hash for query, _ in CHANGES]
    for query, changes in CHANGES:
        hashes += [dataclasses.replace(query, **change).hash for change in changes]  # type: ignore[type-var]
    assert len(set(hashes)) == len(hashes)
