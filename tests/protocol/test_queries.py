"""The sum query: what a customer contributes, bounds, and totals that cannot be true."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from partner_node.customers.answers import answer, nearest
from protocol.errors import RemoteProtocolError
from protocol.queries import ClusterSumsQuery, ClusterTotals, customer_vectors

ONE = 1 << 20
LIMIT = np.array([ONE, ONE // 2])
QUERY = ClusterSumsQuery(centroids=np.array([[-ONE, 0], [ONE, 0]]), limit=LIMIT)


def test_a_customer_contributes_coordinates_squared_norm_and_one() -> None:
    grid = np.array([[ONE, ONE // 2], [3.0, 0.0], [724.0, 725.0]])
    expected = [[ONE, ONE // 2, ONE + ONE // 4, 1], [3, 0, 0, 1], [724, 725, 1, 1]]
    assert customer_vectors(grid).tolist() == expected


def test_squared_norms_are_rounded_half_to_even() -> None:
    half, three_halves = np.array([[512.0, 512.0]]), np.array([[512.0 * 3**0.5, 0.0]])
    assert customer_vectors(half)[0, 2] == 0
    assert (half**2).sum() * 2 == ONE
    assert customer_vectors(np.array([[1024.0, 512.0 * 2**0.5]]).round())[0, 2] == 1
    assert customer_vectors(three_halves.round())[0, 2] == 1
    assert customer_vectors(np.array([[1024.0, 512.0], [512.0, 1024.0]])[:, :1]).shape == (2, 3)
    assert customer_vectors(np.array([[512.0, 512.0, 1024.0]]))[0, 3] == 2


def test_an_answer_worked_out_by_hand() -> None:
    grid = np.array([[-ONE, 0], [-5.0, 7.0], [0, 0], [6.0, -ONE / 2]])
    total, customers = answer(QUERY, [customer_vectors(grid)])
    assert customers == 4
    totals = QUERY.decode(total, customers=4)
    assert totals.sums.tolist() == [[-ONE - 5, 7], [6, -ONE // 2]]
    assert totals.squares.tolist() == [ONE, ONE // 4]
    assert totals.counts.tolist() == [3, 1]
    assert (QUERY.encode(totals) == total).all()


def test_ties_go_to_the_lower_centroid() -> None:
    query = ClusterSumsQuery(centroids=np.array([[5, 0], [5, 0], [-5, 0]]), limit=LIMIT)
    rows = customer_vectors(np.array([[5.0, 0.0], [0.0, 9.0], [-1.0, 0.0]]))
    assert nearest(query, rows).tolist() == [0, 0, 2]


@pytest.mark.parametrize("customers", [1, 7, 1 << 30])
def test_the_largest_customer_reaches_every_bound_and_not_more(customers: int) -> None:
    largest = customer_vectors(LIMIT[None, :].astype(float))[0].astype(np.int64) * customers
    low, bounds = QUERY.range(customers)
    assert (low[:2] == -bounds[:2]).all()
    assert (low[2:4] == 0).all()
    assert bounds.shape == (QUERY.length,)
    assert (largest <= bounds[:4]).all()
    assert (bounds[:2] == largest[:2]).all()
    assert bounds[3] == customers
    assert bounds[2] - largest[2] <= customers


def total(**changes: list[list[int]] | list[int]) -> np.ndarray:
    totals = ClusterTotals(
        sums=np.array([[10, 20], [0, 0]]), squares=np.array([30, 0]), counts=np.array([5, 0])
    )
    changed = {name: np.array(value) for name, value in changes.items()}
    return QUERY.encode(dataclasses.replace(totals, **changed))


def test_a_true_total_is_taken() -> None:
    assert QUERY.decode(total(), customers=5).counts.tolist() == [5, 0]


@pytest.mark.parametrize(
    "changes",
    [
        {"counts": [6, 0]},
        {"counts": [3, 3]},
        {"counts": [-1, 0]},
        {"counts": [6, -1]},
        {"counts": [1 << 62, 1 << 62]},
        {"sums": [[10, 20], [1, 0]]},
        {"sums": [[10, 20], [0, -1]]},
        {"sums": [[5 * ONE + 1, 20], [0, 0]]},
        {"sums": [[10, -5 * ONE // 2 - 1], [0, 0]]},
        {"sums": [[-(1 << 63), 20], [0, 0]]},
        {"sums": [[10, 20], [0, -(1 << 63)]]},
        {"squares": [-1, 0]},
        {"squares": [30, 1]},
        {"squares": [5 * (ONE + ONE // 4 + 1) + 1, 0]},
        {"squares": [-(1 << 63), 0]},
    ],
)
def test_a_total_that_cannot_be_true_is_refused(changes: dict[str, list[int]]) -> None:
    with pytest.raises(RemoteProtocolError, match="E-TOTAL-RANGE"):
        QUERY.decode(total(**changes), customers=5)


def test_a_total_of_another_length_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="E-TOTAL-RANGE"):
        QUERY.decode(total()[:-1], customers=5)


def test_every_part_of_a_query_changes_its_hash() -> None:
    changed = [
        QUERY,
        dataclasses.replace(QUERY, fraction_bits=19),
        dataclasses.replace(QUERY, limit=LIMIT + 1),
        dataclasses.replace(QUERY, centroids=QUERY.centroids + 1),
        dataclasses.replace(QUERY, centroids=QUERY.centroids.reshape(1, 4)),
        dataclasses.replace(QUERY, centroids=QUERY.centroids[::-1]),
    ]
    assert len({query.hash for query in changed}) == len(changed)


def test_the_sensitivity_is_the_norm_of_the_largest_customer() -> None:
    expected = np.sqrt(ONE**2 + (ONE / 2) ** 2 + (1.25 * ONE + 1) ** 2 + 1)
    assert abs(QUERY.sensitivity_squared**0.5 - expected) < 1e-6
