"""``[metrics]`` and ``[traces]`` of ``node.toml``: what the node tells of itself, and where."""

from __future__ import annotations

from typing import Final

from machine.metrics.settings import LOOPBACK, MetricsSettings, is_address
from machine.traces import TraceSettings, is_endpoint
from partner_node.config_section import ConfigSection

METRICS_KEYS: Final = ("port", "host")
TRACES_KEYS: Final = ("endpoint",)


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


def read_traces(traces: ConfigSection) -> TraceSettings | None:
    """Read and check the section; None where no endpoint is named.

    Raises:
        ConfigError: E-CONFIG.
    """
    if not traces.sets("endpoint"):
        return None
    endpoint = traces.text("endpoint")
    if not is_endpoint(endpoint):
        raise traces.problem(
            "endpoint",  # which may have a password in it
            "is no URL without user and password",
            "write it like http://127.0.0.1:4318/v1/traces",
        )
    return TraceSettings(endpoint=endpoint)
