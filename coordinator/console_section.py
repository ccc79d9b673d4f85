"""``[console]`` of ``coordinator.toml``: where people reach the coordinator's console."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from machine.web.address import Address, is_loopback
from machine.web.oidc.settings import OidcSettings, is_provider_url
from protocol.errors import MalformedError
from protocol.strict import Fields

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8_322
_MOST_NAMES: Final = 20

#: For a template: as it is without the section.
CONSOLE_TEMPLATE: Final = f"""\
# Where people reach the coordinator's console (fedseg-coordinator console); see docs/console.md.
[console]
# This machine alone, unless there is a certificate with its key (PEM).
# host = "{DEFAULT_HOST}"
# port = {DEFAULT_PORT}
# tls = {{ certificate = "console.crt", key = "console.key" }}
# Names under which people reach it there.
# names = ["coordinator.example"]
# People whom your identity provider signs in, beside those with passwords (OpenID Connect).
# oidc = {{ issuer = "https://login.example/realms/staff", client_id = "fedseg-coordinator" }}
"""


def read_console(section: Fields | None, directory: Path) -> Address:
    """Read and check the section.

    Args:
        section: None where there is none.
        directory: Where relative paths begin.

    Raises:
        MalformedError: A key is unknown or says nothing sensible, or others may reach a console
            without a certificate.
    """
    if section is None:
        return Address(host=DEFAULT_HOST, port=DEFAULT_PORT)
    host = section.text("host", max_length=253) if section.has("host") else DEFAULT_HOST
    port = (
        section.integer("port", at_least=0, at_most=65_535) if section.has("port") else DEFAULT_PORT
    )
    tls = section.object("tls") if section.has("tls") else None
    certificate = None if tls is None else directory / tls.text("certificate", max_length=1_000)
    key = None if tls is None else directory / tls.text("key", max_length=1_000)
    names = (
        section.texts("names", at_most=_MOST_NAMES, max_length=253) if section.has("names") else ()
    )
    if tls is not None:
        tls.finish()
    section.has("oidc")  # read_oidc reads it
    section.finish()
    if tls is None and not is_loopback(host):
        raise MalformedError(
            f"{section.path('host')} is {host!r}, which others may reach, and there is no "
            f'certificate: write "{DEFAULT_HOST}", or set tls'
        )
    return Address(host=host, port=port, certificate=certificate, key=key, names=names)


def read_oidc(section: Fields | None, directory: Path) -> OidcSettings | None:
    """Read and check ``[console.oidc]``; None where it is not there.

    Args:
        section: ``[console]``; None where there is none.
        directory: Where relative paths begin.

    Raises:
        MalformedError: A key is missing, unknown, or says nothing sensible.
    """
    if section is None or not section.has("oidc"):
        return None
    oidc = section.object("oidc")
    secret, authority = (
        directory / oidc.text(name, max_length=1_000) if oidc.has(name) else None
        for name in ("client_secret_file", "authority")
    )
    found = OidcSettings(
        issuer=oidc.text("issuer", max_length=1_000),
        client_id=oidc.text("client_id", max_length=255),
        client_secret_file=secret,
        name=oidc.line("name", max_length=60) if oidc.has("name") else "",
        acr_values=oidc.texts("acr_values", at_most=_MOST_NAMES, max_length=255)
        if oidc.has("acr_values")
        else (),
        authority=authority,
    )
    oidc.finish()
    if not is_provider_url(found.issuer):
        raise MalformedError(
            f"{oidc.path('issuer')} is {found.issuer!r}, which is no address that is reached by "
            "TLS: write it as the provider calls itself, like https://login.example/realms/staff"
        )
    return found
