"""Times as a node's state has them."""

from __future__ import annotations

from machine.times import moment, stamp

__all__ = ["moment", "stamp"]
