"""Times as the coordinator's state has them."""

from __future__ import annotations

from datetime import UTC, datetime

from machine.times import moment, stamp

__all__ = ["moment", "stamp", "stamp_now"]


def stamp_now() -> str:
    """This moment (UTC) as it is stored."""
    return stamp(datetime.now(UTC))
