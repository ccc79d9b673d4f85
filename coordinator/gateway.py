"""The coordinator's only public port: TLS, an allow-list, limits.

Flower's SuperLink answers run submission, node registration and its runtime on the same port as
the nodes. The gateway stands before it and passes on exactly the fleet calls that a node of ours
makes, from admitted node keys only, within limits of size, rate, time and connections. Everything
else ends here, with a status and no word from behind.

HTTP/1.1 is parsed by h11 (strict; no request smuggling); the sockets are asyncio's own, because
common ASGI servers have no time limits for slow senders.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import email.utils
import hashlib
import logging
import ssl
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import h11
import httpcore

from protocol.errors import ConfigError, TransportError
from protocol.limits import MAX_REPLY_BYTES

logger = logging.getLogger(__name__)

#: The fleet calls of a node (`partner_node.flower_link`); everything else is refused.
ALLOWED_PATHS: Final = frozenset(
    f"/v1/fleet/{call}".encode("ascii")
    for call in (
        "activate-node",
        "deactivate-node",
        "send-node-heartbeat",
        "pull-messages",
        "push-messages",
        "get-run",
    )
)

#: A node's largest reply with Flower's wrapping.
DEFAULT_MAX_BODY_BYTES: Final = MAX_REPLY_BYTES + (1 << 20)

_MAX_HEAD_BYTES: Final = 8 << 10
_READ_BYTES: Final = 64 << 10
_PUBLIC_KEY_HEADER: Final = b"flwr-public-key"
_FORWARDED_HEADERS: Final = frozenset(
    {b"content-type", b"accept", _PUBLIC_KEY_HEADER, b"flwr-timestamp", b"flwr-signature"}
)
_REMEMBERED_CLIENTS: Final = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """The public port and its limits.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        certificate: Server certificate chain (PEM).
        key: Its private key (PEM).
        upstream: ``host:port`` of the SuperLink.
        upstream_authority: Authority (PEM) of the SuperLink's certificate.
        max_body_bytes: Largest request body.
        max_buffered_bytes: Request bodies held at once, over all connections.
        max_connections: Connections at once, over all addresses.
        max_connections_per_address: Connections at once from one address.
        requests_per_s: Sustained requests a second from one node key at one address.
        burst: Requests that may come at once.
        head_timeout_s: Longest TLS handshake, and longest time for a request's head.
        body_timeout_s: Longest time for a request's body, and for taking an answer.
        idle_timeout_s: Longest pause between two requests on a connection.
        upstream_timeout_s: Longest wait for the SuperLink.
        linger_s: How long a refused sender is listened to, so that it gets the answer.
    """

    host: str = "127.0.0.1"
    port: int = 0
    certificate: Path
    key: Path
    upstream: str
    upstream_authority: Path
    max_body_bytes: int = DEFAULT_MAX_BODY_BYTES
    max_buffered_bytes: int = 256 << 20
    max_connections: int = 256
    max_connections_per_address: int = 64
    requests_per_s: float = 100.0
    burst: int = 400
    head_timeout_s: float = 10.0
    body_timeout_s: float = 60.0
    idle_timeout_s: float = 60.0
    upstream_timeout_s: float = 30.0
    linger_s: float = 1.0


class Gateway:
    """The public port; runs in a thread of its own between `start` and `stop`."""

    def __init__(self, config: GatewayConfig, *, is_admitted: Callable[[bytes], bool]) -> None:
        """Prepare the gateway.

        Args:
            config: Addresses and limits.
            is_admitted: Tells whether a node's public key (PEM bytes) may pass; called from
                the gateway's thread for every request, so it must be quick.
        """
        self._config = config
        self._is_admitted = is_admitted
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._port = config.port

    @property
    def port(self) -> int:
        """The port it listens on; known after `start`."""
        return self._port

    @property
    def address(self) -> str:
        """``host:port``, as a node's configuration has it."""
        return f"{self._config.host}:{self._port}"

    def is_alive(self) -> bool:
        """Whether it listens."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Listen; returns when connections are accepted.

        Raises:
            ConfigError: A certificate or key cannot be read.
            TransportError: The port cannot be taken.
        """
        contexts = self._server_context(), self._upstream_context()
        self._ready.clear()
        self._failure = None
        self._thread = threading.Thread(
            target=self._run, args=contexts, name="fedseg-gateway", daemon=True
        )
        self._thread.start()
        self._ready.wait()
        if isinstance(self._failure, OSError):
            raise TransportError(
                f"cannot listen on {self._config.host}:{self._config.port}: "
                f"{self._failure.strerror}",
                code="E-GATEWAY",
                remedy="Choose another port, or end the program that holds this one.",
            ) from self._failure

    def stop(self) -> None:
        """Stop listening and close all connections; safe to call twice."""
        thread, self._thread = self._thread, None
        if thread is None or self._loop is None or self._stop is None:
            return
        if thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join(10.0)

    def _server_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._config.certificate, self._config.key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"cannot use certificate {self._config.certificate} "
                f"with key {self._config.key}: {error.strerror}",
                remedy="Give PEM files that belong together.",
            ) from error
        return context

    def _upstream_context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=str(self._config.upstream_authority))
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"cannot read the SuperLink's authority {self._config.upstream_authority}"
            ) from error

    def _run(self, server: ssl.SSLContext, upstream: ssl.SSLContext) -> None:
        try:
            asyncio.run(self._main(server, upstream))
        except OSError as error:
            self._failure = error
        finally:
            self._ready.set()

    async def _main(self, server: ssl.SSLContext, upstream: ssl.SSLContext) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with httpcore.AsyncConnectionPool(
            ssl_context=upstream,
            max_connections=self._config.max_connections,
            max_keepalive_connections=32,
            keepalive_expiry=4.0,
        ) as pool:
            door = _Door(self._config, pool, self._is_admitted)
            listener = await asyncio.start_server(
                door.serve,
                self._config.host,
                self._config.port,
                ssl=server,
                ssl_handshake_timeout=self._config.head_timeout_s,
                limit=_READ_BYTES,
            )
            self._port = listener.sockets[0].getsockname()[1]
            self._ready.set()
            await self._stop.wait()
            listener.close()
            await door.close()


class _RefusedError(Exception):
    """A request ends here with a status."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


class _Door:
    """Connections, limits and forwarding, all in the gateway's event loop."""

    def __init__(
        self,
        config: GatewayConfig,
        pool: httpcore.AsyncConnectionPool,
        is_admitted: Callable[[bytes], bool],
    ) -> None:
        self._config = config
        self._pool = pool
        self._is_admitted = is_admitted
        self._upstream = httpcore.URL(f"https://{config.upstream}")
        self._tasks: set[asyncio.Task[None]] = set()
        self._by_address: Counter[str] = Counter()
        self._buffered = 0
        self._buckets: OrderedDict[tuple[str, bytes], tuple[float, float]] = OrderedDict()

    async def close(self) -> None:
        """End all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from handshake to close."""
        task = asyncio.current_task()
        address = str(writer.get_extra_info("peername")[0])
        if task is None or (
            len(self._tasks) >= self._config.max_connections
            or self._by_address[address] >= self._config.max_connections_per_address
        ):
            writer.transport.abort()
            return
        self._tasks.add(task)
        self._by_address[address] += 1
        try:
            await self._converse(reader, writer, address)
        except (OSError, TimeoutError, asyncio.CancelledError, ssl.SSLError):
            logger.debug("connection ended early")
        finally:
            self._tasks.discard(task)
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
            writer.transport.abort()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str
    ) -> None:
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD_BYTES)
        patience = self._config.head_timeout_s
        while True:
            try:
                async with asyncio.timeout(patience):
                    event = await _next_event(http, reader)
                if not isinstance(event, h11.Request):
                    return
                status, media_type, body = await self._respond(http, reader, event, address)
            except h11.RemoteProtocolError as error:
                status, media_type, body = error.error_status_hint, b"", b""
            except _RefusedError as refused:
                logger.info("refused a request with status %s", refused.status)
                status, media_type, body = refused.status, b"", b""
            last = http.their_state is not h11.DONE
            async with asyncio.timeout(self._config.body_timeout_s):
                writer.write(_answer(http, status, media_type, body, last=last))
                await writer.drain()
            if last or not _is_done(http):
                await _close(reader, writer, self._config.linger_s)
                return
            http.start_next_cycle()
            patience = self._config.idle_timeout_s

    async def _respond(
        self,
        http: h11.Connection,
        reader: asyncio.StreamReader,
        request: h11.Request,
        address: str,
    ) -> tuple[int, bytes, bytes]:
        headers = self._check_head(request, address)
        length = _content_length(request)
        if length > self._config.max_body_bytes:
            raise _RefusedError(413)
        if self._buffered + length > self._config.max_buffered_bytes:
            raise _RefusedError(503)
        self._buffered += length
        try:
            async with asyncio.timeout(self._config.body_timeout_s):
                body = await _body(http, reader)
            return await self._forward(request.target, headers, body)
        except TimeoutError:
            raise _RefusedError(408) from None
        finally:
            self._buffered -= length

    def _check_head(self, request: h11.Request, address: str) -> list[tuple[bytes, bytes]]:
        """The headers to pass on, when the request may pass."""
        if request.target not in ALLOWED_PATHS:
            raise _RefusedError(404)
        if request.method != b"POST":
            raise _RefusedError(405)
        headers = [(k, v) for k, v in request.headers if k in _FORWARDED_HEADERS]
        keys = [value for name, value in headers if name == _PUBLIC_KEY_HEADER]
        try:
            key = base64.b64decode(keys[0], validate=True) if len(keys) == 1 else b""
        except binascii.Error:
            key = b""
        admitted = bool(key) and self._is_admitted(key)
        # Unknown keys share one bucket an address: they cannot be used to get more.
        digest = hashlib.sha256(key).digest() if admitted else b""
        if not self._within_rate((address, digest)):
            raise _RefusedError(429)
        if not admitted:
            raise _RefusedError(403)
        return headers

    def _within_rate(self, client: tuple[str, bytes]) -> bool:
        """Token bucket: whether this client may make a request now."""
        now = asyncio.get_running_loop().time()
        tokens, last = self._buckets.pop(client, (float(self._config.burst), now))
        tokens = min(self._config.burst, tokens + (now - last) * self._config.requests_per_s)
        allowed = tokens >= 1.0
        self._buckets[client] = (tokens - 1.0 if allowed else tokens, now)
        while len(self._buckets) > _REMEMBERED_CLIENTS:
            self._buckets.popitem(last=False)
        return allowed

    async def _forward(
        self, target: bytes, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> tuple[int, bytes, bytes]:
        limit = self._config.upstream_timeout_s
        try:
            response = await self._pool.request(
                b"POST",
                httpcore.URL(
                    scheme=self._upstream.scheme,
                    host=self._upstream.host,
                    port=self._upstream.port,
                    target=target,
                ),
                headers=[
                    (b"host", self._upstream.host),
                    (b"content-length", str(len(body)).encode("ascii")),
                    *headers,
                ],
                content=body,
                extensions={
                    "timeout": {"connect": limit, "read": limit, "write": limit, "pool": limit}
                },
            )
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.TimeoutException,
        ):
            # The SuperLink is starting again; nodes try again by themselves.
            raise _RefusedError(503) from None
        if response.status != 200:
            return response.status if 400 <= response.status < 500 else 502, b"", b""
        media_type = next((v for k, v in response.headers if k.lower() == b"content-type"), b"")
        return 200, media_type, response.content


async def _next_event(http: h11.Connection, reader: asyncio.StreamReader) -> h11.Event:
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await reader.read(_READ_BYTES))
        elif event is h11.PAUSED:
            raise h11.RemoteProtocolError("a second request before the first was answered")
        else:
            return event  # type: ignore[return-value]


async def _body(http: h11.Connection, reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        event = await _next_event(http, reader)
        if isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return bytes(body)
        else:
            raise _RefusedError(400)


def _content_length(request: h11.Request) -> int:
    """The announced size; chunked bodies are refused, since their size is not known before."""
    headers = dict(request.headers)
    if b"transfer-encoding" in headers:
        raise _RefusedError(411)
    return int(headers.get(b"content-length", b"0"))


def _answer(
    http: h11.Connection, status: int, media_type: bytes, body: bytes, *, last: bool
) -> bytes:
    headers = [
        (b"date", email.utils.formatdate(usegmt=True).encode("ascii")),
        (b"content-length", str(len(body)).encode("ascii")),
    ]
    if media_type:
        headers.append((b"content-type", media_type))
    if last:
        headers.append((b"connection", b"close"))
    parts = [
        http.send(h11.Response(status_code=status, headers=headers)),
        http.send(h11.Data(data=body)) if body else b"",
        http.send(h11.EndOfMessage()),
    ]
    return b"".join(part for part in parts if part)


def _is_done(http: h11.Connection) -> bool:
    """Whether both sides are through with this exchange and the connection stays."""
    return http.our_state is h11.DONE and http.their_state is h11.DONE


async def _close(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, linger_s: float
) -> None:
    """Close so that the answer arrives: what is still being sent is read and thrown away."""
    try:
        async with asyncio.timeout(linger_s):
            while await reader.read(_READ_BYTES):
                pass
    except TimeoutError:
        logger.debug("a sender went on after it was refused")
    writer.close()
    async with asyncio.timeout(linger_s):
        await writer.wait_closed()
