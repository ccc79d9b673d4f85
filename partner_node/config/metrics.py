"""``[metrics]`` of ``node.toml``: where metrics and health are to be had."""

from __future__ import annotations

from typing import Final

from machine.metrics.settings import LOOPBACK, MetricsSettings, is_address
from partner_node.config_section import ConfigSection

METRICS_KEYS: Final = ("port", "host")


def read_metrics(metrics: ConfigSection) -> MetricsSettings | None:
    """Read and check the section; None where no port is named.

    Raises:
        ConfigError: E-CONFIG.
    """
    host = metrics.text("host") if metrics.sets("host") else LOOPBACK
    if not is_address(host):
        raise metrics.problem(
            "host",
            f"is {host!r}, and is to be an IP address of this machine",
            f'leave it out for "{LOOPBACK}"',
        )
    port = metrics.integer("port", lowest=0, highest=65_535, default=0)
    return MetricsSettings(host=host, port=port) if metrics.sets("port") else None
