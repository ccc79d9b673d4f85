"""What another user of the coordinator's machine reaches: nothing but the two public ports.

The other user is told everything that may not be a secret: every address that a process of the
coordinator listens on, every process, every folder, and complete requests of Flower's own clients.
As a control the same program is run as the coordinator's user, who is answered.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
)
from flwr.proto.fab_pb2 import Fab
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    GetNodesRequest,
    PullTaskInputRequest,
    PushTaskOutputRequest,
)
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.interceptors import RuntimeTokenHttpInterceptor, RuntimeVersionHttpInterceptor
from flwr.supercore.runtime import RuntimeHttpClient

from coordinator.config import CoordinatorConfig
from coordinator.runs.life import run_lock
from coordinator.service import process_guard
from coordinator.service.bundle import bundle_sha256
from coordinator.service.superlink import node_key_bytes
from tests.end_to_end import deployment as deploy
from tests.end_to_end.deployment import Deployment
from tests.end_to_end.transport_support import (
    intruder_bundle,
    listened_on,
    tree_of,
    wait_for,
    write_node_key,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="to become another user a test must be root"),
]

ANOTHER: Final = 65_534
#: What the coordinator tells everybody who asks, and settings, in which no secret stands.
PUBLIC: Final = {
    "address", "control-address", "coordinator.toml", "coordinator.crt", "coordinator-ca.crt",
    "nodes-ca.crt",
}  # fmt: skip
#: How a port ends a connection of somebody that it does not let in.
CUT_OFF: Final = {
    "RemoteDisconnected", "SSLError", "SSLEOFError", "ConnectionResetError", "BrokenPipeError",
    "BadStatusLine",
}  # fmt: skip

#: Run as somebody: asks every address everything, and reads whatever can be read.
VISITOR: Final = """
import base64, http.client, json, os, socket, ssl, sys
told = json.load(sys.stdin)
"a".encode("idna"), "a".encode("latin-1")  # Python's own folder may be closed to the user
os.setgroups([])
os.setgid(told["user"])
os.setuid(told["user"])
anything = ssl._create_unverified_context()

def connection(address, secure):
    if isinstance(address, str):
        made = http.client.HTTPConnection("localhost", timeout=10)
        made.sock = socket.socket(socket.AF_UNIX)
        made.sock.settimeout(10)
        made.sock.connect(address)
        return made
    if secure:
        return http.client.HTTPSConnection(*address, timeout=10, context=anything)
    return http.client.HTTPConnection(*address, timeout=10)

answers = []
for address in told["addresses"]:
    for secure in (False, True):
        for call, path, headers, body in told["calls"]:
            try:
                made = connection(address, secure)
                made.request("POST", path, base64.b64decode(body), headers)
                said = made.getresponse()
                answers.append([address, call, said.status, base64.b64encode(said.read()).decode()])
            except (OSError, http.client.HTTPException) as error:
                answers.append([address, call, type(error).__name__, ""])

def looked_at(path):
    try:
        with open(path, "rb") as file:
            file.read(1)
            return path
    except OSError:
        return None

read = [
    looked_at(os.path.join(folder, name))
    for top in told["folders"]
    for folder, _, names in os.walk(top)
    for name in names
]
def words(pid):
    with open(f"/proc/{pid}/cmdline") as file:
        return file.read().split("\\0")[:-1]

processes = {
    pid: [what for what in ("environ", "maps", "auxv") if looked_at(f"/proc/{pid}/{what}")]
    for pid in told["processes"]
}
print(json.dumps({
    "user": os.geteuid(),
    "answers": answers,
    "read": [path for path in read if path],
    "processes": processes,
    "arguments": [words(pid) for pid in told["processes"]],
}))
"""


def request_of(call: Callable[[Any], object], client: Any, request: Any) -> list[object]:
    """The whole request that a client of Flower's sends: path, headers, body."""
    sent: list[httpx.Request] = []

    def keep(made: httpx.Request) -> httpx.Response:
        sent.append(made)
        return httpx.Response(200)

    client.close()
    client._client = httpx.Client(transport=httpx.MockTransport(keep))
    call(request)
    headers = {k: v for k, v in sent[0].headers.items() if k not in ("host", "connection")}
    return [sent[0].url.path, headers, base64.b64encode(sent[0].content).decode("ascii")]


def is_superlinks(address: object) -> bool:
    """Whether it is the SuperLink's socket; the control port has one too."""
    return isinstance(address, str) and Path(address).name == "superlink"


def requests(bundle: bytes, node_key: bytes) -> list[list[object]]:
    """What somebody who is let in would ask of the SuperLink."""
    control = ControlHttpClient("http://superlink")
    runtime = RuntimeHttpClient(
        "http://superlink",
        interceptors=[
            RuntimeVersionHttpInterceptor(component_name="flwr-serverapp"),
            RuntimeTokenHttpInterceptor(token="guessed"),
        ],
    )
    fab = Fab(hash_str=hashlib.sha256(bundle).hexdigest(), content=bundle)
    asked: list[tuple[Callable[[Any], object], Any, Any]] = [
        (runtime.AcquireTask, runtime, AcquireTaskRequest(supported_task_types=["flwr-serverapp"])),
        (control.ListRuns, control, ListRunsRequest()),
        (control.ListNodes, control, ListNodesRequest()),
        (control.RegisterNode, control, RegisterNodeRequest(public_key=node_key)),
        (control.StopRun, control, StopRunRequest(run_id=1)),
        (control.StartRun, control, StartRunRequest(fab=fab)),
        (runtime.GetNodes, runtime, GetNodesRequest()),
        (runtime.PullTaskInput, runtime, PullTaskInputRequest()),
        (runtime.PushTaskOutput, runtime, PushTaskOutputRequest()),
    ]
    return [
        [call.__name__, *request_of(call, client, request)]  # type: ignore[attr-defined]
        for call, client, request in asked
    ]


@dataclass
class Machine:
    """A coordinator with a run, in a folder that everybody may enter."""

    deployed: Deployment
    told: dict[str, Any]
    marker: Path

    def visit(self, user: int) -> dict[str, Any]:
        """What a user of the machine sees."""
        done = subprocess.run(
            [sys.executable, "-I", "-c", VISITOR],
            input=json.dumps(self.told | {"user": user}).encode(),
            stdout=subprocess.PIPE,
            cwd="/",
            timeout=180,
            check=True,
        )
        seen = json.loads(done.stdout)
        assert seen["user"] == user
        return dict(seen)

    def ask(self, command: Callable[[ControlHttpClient], Any]) -> Any:
        """Ask the SuperLink, as the coordinator does."""
        client = ControlHttpClient("http://superlink")
        client.close()
        (path,) = (a for a in self.told["addresses"] if is_superlinks(a))
        with httpx.Client(transport=httpx.HTTPTransport(uds=path)) as client._client:
            return command(client)

    def state(self) -> tuple[set[int], dict[int, str], dict[int, str]]:
        """Every run and node, and how they stand."""
        runs = self.ask(lambda control: control.ListRuns(ListRunsRequest())).run_dict
        nodes = self.ask(lambda control: control.ListNodes(ListNodesRequest())).nodes_info
        return (
            set(runs),
            {number: run.status.sub_status for number, run in runs.items()},
            {node.node_id: node.status for node in nodes},
        )


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(prefix="fedseg-users-") as folder:
        directory = Path(folder)
        directory.chmod(0o755)  # else nobody comes as far as the folders in it
        values = deploy.customers(1, 20)
        data = {n: deploy.write_customers(directory / f"{n}.csv", values) for n in deploy.NAMES}
        deployed = deploy.make_deployment(directory, data, grace_s=600, control=True)
        marker = directory / "marks" / "ran"
        marker.parent.mkdir()
        marker.parent.chmod(0o777)
        try:
            deployed.start_coordinator()
            yield Machine(deployed, _told(deployed, marker), marker)
        finally:
            deployed.stop()


def _told(deployed: Deployment, marker: Path) -> dict[str, Any]:
    """All that another user may know."""
    run_id = deployed.request()  # no node serves, so its driver waits

    def driven() -> bool:
        with run_lock(deployed.operator_folder, run_id) as free:
            return not free

    wait_for(driven, timeout_s=60, what="a driver")
    family = tree_of(deployed.coordinator.pid)
    found = listened_on(family)
    sockets = [Path(address).parent for address in found if isinstance(address, str)]
    node_key = node_key_bytes(write_node_key(deployed.directory / "intruder.key"))
    return {
        "addresses": found,
        "calls": requests(intruder_bundle(marker), node_key),
        "folders": [str(folder) for folder in (deployed.operator_folder, *sockets)],
        "processes": family,
    }


def control_address(machine: Machine) -> tuple[str, int]:
    """Where partners join."""
    config = CoordinatorConfig.load(machine.deployed.operator_folder)
    assert config.control is not None
    return config.host, config.control.port


def test_nothing_listens_but_the_public_ports_and_a_socket_behind_each(machine: Machine) -> None:
    host, _, port = machine.deployed.address.rpartition(":")
    ports = [a for a in machine.told["addresses"] if not isinstance(a, str)]
    assert sorted(ports) == sorted([(host, int(port)), control_address(machine)])
    paths = [Path(a) for a in machine.told["addresses"] if isinstance(a, str)]
    assert sorted(path.name for path in paths) == ["server", "superlink"]
    for path in paths:
        folder = path.parent.stat()
        assert (stat.S_IMODE(folder.st_mode), folder.st_uid) == (0o700, os.geteuid())


def test_another_user_can_neither_start_nor_list_nor_stop_a_run_nor_register_a_node(
    machine: Machine,
) -> None:
    before = machine.state()
    seen = machine.visit(ANOTHER)
    calls = {call for call, *_ in machine.told["calls"]}
    assert {call for _, call, *_ in seen["answers"]} == calls
    for address, call, said, body in seen["answers"]:
        if isinstance(address, str):
            assert (call, said, body) == (call, "PermissionError", "")
        elif tuple(address) == control_address(machine):  # asks for a certificate first
            assert said in CUT_OFF, (call, said)
            assert body == ""
        else:  # the public port: closed for plain HTTP, and of these calls it knows none
            assert (call, said, body) in {(call, "RemoteDisconnected", ""), (call, 404, "")}
    assert machine.state() == before
    assert not machine.marker.exists()


def test_another_user_reads_what_is_public_at_most_even_where_the_folder_is_open(
    machine: Machine,
) -> None:
    assert machine.visit(ANOTHER)["read"] == []
    machine.deployed.operator_folder.chmod(0o755)
    try:
        seen = machine.visit(ANOTHER)
    finally:
        machine.deployed.operator_folder.chmod(0o700)
    assert {Path(path).name for path in seen["read"]} == PUBLIC


def test_another_user_reads_no_token_in_the_arguments_and_nothing_else_of_a_process(
    machine: Machine,
) -> None:
    seen = machine.visit(ANOTHER)
    assert set(seen["processes"]) == {str(pid) for pid in machine.told["processes"]}
    assert all(read == [] for read in seen["processes"].values())
    (socket,) = (a for a in machine.told["addresses"] if is_superlinks(a))
    python, bundle = sys.executable, bundle_sha256()
    log = str(machine.deployed.operator_folder / "superlink" / "superlink.log")
    superlink = ["-P", "-m", "coordinator.service.superlink_process", socket, log, bundle]
    assert sorted(seen["arguments"], key=len) == [
        [python, str(Path(python).parent / "fedseg-coordinator"),
         "serve", "--dir", str(machine.deployed.operator_folder)],
        [python, "-P", "-m", "coordinator.service.driver_process", socket],
        [python, "-P", "-m", "coordinator.service.driver_process", socket],
        [python, *superlink],
        [python, "-I", str(Path(process_guard.__file__)), "3.0", python, *superlink],
    ]  # fmt: skip


def test_the_coordinators_user_is_answered_but_starts_no_other_bundle_either(
    machine: Machine,
) -> None:
    """The control: the requests are good ones, and somebody who may read files reads them."""
    seen = machine.visit(os.geteuid())
    answers = {call: said for address, call, said, _ in seen["answers"] if is_superlinks(address)}
    assert {call for call, said in answers.items() if said == 200} == {
        "AcquireTask", "ListRuns", "ListNodes", "StartRun",
    }  # fmt: skip
    assert {str(machine.deployed.operator_folder / "keys" / "coordinator.pem")} <= set(seen["read"])
    assert all(read for read in seen["processes"].values())
    runs = machine.ask(lambda control: control.ListRuns(ListRunsRequest())).run_dict
    started = max(runs, key=lambda number: runs[number].pending_at)

    def ended() -> bool:
        asked = ListRunsRequest(run_id=started)
        return bool(machine.ask(lambda c: c.ListRuns(asked)).run_dict[started].status.sub_status)

    wait_for(ended, timeout_s=30, what="the refusal of the bundle")
    assert not machine.marker.exists()
