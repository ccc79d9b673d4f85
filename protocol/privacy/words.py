"""Privacy budgets explained for people who are not mathematicians."""

from __future__ import annotations

from math import exp

from protocol.privacy.accounting import epsilon_text
from protocol.privacy.ledger import runs_left
from protocol.privacy.terms import PrivacyTerms


def meaning(epsilon: float, delta: float, unit: str) -> str:
    """The most that an observer can learn about one customer, in words.

    >>> print(meaning(1.0, 1e-6, "one customer at one partner"))
    Somebody who knows everything except whether one customer at one partner is among the data, \
and would guess that right in 50 of 100 cases, guesses it right in 74 of 100 cases at most after \
seeing everything that is released. Only with a chance of 1e-06 does that promise fail.
    """
    if epsilon == 0.0:
        return f"Nothing has been told yet: one can only guess whether {unit} is among the data."
    shown = guessed_right(epsilon, delta)
    return (
        f"Somebody who knows everything except whether {unit} is among the data, and would guess "
        f"that right in 50 of 100 cases, guesses it right in {shown} of 100 cases at most after "
        f"seeing everything that is released. Only with a chance of {delta:.0e} does that promise "
        "fail."
    )


def guessed_right(epsilon: float, delta: float) -> int:
    """Success rate of the best balanced guess, in percent, rounded up.

    Kairouz, Oh and Viswanath 2015, with delta added.
    """
    right = 100.0 * (1.0 + delta * exp(-epsilon)) / (1.0 + exp(-epsilon))
    return min(100, int(right) + 1)


def statement(epsilon: float, delta: float, unit: str) -> str:
    """The line printed with every output.

    >>> statement(1.0, 1e-6, "one customer at one partner")
    'differentially private aggregate: epsilon 1 at delta 1e-06 for one customer at one partner'
    """
    return (
        f"differentially private aggregate: epsilon {epsilon_text(epsilon)} at delta {delta:.3g} "
        f"for {unit}"
    )


def fuel(terms: PrivacyTerms, *, spent: int) -> str:
    """A node's remaining budget in words: runs left, then epsilon spent."""
    left = counted(runs_left(terms, spent=spent), "run")
    total = epsilon_text(terms.epsilon_of(terms.budget))
    return (
        f"{left} left (epsilon {epsilon_text(terms.epsilon_of(spent))} of {total} spent at delta "
        f"{terms.delta.normalize():f})"
    )


def counted(count: int, noun: str) -> str:
    """A count with its noun, singular or plural.

    >>> counted(1, "run"), counted(2, "run")
    ('1 run', '2 runs')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"
