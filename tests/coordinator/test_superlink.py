"""The SuperLink as a real process on loopback: start, watch, restart, end without leftovers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from coordinator.service import superlink as superlink_module
from coordinator.service.superlink import SuperLink, SuperLinkConfig, node_key_bytes
from protocol.errors import KeystoreError, TransportError
from tests.end_to_end.transport_support import process_exists, tree_of, wait_for

pytestmark = pytest.mark.slow


def _public_key(key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    return (
        (key or ec.generate_private_key(ec.SECP384R1()))
        .public_key()
        .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    )


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuperLink]:
    directory = tmp_path_factory.mktemp("coordinator")
    link = SuperLink(
        SuperLinkConfig(directory=directory / "superlink", coordinator_directory=directory)
    )
    link.start()
    yield link
    link.stop()


def test_it_answers_on_loopback_only_and_over_tls(link: SuperLink) -> None:
    assert link.is_alive()
    assert link.is_healthy()
    assert link.address == f"127.0.0.1:{link.port}"
    sockets = Path("/proc/net/tcp").read_text().splitlines()[1:]
    local = [line.split()[1] for line in sockets if line.split()[3] == "0A"]
    assert [a for a in local if a.endswith(f":{link.port:04X}")] == [f"0100007F:{link.port:04X}"]
    with socket.create_connection(("127.0.0.1", link.port), timeout=10) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        assert not plain.recv(100).startswith(b"HTTP/1.1 200")


def test_starting_it_twice_changes_nothing(link: SuperLink) -> None:
    pid = link.pid
    link.start()
    assert link.pid == pid
    assert link.ensure_alive() is False


def test_admitting_a_key_again_is_no_error(link: SuperLink) -> None:
    key = _public_key()
    node_id = link.admit(key)
    assert node_id > 0
    assert link.admit(key) == node_id
    assert link.admit(node_key_bytes(key)) == node_id
    assert link.node_ids()[node_key_bytes(key)] == node_id


def test_a_key_that_was_revoked_can_be_admitted_again(link: SuperLink) -> None:
    """Flower refuses a key for good once it was unregistered ("Public key already in use")."""
    key = _public_key()
    node_id = link.admit(key)
    link.revoke(key)
    assert link.admit(key) == node_id > 0
    assert link.node_ids()[node_key_bytes(key)] == node_id


def test_a_revoked_key_is_no_longer_admitted(link: SuperLink) -> None:
    key = _public_key()
    link.admit(key)
    link.revoke(key)
    link.revoke(key)
    assert node_key_bytes(key) not in link.node_ids()


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"ecdsa-sha2-nistp384 AAAA",
        _public_key(ec.generate_private_key(ec.SECP256R1())),  # type: ignore[arg-type]
        ed25519.Ed25519PrivateKey.generate()
        .public_key()
        .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH),
        b"-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----\n",
    ],
    ids=["empty", "cut off", "P-256", "Ed25519", "PEM"],
)
def test_only_ecdsa_p384_keys_are_admitted(link: SuperLink, key: bytes) -> None:
    with pytest.raises(KeystoreError) as caught:
        link.admit(key)
    assert caught.value.code == "E-NODE-KEY"


def test_an_unknown_run_is_unknown_and_can_be_stopped_without_error(link: SuperLink) -> None:
    assert link.flower_run(12_345).state == "unknown"
    link.stop_run(12_345)


def test_something_that_is_no_bundle_is_refused_with_the_way_out(link: SuperLink) -> None:
    with pytest.raises(TransportError) as caught:
        link.submit("00", bundle=b"not a bundle")
    assert "superlink.log" in caught.value.remedy


def test_after_kill_9_it_starts_again_on_its_port_and_knows_the_admitted_keys(
    link: SuperLink,
) -> None:
    key = _public_key()
    link.admit(key)
    before, port, admitted = link.pid, link.port, set(link.node_ids())
    assert before is not None
    family = tree_of(before)
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: not link.is_alive(), timeout_s=20, what="the end of the SuperLink")
    wait_for(lambda: not any(map(process_exists, family)), timeout_s=20, what="its helpers' end")
    assert link.ensure_alive() is True
    assert link.port == port
    assert link.pid != before
    assert set(link.node_ids()) == admitted
    assert link.admit(key) == link.node_ids()[node_key_bytes(key)] > 0


def test_a_stopped_superlink_leaves_no_process_behind(tmp_path: Path) -> None:
    link = SuperLink(SuperLinkConfig(directory=tmp_path / "s", coordinator_directory=tmp_path))
    link.start()
    assert link.pid is not None
    wait_for(lambda: len(tree_of(link.pid or 0)) >= 2, timeout_s=20, what="the SuperExec")
    family = tree_of(link.pid)
    link.stop()
    link.stop()
    assert not link.is_alive()
    assert link.pid is None
    assert not any(map(process_exists, family))


def test_when_the_coordinator_is_killed_everything_that_it_started_ends(tmp_path: Path) -> None:
    program = f"""
import sys, time
from pathlib import Path
from coordinator.service.superlink import SuperLink, SuperLinkConfig
here = Path({str(tmp_path)!r})
link = SuperLink(SuperLinkConfig(directory=here / "s", coordinator_directory=here))
link.start()
print(link.pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        cwd=Path(superlink_module.__file__).resolve().parents[2],
    ) as coordinator:
        assert coordinator.stdout is not None
        pid = int(coordinator.stdout.readline())
        wait_for(lambda: len(tree_of(pid)) >= 2, timeout_s=20, what="the SuperExec")
        family = tree_of(pid)
        coordinator.kill()
    wait_for(lambda: not any(map(process_exists, family)), timeout_s=30, what="the family's end")


def test_a_port_that_is_taken_is_said_so(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        link = SuperLink(
            SuperLinkConfig(
                directory=tmp_path / "s",
                coordinator_directory=tmp_path,
                port=port,
                start_timeout_s=30,
            )
        )
        with pytest.raises(TransportError) as caught:
            link.start()
    assert caught.value.code == "E-SUPERLINK"
    assert str(port) in caught.value.message
    assert not link.is_alive()


def test_calls_to_one_that_does_not_run_say_so(tmp_path: Path) -> None:
    link = SuperLink(SuperLinkConfig(directory=tmp_path / "s", coordinator_directory=tmp_path))
    with pytest.raises(TransportError):
        link.submit("00")
    assert link.admit(_public_key()) == 0
