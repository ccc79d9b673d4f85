"""Starts Flower's SuperLink, supervises it and submits runs to it.

The SuperLink serves nodes, run submission, node registration and drivers alike and asks nobody
but nodes who they are. So it listens on a Unix socket only, in a folder that nobody but the
coordinator's user can enter; partners reach it through `coordinator.service.gateway`, which
forwards only the fleet calls. Its state is in memory: whatever must be durable is in the
coordinator's own store, and admitted node keys are registered again after each restart.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
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
from coordinator.service.bundle import (
    DIRECTORY_VARIABLE,
    RUN_KEY,
    build_bundle,
    bundle_sha256,
)
from coordinator.service.unix_socket import NO_TLS, client_of
from machine.private_socket import private_socket_folder
from protocol.errors import KeystoreError, TransportError

logger = logging.getLogger(__name__)

_PROCESS: Final = "coordinator.service.superlink_process"
_URL: Final = "http://superlink"
_LOOK_EVERY_S: Final = 0.05
_CALL_TIMEOUT_S: Final = 10.0
#: Keys that are kept parsed: a serving coordinator looks five times a second who is admitted.
_MOST_KEYS: Final = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class SuperLinkConfig:
    """Settings of the SuperLink.

    Attributes:
        directory: Folder of its own: Flower's home, log. Created if missing.
        coordinator_directory: Folder of the coordinator, passed to the ServerApp.
        bundles: SHA-256 in hex of the bundles that are run; whatever else is submitted is not.
        start_timeout_s: Longest wait for its start, in seconds.
        stop_grace_s: Longest wait for it to end by itself, in seconds.
    """

    directory: Path
    coordinator_directory: Path
    bundles: frozenset[str] = field(default_factory=lambda: frozenset({bundle_sha256()}))
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


@lru_cache(maxsize=_MOST_KEYS)
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
    """One SuperLink process, with all processes that it starts."""

    def __init__(self, config: SuperLinkConfig) -> None:
        self._config = config
        #: Of the socket; kept over restarts, because the gateway knows it.
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._admitted: dict[bytes, int] = {}
        #: Including revoked keys: the process keeps a key's node until it ends.
        self._registered: dict[bytes, int] = {}

    @property
    def socket(self) -> Path:
        """The Unix socket that it answers on; there from `start` to `stop`.

        Raises:
            TransportError: It was not started.
        """
        if self._folder is None:
            raise TransportError(
                "the SuperLink was not started", remedy="Start it before connecting to it."
            )
        return Path(self._folder.name) / "superlink"

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
            with socket.socket(socket.AF_UNIX) as first:  # httpcore does not close what is refused
                first.connect(str(self.socket))
            with self._http() as http:
                return http.get(f"{_URL}/health").is_success
        except (OSError, httpx.HTTPError):
            return False

    def start(self) -> None:
        """Start it and wait until it answers; then register the admitted keys.

        Raises:
            TransportError: It ended while starting, or did not answer in time.
        """
        if self.is_alive():
            return
        if self._folder is None:
            self._folder = private_socket_folder("SuperLink", code="E-SUPERLINK")
        self._launch()
        self._await_health()
        self._registered = {}
        for public_key in self._admitted:
            self._admitted[public_key] = self._register(public_key)
        logger.info("SuperLink answers on %s", self.socket)

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
        self._end_processes()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _end_processes(self) -> None:
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

    def _launch(self) -> None:
        command = [
            *(sys.executable, "-I", process_guard.__file__, str(self._config.stop_grace_s)),
            *(sys.executable, "-P", "-m", _PROCESS, str(self.socket), str(self.log_file.resolve())),
            *self._config.bundles,
        ]
        self._config.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self._guard = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment(),
                start_new_session=True,
            )
        if self._guard.stdout is None:
            raise TransportError("the SuperLink's guard has no output")
        line = self._guard.stdout.readline().strip()
        self._pid = int(line) if line.isdigit() else None

    def _environment(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("FLWR_")}
        return inherited | {
            "FLWR_HOME": str((self._config.directory / "flower").resolve()),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "FLWR_LOG_LEVEL": "WARNING",
            "RAY_USAGE_STATS_ENABLED": "0",
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
        self._end_processes()
        raise TransportError(
            f"the SuperLink {'ended while starting' if ended else 'did not answer in time'}",
            code="E-SUPERLINK",
            remedy=f"Read {self.log_file}.",
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
        return client_of(self.socket, timeout_s=_CALL_TIMEOUT_S)

    @contextlib.contextmanager
    def _control(self) -> Iterator[ControlHttpClient]:
        """Yield a client of Flower's Control API, with its failures raised as our errors."""
        client = ControlHttpClient(_URL, verify=NO_TLS)
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
                f"the SuperLink does not answer: {type(error).__name__}",
                code="E-SUPERLINK",
                remedy="Wait until it was started again, or read its log.",
            ) from error
        finally:
            client.close()


def _flower_code(error: httpx.HTTPStatusError) -> int | None:
    flower_error = FlowerError.from_json(error.response.text)
    return None if flower_error is None else int(flower_error.code)


def _not_a_node_key(why: str) -> KeystoreError:
    return KeystoreError(
        f"not a node's public key (ECDSA P-384, OpenSSH form): {why}",
        code="E-NODE-KEY",
        remedy="Ask the partner for the file node_link.pub that `fedseg-node init` wrote.",
    )
