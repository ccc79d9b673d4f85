"""What `run plan` expects is what runs come to, at the rate that it says."""

from __future__ import annotations

from math import sqrt

import pytest

from benchmarks.expected_errors import (
    EVEN,
    HYBRID,
    KINDS,
    LLOYD,
    OVERLAPPING,
    WARM,
    Case,
    Outcome,
    outcome,
)

pytestmark = pytest.mark.slow


def outcomes(count: int, **case: object) -> list[Outcome]:
    """Runs that released something, which differ in their customers and noise alone."""
    found = [outcome(Case(seed=seed, **case)) for seed in range(count)]  # type: ignore[arg-type]
    return [one for one in found if one is not None]


def rate(within: list[bool]) -> tuple[float, float]:
    """How many are within, and four standard deviations of that where 95 of 100 are."""
    return sum(within) / len(within), 4 * sqrt(0.95 * 0.05 / len(within))


@pytest.mark.parametrize(
    ("epsilon", "n", "k", "profile"), [(1.0, 2_000, 3, False), (0.5, 5_000, 5, True)]
)
def test_ninety_five_of_a_hundred_sizes_are_within_what_is_expected(
    epsilon: float, n: int, k: int, profile: bool
) -> None:
    """To both sides: an interval that is too wide is wrong, too."""
    found = outcomes(
        24, kind=OVERLAPPING, epsilon=epsilon, n=n, k=k, d=3, plan=LLOYD, profile=profile
    )
    part, margin = rate([within for one in found for within in one.sizes_within])
    assert abs(part - 0.95) < margin


@pytest.mark.parametrize("plan", [HYBRID, LLOYD, WARM])
def test_questions_are_as_many_as_expected(plan: str) -> None:
    for d in (3, 4):
        for one in outcomes(2, kind=OVERLAPPING, epsilon=1.0, n=3_000, k=4, d=d, plan=plan):
            assert one.asked == one.expected.questions


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("plan", [HYBRID, WARM])
def test_centres_are_at_least_as_precise_as_expected(kind: str, plan: str) -> None:
    found = outcomes(8, kind=kind, epsilon=1.0, n=4_000, k=4, d=4, plan=plan)
    part, margin = rate([within for one in found for within in one.noise_within])
    assert part > 0.95 - margin


def test_the_expected_noise_in_centres_is_of_the_right_size() -> None:
    """Where customers are as they are taken to be, most of the interval is used."""
    found = outcomes(8, kind=EVEN, epsilon=1.0, n=4_000, k=4, d=4, plan=LLOYD)
    half = [
        within
        for one in found
        for within in (abs(one.noise) <= one.expected.centre_margin / 2).ravel().tolist()
    ]
    assert sum(half) / len(half) < 0.9
