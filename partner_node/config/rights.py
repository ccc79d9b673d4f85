"""``[rights]`` of ``node.toml``: what customers are told that no agreement says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from partner_node.config_section import ConfigSection

RIGHTS_KEYS: Final = ("authority", "data_from")


@dataclass(frozen=True, slots=True, kw_only=True)
class RightsSection:
    """``[rights]``, for answers to customers (GDPR 15(1)(f) and (g)).

    Attributes:
        authority: The supervisory authority for complaints, and where it is reached.
        data_from: Where the customers' data come from.
    """

    authority: str | None = None
    data_from: str | None = None


def read_rights(rights: ConfigSection) -> RightsSection:
    """Read and check the section; raises ConfigError."""
    return RightsSection(
        authority=rights.optional("authority"), data_from=rights.optional("data_from")
    )
