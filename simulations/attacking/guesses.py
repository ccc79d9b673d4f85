"""What an attacker makes of what was seen: each attack is one function to a success or none.

Each weighs the row that the difference of totals shows against the nearest released segment, by
how precise either is: with much noise the segment is all that is left, without noise the row.
"""

from __future__ import annotations

from math import pi, sqrt

import numpy as np

from protocol.clustering.plane import GRID
from protocol.scaling import FloatMatrix
from simulations.attacking.customers import SPREAD
from simulations.attacking.seen import FloatVector, Seen

#: A guessed value is right within this part of half a feature's range.
NEAR = 0.05
#: Among so many customers the right second half of a record is to be found.
CANDIDATES = 10


def _weighed(seen: Seen, place: FloatVector) -> FloatVector:
    """The row where it is precise, the place where it is not."""
    own, kind = seen.sigma**-2, (SPREAD * GRID) ** -2
    weighed: FloatVector = (seen.row * own + place * kind) / (own + kind)
    return weighed


def _nearest(centres: FloatMatrix, row: FloatVector, known: slice) -> FloatVector:
    place: FloatVector = centres[np.square(centres[:, known] - row[known]).sum(axis=1).argmin()]
    return place


def box_width(seen: Seen, customers: int, features: int) -> float:
    """Half the width of a box in which one customer is expected, or that holds the row."""
    share = len(seen.centres) / customers
    lone = sqrt(2.0 * pi) * SPREAD * GRID / 2.0 * float(share ** (1.0 / features))
    return min(lone, max(3.0 * seen.sigma, 2.0))


def singled_out(seen: Seen, target: FloatVector, others: FloatMatrix, features: int) -> bool:
    """Whether "a customer whose first features lie in this box" holds for the target alone."""
    guess = _weighed(seen, _nearest(seen.centres, seen.row, slice(None)))[:features]
    return in_box_alone(guess, box_width(seen, len(others) + 1, features), target, others)


def in_box_alone(
    middle: FloatVector, width: float, target: FloatVector, others: FloatMatrix
) -> bool:
    """Whether a box holds the target and nobody else."""
    features = len(middle)
    holds = np.abs(others[:, :features] - middle).max(axis=1) <= width
    return bool(np.abs(target[:features] - middle).max() <= width and not holds.any())


def linked(seen: Seen, target: FloatVector, strangers: FloatMatrix) -> bool:
    """Whether the second half of the target's features is found by the first among strangers'."""
    half = len(target) // 2
    guess = _weighed(seen, _nearest(seen.centres, target, slice(0, half)))[half:]
    away = np.square(np.vstack([target, strangers])[:, half:] - guess).sum(axis=1)
    return bool(away[1:].min() > away[0])


def inferred(seen: Seen, target: FloatVector) -> bool:
    """Whether the last feature is guessed by all the others."""
    guess = _weighed(seen, _nearest(seen.centres, target, slice(0, -1)))[-1]
    return bool(abs(guess - target[-1]) <= NEAR * GRID)


def differenced(seen: Seen, target: FloatVector) -> bool:
    """Whether the difference of two totals is the target's row."""
    return bool(np.abs(seen.row - target).max() <= NEAR * GRID)
