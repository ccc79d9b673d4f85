"""Shapes of values that identify a person: e-mail addresses, telephone numbers, keys, …"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

#: Fewest numbers from which a shape is inferred: a few numbers can look like anything.
MIN_NUMBERS: Final = 100
#: Share of texts that must have one shape.
_MOST_TEXTS: Final = 0.5
_MOST_NUMBERS: Final = 0.95

_EMAIL: Final = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}\.[A-Za-z]{2,24}")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_IP: Final = re.compile(r"(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}")
_SSN: Final = re.compile(r"\d{3}-\d{2}-\d{4}")
_IBAN: Final = re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}")
_CARD: Final = re.compile(r"\d{4}([ -]?)\d{4}\1\d{4}\1\d{1,7}|\d{4}[ -]\d{6}[ -]\d{5}|\d{13,19}")
_PHONE: Final = re.compile(r"(\+|00?)[1-9(][0-9 ()./-]{5,20}[0-9]|\(\d{2,5}\) ?[0-9 ./-]{5,14}")
_US_PHONE: Final = re.compile(r"\d{3}[-. ]\d{3}[-. ]\d{4}")
_DATE: Final = re.compile(r"\d{1,4}([-./])\d{1,2}\1\d{1,4}")
_DIGITS: Final = re.compile(r"[1-9]\d{0,18}(\.0*)?")

#: Times in seconds and milliseconds since 1970, of 2001 to 2036: no telephone numbers, no keys.
_TIMES: Final = ((1_000_000_000, 2_100_000_000), (1_000_000_000_000, 2_100_000_000_000))


def shape_of_texts(texts: Sequence[str]) -> tuple[str, float] | None:
    """The shape that most of some texts have, and their share; None when they have none.

    >>> shape_of_texts(["ada@example.org", "grace@example.org"])
    ('e-mail address', 1.0)
    """
    counts = Counter(shape for shape in map(_shape_of_text, texts) if shape)
    for shape, count in counts.most_common(1):
        if count / len(texts) >= _MOST_TEXTS:
            return shape, count / len(texts)
    return None


def shape_of_numbers(values: NDArray[np.float64]) -> str | None:
    """The shape that nearly all of some finite numbers have; None when they have none.

    Args:
        values: In the order of the source, shape ``(n,)``; fewer than `MIN_NUMBERS` have no shape.

    >>> shape_of_numbers(np.arange(4_000.0, 4_500.0))
    'key, as a database counts them up'
    >>> shape_of_numbers(np.arange(4_000.0, 4_500.0) / 4)
    """
    if len(values) < MIN_NUMBERS or np.any(values != np.floor(values)) or values.min() < 0:
        return None
    distinct = len(np.unique(values)) / len(values)
    if distinct < _MOST_NUMBERS or values.max() >= 1e19 or _are_times(values):
        return None
    digits = np.array([len(str(int(value))) for value in values])
    if float(np.mean((digits >= 13) & (digits <= 19))) >= _MOST_NUMBERS:
        passing = sum(passes_luhn(str(int(value))) for value in values)
        if passing / len(values) >= _MOST_NUMBERS:
            return "payment card number"
    usual = int(np.median(digits))
    alike = float(np.mean(np.abs(digits - usual) <= 1))
    if 10 <= usual <= 15 and alike >= _MOST_NUMBERS:
        return "telephone number"
    if distinct < 1:
        return None
    steps = np.diff(values)
    if bool(np.all(steps > 0)) or values.max() - values.min() < 2 * len(values):
        return "key, as a database counts them up"
    if usual >= 7 and bool(np.all(digits == usual)):
        return f"key of {usual} digits"
    return None


def as_number(text: str) -> float | None:
    """A text that is a whole number without sign or leading zero; None for all others."""
    return float(text) if _DIGITS.fullmatch(text) else None


def passes_luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of a payment card (ISO/IEC 7812-1, annex B).

    >>> passes_luhn("4111111111111111"), passes_luhn("4111111111111112")
    (True, False)
    """
    total = 0
    for position, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (1 + position % 2)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def is_iban(text: str) -> bool:
    """Whether a text is an account number with the right check digits (ISO 13616).

    >>> is_iban("DE89 3704 0044 0532 0130 00"), is_iban("DE88 3704 0044 0532 0130 00")
    (True, False)
    """
    packed = text.replace(" ", "").upper()
    if not _IBAN.fullmatch(packed):
        return False
    turned = packed[4:] + packed[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


def _is_card(text: str) -> bool:
    return _CARD.fullmatch(text) is not None and passes_luhn(re.sub(r"\D", "", text))


def _is_phone(text: str) -> bool:
    if _DATE.fullmatch(text) or not (_PHONE.fullmatch(text) or _US_PHONE.fullmatch(text)):
        return False
    return 7 <= sum(character.isdigit() for character in text) <= 15 and text.count(".") != 1


_SHAPES: Final[Mapping[str, Callable[[str], object]]] = {
    "e-mail address": _EMAIL.fullmatch,
    "IBAN": is_iban,
    "payment card number": _is_card,
    "unique key (UUID)": _UUID.fullmatch,
    "IP address": _IP.fullmatch,
    "social security number": _SSN.fullmatch,
    "telephone number": _is_phone,
}


def _shape_of_text(text: str) -> str | None:
    short = text.strip()
    if len(short) > 320 or not short.isascii():
        return None
    return next((shape for shape, fits in _SHAPES.items() if fits(short)), None)


def _are_times(values: NDArray[np.float64]) -> bool:
    return any(
        float(np.mean((values >= first) & (values < last))) >= _MOST_NUMBERS
        for first, last in _TIMES
    )
