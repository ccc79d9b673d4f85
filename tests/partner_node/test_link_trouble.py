"""What keeps a node from its coordinator is told as what it is, with a way out that fits."""

from __future__ import annotations

import datetime
import socket
import ssl
from pathlib import Path

import pytest

from coordinator.service.certificates import ServerCertificate, make_server_certificate
from partner_node.link.trouble import of_failure
from tests.answering_port import answering

NOW = datetime.datetime.now(datetime.UTC)


def certificate(
    folder: Path, *, host: str = "127.0.0.1", days_ago: int = 0, name: str = "server"
) -> ServerCertificate:
    return make_server_certificate(
        folder,
        name=name,
        hosts=[host],
        now=NOW - datetime.timedelta(days=days_ago),
        lifetime_days=2,
    )


def trouble(port: int, authority: Path) -> tuple[str, str, str]:
    context = ssl.create_default_context(cafile=authority)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        pytest.raises(OSError) as caught,
    ):
        context.wrap_socket(plain, server_hostname="127.0.0.1")
    try:
        raise RuntimeError("as a client wraps it") from caught.value
    except RuntimeError as wrapped:
        found = of_failure(wrapped)
    return found.code, found.words, found.way_out


@pytest.mark.parametrize(
    ("how", "words", "way_out"),
    [
        ({"days_ago": 9}, "its certificate has expired", "certificate renew"),
        ({"days_ago": -9}, "its certificate is not valid yet", "clock"),
        ({"host": "other.example"}, "its certificate is for another name", "--name"),
        ({"host": "10.0.0.1"}, "its certificate is for another name", "--name"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_named_with_its_way_out(
    tmp_path: Path, how: dict[str, int | str], words: str, way_out: str
) -> None:
    tls = certificate(tmp_path, **how)  # type: ignore[arg-type]
    with answering(tls) as port:
        code, said, remedy = trouble(port, tls.authority)
    assert (code, said) == ("E-LINK-TLS", words)
    assert way_out in remedy
    assert "serves" not in remedy


def test_another_authority_is_named(tmp_path: Path) -> None:
    own, other = certificate(tmp_path), certificate(tmp_path, name="other")
    with answering(own) as port:
        code, said, _ = trouble(port, other.authority)
    assert (code, said) == (
        "E-LINK-TLS",
        "its certificate is not of the authority in root_certificates",
    )


def test_a_port_that_speaks_no_tls_is_named(tmp_path: Path) -> None:
    with answering(None) as port:
        code, _, remedy = trouble(port, certificate(tmp_path).authority)
    assert code == "E-LINK-TLS"
    assert "port" in remedy


@pytest.mark.parametrize(
    "error", [ConnectionResetError(), ssl.SSLEOFError(), ssl.SSLZeroReturnError()]
)
def test_a_connection_that_is_cut_says_nothing_of_certificates(error: OSError) -> None:
    found = of_failure(error)
    assert (found.code, found.words) == (
        "E-LINK-AWAY",
        "the connection was cut before it was secured",
    )


def test_nobody_there_is_asked_whether_the_coordinator_serves() -> None:
    found = of_failure(ConnectionRefusedError())
    assert found.code == "E-LINK-AWAY"
    assert "whether the coordinator serves" in found.way_out
