"""``[receipts]`` of ``node.toml``: whether it is kept who was counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from partner_node.config_section import ConfigSection

RECEIPTS_KEYS: Final = ("keep",)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptsSection:
    """``[receipts]``.

    Attributes:
        keep: Whether each answer commits to the set of customers that it counted, so that receipts
            can be given.
    """

    keep: bool = True


def read_receipts(receipts: ConfigSection) -> ReceiptsSection:
    """Read and check the section; raises ConfigError."""
    return ReceiptsSection(keep=receipts.truth("keep", default=True))
