"""``[console]`` of ``node.toml``: where people reach this node's console."""

from __future__ import annotations

from typing import Final

from machine.web.address import Address
from machine.web.oidc.settings import OIDC_KEYS, OidcSettings
from partner_node.config_section import ConfigSection

CONSOLE_KEYS: Final = ("host", "port", "tls", "names", "oidc")
_TLS_KEYS: Final = ("certificate", "key")
DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8_321


def read_console(console: ConfigSection) -> Address:
    """Read and check the section; raises ConfigError."""
    host = console.text("host", default=DEFAULT_HOST)
    tls = console.section("tls", _TLS_KEYS) if console.sets("tls") else None
    found = Address(
        host=host,
        port=console.integer("port", lowest=0, highest=65_535, default=DEFAULT_PORT),
        certificate=None if tls is None else tls.path("certificate"),
        key=None if tls is None else tls.path("key"),
        names=console.texts("names"),
    )
    _refuse(console, found.problem())
    return found


def read_oidc(console: ConfigSection) -> OidcSettings | None:
    """Read and check ``[console.oidc]``; None where it is not there. Raises ConfigError."""
    if not console.sets("oidc"):
        return None
    oidc = console.section("oidc", OIDC_KEYS)
    found = OidcSettings(
        issuer=oidc.text("issuer"),
        client_id=oidc.text("client_id"),
        client_secret_file=oidc.path("client_secret_file")
        if oidc.sets("client_secret_file")
        else None,
        name=oidc.text("name") if oidc.sets("name") else "",
        acr_values=oidc.texts("acr_values"),
        authority=oidc.path("authority") if oidc.sets("authority") else None,
    )
    _refuse(oidc, found.problem())
    return found


def _refuse(section: ConfigSection, problem: tuple[str, str, str] | None) -> None:
    if problem is not None:
        raise section.problem(*problem)
