"""``[metrics]`` of a configuration: whether a process tells how it stands, and where."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """Where metrics and health are to be had.

    Attributes:
        host: The address that is listened on; loopback unless told otherwise.
        port: Its port; 0 selects a free one.
    """

    host: str
    port: int


def is_address(host: str) -> bool:
    """Whether it is an IP address, which no name service has to tell.

    >>> is_address("127.0.0.1"), is_address("::1"), is_address("localhost")
    (True, True, False)
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


#: For the end of a template: switched off.
METRICS_TEMPLATE: Final = f"""\
# Metrics for Prometheus and health, at /metrics, /health/live and /health/ready; off unless a port
# is named. Nothing in them tells of customers; see docs/production.md.
[metrics]
# port = 9464
# Whoever reaches this address reads them.
# host = "{LOOPBACK}"
"""
