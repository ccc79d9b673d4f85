"""Times as the coordinator's state has them."""

from __future__ import annotations

from datetime import UTC, datetime


def stamp(at: datetime) -> str:
    """A time (UTC) as it is stored."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def stamp_now() -> str:
    """This moment (UTC) as it is stored."""
    return stamp(datetime.now(UTC))
