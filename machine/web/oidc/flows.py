"""Sign-ins that went to the provider and have not come back: each is good once, for ten minutes."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Final

GOOD_FOR: Final = timedelta(minutes=10)
#: Beyond it the oldest are forgotten.
_MOST: Final = 10_000
_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One sign-in.

    Attributes:
        state: What the provider gives back to the browser.
        nonce: What the ID token has to hold.
        verifier: Shows the provider that we are who began (PKCE, RFC 7636).
    """

    state: str
    nonce: str
    verifier: str
    begun_at: datetime

    @property
    def challenge(self) -> str:
        """The verifier's hash, which goes to the provider first."""
        digest = hashlib.sha256(self.verifier.encode("ascii")).digest()
        return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


class Flows:
    """The sign-ins under way, in memory: who is on the way when the console ends begins anew."""

    def __init__(self) -> None:
        self._open: dict[bytes, Flow] = {}
        self._one = Lock()

    def begin(self, now: datetime) -> tuple[str, Flow]:
        """A new one, and what the browser keeps of it: a cookie's value."""
        cookie = secrets.token_urlsafe(_BYTES)
        flow = Flow(
            state=secrets.token_urlsafe(_BYTES), nonce=secrets.token_urlsafe(_BYTES),
            verifier=secrets.token_urlsafe(_BYTES), begun_at=now,
        )  # fmt: skip
        with self._one:
            while len(self._open) >= _MOST:
                del self._open[next(iter(self._open))]
            self._open[_hashed(cookie)] = flow
        return cookie, flow

    def take(self, cookie: str, now: datetime) -> Flow | None:
        """The sign-in of a cookie, which is over with this; None where there is none any more."""
        with self._one:
            flow = self._open.pop(_hashed(cookie), None)
        return None if flow is None or now - flow.begun_at > GOOD_FOR else flow


def _hashed(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).digest()
