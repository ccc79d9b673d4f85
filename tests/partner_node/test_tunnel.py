"""Connections through a proxy: whatever goes wrong on the way is told as what it is."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from coordinator.service.certificates import ServerCertificate, make_server_certificate
from partner_node.link.proxy import Proxy
from partner_node.link.trouble import of_failure
from partner_node.link.tunnel import secured
from tests.connect_proxy import connect_proxy

LOGIN = "user:pä ss:@"


def made(folder: Path) -> ServerCertificate:
    return make_server_certificate(
        folder,
        name="server",
        hosts=["127.0.0.1"],
        now=datetime.datetime.now(datetime.UTC),
        lifetime_days=1,
    )


@contextmanager
def greeting(tls: ServerCertificate) -> Iterator[int]:
    """A port that says hello over TLS to whoever comes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            with contextlib.suppress(OSError):
                while True:
                    plain, _ = server.accept()
                    with contextlib.suppress(OSError), plain:
                        plain.settimeout(5)
                        with context.wrap_socket(plain, server_side=True) as both:
                            both.sendall(b"hello")

        thread = threading.Thread(target=greet)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def said(address: str, tls: ServerCertificate, proxy: Proxy | None) -> bytes:
    """What the other side says; raises OSError."""
    context = ssl.create_default_context(cafile=tls.authority)
    with secured(address, context, proxy, timeout_s=2.0) as connection:
        return connection.recv(5)


def code(address: str, tls: ServerCertificate, proxy: Proxy) -> str:
    with pytest.raises(OSError) as caught:
        said(address, tls, proxy)
    trouble = of_failure(caught.value, through_proxy=True)
    assert trouble.way_out
    return trouble.code


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ServerCertificate:
    return made(tmp_path_factory.mktemp("ours"))


def test_tls_passes_through_a_proxy_with_and_without_a_password(tls: ServerCertificate) -> None:
    with greeting(tls) as port:
        address = f"127.0.0.1:{port}"
        assert said(address, tls, None) == b"hello"
        for login in ("", LOGIN):
            with connect_proxy(credentials=login) as proxy:
                where = f"127.0.0.1:{proxy.port}"
                assert said(address, tls, Proxy(address=where, credentials=login)) == b"hello"
                assert proxy.asked == {address: 1}
                assert proxy.n_bytes > 1_000
                assert b"hello" not in b"".join(proxy.heads)


def test_a_proxy_that_asks_for_another_password_or_any_is_told_as_that(
    tls: ServerCertificate,
) -> None:
    with connect_proxy(credentials=LOGIN) as proxy:
        for login in ("", "user:other"):
            where = Proxy(address=f"127.0.0.1:{proxy.port}", credentials=login)
            assert code("127.0.0.1:9", tls, where) == "E-PROXY-LOGIN"


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [(403, "E-PROXY-REFUSED"), (302, "E-PROXY-REFUSED"), (502, "E-LINK-AWAY")],
)
def test_a_proxy_that_does_not_connect_is_told_as_that(
    tls: ServerCertificate, answer: int, wanted: str
) -> None:
    with connect_proxy(answer=answer) as proxy:
        assert code("127.0.0.1:9", tls, Proxy(address=f"127.0.0.1:{proxy.port}")) == wanted


def test_a_proxy_that_is_not_there_is_told_as_that(tls: ServerCertificate) -> None:
    assert code("127.0.0.1:9", tls, Proxy(address="127.0.0.1:9")) == "E-PROXY-AWAY"


def test_a_proxy_that_opens_tls_is_told_as_that(tls: ServerCertificate, tmp_path: Path) -> None:
    with greeting(made(tmp_path)) as port, connect_proxy(elsewhere=("127.0.0.1", port)) as proxy:
        assert code("127.0.0.1:9", tls, Proxy(address=f"127.0.0.1:{proxy.port}")) == "E-PROXY-TLS"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "E-PROXY-REFUSED"),
        (b"HTTP/1.1 200 OK\r\n\r\nand more", "E-PROXY-REFUSED"),
        (b"HTTP/1.1 200 OK\r\nx: " + 20_000 * b"a", "E-PROXY-REFUSED"),
        (b"", "E-PROXY-REFUSED"),
    ],
    ids=["other", "more", "long", "nothing"],
)
def test_a_proxy_that_answers_no_http_is_told_as_that(
    tls: ServerCertificate, words: bytes, wanted: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(10_000)
                connection.sendall(words)

        thread = threading.Thread(target=answer)
        thread.start()
        where = Proxy(address=f"127.0.0.1:{server.getsockname()[1]}")
        assert code("127.0.0.1:9", tls, where) == wanted
        thread.join(10)
