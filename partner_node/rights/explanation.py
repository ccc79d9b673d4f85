"""Why a customer is in a segment: the features that decide, the runner-up, what would change it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from machine.text import number_words
from partner_node.segments.known_releases import KnownRelease
from protocol.agreement.document import Agreement
from protocol.agreement.features import SHARE
from protocol.percents import whole_percent_words
from protocol.release.document import centre_intervals, release_centres
from protocol.scaling import FeatureScale, FloatMatrix


@dataclass(frozen=True, slots=True, kw_only=True)
class Deciding:
    """What one coordinate of the agreed features has to do with it.

    Attributes:
        value: The customer's, clipped to the agreed bounds, in `unit`; 1 or 0 where it stands for
            a level.
        centre, runner_up: Of the segment and of the runner-up.
        low, high: From where to where the segment's centre may be under the noise, 95 %.
        share: Its part in what parts the two segments for this customer; below 0 where it speaks
            for the runner-up. All of them add up to 1.
        turns_at: At which value of this feature alone the customer would come to another segment;
            None where none within the agreed bounds does. 1 or 0 where it stands for a level.
        turns_to: Id of that segment; empty without one.
    """

    name: str
    unit: str
    value: float
    centre: float
    low: float
    high: float
    runner_up: float | None
    share: float
    turns_at: float | None
    turns_to: str

    def to_dict(self) -> dict[str, Any]:
        """The feature as JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}

    @property
    def words(self) -> str:
        """The feature in words."""
        if self.unit == SHARE:
            return self._level_words
        text = f"{self.name}: {number_words(self.value)} {self.unit}, "
        text += f"centre {number_words(self.centre)}"
        if self.low != self.high:
            text += f" ({number_words(self.low)} to {number_words(self.high)})"
        if self.runner_up is not None:
            text += f", runner-up's centre {number_words(self.runner_up)}"
        if self.turns_at is not None:
            way = "below" if self.turns_at < self.value else "above"
            text += f"; would be {self.turns_to} {way} {number_words(self.turns_at)}"
        return text

    @property
    def _level_words(self) -> str:
        """A coordinate that stands for a level, in words."""
        answer = "yes" if self.value else "no"
        text = f"{self.name}: {answer}, as {whole_percent_words(self.centre)} of the segment"
        if self.low != self.high:
            text += f" ({whole_percent_words(self.low)} to {whole_percent_words(self.high)})"
        if self.runner_up is not None:
            text += f" and {whole_percent_words(self.runner_up)} of the runner-up"
        if self.turns_at is not None:
            text += f"; would be {self.turns_to} if {'yes' if self.turns_at else 'no'}"
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a customer is in a segment.

    Attributes:
        segment, name: Its id and name.
        runner_up, runner_up_name: Of the segment that is second nearest; empty with a single one.
        distance, runner_up_distance: To their centres, in the scaled cube.
        features: The one that decides most is first.
    """

    segment: str
    name: str
    distance: float
    runner_up: str
    runner_up_name: str
    runner_up_distance: float | None
    features: tuple[Deciding, ...]

    def to_dict(self) -> dict[str, Any]:
        """The explanation as JSON values."""
        return {
            "segment": self.segment,
            "name": self.name,
            "distance": self.distance,
            "runner_up": self.runner_up or None,
            "runner_up_name": self.runner_up_name or None,
            "runner_up_distance": self.runner_up_distance,
            "features": [feature.to_dict() for feature in self.features],
        }

    @property
    def words(self) -> list[str]:
        """The explanation in words, a line each."""
        first = f"Nearest to {self.segment}, {self.name}"
        if self.runner_up:
            first += f"; next nearest {self.runner_up}, {self.runner_up_name}"
        return [f"{first}. What decides, the strongest first:", *(f.words for f in self.features)]


def explain_place(values: FloatMatrix, known: KnownRelease) -> Explanation:
    """Why a customer is in a release's segment.

    Args:
        values: The customer's coordinates in their units, shape ``(n_coordinates,)``.

    Raises:
        RuleError: The release has no segments (E-NO-SEGMENTS).
    """
    known.need_segments()
    agreement, release = known.agreement, known.release
    scale = FeatureScale.of(agreement.coordinates)
    point = scale.to_grid(np.array(values, dtype=np.float64)[None, :])[0]
    centres = release.centres.astype(np.float64)
    squares = ((centres - point) ** 2).sum(axis=1)
    order = np.argsort(squares, kind="stable")
    own, second = int(order[0]), int(order[1]) if len(order) > 1 else None
    shares = np.zeros(len(point))
    if second is not None:
        parts = (point - centres[second]) ** 2 - (point - centres[own]) ** 2
        shares = parts / parts.sum() if parts.sum() > 0 else shares
    shown = release_centres(release, agreement)
    low, high = centre_intervals(release, agreement)
    clipped = np.clip(values, scale.lower, scale.upper)
    names = [called.name for called in known.calls]
    features = []
    other_levels = _other_levels(values, agreement)
    for j, coordinate in enumerate(agreement.coordinates):
        at, to = None, ""
        if coordinate.is_share:
            turn = _turn_of_level(other_levels.get(j), scale, centres, own)
            if turn is not None:
                at, to = 1.0 - float(values[j]), known.ids[turn]
        else:
            crossing = _turn(point, centres, own, squares, j, float(scale.limit[j]))
            if crossing is not None:
                moved = point.copy()
                moved[j], to = crossing[0], known.ids[crossing[1]]
                at = float(scale.from_grid(np.rint(moved).astype(np.int64)[None, :])[0, j])
        features.append(
            Deciding(
                name=coordinate.name,
                unit=coordinate.unit,
                value=float(clipped[j]),
                centre=float(shown[own, j]),
                low=float(low[own, j]),
                high=float(high[own, j]),
                runner_up=None if second is None else float(shown[second, j]),
                share=float(shares[j]),
                turns_at=at,
                turns_to=to,
            )
        )
    unit = float(1 << release.fraction_bits)
    return Explanation(
        segment=known.ids[own],
        name=names[own],
        distance=float(np.sqrt(squares[own])) / unit,
        runner_up="" if second is None else known.ids[second],
        runner_up_name="" if second is None else names[second],
        runner_up_distance=None if second is None else float(np.sqrt(squares[second])) / unit,
        features=tuple(sorted(features, key=lambda f: -f.share)),
    )


def _other_levels(values: FloatMatrix, agreement: Agreement) -> dict[int, FloatMatrix]:
    """The customer's coordinates if it had another level, by the coordinate that would change.

    The own level of a categorical feature is not among them: it is lost by having another.
    """
    found: dict[int, FloatMatrix] = {}
    start = 0
    for feature in agreement.features:
        places = range(start, start + len(feature.coordinates))
        start = places.stop
        if feature.kind.truth:
            found[places.start] = values.copy()
            found[places.start][places.start] = 1.0 - values[places.start]
        elif feature.kind.each_level:
            for place in places:
                if values[place] == 0.0:
                    found[place] = values.copy()
                    found[place][places] = 0.0
                    found[place][place] = 1.0
    return found


def _turn_of_level(
    values: FloatMatrix | None, scale: FeatureScale, centres: FloatMatrix, own: int
) -> int | None:
    """The centre nearest to a customer with another level; None where it is the same one."""
    if values is None:
        return None
    point = scale.to_grid(values[None, :])[0]
    nearest = int(np.argmin(((centres - point) ** 2).sum(axis=1)))
    return None if nearest == own else nearest


def _turn(
    point: FloatMatrix, centres: FloatMatrix, own: int, squares: FloatMatrix, j: int, limit: float
) -> tuple[float, int] | None:
    """The nearest coordinate along feature `j` at which another centre is nearest, and which.

    Along one feature the difference of two squared distances is linear, so each other centre has
    one crossing at most; the first in each direction is a real one.
    """
    best: tuple[float, float, int] | None = None
    for other in range(len(centres)):
        slope = 2 * (centres[other, j] - centres[own, j])
        if other == own or slope == 0:
            continue
        step = (squares[other] - squares[own]) / slope
        at = point[j] + step
        if abs(at) <= limit and (best is None or abs(step) < best[0]):
            best = (abs(step), at, other)
    return None if best is None else (best[1], best[2])
