"""Formatting for people: numbers, times, ids, and text with invisible characters escaped."""

from __future__ import annotations

from datetime import datetime
from typing import Final

#: Units of time spans with their names, and the next smaller of each.
_SPANS: Final = (
    (86_400, "d", 3_600, "h"),
    (3_600, "h", 60, "min"),
    (60, "min", 1, "s"),
)


def shown(text: str) -> str:
    """`text` with every unprintable character escaped as its number."""
    return "".join(
        c if c.isprintable() or c in "\n\u00a0\u202f" else f"\\u{ord(c):04x}" for c in text
    )


def short(run_id: bytes) -> str:
    """The first eight hex digits of a run's id: enough to distinguish runs."""
    return run_id.hex()[:8]


def minute(at: str) -> str:
    """A stored time to the minute, for people.

    >>> minute("2026-11-24T22:41:03.123456Z")
    '2026-11-24 22:41 UTC'
    """
    return f"{at[:10]} {at[11:16]} UTC"


def clock_time(at: datetime) -> str:
    """The time of the day, to the second, for people.

    >>> clock_time(datetime.fromisoformat("2026-11-24T22:41:03.9+00:00"))
    '22:41:03 UTC'
    """
    return f"{at:%H:%M:%S} UTC"


def lasting(seconds: float) -> str:
    """A time span for people, in its two largest units.

    >>> [lasting(s) for s in (0.4, 59.9, 61, 3_600, 90_061)]
    ['0 s', '59 s', '1 min 1 s', '1 h 0 min', '1 d 1 h']
    """
    whole = max(0, int(seconds))
    for unit, name, below, small in _SPANS:
        if whole >= unit:
            return f"{whole // unit} {name} {whole % unit // below} {small}"
    return f"{whole} s"


def number_words(value: float) -> str:
    """A number with four significant digits and all digits before the point.

    >>> [number_words(v) for v in (0, 0.0299, 3.14159, -42.4242, 987.66, 12345.6, 2.0)]
    ['0', '0.0299', '3.142', '-42.42', '987.7', '12,346', '2']
    """
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def how_many(count: int, noun: str) -> str:
    """A count with its noun, singular or plural.

    >>> how_many(1, "customer"), how_many(1_250, "customer")
    ('1 customer', '1,250 customers')
    """
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def are(count: int) -> str:
    """The verb after `how_many`.

    >>> are(1), are(0)
    ('is', 'are')
    """
    return "is" if count == 1 else "are"


def feature_label(name: str, unit: str) -> str:
    """A feature's name for people, without a unit that is shown beside it anyway.

    >>> feature_label("recency_days", "days"), feature_label("net_spend", "EUR")
    ('Recency', 'Net spend')
    >>> feature_label("days", "days")
    'Days'
    """
    plain = name.replace("_", " ").strip()
    shorter = plain.removesuffix(unit).strip() if unit else plain
    label = shorter or plain or name
    return label[:1].upper() + label[1:]
