"""Connections to the coordinator, directly or through a proxy's tunnel (RFC 9110, 9.3.6)."""

from __future__ import annotations

import base64
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import h11

from partner_node.link.proxy import Proxy
from partner_node.link.trouble import ProxyAnswerError, ProxyAwayError

_READ_BYTES: Final = 4_096


@contextmanager
def secured(
    address: str, context: ssl.SSLContext, proxy: Proxy | None, *, timeout_s: float
) -> Iterator[ssl.SSLSocket]:
    """A TLS connection to an address, whatever lies in between.

    Args:
        address: ``host:port``.
        context: Says what the other side's certificate must be.
        timeout_s: Longest wait for each step.

    Raises:
        OSError: As `trouble.of_failure` explains it.
    """
    host = address.rpartition(":")[0].strip("[]")
    with (
        _connected(address, proxy, timeout_s) as plain,
        context.wrap_socket(plain, server_hostname=host) as both,
    ):
        yield both


def _connected(address: str, proxy: Proxy | None, timeout_s: float) -> socket.socket:
    if proxy is None:
        return _opened(address, timeout_s)
    try:
        connection = _opened(proxy.address, timeout_s)
    except OSError as error:
        raise ProxyAwayError(str(error)) from error
    try:
        _ask(connection, address, proxy, time.monotonic() + timeout_s)
    except BaseException:
        connection.close()
        raise
    connection.settimeout(timeout_s)
    return connection


def _opened(address: str, timeout_s: float) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s)


def _ask(connection: socket.socket, address: str, proxy: Proxy, deadline: float) -> None:
    """Have the proxy connect; raises ProxyAnswerError, or ProxyAwayError when it says nothing."""
    http = h11.Connection(h11.CLIENT)
    headers = [("host", address)]
    if proxy.credentials:
        word = base64.b64encode(proxy.credentials.encode("utf-8")).decode("ascii")
        headers.append(("proxy-authorization", f"Basic {word}"))
    asked = http.send(h11.Request(method="CONNECT", target=address, headers=headers))
    asked += http.send(h11.EndOfMessage()) or b""
    try:
        connection.sendall(asked)
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                connection.settimeout(max(0.001, deadline - time.monotonic()))
                http.receive_data(connection.recv(_READ_BYTES))
            elif isinstance(event, h11.Response):
                break
            elif not isinstance(event, h11.InformationalResponse):
                raise ProxyAnswerError(0)
    except h11.RemoteProtocolError as error:
        raise ProxyAnswerError(0) from error
    except (TimeoutError, ConnectionError) as error:
        raise ProxyAwayError("it does not answer") from error
    if not 200 <= event.status_code < 300:
        raise ProxyAnswerError(event.status_code)
    if http.trailing_data[0]:  # whoever is called speaks second in TLS
        raise ProxyAnswerError(0)
