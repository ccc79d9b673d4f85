"""Serving a console: one port, by TLS where there is a certificate, until it is asked to end."""

from __future__ import annotations

import logging
import socket
import sys
import threading
from typing import TYPE_CHECKING, Final

import uvicorn
from starlette.types import ASGIApp

from machine.console import Verbatim, output
from machine.web.address import Address
from protocol.errors import ConfigError, FedsegError

if TYPE_CHECKING:
    from machine.web.oidc.sign_in import SignInByProvider

_MOST_CONNECTIONS: Final = 100
_IDLE_S: Final = 15
_LARGEST_HEAD: Final = 16_384
_BACKLOG: Final = 64


def listening(address: Address) -> socket.socket:
    """Listen at an address.

    Raises:
        ConfigError: It is in use, or not this machine's (E-CONSOLE-PORT).
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"{address.host}, port {address.port}: {error.strerror or error}",
            code="E-CONSOLE-PORT",
            remedy="set another port or host under [console], or end what listens there",
        ) from error


def announce(address: Address, port: int, oidc: SignInByProvider | None) -> None:
    """Print where a console is reached, and where a provider has to send people back.

    Where lines of the log are objects it is one.
    """
    url = address.url(port)
    words, values = [Verbatim(f"Console: {url}")], {"url": url}
    if oidc is not None:
        values["redirect_uri"] = oidc.redirect_uri
        words.append(Verbatim(f"Where {oidc.label} sends people back: {oidc.redirect_uri}"))
    if output.logs_json:
        for line in words:
            output.tell(line)
    else:
        output.result(values, *words)
        sys.stdout.flush()


def serve(app: ASGIApp, address: Address, listener: socket.socket, stop: threading.Event) -> None:
    """Answer until `stop` is set.

    Raises:
        FedsegError: Certificate or key cannot be read (E-CONSOLE-TLS), or the server ended.
    """
    config = uvicorn.Config(
        app, http="h11", ws="none", lifespan="off", access_log=False, log_config=None,
        server_header=False, proxy_headers=False, limit_concurrency=_MOST_CONNECTIONS,
        timeout_keep_alive=_IDLE_S, h11_max_incomplete_event_size=_LARGEST_HEAD,
        timeout_graceful_shutdown=5,
        ssl_certfile=None if address.certificate is None else str(address.certificate),
        ssl_keyfile=None if address.key is None else str(address.key),
    )  # fmt: skip
    try:
        config.load()
    except (OSError, ValueError) as error:
        raise FedsegError(
            f"certificate or key of [console]: {error}", code="E-CONSOLE-TLS",
            remedy="name a certificate with its key, both PEM, that this account may read",
        ) from error  # fmt: skip
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    server = uvicorn.Server(config)

    def run() -> None:
        try:
            server.run(sockets=[listener])
        finally:
            stop.set()

    thread = threading.Thread(target=run, name="console")
    thread.start()
    stop.wait()
    server.should_exit = True
    thread.join()
