"""Times as our databases have them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_STAMP: Final = "%Y-%m-%dT%H:%M:%S.%fZ"


def stamp(at: datetime) -> str:
    """A time (UTC) as it is stored."""
    return at.strftime(_STAMP)


def moment(text: str) -> datetime:
    """The time that `stamp` wrote."""
    return datetime.strptime(text, _STAMP).replace(tzinfo=UTC)
