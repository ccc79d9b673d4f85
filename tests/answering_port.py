"""A port of a test's own that secures every connection, and answers nothing."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence

from coordinator.service.certificates import ServerCertificate


@contextlib.contextmanager
def answering(tls: ServerCertificate | None, *, protocols: Sequence[str] = ()) -> Iterator[int]:
    """The port.

    Args:
        tls: The certificate that it shows; None to say something that is not TLS.
        protocols: Those that it offers.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    if tls is not None:
        context.load_cert_chain(tls.certificate, tls.key)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    plain, _ = server.accept()
                except OSError:  # closed at the end
                    return
                plain.settimeout(5)
                with plain, contextlib.suppress(OSError):
                    if tls is None:
                        plain.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                        plain.recv(10_000)
                    else:
                        context.wrap_socket(plain, server_side=True).close()

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)
