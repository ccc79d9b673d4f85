"""``[console]`` of ``coordinator.toml``: where people reach the coordinator's console."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from machine.web.address import Address
from machine.web.oidc.settings import OidcSettings
from protocol.errors import MalformedError
from protocol.strict import Fields

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8_322
#: For parsing; what they may say stands in `Address` and `OidcSettings`.
_LONGEST: Final = 4_096
_MOST: Final = 1_000

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
    host = section.text("host", max_length=_LONGEST) if section.has("host") else DEFAULT_HOST
    port = (
        section.integer("port", at_least=0, at_most=65_535) if section.has("port") else DEFAULT_PORT
    )
    tls = section.object("tls") if section.has("tls") else None
    certificate = None if tls is None else directory / tls.text("certificate", max_length=_LONGEST)
    key = None if tls is None else directory / tls.text("key", max_length=_LONGEST)
    names = _texts(section, "names")
    if tls is not None:
        tls.finish()
    section.has("oidc")  # read_oidc reads it
    section.finish()
    found = Address(host=host, port=port, certificate=certificate, key=key, names=names)
    _refuse(section, found.problem())
    return found


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
        directory / oidc.text(name, max_length=_LONGEST) if oidc.has(name) else None
        for name in ("client_secret_file", "authority")
    )
    found = OidcSettings(
        issuer=oidc.text("issuer", max_length=_LONGEST),
        client_id=oidc.text("client_id", max_length=_LONGEST),
        client_secret_file=secret,
        name=oidc.text("name", max_length=_LONGEST) if oidc.has("name") else "",
        acr_values=_texts(oidc, "acr_values"),
        authority=authority,
    )
    oidc.finish()
    _refuse(oidc, found.problem())
    return found


def _texts(section: Fields, key: str) -> tuple[str, ...]:
    if not section.has(key):
        return ()
    return section.texts(key, at_least=0, at_most=_MOST, max_length=_LONGEST)


def _refuse(section: Fields, problem: tuple[str, str, str] | None) -> None:
    if problem is not None:
        key, what, remedy = problem
        raise MalformedError(f"{section.path(key)} {what}", remedy=remedy)
