"""The attacks by name: what the attacker knows, wants, and how success is counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_TWO_RUNS: Final = (
    "The attacker sees every total of a run and of the same questions without the customer, each "
    "with its noise less that of colluding partners, and the released segments."
)


@dataclass(frozen=True, slots=True)
class Described:
    """One attack in words.

    Attributes:
        sense: Of WP29 05/2014, or what else it is.
        knows: What the attacker knows.
        success: What counts as success.
        baseline: The naive guess beside it.
        outside: What the control on customers outside the data is.
    """

    name: str
    sense: str
    knows: str
    success: str
    baseline: str
    outside: str


_OUTSIDE: Final = "The same on a customer who is in neither run."

DESCRIBED: Final = {
    one.name: one
    for one in (
        Described(
            "membership", "membership",
            "Everybody else's values, the customer's own, and every total of one run; asks which "
            "is likelier, with or without the customer, who lies as far off as anybody may.",
            "A run with the customer is said to be one.", "A coin.",
            "A run without the customer is said to be one with.",
        ),
        Described(
            "masked-answers", "exact totals",
            "A partner's masked answer as the coordinator gets it, and two totals of which it is "
            "one.",
            "The greater of two totals is told.", "A coin.",
            "The smaller is taken for the greater.",
        ),
        Described(
            "exact-totals", "exact totals",
            "The sum that the first question gets from all partners.",
            "The number of customers is told to the one.",
            "One of the hundred nearest numbers is named.",
            "The same number is told when one customer less was counted.",
        ),
        Described(
            "differencing", "differencing", _TWO_RUNS,
            "Each value of the customer is told within a twentieth of half its range, by the "
            "difference of totals alone.",
            "The middle of all segments is named.", _OUTSIDE,
        ),
        Described(
            "singling-out-univariate", "singling out", _TWO_RUNS,
            "An interval of the first feature holds the customer and nobody else of the data.",
            "An interval of the same width anywhere.", _OUTSIDE,
        ),
        Described(
            "singling-out-multivariate", "singling out", _TWO_RUNS,
            "A box in all features holds the customer and nobody else of the data.",
            "A box of the same width anywhere.", _OUTSIDE,
        ),
        Described(
            "linkability", "linkability",
            _TWO_RUNS + " Besides the first half of the customer's values, and ten second halves.",
            "The second half that belongs to the customer is found.", "One of ten at random.",
            _OUTSIDE,
        ),
        Described(
            "inference", "inference",
            _TWO_RUNS + " Besides all of the customer's values but the last.",
            "The last is told within a twentieth of half its range.",
            "The middle of all segments is named.", _OUTSIDE,
        ),
    )
}  # fmt: skip
