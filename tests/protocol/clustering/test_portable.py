"""Arithmetic that every node repeats bit for bit, against NumPy's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.clustering.portable import (
    eigenvectors,
    james_stein,
    product,
    row_squares,
    shortened,
    total_of,
)

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 17, 40])
def test_eigenvectors_are_those_of_the_matrix(n: int) -> None:
    root = RNG.normal(size=(n, n + 2))
    matrix = root @ root.T
    values, vectors = eigenvectors(matrix)
    assert np.allclose(vectors.T @ vectors, np.eye(n), atol=1e-10)
    assert np.allclose(matrix @ vectors, vectors * values, atol=1e-9 * values[0])
    assert np.allclose(values, np.sort(np.linalg.eigvalsh(matrix))[::-1], atol=1e-9 * values[0])
    largest = np.argmax(np.abs(vectors), axis=0)
    assert (vectors[largest, np.arange(n)] > 0).all()


@pytest.mark.parametrize(
    "matrix", [np.zeros((4, 4)), np.eye(3), np.diag([3.0, -1.0, 2.0]), np.ones((5, 5))]
)
def test_equal_and_zero_eigenvalues_are_no_trouble(matrix: np.ndarray) -> None:
    values, vectors = eigenvectors(matrix)
    assert np.allclose(vectors * values @ vectors.T, matrix, atol=1e-12)
    assert (np.diff(values) <= 1e-12).all()


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
@settings(deadline=None)
def test_products_and_sums_are_right(n: int, m: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    left, right = rng.normal(size=(n, m)), rng.normal(size=(m, k))
    assert np.allclose(product(left, right), left @ right)
    assert np.allclose(row_squares(left), (left**2).sum(axis=1))
    assert np.isclose(total_of(left.ravel()), left.sum())


def test_the_order_of_additions_is_fixed() -> None:
    values = np.array([1e16, 1.0, -1e16, 1.0])
    assert total_of(values) == ((1e16 + 1.0) + -1e16) + 1.0
    assert total_of(np.empty(0)) == 0.0


def test_long_rows_are_shortened_and_short_ones_kept() -> None:
    rows = np.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    assert np.allclose(shortened(rows, 1.0), [[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]])


def test_james_stein_shrinks_noise_to_nothing_and_keeps_what_is_far() -> None:
    rows = np.array([[100.0, 0.0, 0.0], [0.1, 0.1, 0.1]])
    shrunk = james_stein(rows, 1.0, 3)
    assert np.allclose(shrunk[0], rows[0] * (1 - 3 / 10_000))
    assert (shrunk[1] == 0).all()
    assert james_stein(rows, 1.0, 0) is rows
