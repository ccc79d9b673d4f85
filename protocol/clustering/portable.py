"""Arithmetic that gives the same bits on every machine.

Every node derives a plan by itself, so its steps must not depend on the platform. IEEE 754 fixes
addition, subtraction, multiplication, division and square root; the order of additions is fixed
here, column by column. Powers, logarithms and the library's own sums and products are not used on
fractions. (On whole numbers below 2^53 every order gives the same, so there BLAS may be used.)
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from protocol.scaling import FloatMatrix

FloatVector = npt.NDArray[np.float64]

_MOST_SWEEPS: Final = 30


def row_squares(rows: FloatMatrix) -> FloatVector:
    """Squared norm of each row, shape ``(n_rows,)``."""
    total = np.zeros(rows.shape[0])
    for column in range(rows.shape[1]):
        total += rows[:, column] * rows[:, column]
    return total


def product(left: FloatMatrix, right: FloatMatrix) -> FloatMatrix:
    """The matrix product, shape ``(left.shape[0], right.shape[1])``."""
    total = np.zeros((left.shape[0], right.shape[1]))
    for column in range(left.shape[1]):
        total += left[:, column, None] * right[column]
    return total


def total_of(values: FloatVector) -> float:
    """The sum, from the first to the last."""
    return float(np.cumsum(values)[-1]) if values.size else 0.0


def root(value: int, degree: int) -> int:
    """The whole-number root, rounded down.

    >>> root(1000, 3), root(999, 3)
    (10, 9)
    """
    low, high = 0, 1 << (value.bit_length() // degree + 1)
    while low < high:
        middle = (low + high + 1) // 2
        if middle**degree <= value:
            low = middle
        else:
            high = middle - 1
    return low


def shortened(rows: FloatMatrix, longest: float) -> FloatMatrix:
    """Rows shortened to the norm `longest` where they are longer."""
    length = np.sqrt(row_squares(rows))
    return rows * np.minimum(1.0, longest / np.maximum(length, 1e-12))[:, None]


def james_stein(rows: FloatMatrix, variance: float | FloatVector, dimensions: int) -> FloatMatrix:
    """Rows shrunk to 0 by the positive-part James–Stein estimator.

    Args:
        variance: Of the noise in each coordinate; one number, or one a row.
        dimensions: Number of dimensions that the rows span.
    """
    if dimensions <= 0:
        return rows
    squares = np.maximum(row_squares(rows), 1e-300)
    return rows * np.maximum(0.0, 1.0 - dimensions * variance / squares)[:, None]


def eigenvectors(symmetric: FloatMatrix) -> tuple[FloatVector, FloatMatrix]:
    """Eigenvalues from the largest to the smallest, and their unit vectors as columns.

    Jacobi's method with disjoint rotations at once (Golub and Van Loan, "Matrix Computations",
    section 8.5). The sign of a vector is such that its largest component is positive.

    Args:
        symmetric: Shape ``(n, n)``.
    """
    n = symmetric.shape[0]
    a = (symmetric + symmetric.T) / 2.0
    vectors = np.eye(n)
    scale = float(np.abs(a).max()) if n else 0.0
    rounds = _round_robin(n)
    for _ in range(_MOST_SWEEPS):
        off = np.abs(a - np.diag(np.diag(a))).max() if n else 0.0
        if off <= 1e-12 * scale:
            break
        for first, second in rounds:
            _rotate(a, vectors, first, second)
    values = np.diag(a).copy()
    order = np.argsort(-values, kind="stable")
    vectors = vectors[:, order]
    largest = np.argmax(np.abs(vectors), axis=0)
    signs = np.where(vectors[largest, np.arange(n)] < 0, -1.0, 1.0)
    return values[order], vectors * signs


_Indices = npt.NDArray[np.int64]


def _rotate(a: FloatMatrix, vectors: FloatMatrix, p: _Indices, q: _Indices) -> None:
    """Rotate each pair of coordinates so that its entry off the diagonal becomes 0; in place."""
    off = a[p, q]
    busy = off != 0.0
    theta = np.zeros(p.shape[0])
    theta[busy] = (a[q, q][busy] - a[p, p][busy]) / (2.0 * off[busy])
    tangent = np.where(theta < 0, -1.0, 1.0) / (np.abs(theta) + np.sqrt(theta * theta + 1.0))
    tangent[~busy] = 0.0
    cosine = 1.0 / np.sqrt(tangent * tangent + 1.0)
    sine = tangent * cosine
    upper, lower = a[p], a[q]
    a[p], a[q] = (
        cosine[:, None] * upper - sine[:, None] * lower,
        sine[:, None] * upper + cosine[:, None] * lower,
    )
    for matrix in (a, vectors):
        left, right = matrix[:, p], matrix[:, q]
        matrix[:, p], matrix[:, q] = cosine * left - sine * right, sine * left + cosine * right


def _round_robin(n: int) -> list[tuple[_Indices, _Indices]]:
    """All pairs below n, as rounds of disjoint pairs."""
    players = [*range(n), *([-1] if n % 2 else [])]
    rounds = []
    for _ in range(max(0, len(players) - 1)):
        half = len(players) // 2
        pairs = [
            (min(a, b), max(a, b))
            for a, b in zip(players[:half], reversed(players[half:]), strict=True)
            if a >= 0 and b >= 0
        ]
        table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        rounds.append((table[:, 0], table[:, 1]))
        players = [players[0], players[-1], *players[1:-1]]
    return rounds
