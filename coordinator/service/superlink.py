"""Starts Flower's SuperLink on loopback, supervises it and submits runs to it.

The SuperLink's one port serves the nodes, run submission and node registration alike, so it is
bound to 127.0.0.1 only; partners reach it through `coordinator.service.gateway`, which forwards
only the fleet calls. Its state is in memory: whatever must be durable is in the coordinator's
own store, and admitted node keys are registered again after each restart.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.common.serde import fab_to_proto, user_config_to_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
)
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.error import ApiErrorCode, FlowerError
from flwr.supercore.fab import Fab

from coordinator.service import process_guard
from coordinator.service.bundle import DIRECTORY_VARIABLE, RUN_KEY, build_bundle
from coordinator.service.certificates import (
    LOOPBACK_HOSTS,
    ServerCertificate,
    make_server_certificate,
)
from protocol.errors import KeystoreError, TransportError

logger = logging.getLogger(__name__)

LOOPBACK: Final = "127.0.0.1"

_CERTIFICATE_DAYS: Final = 3_650
_LOOK_EVERY_S: Final = 0.05
_CALL_TIMEOUT_S: Final = 10.0
#: Interval at which Flower's SuperExec polls for a submitted run, in seconds.
_TASK_POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class SuperLinkConfig:
    """Settings of the SuperLink.

    Attributes:
        directory: Folder of its own: certificate, Flower's home, log. Created if missing.
        coordinator_directory: Folder of the coordinator, passed to the ServerApp.
        port: Port on 127.0.0.1; 0 selects a free one and keeps it over restarts.
        database: SQLite file for Flower's state; None keeps it in memory (much faster).
        start_timeout_s: Longest wait for its start, in seconds.
        stop_grace_s: Longest wait for it to end by itself, in seconds.
    """

    directory: Path
    coordinator_directory: Path
    port: int = 0
    database: Path | None = None
    start_timeout_s: float = 60.0
    stop_grace_s: float = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowerRun:
    """The state of one Flower run.

    Attributes:
        state: ``pending``, ``starting``, ``running`` or ``finished``; ``unknown`` when the
            SuperLink does not know the run (any more).
        outcome: ``completed``, ``failed`` or ``stopped`` for a finished run; empty before.
        details: Flower's message about the end.
    """

    state: str
    outcome: str
    details: str


def node_key_bytes(public_key: bytes) -> bytes:
    """Flower's form (PEM) of a node's public key.

    Args:
        public_key: The key in OpenSSH form (``ecdsa-sha2-nistp384 …``) or already in PEM.

    Raises:
        KeystoreError: It is not an ECDSA P-384 key.
    """
    try:
        if public_key.lstrip().startswith(b"-----BEGIN"):
            key = serialization.load_pem_public_key(public_key)
        else:
            key = serialization.load_ssh_public_key(public_key)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _not_a_node_key("it cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise _not_a_node_key("it is of another kind")
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


class SuperLink:
    """One SuperLink process on loopback, with all processes that it starts."""

    def __init__(self, config: SuperLinkConfig) -> None:
        self._config = config
        self._port = config.port
        self._guard: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._certificate: ServerCertificate | None = None
        self._admitted: dict[bytes, int] = {}
        #: Including revoked keys: the process keeps a key's node until it ends.
        self._registered: dict[bytes, int] = {}

    @property
    def address(self) -> str:
        """``host:port`` on loopback; the port is known after `start`."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def port(self) -> int:
        """Its port; 0 before the first start if the port is to be selected."""
        return self._port

    @property
    def root_certificates(self) -> Path:
        """The authority (PEM) that its loopback certificate is signed by."""
        return self._files().authority

    @property
    def pid(self) -> int | None:
        """Process id of the SuperLink itself; None when it is not running."""
        return self._pid if self.is_alive() else None

    @property
    def log_file(self) -> Path:
        """The file with its output."""
        return self._config.directory / "superlink.log"

    def is_alive(self) -> bool:
        """Whether its process is running (it may still be starting)."""
        return self._guard is not None and self._guard.poll() is None

    def is_healthy(self) -> bool:
        """Whether it answers."""
        try:
            with self._http() as http:
                return http.get(f"https://{self.address}/health").is_success
        except httpx.HTTPError:
            return False

    def start(self) -> None:
        """Start it and wait until it answers; then register the admitted keys.

        Raises:
            TransportError: It ended while starting, or did not answer in time.
        """
        if self.is_alive():
            return
        if self._certificate is None:  # reused over restarts: the gateway trusts its authority
            self._certificate = make_server_certificate(
                self._config.directory,
                name="superlink",
                hosts=LOOPBACK_HOSTS,
                now=datetime.datetime.now(datetime.UTC),
                lifetime_days=_CERTIFICATE_DAYS,
            )
        if self._port == 0:
            self._port = _free_port()
        elif not _is_free(self._port):
            raise self._not_started("cannot start: another program listens")
        self._launch()
        self._await_health()
        self._registered = {}
        for public_key in self._admitted:
            self._admitted[public_key] = self._register(public_key)
        logger.info("SuperLink answers on port %s", self._port)

    def ensure_alive(self) -> bool:
        """Restart it if it has ended.

        Returns:
            Whether it was restarted. Then all Flower runs are gone and nodes reconnect with new
            node ids.

        Raises:
            TransportError: As for `start`.
        """
        if self.is_alive():
            return False
        logger.warning("SuperLink ended; starting it again")
        self._forget_process()
        self.start()
        return True

    def stop(self) -> None:
        """End it and everything that it started; safe to call twice."""
        if self._guard is None:
            return
        guard_process, self._guard = self._guard, None
        self._pid = None
        if guard_process.stdin is not None:
            guard_process.stdin.close()
        try:
            guard_process.wait(self._config.stop_grace_s + 5.0)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(guard_process.pid, signal.SIGKILL)
            guard_process.wait()
        if guard_process.stdout is not None:
            guard_process.stdout.close()

    def admit(self, public_key: bytes) -> int:
        """Let the node with this key connect, now and after each restart.

        Args:
            public_key: ECDSA P-384 public key, OpenSSH form or PEM. Admitting it again is fine.

        Returns:
            Flower's id of the node until the next restart.

        Raises:
            KeystoreError: Not such a key.
            TransportError: The SuperLink does not answer.
        """
        key = node_key_bytes(public_key)
        node_id = self._register(key) if self.is_alive() else 0
        self._admitted[key] = node_id
        return node_id

    def revoke(self, public_key: bytes) -> None:
        """Revoke the admission of the node with this key; unknown keys are fine.

        The gateway refuses it at once, the SuperLink after its next start: Flower never accepts a
        key again that was unregistered, and a partner may be admitted again.

        Raises:
            KeystoreError: Not an ECDSA P-384 key.
        """
        self._admitted.pop(node_key_bytes(public_key), None)

    def node_ids(self) -> Mapping[bytes, int]:
        """Flower's node ids by admitted key (PEM)."""
        return dict(self._admitted)

    def submit(self, run_id: str, *, bundle: bytes | None = None) -> int:
        """Start a Flower run of the code-free bundle that drives one fedseg run.

        Args:
            run_id: Our run id, in hex.
            bundle: Another bundle; nodes refuse every one but the code-free one.

        Returns:
            Flower's id of its run.

        Raises:
            TransportError: The SuperLink does not answer or refuses the run.
        """
        content = build_bundle() if bundle is None else bundle
        request = StartRunRequest(
            fab=fab_to_proto(Fab(hashlib.sha256(content).hexdigest(), content, {})),
            override_config=user_config_to_proto({RUN_KEY: run_id}),
        )
        with self._control() as control:
            response = control.StartRun(request)
        if not response.HasField("run_id"):
            raise TransportError(
                f"the SuperLink did not start a Flower run for run {run_id}",
                remedy=f"Read {self.log_file}.",
            )
        return int(response.run_id)

    def flower_run(self, flower_run_id: int) -> FlowerRun:
        """State of a Flower run.

        Raises:
            TransportError: The SuperLink does not answer.
        """
        with self._control() as control:
            try:
                runs = control.ListRuns(ListRunsRequest(run_id=flower_run_id)).run_dict
            except httpx.HTTPStatusError as error:
                if _flower_code(error) != ApiErrorCode.RUN_ID_NOT_FOUND:
                    raise
                return FlowerRun(state="unknown", outcome="", details="")
        status = runs[flower_run_id].status
        return FlowerRun(state=status.status, outcome=status.sub_status, details=status.details)

    def stop_run(self, flower_run_id: int) -> None:
        """End a Flower run; one that has ended or is unknown is fine.

        Raises:
            TransportError: The SuperLink does not answer.
        """
        with self._control() as control:
            try:
                control.StopRun(StopRunRequest(run_id=flower_run_id))
            except httpx.HTTPStatusError as error:
                if _flower_code(error) not in (
                    ApiErrorCode.RUN_ID_NOT_FOUND,
                    ApiErrorCode.RUN_ALREADY_FINISHED,
                ):
                    raise

    def connected_nodes(self) -> set[int]:
        """Flower's ids of the nodes that are connected now.

        Raises:
            TransportError: The SuperLink does not answer.
        """
        with self._control() as control:
            nodes = control.ListNodes(ListNodesRequest()).nodes_info
        return {int(node.node_id) for node in nodes if node.status == "online"}

    def _files(self) -> ServerCertificate:
        if self._certificate is None:
            raise TransportError(
                "the SuperLink was not started", remedy="Start it before connecting to it."
            )
        return self._certificate

    def _launch(self) -> None:
        files = self._files()
        bin_folder = Path(sys.executable).parent
        program = bin_folder / "flower-superlink"
        if not program.is_file():
            raise TransportError(
                f"{program} is missing",
                remedy="Install fedseg with its dependencies into one environment.",
            )
        command = [
            *(sys.executable, "-I", process_guard.__file__, str(self._config.stop_grace_s)),
            *(str(program), "--host", LOOPBACK, "--port", str(self._port)),
            *("--ssl-certfile", str(files.certificate.resolve())),
            *("--ssl-keyfile", str(files.key.resolve())),
            *("--ssl-ca-certfile", str(files.authority.resolve())),
            *("--enable-supernode-auth", "--disable-runtime-dependency-installation"),
        ]
        if self._config.database is not None:
            command += ["--database", str(self._config.database.resolve())]
        with self.log_file.open("ab") as log:
            self._guard = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment(bin_folder),
                start_new_session=True,
            )
        if self._guard.stdout is None:
            raise TransportError("the SuperLink's guard has no output")
        line = self._guard.stdout.readline().strip()
        self._pid = int(line) if line.isdigit() else None

    def _environment(self, bin_folder: Path) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("FLWR_")}
        return inherited | {
            "PATH": f"{bin_folder}{os.pathsep}{inherited.get('PATH', os.defpath)}",
            "FLWR_HOME": str((self._config.directory / "flower").resolve()),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "FLWR_LOG_LEVEL": "WARNING",
            "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": str(_TASK_POLL_S),
            "RAY_USAGE_STATS_ENABLED": "0",
            # Loopback connections must not go through a proxy.
            "NO_PROXY": LOOPBACK,
            "no_proxy": LOOPBACK,
            DIRECTORY_VARIABLE: str(self._config.coordinator_directory.resolve()),
        }

    def _await_health(self) -> None:
        deadline = time.monotonic() + self._config.start_timeout_s
        while time.monotonic() < deadline:
            if not self.is_alive():
                break
            if self.is_healthy():
                return
            time.sleep(_LOOK_EVERY_S)
        ended = not self.is_alive()
        self.stop()
        raise self._not_started("ended while starting" if ended else "did not answer in time")

    def _not_started(self, what: str) -> TransportError:
        return TransportError(
            f"the SuperLink {what} on port {self._port}",
            code="E-SUPERLINK",
            remedy=f"Choose another port, or read {self.log_file}.",
        )

    def _forget_process(self) -> None:
        if self._guard is None:
            return
        for stream in (self._guard.stdin, self._guard.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self._guard, self._pid = None, None

    def _register(self, key: bytes) -> int:
        """Flower's id of the node with this key; registers it once in the process's life."""
        if key not in self._registered:
            self._registered[key] = self._new_node(key)
        return self._registered[key]

    def _new_node(self, key: bytes) -> int:
        with self._control() as control:
            try:
                return int(control.RegisterNode(RegisterNodeRequest(public_key=key)).node_id)
            except httpx.HTTPStatusError as error:
                if _flower_code(error) != ApiErrorCode.PUBLIC_KEY_ALREADY_IN_USE:
                    raise
            nodes = control.ListNodes(ListNodesRequest()).nodes_info
        return next((int(node.node_id) for node in nodes if node.public_key == key), 0)

    def _http(self) -> httpx.Client:
        context = ssl.create_default_context(cafile=str(self.root_certificates))
        return httpx.Client(verify=context, timeout=_CALL_TIMEOUT_S, trust_env=False)

    @contextlib.contextmanager
    def _control(self) -> Iterator[ControlHttpClient]:
        """Yield a client of Flower's Control API, with its failures raised as our errors."""
        client = ControlHttpClient(f"https://{self.address}")
        client.close()
        client._client = self._http()
        try:
            yield client
        except httpx.HTTPStatusError as error:
            raise TransportError(
                f"the SuperLink refused a call: HTTP {error.response.status_code}, "
                f"Flower's error {_flower_code(error)}",
                code="E-SUPERLINK",
                remedy=f"Read {self.log_file}.",
            ) from error
        except httpx.HTTPError as error:
            raise TransportError(
                f"the SuperLink on port {self._port} does not answer: {type(error).__name__}",
                code="E-SUPERLINK",
                remedy="Wait until it was started again, or read its log.",
            ) from error
        finally:
            client.close()


def _flower_code(error: httpx.HTTPStatusError) -> int | None:
    flower_error = FlowerError.from_json(error.response.text)
    return None if flower_error is None else int(flower_error.code)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def _not_a_node_key(why: str) -> KeystoreError:
    return KeystoreError(
        f"not a node's public key (ECDSA P-384, OpenSSH form): {why}",
        code="E-NODE-KEY",
        remedy="Ask the partner for the file node_link.pub that `fedseg-node init` wrote.",
    )
