"""What keeps a node from the control port is told as what it is: its TLS, too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from machine.certificates import client_certificate, pem, private_pem
from partner_node.control import presence
from partner_node.control.channel import Channel, Identity
from partner_node.control.presence import present, show_up
from partner_node.home import NodeHome
from protocol.errors import TransportError
from tests.answering_port import answering
from tests.control.commands import shell
from tests.control.lab import Lab, lab, no_run
from tests.control.test_joining import member
from tests.end_to_end.transport_support import wait_for
from tests.partner_node.test_link_trouble import certificate

__all__ = ["lab", "member", "shell"]

PATIENCE_S = 20.0


def identity(*, ended: bool = False) -> Identity:
    """A node's, of an authority of its own."""
    key, now = ec.generate_private_key(ec.SECP384R1()), datetime.now(UTC)
    end = now + timedelta(days=-1 if ended else 1)
    made = client_certificate(
        key.public_key(), name="north", issuer="nodes", issuer_key=key,
        start=end - timedelta(days=3), end=end,
    )  # fmt: skip
    return Identity(key=private_pem(key), certificate=pem(made))


def trouble(address: str, roots: bytes, who: Identity) -> TransportError:
    with (
        Channel(address, roots=roots, identity=who, retries=False) as channel,
        pytest.raises(TransportError) as caught,
    ):
        show_up(channel)
    assert address in caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("how", "words", "way_out"),
    [
        ({"days_ago": 9}, "its certificate has expired", "certificate renew"),
        ({"days_ago": -9}, "its certificate is not valid yet", "clock"),
        ({"host": "other.example"}, "its certificate is for another name", "control of node.toml"),
    ],
)
def test_a_certificate_that_is_not_the_one_to_expect_is_told_with_its_way_out(
    tmp_path: Path, how: dict[str, int | str], words: str, way_out: str
) -> None:
    tls = certificate(tmp_path, **how)  # type: ignore[arg-type]
    with answering(tls, protocols=["h2"]) as port:
        error = trouble(f"127.0.0.1:{port}", tls.authority.read_bytes(), identity())
    assert error.code == "E-LINK-TLS"
    assert error.message.endswith(words)
    assert way_out in error.remedy
    assert "serves" not in error.remedy


def test_another_authority_is_told_as_that(lab: Lab, tmp_path: Path) -> None:
    error = trouble(lab.port.address, certificate(tmp_path).authority.read_bytes(), identity())
    assert error.code == "E-LINK-TLS"
    assert "not of the authority in root_certificates" in error.message
    assert "ask the operator for the authority's certificate" in error.remedy


def test_a_port_that_speaks_no_tls_is_told_as_that(tmp_path: Path) -> None:
    with answering(None) as port:
        error = trouble(
            f"127.0.0.1:{port}", certificate(tmp_path).authority.read_bytes(), identity()
        )
    assert error.code == "E-LINK-TLS"
    assert "its control port in control" in error.remedy


def test_whoever_the_port_does_not_let_in_is_not_sent_to_certificates_of_the_port(
    lab: Lab,
) -> None:
    error = trouble(lab.port.address, lab.roots, identity())
    assert error.code == "E-CONTROL-AWAY"
    assert "still a member" in error.remedy


def test_a_nodes_own_certificate_that_has_ended_is_told_as_that(lab: Lab) -> None:
    error = trouble(lab.port.address, lab.roots, identity(ended=True))
    assert error.code == "E-CONTROL-AWAY"
    assert "whose certificate ended on" in error.message
    assert "invitation" in error.remedy


def test_nobody_there_is_still_away(lab: Lab) -> None:
    error = trouble("127.0.0.1:1", lab.roots, identity())
    assert (error.code, "serves" in error.remedy) == ("E-CONTROL-AWAY", True)


def test_a_serving_node_says_once_in_its_log_what_is_wrong_with_the_certificate(
    member: NodeHome, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = certificate(tmp_path).authority.read_bytes()
    member.config.coordinator.root_certificates.write_bytes(other)
    caplog.set_level("INFO", logger=presence.__name__)
    with present(member, no_run, first_wait_s=0.01, most_wait_s=0.01):
        wait_for(lambda: "root_certificates" in caplog.text, timeout_s=PATIENCE_S, what="the log")
    assert caplog.text.count("its certificate is not of the authority") == 1
