"""The question about satisfaction that partners may agree on: its words, its scale. SPEC.md, 6, 8.

Customers answer it at their partner, outside of any run. A run asks once, when its segments are
formed, for the sum of the scores in each segment and for the number of customers who gave one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from protocol.ring import UNIT
from protocol.schema import Part
from protocol.strict import Fields

#: The lowest and highest ends that a scale may have.
LOWEST_SCORE: Final = -1_000
HIGHEST_SCORE: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SatisfactionTerms(Part):
    """What customers are asked, and between which ends they answer.

    Attributes:
        question: As customers read it.
        lowest: The score of who is least satisfied.
        highest: The score of who is most satisfied, above `lowest`.
    """

    question: str
    lowest: int
    highest: int

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        lowest = fields.integer("lowest", at_least=LOWEST_SCORE, at_most=HIGHEST_SCORE - 1)
        return cls(
            question=fields.text("question", max_length=200, pattern=r"\S(.*\S)?"),
            lowest=lowest,
            highest=fields.integer("highest", at_least=lowest + 1, at_most=HIGHEST_SCORE),
        )

    def to_dict(self) -> dict[str, Any]:
        return {"question": self.question, "lowest": self.lowest, "highest": self.highest}

    @property
    def scale_words(self) -> str:
        """The scale, for people."""
        return f"from {self.lowest} to {self.highest}, the highest for who is most satisfied"

    def allows(self, score: float) -> bool:
        """Whether a score is on the scale; also between whole numbers."""
        return self.lowest <= score <= self.highest

    def in_units(self, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """What scores are in the sums: the scale's middle is 0, its ends are `UNIT` from it.

        Args:
            scores: Clipped to the scale; NaN for who gave none; shape ``(n,)``.

        Returns:
            Whole numbers held in float64, cut toward 0, from -`UNIT` to `UNIT`; NaN stays.

        >>> SatisfactionTerms(question="?", lowest=1, highest=5).in_units(np.array([1.0, 3.5, 5.0]))
        array([-16384.,   4096.,  16384.])
        """
        clipped = np.clip(scores, float(self.lowest), float(self.highest))
        twice = 2.0 * clipped - float(self.lowest + self.highest)
        found: npt.NDArray[np.float64] = np.trunc(twice * UNIT / float(self.highest - self.lowest))
        return found

    def from_units(self, units: float) -> float:
        """The score that so many units are."""
        return (self.lowest + self.highest) / 2 + self.width_of(units)

    def width_of(self, units: float) -> float:
        """How far apart on the scale two scores are that are so many units apart."""
        return units / UNIT * (self.highest - self.lowest) / 2
