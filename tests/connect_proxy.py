"""A small HTTP proxy that passes CONNECT on, asks for a password where it has one, and counts."""

from __future__ import annotations

import base64
import contextlib
import socket
import socketserver
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

_MOST_HEAD_BYTES = 16_384


@dataclass
class ConnectProxy:
    """A proxy on loopback.

    Attributes:
        credentials: ``user:password`` that it asks for; empty for none.
        answer: A status with which it refuses everybody; 0 to let through.
        elsewhere: ``(host, port)`` to connect to in place of every target; None for the target.
        asked: How often each target was asked for.
        n_bytes: Bytes that it passed on, to targets and back.
        heads: What it was sent before the tunnel, as it came.
    """

    credentials: str = ""
    answer: int = 0
    elsewhere: tuple[str, int] | None = None
    port: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    n_bytes: int = 0
    heads: list[bytes] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """Its address, for a configuration."""
        return f"http://127.0.0.1:{self.port}"

    def serve(self, caller: socket.socket) -> None:
        """Serve one caller until either side ends."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            more = caller.recv(1)
            if not more or len(head) > _MOST_HEAD_BYTES:
                return
            head += more
        method, target, _ = head.split(b"\r\n")[0].decode("ascii").split(" ")
        with self._lock:
            self.asked[target] += 1
            self.heads.append(head)
        if (status := self._status(method, head)) != 200:
            asks = "proxy-authenticate: Basic\r\n" if status == 407 else ""
            caller.sendall(f"HTTP/1.1 {status} No\r\n{asks}content-length: 0\r\n\r\n".encode())
            return
        host, _, port = target.rpartition(":")
        try:
            there = socket.create_connection(self.elsewhere or (host.strip("[]"), int(port)), 10)
        except OSError:
            caller.sendall(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")
            return
        there.settimeout(None)
        with there:
            caller.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=self._pass, args=(there, caller))
            back.start()
            self._pass(caller, there)
            back.join()

    def _status(self, method: str, head: bytes) -> int:
        if method != "CONNECT":
            return 405
        if self.credentials:
            wanted = base64.b64encode(self.credentials.encode())
            if b"proxy-authorization: basic " + wanted.lower() not in head.lower():
                return 407
        return self.answer or 200

    def _pass(self, source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                to.sendall(data)
                with self._lock:
                    self.n_bytes += len(data)
        for one in (source, to):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@contextmanager
def connect_proxy(**settings: Any) -> Iterator[ConnectProxy]:
    """A proxy while the block runs."""
    proxy = ConnectProxy(**settings)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                proxy.serve(self.request)

    with _Server(("127.0.0.1", 0), Handler) as server:
        proxy.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()
