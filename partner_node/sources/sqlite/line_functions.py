"""Functions that SQLite lacks for invoice lines: how a day or a number is read out of a text.

Texts are bytes or str, as the connection gives them out.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from math import isfinite

from partner_node.sources.day_forms import ISO, DayForm
from partner_node.sources.line_phrases import NUMBER

_form = lru_cache(maxsize=4)(DayForm.of)


def written_day(value: object, form: str | bytes | None) -> str | None:
    """The ISO day of a value by a form, or of an ISO text; None when it is none."""
    text = _told(value)
    try:
        return _day(text, None if form is None else _told(form))
    except ValueError:  # it is in no calendar
        return None


def _day(text: str, form: str | None) -> str | None:
    if form is None:
        if not re.fullmatch(ISO, text):
            return None
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo is None else moment.astimezone(UTC)).date().isoformat()
    known = _form(form)
    found = re.fullmatch(known.pattern, text)
    return known.day_of(found).isoformat() if found else None


def written_number(value: str | bytes) -> float | None:
    """The number that a text says; None when it says none."""
    text = _told(value)
    number = float(text) if re.fullmatch(NUMBER, text) else None
    return number if number is not None and isfinite(number) else None


def _told(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
