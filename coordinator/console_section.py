"""``[console]`` of ``coordinator.toml``: where people reach the coordinator's console."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from machine.web.address import Address, is_loopback
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
    section.finish()
    if tls is None and not is_loopback(host):
        raise MalformedError(
            f"{section.path('host')} is {host!r}, which others may reach, and there is no "
            f'certificate: write "{DEFAULT_HOST}", or set tls'
        )
    return Address(host=host, port=port, certificate=certificate, key=key, names=names)
