"""Where a console is reached."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NAME: Final = re.compile(r"[A-Za-z0-9_.:%-]{1,253}")
_MOST_NAMES: Final = 20


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

    def problem(self) -> tuple[str, str, str] | None:
        """The first setting that says nothing sensible: its key, what is wrong, and the way out."""
        if not self.secure and not is_loopback(self.host):
            return (
                "host", f"is {self.host!r}, which others may reach, and there is no certificate",
                'write "127.0.0.1", or set tls',
            )  # fmt: skip
        for key, names in (("host", (self.host,)), ("names", self.names)):
            for name in names:
                if not _NAME.fullmatch(name):
                    return (
                        key,
                        f"has {name!r}, which names no machine",
                        "write it like node.example",
                    )
        return problem_of_list("names", self.names, _MOST_NAMES)

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


def problem_of_list(key: str, values: tuple[str, ...], most: int) -> tuple[str, str, str] | None:
    """What is wrong with a list as such; as `Address.problem`."""
    if len(values) > most:
        return key, f"lists {len(values)}", f"{most} are allowed"
    twice = next((one for one in values if values.count(one) > 1), None)
    return None if twice is None else (key, f"lists {twice!r} twice", "write it once")


def is_loopback(host: str) -> bool:
    """Whether an address leads to this machine alone.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("a.de")
    (True, True, False, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
