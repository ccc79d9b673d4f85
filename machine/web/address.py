"""Where a console is reached."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a console is reached.

    Attributes:
        host: The address that is listened at.
        port: 0 for a free one.
        certificate, key: PEM files for TLS; None for none, which loopback alone may do.
        names: Names under which people reach it beside the address itself.
    """

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    names: tuple[str, ...] = ()

    @property
    def secure(self) -> bool:
        """Whether it is reached by TLS."""
        return self.certificate is not None

    def hosts(self, port: int) -> frozenset[str]:
        """Values of the header Host that are answered, at the port that is listened at."""
        own = {self.host, *self.names}
        if is_loopback(self.host):
            own |= {"localhost", "127.0.0.1", "::1"}
        written = {f"[{name}]" if ":" in name else name for name in own}
        return frozenset(
            {f"{name}:{port}" for name in written}
            | (written if port == self._usual_port else set())
        )

    def url(self, port: int) -> str:
        """What people open: as browsers write it, without the port that is usual."""
        name = self.names[0] if self.names else self.host
        scheme = "https" if self.secure else "http"
        at = "" if port == self._usual_port else f":{port}"
        return f"{scheme}://{f'[{name}]' if ':' in name else name}{at}/"

    @property
    def _usual_port(self) -> int:
        return 443 if self.secure else 80


def is_loopback(host: str) -> bool:
    """Whether an address leads to this machine alone.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("a.de")
    (True, True, False, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
