"""The SuperLink as a real process on its socket: start, watch, restart, end without leftovers."""

from __future__ import annotations

import base64
import datetime
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from flwr.proto.fleet_pb2 import ActivateNodeRequest, RegisterNodeFleetRequest
from google.protobuf.message import Message

from coordinator.service import superlink as superlink_module
from coordinator.service.superlink import SuperLink, SuperLinkConfig, node_key_bytes
from protocol.errors import KeystoreError, TransportError
from tests.end_to_end.transport_support import (
    PROJECT,
    intruder_bundle,
    listened_on,
    process_exists,
    programs_of,
    tree_of,
    wait_for,
)

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


def test_it_listens_on_a_socket_in_a_folder_of_this_user_alone_and_on_no_port(
    link: SuperLink,
) -> None:
    assert link.is_alive()
    assert link.is_healthy()
    assert link.pid is not None
    assert listened_on(tree_of(link.pid)) == [str(link.socket)]
    folder = link.socket.parent.stat()
    assert (stat.S_IMODE(folder.st_mode), folder.st_uid) == (0o700, os.geteuid())


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


def test_a_bundle_that_is_not_known_is_not_started(link: SuperLink, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    number = link.submit("00", bundle=intruder_bundle(marker))
    wait_for(lambda: link.flower_run(number).state == "finished", timeout_s=20, what="a refusal")
    run = link.flower_run(number)
    assert (run.outcome, run.details) == ("failed", "this bundle is not started here")
    assert link.pid is not None
    assert sorted(programs_of(link.pid).values()) == ["starter", "superlink"]
    assert not marker.exists()


def test_a_driver_that_ended_leaves_no_process(link: SuperLink) -> None:
    number = link.submit("00")  # there is no such run, so the driver ends at once
    wait_for(lambda: link.flower_run(number).state == "finished", timeout_s=30, what="its end")
    assert link.flower_run(number).outcome == "failed"
    wait_for(
        lambda: "driver" not in programs_of(link.pid or 0).values(), timeout_s=20, what="its end"
    )


def test_a_node_can_neither_register_itself_nor_come_in_before_it_was_admitted(
    link: SuperLink,
) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    public_key = node_key_bytes(_public_key(key))
    register = RegisterNodeFleetRequest(public_key=public_key)
    activate = ActivateNodeRequest(public_key=public_key, heartbeat_interval=30.0)
    assert _call(link, key, "register-node", register) == 412
    assert _call(link, key, "activate-node", activate) == 412
    link.admit(public_key)
    assert _call(link, key, "activate-node", activate) == 200


def _call(link: SuperLink, key: ec.EllipticCurvePrivateKey, call: str, request: Message) -> int:
    """The status of a node's call, signed as Flower's node does it."""
    timestamp = datetime.datetime.now(datetime.UTC).isoformat()
    signature = key.sign(timestamp.encode("ascii"), ec.ECDSA(hashes.SHA256()))
    headers = {
        "content-type": "application/protobuf",
        "flwr-public-key": base64.b64encode(node_key_bytes(_public_key(key))).decode("ascii"),
        "flwr-timestamp": timestamp,
        "flwr-signature": base64.b64encode(signature).decode("ascii"),
    }
    url, content = f"http://superlink/v1/fleet/{call}", request.SerializeToString()
    with link._http() as http:
        return http.post(url, content=content, headers=headers).status_code


def test_something_that_is_no_bundle_is_refused_with_the_way_out(link: SuperLink) -> None:
    with pytest.raises(TransportError) as caught:
        link.submit("00", bundle=b"not a bundle")
    assert "superlink.log" in caught.value.remedy


def test_after_kill_9_it_starts_again_on_its_socket_and_knows_the_admitted_keys(
    link: SuperLink,
) -> None:
    key = _public_key()
    link.admit(key)
    before, socket, admitted = link.pid, link.socket, set(link.node_ids())
    assert before is not None
    family = tree_of(before)
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: not link.is_alive(), timeout_s=20, what="the end of the SuperLink")
    wait_for(lambda: not any(map(process_exists, family)), timeout_s=20, what="its helpers' end")
    assert link.ensure_alive() is True
    assert link.socket == socket
    assert link.pid != before
    assert set(link.node_ids()) == admitted
    assert link.admit(key) == link.node_ids()[node_key_bytes(key)] > 0


#: Starts a SuperLink with a driver that waits for a node, and says where.
WITH_A_DRIVER = """
import json, sys, time
from pathlib import Path
from coordinator.service.superlink import SuperLink, SuperLinkConfig
from tests.end_to_end.transport_support import (
    bundle_hash, echo_bundle, programs_of, wait_for,
)
here = Path(sys.argv[1])
plan = {"nodes": 1, "rounds": 1, "bytes": 1, "ttl_s": 600, "timeout_s": 600}
(here / "plan.json").write_text(json.dumps(plan))
known = frozenset({bundle_hash(echo_bundle())})
link = SuperLink(
    SuperLinkConfig(directory=here / "s", coordinator_directory=here, bundles=known)
)
link.start()
link.submit("00", bundle=echo_bundle())
wait_for(lambda: "driver" in programs_of(link.pid).values(), timeout_s=30, what="the driver")
print(json.dumps([list(programs_of(link.pid)), str(link.socket.parent)]), flush=True)
if sys.argv[2] == "stay":
    time.sleep(600)
link.stop()
link.stop()
assert not link.is_alive() and link.pid is None
"""


def _with_a_driver(directory: Path, then: str) -> tuple[subprocess.Popen[bytes], list[int], Path]:
    """A coordinator's process, what the SuperLink below it started, and the socket's folder."""
    coordinator = subprocess.Popen(
        [sys.executable, "-c", WITH_A_DRIVER, str(directory), then],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
    )
    assert coordinator.stdout is not None
    family, folder = json.loads(coordinator.stdout.readline())
    return coordinator, family, Path(folder)


def test_a_stopped_superlink_leaves_no_process_and_no_socket_behind(tmp_path: Path) -> None:
    coordinator, family, folder = _with_a_driver(tmp_path, "stop")
    with coordinator:
        assert coordinator.wait(30) == 0
    assert not any(map(process_exists, family))
    assert not folder.exists()


def test_when_the_coordinator_is_killed_everything_that_it_started_ends(tmp_path: Path) -> None:
    coordinator, family, folder = _with_a_driver(tmp_path, "stay")
    with coordinator:
        assert len(family) == 3
        assert all(map(process_exists, family))
        coordinator.kill()
    wait_for(lambda: not any(map(process_exists, family)), timeout_s=30, what="the family's end")
    shutil.rmtree(folder)


def test_a_folder_for_the_socket_with_too_long_a_path_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = tmp_path / ("long" * 25)
    far.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(far))
    link = SuperLink(SuperLinkConfig(directory=tmp_path / "s", coordinator_directory=tmp_path))
    with pytest.raises(TransportError) as caught:
        link.start()
    assert (caught.value.code, str(far) in caught.value.message) == ("E-SUPERLINK", True)
    assert "TMPDIR" in caught.value.remedy
    assert list(far.iterdir()) == []


def test_a_superlink_that_ends_while_it_starts_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(superlink_module, "_PROCESS", "coordinator.service.no_such_module")
    link = SuperLink(SuperLinkConfig(directory=tmp_path / "s", coordinator_directory=tmp_path))
    with pytest.raises(TransportError) as caught:
        link.start()
    link.stop()
    assert (caught.value.code, link.is_alive()) == ("E-SUPERLINK", False)
    assert "superlink.log" in caught.value.remedy


def test_calls_to_one_that_does_not_run_say_so(tmp_path: Path) -> None:
    link = SuperLink(SuperLinkConfig(directory=tmp_path / "s", coordinator_directory=tmp_path))
    with pytest.raises(TransportError):
        link.submit("00")
    assert link.admit(_public_key()) == 0
