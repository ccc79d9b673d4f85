"""A public port before a server that listens on a Unix socket: bytes pass, TLS stays theirs.

The server takes no caller that this front has not let in, and sees each under a name of its own:
the front binds its end of the Unix socket to it. So the server, which alone sees who a caller is,
can say of which connection it speaks.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from pathlib import Path
from typing import Final

from coordinator.front.front import Connection, Front
from coordinator.front.limits import FrontLimits

logger = logging.getLogger(__name__)

_READ_BYTES: Final = 64 << 10
#: What TLS begins with (RFC 8446, 5.1): type of record, version, length of what follows.
_RECORD_HEAD_BYTES: Final = 5
_HANDSHAKE: Final = b"\x16\x03"
_MOST_RECORD_BYTES: Final = 1 << 14
#: The caller's socket, the front's to the server, and the server's.
_FILES_EACH: Final = 3


class RelayedFront:
    """The front of a server on a Unix socket.

    Args:
        limits: How many places there are.
        folder: A folder that nobody but this user can enter.
    """

    def __init__(self, limits: FrontLimits, folder: Path) -> None:
        self.server: Final = folder / "server"
        self._folder = folder
        self._front = Front(limits, self._serve, files_each=_FILES_EACH)
        self._numbers = itertools.count()
        self._by_name: dict[str, Connection] = {}

    async def accept(self, listener: socket.socket) -> None:
        """Accept connections until cancelled."""
        await self._front.accept(listener)

    async def close(self) -> None:
        """End all connections."""
        await self._front.close()

    def met(self, name: str, member: str) -> None:
        """Note whose a connection is, as the server found out.

        Args:
            name: What the server calls the caller's address: the path of its Unix socket.
            member: Whose it is; empty when it is nobody's, or not any more.
        """
        connection = self._by_name.get(name)
        if connection is None:  # it has ended meanwhile
            return
        if member:
            self._front.is_of(connection, member)
        else:
            self._front.is_nobodys(connection)

    async def _serve(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        try:
            greeting = await _greeting(connection.sock)
            if not greeting:
                return
            name = self._folder / str(next(self._numbers))
            with socket.socket(socket.AF_UNIX) as behind:
                behind.setblocking(False)
                behind.bind(str(name))
                self._by_name[str(name)] = connection
                try:
                    await loop.sock_connect(behind, str(self.server))
                    await loop.sock_sendall(behind, greeting)
                    await _both_ways(connection.sock, behind)
                finally:
                    del self._by_name[str(name)]
                    name.unlink()
        except OSError:
            logger.debug("connection ended early")


async def _greeting(sock: socket.socket) -> bytes:
    """The first record of TLS, whole; empty if it is none, and for whoever hangs up.

    The server is not bothered by callers that say nothing or something else.
    """
    loop = asyncio.get_running_loop()
    read = b""
    wanted = _RECORD_HEAD_BYTES
    while len(read) < wanted:
        more = await loop.sock_recv(sock, wanted - len(read))
        read += more
        if not more or not read.startswith(_HANDSHAKE[: len(read)]):
            return b""
        if len(read) == _RECORD_HEAD_BYTES:
            length = int.from_bytes(read[3:], "big")
            if not 0 < length <= _MOST_RECORD_BYTES:
                return b""
            wanted += length
    return read


async def _both_ways(one: socket.socket, other: socket.socket) -> None:
    """Pass bytes on until either side ends; what a slow side does not take is not read."""
    ways = [asyncio.create_task(_one_way(*ends)) for ends in ((one, other), (other, one))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _one_way(source: socket.socket, to: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(source, _READ_BYTES):
        await loop.sock_sendall(to, data)
