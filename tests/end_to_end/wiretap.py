"""Listens between nodes and the public port: the bytes on the wire, and what TLS hides in them.

Only somebody with the public port's private key can do this; the test is one.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

_READ_BYTES = 64 << 10


class Wiretap:
    """Two listeners in a thread: nodes connect to the outer one, which copies the raw bytes to the
    inner one, which ends TLS, copies the clear bytes, and begins TLS to the gateway anew.

    Args:
        upstream: ``host:port`` of the gateway.
        certificate, key: Those of the gateway.
        authority: Which the gateway's certificate is checked against.
    """

    def __init__(self, *, upstream: str, certificate: Path, key: Path, authority: Path) -> None:
        self.raw = bytearray()
        self.clear = bytearray()
        self.port = 0
        self._upstream = upstream
        self._server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._server.load_cert_chain(certificate, key)
        self._client = ssl.create_default_context(cafile=str(authority))
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._stop = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(30):
            raise TimeoutError("the wiretap did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    def _run(self) -> None:
        self._loop.run_until_complete(self._main())
        self._loop.close()

    async def _main(self) -> None:
        inner = await asyncio.start_server(self._inside, "127.0.0.1", 0, ssl=self._server)
        self._inner_port = inner.sockets[0].getsockname()[1]
        outer = await asyncio.start_server(self._outside, "127.0.0.1", self.port)
        self.port = outer.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        for listener in (outer, inner):
            listener.close()
        tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _outside(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            onward = await asyncio.open_connection("127.0.0.1", self._inner_port)
            await _join((reader, writer), onward, self.raw)

    async def _inside(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self._upstream.rpartition(":")
        with suppress(OSError):
            onward = await asyncio.open_connection(host, int(port), ssl=self._client)
            await _join((reader, writer), onward, self.clear)


_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _join(left: _Stream, right: _Stream, copy: bytearray) -> None:
    """Pass bytes both ways until both sides are through; keep what was passed."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        own = bytearray()  # one direction of one connection in one piece
        try:
            while data := await reader.read(_READ_BYTES):
                own += data
                writer.write(data)
                await writer.drain()
        except (OSError, ssl.SSLError):
            return
        finally:
            copy.extend(own)
            with suppress(OSError):
                writer.close()

    try:
        await asyncio.gather(pump(left[0], right[1]), pump(right[0], left[1]))
    finally:
        for _, writer in (left, right):
            writer.transport.abort()
