"""From a browser to the provider and back: what begins a sign-in, and what ends it."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final, Self
from urllib.parse import urlsplit

from machine.private_files import read_private_file
from machine.web.address import Address
from machine.web.oidc.flows import Flows
from machine.web.oidc.paths import BEGIN_PATH, RETURN_PATH
from machine.web.oidc.provider import Provider
from machine.web.oidc.settings import OidcSettings
from protocol.errors import ConfigError, RuleError

_ERROR: Final = re.compile(r"[a-z_]{1,60}")


class SignInByProvider:
    """Signing in at one console by one provider.

    Args:
        secret: What the provider gave this console; empty for none.
        base: The console's own address, as the provider knows it, ending in ``/``.
    """

    def __init__(self, settings: OidcSettings, secret: str, base: str) -> None:
        self.label = settings.label
        self.issuer = settings.issuer
        self.host = urlsplit(base).netloc
        self.begin_url = base.rstrip("/") + BEGIN_PATH
        self.redirect_uri = base.rstrip("/") + RETURN_PATH
        self._provider = Provider(settings, secret, self.redirect_uri)
        self._flows = Flows()

    @classmethod
    def at(cls, settings: OidcSettings, address: Address, port: int) -> Self:
        """The one of a console that listens at a port.

        Raises:
            FedsegError: The secret's file is open to others or cannot be read.
        """
        secret = ""
        if settings.client_secret_file is not None:
            data = read_private_file(settings.client_secret_file, check_folder=False)
            secret = data.decode("ascii", "replace").strip()
            if not secret or not secret.isascii() or not secret.isprintable():
                raise ConfigError(
                    f"{settings.client_secret_file} holds no secret of one line",
                    remedy="write what the provider gave, and nothing else",
                )
        return cls(settings, secret, address.url(port))

    def begin(self, now: datetime) -> tuple[str, str]:
        """Where the browser goes, and the cookie that it keeps; raises as `Provider.address`."""
        self._provider.described(now)  # nothing is kept where the provider is away
        cookie, flow = self._flows.begin(now)
        return self._provider.address(flow, now), cookie

    def finish(self, cookie: str, answer: Mapping[str, str], now: datetime) -> str:
        """Who came back, as the provider calls them.

        Args:
            cookie: What the browser kept; empty for nothing.
            answer: What stands behind ``?``.

        Raises:
            RuleError: This browser began no such sign-in (E-OIDC-FLOW), the provider says that it
                did not sign anybody in (E-OIDC-REFUSED), or as `Provider.subject`.
        """
        flow = self._flows.take(cookie, now)
        state = answer.get("state", "").encode("utf-8", "replace")
        if flow is None or not hmac.compare_digest(state, flow.state.encode()):
            raise RuleError(
                "this browser did not begin this sign-in here, or it took longer than ten minutes",
                code="E-OIDC-FLOW", remedy="begin at the page to sign in",
            )  # fmt: skip
        self._provider.check_issuer(answer.get("iss"), now)
        if "error" in answer:
            said = answer["error"] if _ERROR.fullmatch(answer["error"]) else "an error"
            raise RuleError(
                f"the identity provider did not sign anybody in: {said}", code="E-OIDC-REFUSED",
                remedy="try again, or ask whoever runs the identity provider",
            )  # fmt: skip
        return self._provider.subject(answer.get("code", ""), flow, now)
