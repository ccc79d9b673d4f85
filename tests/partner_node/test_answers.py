"""The local answer: equal to arithmetic in whole numbers for all chunks, threads and sizes."""

from __future__ import annotations

import itertools
import os
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partner_node.customers import answers
from partner_node.customers.answers import answer, nearest
from partner_node.customers.nearest import Nearest
from protocol.queries import ClusterSumsQuery, IntMatrix, customer_vectors
from protocol.scaling import FloatMatrix

ONE = 1 << 20


def query_of(centroids: IntMatrix, limit: int = ONE) -> ClusterSumsQuery:
    return ClusterSumsQuery(
        centroids=centroids, limit=np.full(centroids.shape[1], limit, dtype=np.int64)
    )


def brute_force_index(centroids: list[list[int]], row: list[int]) -> int:
    distances = [
        sum((x - c) ** 2 for x, c in zip(row, centre, strict=True)) for centre in centroids
    ]
    return distances.index(min(distances))


def half_even(numerator: int, bits: int) -> int:
    whole, rest = divmod(numerator, 1 << bits)
    half = 1 << (bits - 1)
    return whole + (rest > half or (rest == half and whole % 2 == 1))


def brute_force(query: ClusterSumsQuery, grid: IntMatrix) -> list[int]:
    """The answer in Python's whole numbers, customer by customer."""
    table = [[0] * (query.n_features + 2) for _ in range(query.n_clusters)]
    centroids = query.centroids.tolist()
    for row in grid.tolist():
        cluster = table[brute_force_index(centroids, row)]
        for column, value in enumerate(row):
            cluster[column] += value
        cluster[-2] += half_even(sum(v * v for v in row), query.fraction_bits)
        cluster[-1] += 1
    return [value for cluster in table for value in cluster]


def vectors_of(grid: IntMatrix) -> FloatMatrix:
    return customer_vectors(grid.astype(np.float64))


def is_packed(query: ClusterSumsQuery) -> bool:
    return Nearest(query.centroids, query.limit).packed


@st.composite
def questions(draw: st.DrawFn) -> tuple[ClusterSumsQuery, IntMatrix]:
    """Few distinct coordinates, so that ties, duplicates and empty clusters are common."""
    n_features = draw(st.integers(1, 4))
    limit = draw(st.sampled_from([1, 2, 1_000, ONE]))
    values = [-limit, -(limit // 2), 0, limit // 2, limit]
    n_clusters, n_rows = draw(st.integers(1, 7)), draw(st.integers(0, 30))
    size = (n_clusters + n_rows) * n_features
    drawn = draw(st.lists(st.sampled_from(values), min_size=size, max_size=size))
    table = np.array(drawn, dtype=np.int64).reshape(-1, n_features)
    return query_of(table[:n_clusters], limit), table[n_clusters:]


@settings(deadline=None)
@given(questions())
def test_the_answer_is_what_counting_by_hand_gives(
    question: tuple[ClusterSumsQuery, IntMatrix],
) -> None:
    query, grid = question
    found, customers = answer(query, [vectors_of(grid)])
    assert found.dtype == np.int64
    assert found.tolist() == brute_force(query, grid)
    assert customers == grid.shape[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_clusters", "n_features", "packed"),
    [(1, 1, True), (2, 3, True), (8, 10, True), (3, 256, True), (1_000, 1, True),
     (64, 256, False), (1_000, 8, False), (1_000, 256, False)],
)  # fmt: skip
def test_both_ways_to_find_the_nearest_are_exact_at_every_size(
    n_clusters: int, n_features: int, packed: bool
) -> None:
    rng = np.random.default_rng(n_clusters + n_features)
    query = query_of(rng.integers(-ONE, ONE + 1, (n_clusters, n_features)))
    assert is_packed(query) is packed
    grid = rng.integers(-ONE, ONE + 1, (40, n_features))
    grid[:5] = query.centroids[rng.integers(0, n_clusters, 5)]
    found, _ = answer(query, [vectors_of(grid)])
    assert found.tolist() == brute_force(query, grid)


@pytest.mark.parametrize("n_features", [3, 256])
def test_customers_in_the_corners_of_the_cube_are_counted_exactly(n_features: int) -> None:
    corners = np.full((64, n_features), ONE, dtype=np.int64)
    corners[::2] *= -1
    corners[:, 0] *= -1
    query = query_of(np.vstack([corners[:3], -corners[:2], corners[:1] - 1]))
    grid = np.vstack([corners, corners // 2, corners - np.sign(corners)])
    found, _ = answer(query, [vectors_of(grid)])
    assert found.tolist() == brute_force(query, grid)


@pytest.mark.parametrize("n_clusters", [2, 5, 700])
def test_ties_go_to_the_lower_index_also_among_equal_centroids(n_clusters: int) -> None:
    for n_features in (1, 30):
        query = query_of(np.zeros((n_clusters, n_features), dtype=np.int64))
        rows = vectors_of(np.full((9, n_features), 12_345, dtype=np.int64))
        assert nearest(query, rows).tolist() == [0] * 9
    between = query_of(np.array([[4], [-4], [4], [-4]], dtype=np.int64))
    assert nearest(between, vectors_of(np.array([[0], [1], [-1]], dtype=np.int64))).tolist() == [
        0, 0, 1,
    ]  # fmt: skip


def test_one_grid_step_decides_between_two_centroids() -> None:
    for n_features in (1, 10, 256):
        centroids = np.full((2, n_features), ONE, dtype=np.int64)
        centroids[1, 0] -= 1
        rows = np.full((2, n_features), ONE, dtype=np.int64)
        rows[1, 0] -= 1
        query = query_of(np.repeat(centroids, 40, axis=0))
        assert nearest(query, vectors_of(rows)).tolist() == [0, 40]


@settings(max_examples=15, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 10_000), max_size=6),
    threads=st.integers(1, 7),
    k=st.sampled_from([1, 3, 900]),
)
def test_the_same_bits_for_every_chunking_and_number_of_threads(
    cuts: list[int], threads: int, k: int
) -> None:
    rng = np.random.default_rng(k)
    query = query_of(rng.integers(-ONE, ONE + 1, (k, 2)))
    rows = vectors_of(rng.integers(-ONE, ONE + 1, (10_000, 2)))
    whole, _ = answer(query, [rows])
    edges = [0, *sorted(cuts), 10_000]  # equal cuts make empty chunks
    chunks = [rows[a:b] for a, b in itertools.pairwise(edges)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: threads)
        for said in (None, threads):
            parts, customers = answer(query, chunks, threads=said)
            assert parts.tobytes() == whole.tobytes()
            assert customers == 10_000


def test_with_one_thread_none_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    pool = answers.ThreadPoolExecutor
    monkeypatch.setattr(
        answers, "ThreadPoolExecutor", lambda max_workers: started.append(1) or pool(max_workers)
    )
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    query, rows = query_of(np.array([[1, 2]], dtype=np.int64)), np.empty((0, 4))
    answer(query, [rows], threads=1)
    assert started == []
    answer(query, [rows])
    assert started == [1]


def test_the_order_of_customers_does_not_matter() -> None:
    rng = np.random.default_rng(4)
    query = query_of(rng.integers(-ONE, ONE + 1, (11, 3)))
    rows = vectors_of(rng.integers(-ONE, ONE + 1, (5_000, 3)))
    shuffled = rows[rng.permutation(5_000)]
    assert answer(query, [rows])[0].tobytes() == answer(query, [shuffled])[0].tobytes()


def test_a_partner_without_customers_answers_zeros() -> None:
    query = query_of(np.array([[1, 2], [3, 4]], dtype=np.int64))
    for chunks in ([], [np.empty((0, 4))], [np.empty((0, 4))] * 3):
        found, customers = answer(query, chunks)
        assert found.tolist() == [0] * 8
        assert customers == 0
    assert nearest(query, np.empty((0, 4))).tolist() == []


def test_assignments_and_sums_agree_on_who_is_nearest() -> None:
    rng = np.random.default_rng(5)
    for k, d in ((6, 2), (800, 12)):
        query = query_of(rng.integers(-ONE, ONE + 1, (k, d)))
        rows = vectors_of(rng.integers(-ONE, ONE + 1, (30_000, d)))
        counts = answer(query, [rows])[0].reshape(k, d + 2)[:, -1]
        assert counts.tolist() == np.bincount(nearest(query, rows), minlength=k).tolist()


def test_the_chunks_given_are_left_as_they_were() -> None:
    rows = vectors_of(np.arange(40, dtype=np.int64).reshape(20, 2))
    before = rows.copy()
    answer(query_of(np.array([[0, 0], [30, 30]], dtype=np.int64)), [rows])
    assert np.array_equal(rows, before)


def test_memory_stays_flat_however_many_customers_there_are() -> None:
    rng = np.random.default_rng(6)
    query = query_of(rng.integers(-ONE, ONE + 1, (8, 6)))

    def customers(chunks: int) -> Iterator[FloatMatrix]:
        for number in range(chunks):
            yield vectors_of(np.random.default_rng(number).integers(-ONE, ONE, (10_000, 6)))

    def peak(chunks: int) -> int:
        tracemalloc.start()
        try:
            answer(query, customers(chunks))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(2)  # whatever is loaded at the first use
    few, many = peak(4), peak(60)
    assert many < 1.3 * few, (few, many)
