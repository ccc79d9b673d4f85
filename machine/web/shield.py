"""What holds for every answer of a console, whoever asks: host, headers, and a line in the log."""

from __future__ import annotations

import logging
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from machine.text import shown

logger = logging.getLogger(__name__)

_POLICY: Final = "; ".join(
    (
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'",
        "connect-src 'self'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'",
    )
)  # fmt: skip
#: `same-origin`: with no referrer at all browsers say no origin of forms either.
_HEADERS: Final = (
    (b"content-security-policy", _POLICY.encode()),
    (b"referrer-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
_ONLY_TLS: Final = (b"strict-transport-security", b"max-age=31536000")
_LONGEST_PATH: Final = 200


class Shield:
    """Refuses other hosts' names, sets headers, and logs without what stands behind ``?``.

    A page of another site can have a name of its own lead to this machine (DNS rebinding): its
    requests then carry that name as their host.
    """

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str], secure: bool) -> None:
        self._app = app
        self._hosts = frozenset(host.lower().encode("ascii") for host in hosts)
        self._headers = (*_HEADERS, _ONLY_TLS) if secure else _HEADERS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *self._headers]}
                path = shown(scope["path"])[:_LONGEST_PATH].replace("\n", " ")
                logger.info("%s %s %s", scope["method"], path, message["status"])
            await send(message)

        hosts = [value.lower() for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            await _refuse(guarded)
            return
        await self._app(scope, receive, guarded)


async def _refuse(send: Send) -> None:
    body = (
        b"E-HOST: this console is not reached under that name\n"
        b"  Way out: use the address that `console` printed when it started\n"
    )
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 421, "headers": headers})
    await send({"type": "http.response.body", "body": body})
