"""Parts of a whole, in words."""

from __future__ import annotations


def percent_words(number: float, *, digits: int = 1) -> str:
    """A part of a whole, for people.

    >>> percent_words(0.253), percent_words(0.50012, digits=2)
    ('25.3 %', '50.01 %')
    """
    return f"{100 * number:.{digits}f} %"


def whole_percent_words(number: float) -> str:
    """The same without digits behind the point.

    >>> whole_percent_words(0.253)
    '25 %'
    """
    return percent_words(number, digits=0)
