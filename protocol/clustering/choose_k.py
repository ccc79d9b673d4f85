"""Choice of the number of clusters: do customers form groups with gaps between them? SPEC.md, 10.5.

Post-processing of what has been released: points that stand for the customers (atoms), their noised
counts, and how far customers lie from their atom. Atoms alone cannot tell: a population cut into
atoms looks like as many tight clusters, the more so the fewer the noise allows. So every atom
stands for a cloud as wide as customers lie from it; and a gap between two clusters is believed when
it is beyond the noise of the counts, which is known.

For each number of clusters, each pair of its clusters is looked at along the line between their
centres: how many customers are there around the ends, and how many in the middle? The largest
number all of whose pairs have a gap is seen; one when there is none. The noise lets that be told
when clusters would stand out from it, what is seen is clear, and more than that is clearly not
there; where it does not, the agreed number is used. These limits were chosen on simulated
federations (docs/measurements.md): on other data nobody has shown how often they are right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
import numpy.typing as npt

from protocol.clustering.choice import PARTS, Choice, Gap
from protocol.clustering.plane import GRID
from protocol.clustering.portable import FloatVector, row_squares, total_of
from protocol.clustering.result import Distance
from protocol.clustering.weighted_kmeans import nearest_of, weighted_kmeans
from protocol.masking import Stream
from protocol.queries import IntMatrix
from protocol.scaling import FloatMatrix

#: Atoms with a count below this many standard deviations of its noise have no weight, unless less
#: than this part of the customers would then be left.
_LEAST_SIGMAS, _LEAST_LEFT = 2.0, 0.3
#: The middle between two clusters must be emptier than this part of the emptier end.
_EMPTIER: Final = 0.8
#: A number is told when the largest agreed number of equal clusters would each have at least this
#: mass, in standard deviations of its noise: more to tell that there are no groups than that there
#: are some;
_VISIBLE, _VISIBLE_IF_NONE = 4.0, 6.0
#: when groups that are seen have at least this gap score, and no larger number has more than this,
_CLEAR, _NO_MORE = 2.5, 0.0
#: or, where none are seen, when no number has more than this.
_NO_GAPS: Final = -4.0
#: Around which part of the line between two centres customers are counted.
_ENDS, _MIDDLE = ((-0.25, 0.25), (0.75, 1.25)), (0.375, 0.625)
#: Candidates for votes lie apart: each stands for a cloud at least this part as wide as they do.
_CELL: Final = 0.5
#: Narrowest and widest cloud, in the scaled cube.
_NARROWEST, _WIDEST = 0.02, 0.5
_RESTARTS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Atoms:
    """What the choice is made from.

    Attributes:
        points: Grid coordinates, shape ``(n_points, n_features)``.
        counts: Customers nearest to each, noised, shape ``(n_points,)``.
        sigma: Standard deviation of the noise in each count.
        n: Customers in all, noised.
        distance: How far customers lie from the nearest point.
        plane: Dimensions of the plane in which the points were laid as candidates for votes; 0 for
            points that customers have moved.
    """

    points: IntMatrix
    counts: FloatVector
    sigma: float
    n: float
    distance: Distance
    plane: int

    @property
    def spread(self) -> float:
        """Mean squared distance of customers to their atom, in the scaled cube."""
        return self.distance.mean / GRID


def choose(atoms: Atoms, *, smallest: int, largest: int, agreed: int, stream: Stream) -> Choice:
    """Choose a number of clusters.

    Args:
        smallest, largest: The range, both ends included.
        agreed: The number to use where no number in the range is seen.
    """
    weights = _weights(atoms)
    cloud = _Cloud.of(atoms, weights)
    gaps = []
    for k in range(2, min(largest, int((weights > 0).sum())) + 1):
        centres = weighted_kmeans(atoms.points, weights, k, restarts=_RESTARTS, stream=stream)
        gaps.append(cloud.gap(centres))
    seen = max([1, *(gap.n_clusters for gap in gaps if gap.parted)])
    told = _may_be_told(atoms, gaps, seen=seen, largest=largest)
    used = seen if told and seen >= smallest else agreed
    return Choice(used=used, seen=seen, told=told, largest=largest, gaps=tuple(gaps))


def _weights(atoms: Atoms) -> FloatVector:
    """The counts that are beyond their noise, 0 for the others, shape ``(n_points,)``."""
    counts = atoms.counts
    weights = np.where(counts >= _LEAST_SIGMAS * atoms.sigma, counts, 0.0)
    if total_of(weights) < _LEAST_LEFT * atoms.n:
        weights = keep_largest(counts, atoms.n)
    return weights if (weights > 0).any() else np.ones(counts.shape[0])


def keep_largest(counts: FloatVector, n: float) -> FloatVector:
    """Keep the largest noised counts until they add up to `n`, set the others to 0."""
    ordered = np.sort(counts)[::-1]
    place = int(np.searchsorted(np.cumsum(ordered), n))
    least = ordered[place] if place < ordered.shape[0] else 0.0
    return np.where(counts >= least, np.maximum(counts, 0.0), 0.0)


def _may_be_told(atoms: Atoms, gaps: Sequence[Gap], *, seen: int, largest: int) -> bool:
    """Whether the noise lets it be told that there are `seen` groups, no fewer and no more."""
    each = max(atoms.counts.shape[0] / largest, 1.0)
    visible = atoms.n / largest / (atoms.sigma * sqrt(each))
    own = [gap.gap / PARTS for gap in gaps if gap.n_clusters == seen]
    more = [gap.gap / PARTS for gap in gaps if gap.n_clusters > seen]
    if seen == 1:
        return visible >= _VISIBLE_IF_NONE and max(more, default=_NO_GAPS) <= _NO_GAPS
    clear = min(own) >= _CLEAR and max(more, default=_NO_MORE) <= _NO_MORE
    return visible >= _VISIBLE and clear


@dataclass(frozen=True, slots=True)
class _Cloud:
    """Atoms in the scaled cube, each as wide as customers lie from it."""

    atoms: Atoms
    places: FloatMatrix
    width: float

    @staticmethod
    def of(atoms: Atoms, weights: FloatVector) -> _Cloud:
        places = atoms.points.astype(np.float64) / GRID
        variance = atoms.spread / places.shape[1]
        if atoms.plane:
            # Where customers have moved no atom, a cloud is at least as wide as its cell.
            variance = max(variance, _CELL * _CELL * apart(atoms.points, weights) / atoms.plane)
        width = min(max(sqrt(variance), _NARROWEST), _WIDEST)
        return _Cloud(atoms=atoms, places=places, width=width)

    def gap(self, centres: IntMatrix) -> Gap:
        """How clearly clusters with these centres lie apart."""
        k, counts, sigma = centres.shape[0], self.atoms.counts, self.atoms.sigma
        own, _ = nearest_of(self.atoms.points, centres)
        mass = np.array([total_of(counts[own == j]) for j in range(k)])
        number = np.maximum(np.bincount(own, minlength=k), 1)
        middles = centres.astype(np.float64) / GRID
        least = min(
            self._between(middles[i], middles[j], (own == i) | (own == j))
            for i in range(k)
            for j in range(i)
        )
        masses = mass / (sigma * np.sqrt(number))
        return Gap(n_clusters=k, gap=_parts(least), mass=_parts(float(masses.min())))

    def _between(
        self, first: FloatVector, second: FloatVector, inside: npt.NDArray[np.bool_]
    ) -> float:
        """The gap score of two clusters: how much emptier the middle is, in standard deviations."""
        line = first - second
        square = total_of(line * line)
        if square <= 1e-18:
            return -9.0
        offsets = (self.places[inside] - second) * line
        at = np.zeros(offsets.shape[0])
        for column in range(offsets.shape[1]):
            at += offsets[:, column]
        at /= square
        counts, half = self.atoms.counts[inside], sqrt(3.0) * self.width / sqrt(square)
        ends = [_inside(at, half, *end) for end in _ENDS]
        emptier = min(ends, key=lambda end: total_of(end * counts))
        difference = _EMPTIER * emptier - _inside(at, half, *_MIDDLE)
        variance = self.atoms.sigma**2 + np.maximum(counts, 0.0)
        error = sqrt(total_of(difference * difference * variance))
        return total_of(difference * counts) / max(error, 1e-9)


def _inside(at: FloatVector, half: float, low: float, high: float) -> FloatVector:
    """The part of each cloud between `low` and `high`, for each unit of length.

    Args:
        at: Where the clouds are on the line.
        half: Half their width: they are uniform, as other shapes are not portable.
    """
    overlap = np.minimum(high, at + half) - np.maximum(low, at - half)
    part: FloatVector = np.maximum(overlap, 0.0) / (2.0 * half) / (high - low)
    return part


def apart(points: IntMatrix, weights: FloatVector) -> float:
    """Mean squared distance of the points with weight to the nearest other, in the scaled cube."""
    if points.shape[0] < 2 or not (weights > 0).any():
        return 0.0
    places = points.astype(np.float64) / GRID
    nearest = [np.partition(row_squares(places - place), 1)[1] for place in places[weights > 0]]
    return total_of(np.array(nearest)) / len(nearest)


def _parts(value: float) -> int:
    return int(np.rint(min(max(value, -1e6), 1e6) * PARTS))
