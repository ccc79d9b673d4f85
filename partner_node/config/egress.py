"""``[egress]`` of ``node.toml``, read and checked."""

from __future__ import annotations

from typing import Final

from partner_node.config_section import ConfigSection
from partner_node.egress.settings import (
    DEFAULT_HOLD_HOURS,
    HOLDS,
    MAX_HOLD_HOURS,
    NOTHING,
    EgressSection,
)

EGRESS_KEYS: Final = ("hold", "hold_hours")


def read_egress(egress: ConfigSection) -> EgressSection:
    """Read and check the section; raises ConfigError."""
    return EgressSection(
        hold=egress.one_of("hold", HOLDS, default=NOTHING),
        hold_hours=egress.integer(
            "hold_hours", lowest=1, highest=MAX_HOLD_HOURS, default=DEFAULT_HOLD_HOURS
        ),
    )
