"""Metrics and health over HTTP, for a monitoring system: reads only, and takes nothing in.

It knows no secret and tells nothing of customers, so it asks nobody who they are; it listens on
loopback unless told otherwise. Few are served at a time, each for a few seconds at most.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from machine.metrics.settings import MetricsSettings
from protocol.errors import ConfigError

logger = logging.getLogger(__name__)

METRICS: Final = "/metrics"
LIVE: Final = "/health/live"
READY: Final = "/health/ready"
#: Connections that are served at a time; one more is closed.
MOST_CONNECTIONS: Final = 8
#: A connection that lasts longer is cut.
MOST_S: Final = 5.0
#: What was measured is told again for so long, so that asking often costs little.
FRESH_S: Final = 1.0


class _Fresh:
    """What `measure` says, asked once a second at most and by one at a time."""

    def __init__(self, measure: Callable[[], Any]) -> None:
        self._measure = measure
        self._lock = threading.Lock()
        self._at = float("-inf")
        self._found: Any = None

    def __call__(self) -> Any:
        with self._lock:
            if time.monotonic() - self._at >= FRESH_S:
                self._found = self._measure()
                self._at = time.monotonic()
            return self._found


class _Collector(Collector):
    def __init__(self, measure: Callable[[], list[Family]]) -> None:
        self._measure = measure

    def describe(self) -> list[Family]:
        """Nothing, so that nothing is measured before somebody asks."""
        return []

    def collect(self) -> list[Family]:
        """What is measured now."""
        return self._measure()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, place: tuple[str, int], *, ipv6: bool) -> None:
        self.address_family = socket.AF_INET6 if ipv6 else socket.AF_INET
        self._room = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__(place, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own, if there is room."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve it, and cut it when it lasts."""
        cut = threading.Timer(MOST_S, _cut, (request,))
        cut.daemon = True
        cut.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            cut.cancel()
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that went away is no event of ours."""
        logger.debug("a connection to the metrics ended early")


def _cut(request: socket.socket) -> None:
    with suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server_version = "fedseg"
    sys_version = ""
    #: What is answered, by path: given the Accept header, the status, the type and the body.
    answers: Mapping[str, Callable[[str], tuple[int, str, bytes]]]

    def do_GET(self) -> None:
        """Answer one of the three paths."""
        answer = self.answers.get(self.path.partition("?")[0])
        if answer is None:
            self.send_error(404)
            return
        try:
            status, kind, body = answer(self.headers.get("Accept", ""))
        except Exception as error:  # the outermost place of this thread
            logger.warning("metrics: %s", type(error).__name__)
            self.send_error(500)
            return
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Write no line for each request."""


@contextmanager
def metrics_endpoint(
    settings: MetricsSettings | None,
    *,
    measure: Callable[[], list[Family]],
    ready: Callable[[], Mapping[str, bool]],
) -> Iterator[str]:
    """Answer while the block runs; yields the address as ``host:port``, empty when switched off.

    Args:
        settings: None where nothing is to listen.
        measure: What is measured now.
        ready: Whether each condition of readiness holds now.

    Raises:
        ConfigError: The address cannot be listened on (E-METRICS-PORT).
    """
    if settings is None:
        yield ""
        return
    registry = CollectorRegistry()
    registry.register(_Collector(_Fresh(measure)))
    handler = type("Handler", (_Handler,), {"answers": _answers(registry, _Fresh(ready))})
    try:
        server = _Server((settings.host, settings.port), ipv6=":" in settings.host)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"metrics cannot be offered at {settings.host} port {settings.port}: "
            f"{getattr(error, 'strerror', None) or error}",
            code="E-METRICS-PORT",
            remedy="name another port under [metrics], or stop what listens there",
        ) from error
    server.RequestHandlerClass = handler
    host, port = server.server_address[:2]
    address = f"[{host!s}]:{port}" if ":" in str(host) else f"{host!s}:{port}"
    if not ipaddress.ip_address(str(host)).is_loopback:
        logger.warning("metrics at %s are read by whoever reaches that address", address)
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="metrics", daemon=True)
    thread.start()
    logger.info("metrics at http://%s%s", address, METRICS)
    try:
        yield address
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answers(
    registry: CollectorRegistry, ready: Callable[[], Mapping[str, bool]]
) -> dict[str, Callable[[str], tuple[int, str, bytes]]]:
    def metrics(accept: str) -> tuple[int, str, bytes]:
        encoder, kind = choose_encoder(accept)
        return 200, kind, encoder(registry)

    def live(_: str) -> tuple[int, str, bytes]:
        return 200, "application/json", b'{"live": true}\n'

    def is_ready(_: str) -> tuple[int, str, bytes]:
        checks = dict(ready())
        body = json.dumps({"ready": all(checks.values()), "checks": checks}) + "\n"
        return 200 if all(checks.values()) else 503, "application/json", body.encode()

    return {METRICS: metrics, LIVE: live, READY: is_ready}
