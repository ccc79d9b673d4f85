"""HTTP over the SuperLink's Unix socket, where nothing is encrypted."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

import httpx

#: Trusts no authority. Without it each client reads the machine's authorities, which are never
#: asked for here, and which takes longer than the call that it is made for.
NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def client_of(socket: Path | str, *, timeout_s: float) -> httpx.Client:
    """A client whose every call goes to the socket, whatever host its URL names."""
    transport = httpx.HTTPTransport(uds=str(socket), verify=NO_TLS)
    return httpx.Client(transport=transport, timeout=timeout_s)
