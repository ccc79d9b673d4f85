"""Asking an identity provider: by TLS, without redirects, up to a size and a time."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from machine.web.address import is_loopback
from protocol.errors import FedsegError, RuleError

MAX_BYTES: Final = 262_144
_TIMEOUT_S: Final = 5.0
_LONGEST_S: Final = 10.0
#: Requests at a time: others are refused, so that a slow provider does not hold all threads.
_AT_A_TIME: Final = 4


class BusyError(FedsegError):
    """Too many people sign in at this moment (E-OIDC-AWAY)."""


class Fetcher:
    """Asks one provider.

    Args:
        issuer: Its URL, for messages.
        authority: PEM file of the authority of its certificate; None for the machine's own list.

    Raises:
        FedsegError: That file cannot be read (E-OIDC).
    """

    def __init__(self, issuer: str, authority: Path | None) -> None:
        self._issuer = issuer
        try:
            trusted = ssl.create_default_context(cafile=None if authority is None else authority)
        except (OSError, ssl.SSLError) as error:
            raise FedsegError(
                f"authority of [console.oidc], {authority}: {type(error).__name__}",
                code="E-OIDC", remedy="name a PEM file that this account may read",
            ) from None  # fmt: skip
        self._client = httpx.Client(
            verify=trusted, follow_redirects=False, timeout=_TIMEOUT_S,
            trust_env=not is_loopback(str(urlsplit(issuer).hostname)),
            headers={"accept": "application/json", "accept-encoding": "identity"},
        )  # fmt: skip
        self._free = threading.BoundedSemaphore(_AT_A_TIME)

    def get(self, url: str) -> dict[str, Any]:
        """The JSON object at a URL; raises as `_ask`."""
        return self._ask("GET", url, {}, None)

    def post(
        self, url: str, form: Mapping[str, str], auth: tuple[str, str] | None
    ) -> dict[str, Any]:
        """The JSON object that answers a form; raises as `_ask`."""
        return self._ask("POST", url, form, auth)

    def _ask(
        self, method: str, url: str, form: Mapping[str, str], auth: tuple[str, str] | None
    ) -> dict[str, Any]:
        """One request.

        Raises:
            FedsegError: The provider is not reached, or too many wait (E-OIDC-AWAY).
            RuleError: It answers anything but one JSON object of at most `MAX_BYTES` (E-OIDC).
        """
        if not self._free.acquire(blocking=False):
            raise self._away("too many people sign in at once", BusyError)
        try:
            data = self._body(method, url, form, auth)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            away = self._away(type(error).__name__)
        else:
            return self._object(data)
        finally:
            self._free.release()
        raise away

    def _body(
        self, method: str, url: str, form: Mapping[str, str], auth: tuple[str, str] | None
    ) -> bytes:
        until, data = time.monotonic() + _LONGEST_S, bytearray()
        sent = dict(form) if method == "POST" else None
        with self._client.stream(method, url, data=sent, auth=auth) as answer:
            if answer.status_code != 200 or "content-encoding" in answer.headers:
                raise self._wrong(f"answers with status {answer.status_code}")
            for chunk in answer.iter_raw():
                data += chunk
                if len(data) > MAX_BYTES:
                    raise self._wrong(f"answers more than {MAX_BYTES} bytes")
                if time.monotonic() > until:
                    raise self._away("it answers too slowly")
        return bytes(data)

    def _object(self, data: bytes) -> dict[str, Any]:
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise self._wrong("answers no JSON object")
        return found

    def _away(self, what: str, kind: type[FedsegError] = FedsegError) -> FedsegError:
        return kind(
            f"the identity provider {self._issuer} is not reached: {what}", code="E-OIDC-AWAY",
            remedy="try again; whoever has a password signs in with it meanwhile",
        )  # fmt: skip

    def _wrong(self, what: str) -> RuleError:
        return RuleError(
            f"the identity provider {self._issuer} {what}", code="E-OIDC",
            remedy="compare [console.oidc] with what the provider has for this console",
        )  # fmt: skip
