"""``[console]`` of ``node.toml``: where people reach this node's console."""

from __future__ import annotations

from typing import Final

from machine.web.address import Address, is_loopback
from partner_node.config_section import ConfigSection

CONSOLE_KEYS: Final = ("host", "port", "tls", "names")
_TLS_KEYS: Final = ("certificate", "key")
DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8_321


def read_console(console: ConfigSection) -> Address:
    """Read and check the section; raises ConfigError."""
    host = console.text("host", default=DEFAULT_HOST)
    tls = console.section("tls", _TLS_KEYS) if console.sets("tls") else None
    if tls is None and not is_loopback(host):
        raise console.problem(
            "host",
            f"is {host!r}, which others may reach, and there is no certificate",
            f'write "{DEFAULT_HOST}", or set tls',
        )
    return Address(
        host=host,
        port=console.integer("port", lowest=0, highest=65_535, default=DEFAULT_PORT),
        certificate=None if tls is None else tls.path("certificate"),
        key=None if tls is None else tls.path("key"),
        names=console.texts("names"),
    )
