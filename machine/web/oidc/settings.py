"""``[console.oidc]``: who vouches for people beside passwords."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from machine.web.address import is_loopback, problem_of_list

OIDC_KEYS: Final = ("issuer", "client_id", "client_secret_file", "name", "acr_values", "authority")
_LONGEST_ISSUER: Final = 1_000
_LONGEST_ID: Final = 255
_LONGEST_NAME: Final = 60
_MOST_WAYS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcSettings:
    """One identity provider.

    Attributes:
        issuer: Its URL, to the letter as it calls itself.
        client_id: What it calls this console.
        client_secret_file: File of mode 0600 with the secret that it gave; None where PKCE alone
            protects the code.
        name: What the button calls it.
        acr_values: How somebody may have signed in there, one of them; empty for any way.
        authority: PEM file of the authority of its certificate; None for the machine's own list.
    """

    issuer: str
    client_id: str
    client_secret_file: Path | None = None
    name: str = ""
    acr_values: tuple[str, ...] = ()
    authority: Path | None = None

    @property
    def label(self) -> str:
        """What people call it: its name, or else its host."""
        return self.name or str(urlsplit(self.issuer).hostname)

    def problem(self) -> tuple[str, str, str] | None:
        """The first setting that says nothing sensible: its key, what is wrong, and the way out."""
        if len(self.issuer) > _LONGEST_ISSUER or not is_provider_url(self.issuer):
            return (
                "issuer", f"is {self.issuer[:80]!r}, which is no address that is reached by TLS",
                "write it as the provider calls itself, like https://login.example/realms/staff",
            )  # fmt: skip
        if not _is_plain(self.client_id):
            return "client_id", f"is {self.client_id[:80]!r}", "write what the provider gave"
        if len(self.name) > _LONGEST_NAME or not self.name.isprintable():
            return "name", f"is {self.name[:80]!r}", f"write one line, {_LONGEST_NAME} letters long"
        for one in self.acr_values:
            if not _is_plain(one) or " " in one:  # they are sent with blanks between them
                return (
                    "acr_values",
                    f"lists {one[:80]!r}",
                    "write each way as the provider calls it",
                )
        return problem_of_list("acr_values", self.acr_values, _MOST_WAYS)


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and 1 <= len(text) <= _LONGEST_ID


def is_provider_url(url: str, *, query: bool = False) -> bool:
    """Whether a provider may be reached there: by TLS, or at this machine itself.

    Args:
        query: Whether a part behind ``?`` may be there.

    >>> is_provider_url("https://login.example/realms/a"), is_provider_url("http://login.example")
    (True, False)
    >>> is_provider_url("http://127.0.0.1:8080"), is_provider_url("https://u:p@login.example")
    (True, False)
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and not any(c in url for c in " \\#")
    reached = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    return plain and reached and bool(host) and "@" not in parts.netloc and (
        query or not parts.query
    )  # fmt: skip
