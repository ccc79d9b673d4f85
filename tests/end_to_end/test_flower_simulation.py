"""``flwr run BUNDLE local``: the same two apps and the code-free bundle in Flower's own engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import UsageError
from protocol.release.document import SignedRelease
from simulations.flower_engine import EngineRun, prepare_engine
from tests.end_to_end import deployment as deploy
from tests.end_to_end.deployment import NAMES, Deployment
from tests.end_to_end.transport_support import free_port, process_exists, wait_for

pytestmark = pytest.mark.slow

LONGEST_S = 300


@pytest.fixture(scope="module")
def values() -> dict[str, np.ndarray]:
    return {name: deploy.customers(seed, 120) for seed, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, values: dict[str, np.ndarray]) -> Deployment:
    directory = tmp_path_factory.mktemp("engine")
    data = {n: deploy.write_customers(directory / f"{n}.csv", values[n]) for n in NAMES}
    return deploy.make_deployment(directory, data, grace_s=120, n_clusters=3, max_rounds=8)


@pytest.fixture(scope="module")
def engine(made: Deployment) -> Iterator[EngineRun]:
    """A prepared run; Flower leaves a local SuperLink behind, which is ended here."""
    nodes = [made.folder(name) for name in NAMES]
    prepared = prepare_engine(
        made.directory / "engine", coordinator=made.operator_folder, nodes=nodes
    )
    # The ports that Flower takes by default belong to whoever uses it on this machine.
    ports = {
        name: str(free_port())
        for name in ("FLWR_LOCAL_SUPERLINK_HTTP_API_PORT", "FLWR_LOCAL_CONTROL_API_PORT")
    }
    prepared = replace(prepared, environment={**prepared.environment, **ports})
    yield prepared
    mark = f"FLWR_HOME={prepared.environment['FLWR_HOME']}".encode()
    left = [pid for pid in _pids() if mark in _environment(pid).split(b"\0")]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in left:
            if process_exists(pid):
                os.kill(pid, number)
        try:
            wait_for(lambda: not any(map(process_exists, left)), timeout_s=20, what="their end")
        except TimeoutError:
            continue
        break


def _pids() -> list[int]:
    return [
        int(path.name) for path in Path("/proc").glob("[0-9]*") if int(path.name) != os.getpid()
    ]


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def test_flowers_engine_carries_out_a_whole_run(
    made: Deployment, engine: EngineRun, values: dict[str, np.ndarray]
) -> None:
    configure, run = engine.commands
    # Flower gives its local SuperLink 15 s to start, which a busy machine may not keep.
    attempts = [_call(made, engine, configure)]
    while attempts[-1].returncode != 0 and len(attempts) < 4:
        attempts.append(_call(made, engine, configure))
    for done in (attempts[-1], _call(made, engine, run)):
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    row = made.row(engine.run_id)
    assert row.state == "finished", row
    release = made.release(engine.run_id)
    together = np.vstack(list(values.values()))
    expected = deploy.pooled_release(made.agreement, release.run_hash, together)
    assert release.to_bytes() == expected.to_bytes()
    for name in NAMES:
        with made.node_store(name) as store:
            ((_, envelope),) = store.releases()
        assert SignedRelease.from_bytes(envelope).verify(made.agreement) == release


def _call(
    made: Deployment, engine: EngineRun, command: tuple[str, ...]
) -> subprocess.CompletedProcess[str]:
    folder = Path(sys.executable).parent
    environment = os.environ | engine.environment
    environment["PATH"] = f"{folder}{os.pathsep}{environment['PATH']}"
    return subprocess.run(
        command, env=environment, cwd=made.directory, capture_output=True, text=True,
        timeout=LONGEST_S, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_the_commands_can_be_pasted_into_a_shell_and_install_nothing(
    made: Deployment, engine: EngineRun
) -> None:
    text = engine.shell()
    assert "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION=1" in text
    assert "FLWR_TELEMETRY_ENABLED=0" in text
    assert engine.run_id.hex() in text
    checked = subprocess.run(["sh", "-n"], input=text, text=True, check=False)
    assert checked.returncode == 0
    with pytest.raises(UsageError):
        prepare_engine(made.directory / "engine", coordinator=made.operator_folder, nodes=[])
