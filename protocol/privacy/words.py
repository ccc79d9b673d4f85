"""What a privacy budget means, in words for people who are not mathematicians."""

from __future__ import annotations

from math import exp

from protocol.privacy.ledger import runs_left
from protocol.privacy.terms import PrivacyTerms


def meaning(epsilon: float, delta: float, unit: str) -> str:
    """What an observer can learn about one customer at most.

    >>> print(meaning(1.0, 1e-6, "one customer at one partner"))
    Whatever somebody knows already: asked whether one customer at one partner is among the data, \
somebody who sees everything that is released and would have guessed right in 50 of 100 cases \
guesses right in 74 of 100 at most. Only with a chance of 1e-06 does that promise fail.
    """
    shown = guessed_right(epsilon, delta)
    return (
        f"Whatever somebody knows already: asked whether {unit} is among the data, somebody who "
        "sees everything that is released and would have guessed right in 50 of 100 cases guesses "
        f"right in {shown} of 100 at most. Only with a chance of {delta:.0e} does that promise "
        "fail."
    )


def guessed_right(epsilon: float, delta: float) -> int:
    """In how many of 100 cases the best of balanced guesses is right, rounded up.

    Kairouz, Oh and Viswanath 2015, with delta added.
    """
    right = 100.0 * (1.0 + delta * exp(-epsilon)) / (1.0 + exp(-epsilon))
    return min(100, int(right) + 1)


def statement(epsilon: float, delta: float, unit: str) -> str:
    """The line that stands beside every output.

    >>> statement(1.0, 1e-6, "one customer at one partner")
    'differentially private aggregate: epsilon 1 at delta 1e-06 for one customer at one partner'
    """
    return (
        f"differentially private aggregate: epsilon {epsilon:.3g} at delta {delta:.3g} for {unit}"
    )


def fuel(terms: PrivacyTerms, *, spent: int) -> str:
    """How far a node's budget still goes: runs first, epsilon second."""
    left = runs_left(terms, spent=spent)
    runs = f"{left} run{'' if left == 1 else 's'} left"
    return (
        f"{runs} (epsilon {terms.epsilon_of(spent):.3g} of {terms.epsilon_of(terms.budget):.3g} "
        f"spent at delta {terms.delta.normalize():f})"
    )
