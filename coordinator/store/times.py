"""Times as the coordinator's state has them."""

from __future__ import annotations

from datetime import UTC, datetime


def stamp_now() -> str:
    """This moment (UTC) as it is stored."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
