"""The coordinator's only public port: TLS, an allow-list, limits.

Flower's SuperLink answers run submission, node registration and its runtime on the same socket as
the nodes. The gateway stands before it and passes on exactly the fleet calls that a node of ours
makes, signed by admitted node keys only and heard once, within limits of size, rate, time and
connections. Of messages it passes on replies to what a node was asked, and no other. Everything
else ends here, with a status and nothing from the SuperLink.

Who gets a place, and who leaves it, is decided in `coordinator.front`: a connection is a stranger's
until its first call is signed by an admitted key.

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
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import Final

import h11
import httpcore
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from coordinator.front.front import Connection, Front
from coordinator.front.limits import FrontLimits
from coordinator.front.listening import listen
from coordinator.service.asked_messages import AskedMessages
from coordinator.service.heard_calls import HeardCalls
from coordinator.store.admitted_nodes import key_end
from machine.logs import alike
from protocol.calls import CALL_SIGNATURE_HEADER, call_bytes
from protocol.errors import ConfigError, TransportError
from protocol.limits import MAX_REPLY_BYTES

logger = logging.getLogger(__name__)

#: The fleet calls of a node (`partner_node.link.flower_link`); everything else is refused.
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

#: A node's largest reply, including Flower's framing.
DEFAULT_MAX_BODY_BYTES: Final = MAX_REPLY_BYTES + (1 << 20)

_PULL: Final = b"/v1/fleet/pull-messages"
_PUSH: Final = b"/v1/fleet/push-messages"

#: The largest body of calls other than replies: a node's have some hundred bytes.
_MOST_ASKING_BYTES: Final = 4 << 10
_MAX_HEAD_BYTES: Final = 8 << 10
_READ_BYTES: Final = 64 << 10
_PUBLIC_KEY_HEADER: Final = b"flwr-public-key"
_TIMESTAMP_HEADER: Final = b"flwr-timestamp"
_SIGNATURE_HEADER: Final = b"flwr-signature"
_FORWARDED_HEADERS: Final = frozenset(
    {b"content-type", b"accept", _PUBLIC_KEY_HEADER, _TIMESTAMP_HEADER, _SIGNATURE_HEADER}
)
#: Flower's window for the time that a node signs.
_SIGNED_AT_MOST_BEFORE: Final = timedelta(seconds=300)
_SIGNED_AT_MOST_AHEAD: Final = timedelta(seconds=5)
_REMEMBERED_CLIENTS: Final = 4_096
#: How long a call could be sent again as it is.
_HEARD_FOR_S: Final = (_SIGNED_AT_MOST_BEFORE + _SIGNED_AT_MOST_AHEAD).total_seconds() + 1.0
#: HTTP needs a name for the other end of a socket.
_UPSTREAM_HOST: Final = b"superlink"
#: Refusals after which a connection stays open: they are temporary.
_PASSING: Final = frozenset({429, 503})
#: The caller's socket and one to the SuperLink.
_FILES_EACH: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """The public port and its limits.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 selects a free one.
        certificate: Server certificate chain (PEM).
        key: Its private key (PEM).
        upstream: Unix socket of the SuperLink.
        max_body_bytes: Largest request body, a reply; all other calls are small.
        max_buffered_bytes: Bytes of request bodies held at once, over all connections.
        max_buffered_bytes_per_key: The same for one node key.
        max_reply_bytes_per_run: Bytes of one node's replies to a run's newest messages; the
            SuperLink may hold them in memory at once.
        front: Who gets a place at the port.
        requests_per_s: Sustained requests a second from one node key at one address.
        burst: Requests that may come at once.
        body_timeout_s: Longest time for a request's body, and for the receipt of an answer.
        idle_timeout_s: Longest pause between two requests on a connection.
        upstream_timeout_s: Longest wait for the SuperLink.
        linger_s: How long to read from a refused sender, so that it receives the answer.
    """

    host: str = "127.0.0.1"
    port: int = 0
    certificate: Path
    key: Path
    upstream: Path
    max_body_bytes: int = DEFAULT_MAX_BODY_BYTES
    max_buffered_bytes: int = 256 << 20
    max_buffered_bytes_per_key: int = 2 * DEFAULT_MAX_BODY_BYTES
    max_reply_bytes_per_run: int = 4 * DEFAULT_MAX_BODY_BYTES
    front: FrontLimits = field(default_factory=FrontLimits)
    requests_per_s: float = 100.0
    burst: int = 400
    body_timeout_s: float = 60.0
    idle_timeout_s: float = 60.0
    upstream_timeout_s: float = 30.0
    linger_s: float = 1.0


class Gateway:
    """The public port; runs in a thread of its own between `start` and `stop`."""

    def __init__(
        self,
        config: GatewayConfig,
        *,
        is_admitted: Callable[[bytes], bool],
        name_of: Callable[[bytes], str | None] = lambda _: None,
    ) -> None:
        """Prepare the gateway.

        Args:
            config: Addresses and limits.
            is_admitted: Returns whether a node's public key (PEM bytes) may pass; called from the
                gateway's thread for every request, so it must be fast.
            name_of: Returns the partner that a node's key is, or once was, admitted for; for the
                log.
        """
        self._config = config
        self._is_admitted = is_admitted
        self._name_of = name_of
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._port = config.port
        self._door: _Door | None = None

    @property
    def port(self) -> int:
        """The port it listens on; known after `start`."""
        return self._port

    @property
    def address(self) -> str:
        """``host:port``, for a node's configuration."""
        return f"{self._config.host}:{self._port}"

    def is_alive(self) -> bool:
        """Whether it listens."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Listen; returns when connections are accepted.

        Raises:
            ConfigError: A certificate or key cannot be read.
            TransportError: The port cannot be bound.
        """
        context = self._server_context()
        self._ready.clear()
        self._failure = None
        self._thread = threading.Thread(
            target=self._run, args=(context,), name="fedseg-gateway", daemon=True
        )
        self._thread.start()
        self._ready.wait()
        if isinstance(self._failure, OSError):
            raise TransportError(
                f"cannot listen on {self._config.host}:{self._config.port}: "
                f"{self._failure.strerror}",
                code="E-GATEWAY",
                remedy="Name another port in coordinator.toml, or end the program that holds it.",
            ) from self._failure

    def renew(self) -> None:
        """Show the certificate that is in its file now to whoever connects from now on.

        Connections that are open go on.

        Raises:
            ConfigError: It cannot be read, or is not of its key; the one before stays.
        """
        context = self._server_context()
        if self._door is not None:
            self._door.tls = context

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
            # An encrypted key is refused: else its passphrase would be asked for at a terminal.
            context.load_cert_chain(
                self._config.certificate, self._config.key, password=lambda: b""
            )
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"cannot use certificate {self._config.certificate} "
                f"with key {self._config.key}: {error.strerror}",
                remedy="Give PEM files that belong together.",
            ) from error
        return context

    def _run(self, server: ssl.SSLContext) -> None:
        try:
            asyncio.run(self._main(server))
        except OSError as error:
            self._failure = error
        finally:
            self._ready.set()

    async def _main(self, server: ssl.SSLContext) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with httpcore.AsyncConnectionPool(
            uds=str(self._config.upstream),
            max_connections=self._config.front.connections,
            max_keepalive_connections=32,
            keepalive_expiry=4.0,
        ) as pool:
            door = _Door(self._config, pool, self._is_admitted, server, name_of=self._name_of)
            self._door = door
            listeners = listen(self._config.host, self._config.port)
            self._port = listeners[0].getsockname()[1]
            tasks = [asyncio.create_task(door.front.accept(listener)) for listener in listeners]
            tasks.append(asyncio.create_task(self._stopped()))
            self._ready.set()
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                for listener in listeners:
                    listener.close()
                await door.close()

    async def _stopped(self) -> None:
        if self._stop is not None:
            await self._stop.wait()


class _RefusedError(Exception):
    """A request is refused with a status."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


class _NoAnswerError(_RefusedError):
    """The SuperLink is restarting; nodes retry by themselves."""

    def __init__(self) -> None:
        super().__init__(503)


@dataclass(slots=True, eq=False)
class _Caller:
    """Whoever has a connection.

    Attributes:
        key: The node key that its last request named; empty when none did.
        admitted: Whether that key is admitted.
    """

    connection: Connection
    key: bytes = b""
    admitted: bool = False

    @property
    def address(self) -> str:
        """The address that it counts for."""
        return self.connection.address


class _Door:
    """Connections, limits and forwarding, all in the gateway's event loop.

    Attributes:
        tls: What the next handshake shows.
    """

    def __init__(
        self,
        config: GatewayConfig,
        pool: httpcore.AsyncConnectionPool,
        is_admitted: Callable[[bytes], bool],
        tls: ssl.SSLContext,
        *,
        name_of: Callable[[bytes], str | None] = lambda _: None,
    ) -> None:
        self._config = config
        self._pool = pool
        self._is_admitted = is_admitted
        self._name_of = name_of
        self.tls = tls
        self.front = Front(config.front, self._serve, files_each=_FILES_EACH)
        self._buffered = 0
        self._buffered_by_key: Counter[bytes] = Counter()
        self._buckets: OrderedDict[tuple[str, bytes], tuple[float, float]] = OrderedDict()
        self._asked = AskedMessages(max_bytes=config.max_reply_bytes_per_run)
        self._heard = HeardCalls(
            for_s=_HEARD_FOR_S,
            most=config.burst + ceil(config.requests_per_s * _HEARD_FOR_S),
        )

    async def close(self) -> None:
        """End all connections."""
        await self.front.close()

    async def _serve(self, connection: Connection) -> None:
        """Serve one connection, from handshake to close."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_READ_BYTES, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport: asyncio.BaseTransport | None = None
        connection.held = True
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol,
                connection.sock,
                ssl=self.tls,
            )
            writer = asyncio.StreamWriter(transport, protocol, reader, loop)
            await self._converse(reader, writer, _Caller(connection))
        except (OSError, TimeoutError, ssl.SSLError):
            logger.debug("connection ended early")
        finally:
            if isinstance(transport, asyncio.Transport):
                transport.abort()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, caller: _Caller
    ) -> None:
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD_BYTES)
        patience: float | None = None  # until it is known the front's
        while True:
            try:
                async with asyncio.timeout(patience):
                    event = await _next_event(http, reader)
                if not isinstance(event, h11.Request):
                    return
                status, media_type, body = await self._respond(http, reader, event, caller)
            except h11.RemoteProtocolError as error:
                status, media_type, body = error.error_status_hint, b"", b""
            except _RefusedError as refused:
                self._log(refused, caller)
                status, media_type, body = refused.status, b"", b""
            # A caller without an admitted key does not keep a place.
            final = status >= 400 and status not in _PASSING
            last = final or http.their_state is not h11.DONE
            async with asyncio.timeout(self._config.body_timeout_s):
                writer.write(_answer(http, status, media_type, body, last=last))
                await writer.drain()
            if last or not _is_done(http):
                await _close(reader, writer, self._config.linger_s)
                return
            http.start_next_cycle()
            patience = self._config.idle_timeout_s

    def _log(self, refused: _RefusedError, caller: _Caller) -> None:
        """Say that a request was refused, and whose it was, once a minute for each caller."""
        if isinstance(refused, _NoAnswerError):
            logger.warning("the SuperLink does not answer: nodes are told to ask again")
            return
        who = _who(caller, self._name_of(caller.key))
        # A caller that invents keys is one caller.
        same = who if caller.admitted else caller.address
        logger.info(
            "%s, at %s: a call was refused with status %s",
            *(who, caller.address, refused.status),
            extra=alike(same, refused.status),
        )

    async def _respond(
        self,
        http: h11.Connection,
        reader: asyncio.StreamReader,
        request: h11.Request,
        caller: _Caller,
    ) -> tuple[int, bytes, bytes]:
        key, headers = self._check_head(request, caller)
        if _content_length(request) > self._most_bytes(request):
            raise _RefusedError(413)
        held = _Held(self, key)
        try:
            async with asyncio.timeout(self._config.body_timeout_s):
                body = await _body(http, reader, held.add)
            call = _bound_call(caller.key, request, body)
            now_s = asyncio.get_running_loop().time()
            if self._heard.is_full(key, now_s=now_s):  # by one key at many addresses
                raise _RefusedError(429)
            if call is None or not self._heard.is_new(key, call, now_s=now_s):
                raise _RefusedError(401)
            if request.target == _PUSH and (status := self._asked.status_of(key, body)) != 200:
                raise _RefusedError(status)
            answer = await self._forward(request.target, headers, body)
            if request.target == _PULL and answer[0] == 200:
                self._asked.note(key, answer[2])
            return answer
        except TimeoutError:
            raise _RefusedError(408) from None
        finally:
            held.release()

    def _most_bytes(self, request: h11.Request) -> int:
        """The largest body of a call; what asks is small, what answers may be large.

        The SuperLink makes an object of each thing that is asked for: calls of eight megabytes
        with millions of empty names take it seconds and gigabytes.
        """
        most = self._config.max_body_bytes
        return most if request.target == _PUSH else min(most, _MOST_ASKING_BYTES)

    def buffer(self, key: bytes, n_bytes: int) -> None:
        """Count bytes of bodies received, or (negative) released."""
        self._buffered += n_bytes
        self._buffered_by_key[key] += n_bytes
        if not self._buffered_by_key[key]:
            del self._buffered_by_key[key]

    def is_overfull(self, key: bytes) -> bool:
        """Whether more bytes are held than allowed, in total or for one key."""
        return (
            self._buffered > self._config.max_buffered_bytes
            or self._buffered_by_key[key] > self._config.max_buffered_bytes_per_key
        )

    def _check_head(
        self, request: h11.Request, caller: _Caller
    ) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        """Check a request's head; returns the hash of the node's key and the headers to pass on."""
        caller.key, caller.admitted = b"", False
        if request.target not in ALLOWED_PATHS:
            raise _RefusedError(404)
        if request.method != b"POST":
            raise _RefusedError(405)
        headers = [(k, v) for k, v in request.headers if k in _FORWARDED_HEADERS]
        key = _decoded(_only(headers, _PUBLIC_KEY_HEADER))
        admitted = bool(key) and self._is_admitted(key)
        caller.key, caller.admitted = key, admitted
        # Unknown keys share one bucket per address: inventing more gains nothing.
        digest = hashlib.sha256(key).digest() if admitted else b""
        if not self._within_rate((caller.address, digest)):
            raise _RefusedError(429)
        if not admitted:
            raise _RefusedError(403)
        timestamp = _only(headers, _TIMESTAMP_HEADER)
        signature = _decoded(_only(headers, _SIGNATURE_HEADER))
        if not _is_signed(key, timestamp, signature, datetime.now(UTC)):
            raise _RefusedError(401)
        self.front.is_of(caller.connection, digest.hex())
        return digest, headers

    def _within_rate(self, client: tuple[str, bytes]) -> bool:
        """Whether this client may make a request now, by a token bucket."""
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
                httpcore.URL(scheme=b"http", host=_UPSTREAM_HOST, port=None, target=target),
                headers=[
                    (b"host", _UPSTREAM_HOST),
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
            raise _NoAnswerError from None
        if response.status != 200:
            return response.status if 400 <= response.status < 500 else 502, b"", b""
        media_type = next((v for k, v in response.headers if k.lower() == b"content-type"), b"")
        return 200, media_type, response.content


def _who(caller: _Caller, partner: str | None) -> str:
    """Whose call it is, in words: a partner's, or that of a key as `partner list` shows it."""
    if not caller.key:
        return "a caller that shows no node key"
    if caller.admitted:
        return partner or "a node"
    found = _public_key(caller.key)
    if found is None:
        return f"a key that is none, SHA-256 {hashlib.sha256(caller.key).hexdigest()[:16]}"
    text = found.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    earlier = f", which was that of {partner}" if partner else ""
    return f"a node key that is not admitted, ending in {key_end(text.decode('ascii'))}{earlier}"


async def _next_event(http: h11.Connection, reader: asyncio.StreamReader) -> h11.Event:
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await reader.read(_READ_BYTES))
        elif event is h11.PAUSED:
            raise h11.RemoteProtocolError("a second request before the first was answered")
        else:
            return event  # type: ignore[return-value]


class _Held:
    """The bytes that one request holds."""

    def __init__(self, door: _Door, key: bytes) -> None:
        self._door = door
        self._key = key
        self._n_bytes = 0

    def add(self, n_bytes: int) -> None:
        """Count received bytes; refuses the request when too many are held."""
        self._n_bytes += n_bytes
        self._door.buffer(self._key, n_bytes)
        if self._door.is_overfull(self._key):
            raise _RefusedError(503)

    def release(self) -> None:
        """Release all bytes."""
        self._door.buffer(self._key, -self._n_bytes)
        self._n_bytes = 0


def _only(headers: list[tuple[bytes, bytes]], name: bytes) -> bytes:
    """The value of a header that occurs exactly once; else empty."""
    values = [v for k, v in headers if k == name]
    return values[0] if len(values) == 1 else b""


def _decoded(value: bytes) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        return b""


def _is_signed(key: bytes, timestamp: bytes, signature: bytes, now: datetime) -> bool:
    """Whether the holder of `key` signed `timestamp`, and that is close to `now`.

    Flower's rule (`partner_node.link.flower_link` makes the signature); the SuperLink checks it
    again.
    """
    public_key = _public_key(key)
    try:
        at = datetime.fromisoformat(timestamp.decode("ascii"))
    except ValueError:
        return False
    if public_key is None or at.tzinfo is None:
        return False
    if not -_SIGNED_AT_MOST_AHEAD <= now - at <= _SIGNED_AT_MOST_BEFORE:
        return False
    try:
        public_key.verify(signature, timestamp, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _bound_call(key: bytes, request: h11.Request, body: bytes) -> bytes | None:
    """What the holder of `key` signed of this body for this call at its time, or None."""
    headers = list(request.headers)
    public_key = _public_key(key)
    if public_key is None:
        return None
    signature = _decoded(_only(headers, CALL_SIGNATURE_HEADER.encode("ascii")))
    timestamp = _only(headers, _TIMESTAMP_HEADER).decode("ascii")
    signed = call_bytes(request.target.decode("ascii"), timestamp, body)
    try:
        public_key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return None
    return signed


@lru_cache(maxsize=1_024)
def _public_key(pem: bytes) -> ec.EllipticCurvePublicKey | None:
    """Parse an admitted key, cached; None when it is not a usable key."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, ec.EllipticCurvePublicKey) else None


async def _body(
    http: h11.Connection, reader: asyncio.StreamReader, count: Callable[[int], None]
) -> bytes:
    body = bytearray()
    while True:
        event = await _next_event(http, reader)
        if isinstance(event, h11.Data):
            count(len(event.data))
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return bytes(body)
        else:
            raise _RefusedError(400)


def _content_length(request: h11.Request) -> int:
    """The announced size; refuses chunked bodies, whose size is unknown beforehand."""
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
    """Whether both sides have completed this exchange and the connection stays open."""
    return http.our_state is h11.DONE and http.their_state is h11.DONE


async def _close(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, linger_s: float
) -> None:
    """Close so that the answer arrives: reads and discards what is still being sent."""
    try:
        async with asyncio.timeout(linger_s):
            while await reader.read(_READ_BYTES):
                pass
    except TimeoutError:
        logger.debug("a sender went on after it was refused")
    writer.close()
    async with asyncio.timeout(linger_s):
        await writer.wait_closed()
