"""Sockets that listen, and the address that a caller counts for."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final

#: Callers that wait in the kernel to be accepted.
_BACKLOG: Final = 1_024


def listen(host: str, port: int) -> list[socket.socket]:
    """Listening sockets, one for each address of `host`; raises OSError.

    Args:
        port: 0 selects a free one.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listeners: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((family, to) for family, _, _, _, to in found):
            listener = socket.create_server(
                (str(address[0]), int(address[1])), family=family, backlog=_BACKLOG
            )
            listener.setblocking(False)
            listeners.append(listener)
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def counted_as(host: str) -> str:
    """The address that a caller counts for: its IPv4 address, or its IPv6 network of 64 bits."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
