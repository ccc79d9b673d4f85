"""A small deployment for transport tests: SuperLink, gateway and nodes.

The nodes run `echo_app` instead of the real ClientApp, and the ServerApp is `echo_server`, which
asks every node a number of rounds and writes down what it saw. Everything else is the product.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import io
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest import mock

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from coordinator.runs.flower_exchange import FlowerExchange
from coordinator.service.bundle import DIRECTORY_VARIABLE, bundle_from, pack_bundle
from coordinator.service.certificates import (
    LOOPBACK_HOSTS,
    ServerCertificate,
    make_server_certificate,
)
from coordinator.service.gateway import Gateway, GatewayConfig
from coordinator.service.superlink import SuperLink, SuperLinkConfig
from partner_node.link.flower_link import (
    LinkConfig,
    LinkEvent,
    PollSettings,
    payload_of,
    serve_link,
)
from partner_node.link.settings import Bell

PROJECT = Path(__file__).resolve().parents[2]
_MOST_WORKERS: Final = 16
#: 127.0.0.1 as a socket for both versions of the protocol has it, in /proc/net/tcp6.
_MAPPED_LOOPBACK: Final = "0000000000000000FFFF00000100007F"
MODULE = "tests.end_to_end.transport_support"

echo_app = ClientApp()


@echo_app.query("fedseg")
def _echo(message: Message, context: Context) -> Message:
    """Answer with the node's name and the message."""
    payload = payload_of(message)
    name = context.node_config.get("name") or f"part{context.node_config['partition-id']}"
    answer = str(name).encode() + b":" + payload
    return Message(RecordDict({"fedseg": ConfigRecord({"message": answer})}), reply_to=message)


echo_server = ServerApp()


@echo_server.main()
def _ask_around(grid: Grid, context: Context) -> None:
    """Run the exchange that `plan.json` in the coordinator's directory asks for."""
    directory = Path(os.environ[DIRECTORY_VARIABLE])
    plan = json.loads((directory / "plan.json").read_text())
    report = run_plan(FlowerExchange(grid), plan)
    draft = directory / "report.draft"
    draft.write_text(json.dumps(report))
    draft.replace(directory / f"report-{context.run_config['fedseg-run']}.json")


def run_plan(exchange: FlowerExchange, plan: dict[str, int]) -> dict[str, object]:
    """Ask `nodes` nodes `rounds` times with messages of `bytes` bytes."""
    deadline = time.monotonic() + plan["timeout_s"]
    while len(nodes := sorted(exchange.nodes())) < plan["nodes"]:
        if time.monotonic() > deadline:
            return {"error": f"{len(nodes)} nodes"}
        time.sleep(0.1)
    seconds, answers, errors = [], [], []
    for number in range(plan["rounds"]):
        start = time.monotonic()
        message = number.to_bytes(4, "big") + b"m" * plan["bytes"]
        waiting = {exchange.push(node, message, ttl_s=plan["ttl_s"]) for node in nodes}
        while waiting and time.monotonic() < deadline:
            replies = exchange.pull(waiting)
            waiting -= set(replies)
            for reply in replies.values():
                if reply.error is not None:
                    errors.append(reply.error)
                elif reply.message is not None:
                    answers.append(reply.message[:12].decode("latin-1"))
            if waiting:
                time.sleep(0.02)
        seconds.append(time.monotonic() - start)
    return {"seconds": seconds, "answers": answers, "errors": errors, "unanswered": len(waiting)}


def echo_bundle() -> bytes:
    """A code-free bundle whose ServerApp is `echo_server`."""
    return bundle_from(serverapp=f"{MODULE}:echo_server", clientapp=f"{MODULE}:echo_app")


def bundle_hash(bundle: bytes) -> str:
    """By which a bundle is known."""
    return hashlib.sha256(bundle).hexdigest()


def intruder_bundle(marker: Path, *, serverapp: str = "intruder.code:app") -> bytes:
    """A bundle with code of its own, which writes down as whom it is run."""
    named = bundle_from(serverapp=serverapp, clientapp="intruder.code:app")
    with zipfile.ZipFile(io.BytesIO(named)) as archive:
        files = {name: archive.read(name) for name in ("pyproject.toml", "README.md")}
    code = f"import os\nopen({str(marker)!r}, 'w').write(str(os.geteuid()))\n"
    return pack_bundle(files | {"intruder/__init__.py": b"", "intruder/code.py": code.encode()})


def write_node_key(path: Path) -> bytes:
    """Write a fresh node key and return its public half in OpenSSH form."""
    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    path.touch(mode=0o600)
    path.write_bytes(private)
    return key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )


@dataclass
class LinkThread:
    """A link in a thread of this process."""

    config: LinkConfig
    app: ClientApp = field(default_factory=lambda: echo_app)
    events: list[LinkEvent] = field(default_factory=list)
    bell: Bell = field(default_factory=Bell)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        serve_link(
            self.config,
            self.app,
            stop=self._stop,
            on_event=self.events.append,
            bell=self.bell,
        )

    def start(self) -> LinkThread:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)
        if self._thread.is_alive():
            raise TimeoutError("the link did not stop")

    def count(self, kind: str) -> int:
        return sum(event.kind == kind for event in self.events)


@dataclass
class Deployment:
    """A running SuperLink with its gateway."""

    directory: Path
    superlink: SuperLink
    certificate: ServerCertificate

    def restart_gateway(self, port: int) -> None:
        """A new gateway on `port`."""
        self.gateway = Gateway(
            GatewayConfig(
                port=port,
                certificate=self.certificate.certificate,
                key=self.certificate.key,
                upstream=self.superlink.socket,
            ),
            is_admitted=lambda key: key in self.superlink.node_ids(),
        )
        self.gateway.start()

    def link_config(
        self, name: str, *, admit: bool = True, bundle_sha256: str | None = None, **poll: float
    ) -> LinkConfig:
        """Make a node's key, admit it, and return how it connects."""
        key_file = self.directory / f"{name}.key"
        public_key = write_node_key(key_file)
        if admit:
            self.superlink.admit(public_key)
        return LinkConfig(
            address=self.gateway.address,
            root_certificates=self.certificate.authority,
            node_key=key_file,
            node_config={"name": name},
            bundle_sha256=bundle_sha256 or bundle_hash(echo_bundle()),
            poll=PollSettings(**({"reconnect_max_s": 1.0} | poll)),
            state_file=self.directory / f"{name}.state",
        )

    def plan(self, **changes: int) -> None:
        """What the next ServerApp does."""
        plan = {"nodes": 3, "rounds": 3, "bytes": 1_000, "ttl_s": 30, "timeout_s": 60} | changes
        (self.directory / "plan.json").write_text(json.dumps(plan))

    def report(self, run_id: str, *, timeout_s: float = 90.0) -> Any:
        """What the ServerApp of `run_id` saw."""
        path = self.directory / f"report-{run_id}.json"
        wait_for(path.exists, timeout_s=timeout_s, what=f"the report of run {run_id}")
        return json.loads(path.read_text())


@contextmanager
def deployment(directory: Path, *, bundles: Sequence[bytes] = ()) -> Iterator[Deployment]:
    """Start SuperLink and gateway; end them afterwards.

    Args:
        bundles: Which are started beside `echo_bundle`.
    """
    certificate = make_server_certificate(
        directory,
        name="gateway",
        hosts=LOOPBACK_HOSTS,
        now=datetime.datetime.now(datetime.UTC),
        lifetime_days=1,
    )
    superlink = SuperLink(
        SuperLinkConfig(
            directory=directory / "superlink",
            coordinator_directory=directory,
            bundles=frozenset(map(bundle_hash, (echo_bundle(), *bundles))),
        )
    )
    with mock.patch.dict(os.environ, PYTHONPATH=str(PROJECT)):  # for the test's ServerApp
        superlink.start()
    try:
        running = Deployment(directory, superlink, certificate)
        running.restart_gateway(free_port())
        try:
            yield running
        finally:
            running.gateway.stop()
    finally:
        superlink.stop()


def wait_for(condition: Callable[[], bool], *, timeout_s: float, what: str) -> None:
    """Wait until `condition` holds, for a bounded time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s} s for {what}")
        time.sleep(0.05)


def free_port() -> int:
    """A port on loopback that nobody listens on, nor will before it is used.

    Ports that the system hands out by itself begin above these, and each worker has its own.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = random.SystemRandom().randrange(
            20_000 + worker % _MOST_WORKERS, 30_000, _MOST_WORKERS
        )
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def process_exists(pid: int) -> bool:
    """Whether a process runs (one that ended and was not yet collected does not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def programs_of(pid: int) -> dict[int, str]:
    """What the processes below a coordinator are: ``superlink``, ``starter`` or ``driver``.

    A driver is forked from its starter, so both have the same arguments. The guard is left out.
    """
    modules = {"superlink_process": "superlink", "driver_process": "starter"}
    found: dict[int, str] = {}
    for one in tree_of(pid):  # parents come first
        words = words_of(one)
        if words[2:3] == ["-m"] and words[3].startswith("coordinator.service."):
            found[one] = modules[words[3].rpartition(".")[2]]
            if found.get(_parents().get(one, 0)) == "starter":
                found[one] = "driver"
    return found


def words_of(pid: int) -> list[str]:
    """The arguments of a process; nothing when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return []


def _parents() -> dict[int, int]:
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    return parents


def tree_of(pid: int) -> list[int]:
    """A process and all below it."""
    parents = _parents()
    found, level = [pid], {pid}
    while level:
        level = {child for child, parent in parents.items() if parent in level}
        found.extend(level)
    return found


def _sockets_of(pids: Sequence[int]) -> set[str]:
    """Inodes of the sockets that these processes hold."""
    held = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
            with contextlib.suppress(OSError):
                held.add(str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]"))
    return held


def _tcp(pids: Sequence[int], *, state: str) -> list[tuple[str, str]]:
    """Both ends of the TCP sockets of processes in a state, loopback's as ``host:hex port``."""
    held = _sockets_of(pids)
    found = []
    for table, plain in (("tcp", "127.0.0.1"), ("tcp6", "::1")):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, *ends, now, _, _, _, _, _, inode = line.split()[:10]
            if now == state and inode in held:
                hosts = ["127.0.0.1" if e.startswith(_MAPPED_LOOPBACK) else plain for e in ends]
                ports = [end.rpartition(":")[2] for end in ends]
                found.append((f"{hosts[0]}:{ports[0]}", f"{hosts[1]}:{ports[1]}"))
    return found


def _address(end: str) -> tuple[str, int]:
    host, _, port = end.rpartition(":")
    return host, int(port, 16)


def connected_to(pids: Sequence[int]) -> list[tuple[str, int]]:
    """To which addresses on loopback these processes have connections."""
    return [_address(there) for _, there in _tcp(pids, state="01")]


def listened_on(pids: Sequence[int]) -> list[tuple[str, int] | str]:
    """What these processes accept connections on: addresses on loopback, paths of Unix sockets."""
    held = _sockets_of(pids)
    found: list[tuple[str, int] | str] = [_address(here) for here, _ in _tcp(pids, state="0A")]
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        _, _, _, flags, _, _, inode, *path = line.split()
        if path and flags == "00010000" and inode in held:
            found.append(path[0])
    return found


def processes_with(setting: str) -> list[int]:
    """Processes whose environment has this setting."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            settings = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if setting.encode() in settings:
            found.append(int(entry.parent.name))
    return found


def start_link_process(config: LinkConfig) -> subprocess.Popen[bytes]:
    """The link of one node in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", MODULE, json.dumps(_as_json(config))],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
    )


def _as_json(config: LinkConfig) -> dict[str, object]:
    return {
        "address": config.address,
        "root_certificates": str(config.root_certificates),
        "node_key": str(config.node_key),
        "node_config": dict(config.node_config),
        "bundle_sha256": config.bundle_sha256,
        "state_file": str(config.state_file),
        "poll": dataclasses.asdict(config.poll),
    }


def _serve(text: str) -> None:
    settings = json.loads(text)
    for name in ("root_certificates", "node_key", "state_file"):
        settings[name] = Path(settings[name])
    settings["poll"] = PollSettings(**settings["poll"])
    stop = threading.Event()

    def end_with_parent() -> None:
        sys.stdin.buffer.read()
        stop.set()

    threading.Thread(target=end_with_parent, daemon=True).start()
    serve_link(LinkConfig(**settings), echo_app, stop=stop, on_event=lambda event: None)


if __name__ == "__main__":
    _serve(sys.argv[1])
