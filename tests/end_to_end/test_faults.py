"""What goes wrong in a consortium: runs go on, nothing is lost, and docs/faults.md says how.

Each fault is brought about in the middle of a run, again and again: once in ``make test`` where
that is cheap, twenty times in ``make test-long``. A run must end with the release that one holder
of all rows would publish, to the bit.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from coordinator.config import CoordinatorConfig
from coordinator.runs.life import MAX_ATTEMPTS
from tests import effort
from tests.end_to_end import deployment as deploy
from tests.end_to_end.command_line import PATIENCE_S
from tests.end_to_end.deployment import NAMES, Deployment
from tests.end_to_end.transport_support import programs_of, tree_of, wait_for
from tests.tcp_proxy import Wire, wire

pytestmark = pytest.mark.slow

#: The node whose wire and disk fail.
VICTIM = NAMES[0]
GRACE_S = 120
#: How often each fault is brought about, and the file for what was measured.
TIMES = int(os.environ.get("FEDSEG_TEST_FAULTS", effort.count(1, 20)))
FIGURES_VARIABLE = "FEDSEG_TEST_FIGURES"
#: A run whose driver was lost five times is ended, whatever ended it.
MOST_IN_A_RUN = MAX_ATTEMPTS - 1
#: For how long what fails for a while does.
FOR_S = 2.0


@dataclass
class Scene:
    """A deployment, the wire of one node, and chance."""

    deployed: Deployment
    wire: Wire
    chance: random.Random
    values: dict[str, np.ndarray]

    @property
    def node(self) -> deploy.Serving:
        """The node that fails."""
        return self.deployed.nodes[VICTIM]

    def restart(self) -> None:
        """``kill -9`` of the node, and a new start, as a supervisor does it."""
        self.node.kill()
        self.node.start()


def node_before_its_answer(scene: Scene) -> None:
    """It is asked, and has not begun: it stood still when the question came."""
    os.kill(scene.node.pid, signal.SIGSTOP)
    time.sleep(scene.chance.uniform(0.3, 1.0))
    scene.restart()


def node_during_its_answer(scene: Scene) -> None:
    time.sleep(scene.chance.uniform(0.0, 0.3))
    scene.restart()


def node_after_its_answer(scene: Scene) -> None:
    before = scene.node.said().count("answered with")
    wait_for(
        lambda: scene.node.said().count("answered with") > before,
        timeout_s=PATIENCE_S,
        what="an answer",
    )
    scene.restart()


def _kill_program(scene: Scene, program: str) -> None:
    def killed() -> bool:
        for pid, kind in programs_of(scene.deployed.coordinator.pid).items():
            if kind == program:
                with suppress(ProcessLookupError):  # it has just ended: there will be another one
                    os.kill(pid, signal.SIGKILL)
                    return True
        return False

    wait_for(killed, timeout_s=PATIENCE_S, what=f"a {program}")


def superlink(scene: Scene) -> None:
    _kill_program(scene, "superlink")


def driver(scene: Scene) -> None:
    _kill_program(scene, "driver")


def coordinator_and_its_ports(scene: Scene) -> None:
    """The service is killed, and with it both ports, the SuperLink and the driver."""
    scene.deployed.coordinator.kill()
    scene.deployed.start_coordinator()


def _full(pid: int) -> None:
    """No file of a process or of any below it grows for a while, as on a full disk."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    try:
        _limit(pid, (4_096, before[1]))
        time.sleep(FOR_S)
    finally:
        _limit(pid, before)  # also of what was started meanwhile


def _limit(pid: int, limit: tuple[int, int]) -> None:
    for one in tree_of(pid):
        with suppress(ProcessLookupError):  # it has just ended
            resource.prlimit(one, resource.RLIMIT_FSIZE, limit)


def disk_of_a_node(scene: Scene) -> None:
    _full(scene.node.pid)


def disk_of_the_coordinator(scene: Scene) -> None:
    _full(scene.deployed.coordinator.pid)


def network_cut(scene: Scene) -> None:
    scene.wire.cut()
    time.sleep(FOR_S)
    scene.wire.mend()


def network_slow(scene: Scene) -> None:
    scene.wire.late_s = 0.4
    time.sleep(FOR_S)
    scene.wire.mend()


def duplicate_node(scene: Scene) -> None:
    """A copy of the node's folder is served beside it, until it is told that it is one."""
    copy = scene.deployed.directory / f"{VICTIM}-copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(scene.deployed.folder(VICTIM), copy)
    twin = deploy.serving("node", copy)
    said = len(twin.said())
    twin.start()
    try:
        wait_for(
            lambda: "E-LINK-SECOND" in twin.said()[said:] or not twin.is_alive(),
            timeout_s=PATIENCE_S,
            what="the copy's way out",
        )
        assert "link: connected" not in twin.said()[said:]
    finally:
        twin.stop()


Fault = Callable[[Scene], None]
#: Those that a commit waits for; what else kills is in `test_crashes.py` too.
CHEAP: tuple[Fault, ...] = (disk_of_a_node, network_cut, network_slow, duplicate_node)
DEAR: tuple[Fault, ...] = (
    node_before_its_answer, node_during_its_answer, node_after_its_answer, driver, superlink,
    coordinator_and_its_ports, disk_of_the_coordinator,
)  # fmt: skip


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    directory = tmp_path_factory.mktemp("faults")
    values = {name: deploy.customers(seed, 300) for seed, name in enumerate(NAMES)}
    data = {n: deploy.write_customers(directory / f"{n}.csv", values[n]) for n in NAMES}
    made = deploy.make_deployment(
        directory, data, grace_s=GRACE_S, resend_s=3, n_clusters=6, max_rounds=16, start="anew"
    )
    port = CoordinatorConfig.load(made.operator_folder).port
    with wire(port) as between:
        file = made.folder(VICTIM) / "node.toml"
        text = file.read_text(encoding="utf-8")
        assert text.count(f"127.0.0.1:{port}") == 1
        file.write_text(text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{between.port}"))
        with deploy.running(made):
            yield Scene(made, between, effort.chance("faults"), values)


@pytest.mark.parametrize(
    "fault",
    [*CHEAP, *(pytest.param(one, marks=pytest.mark.long) for one in DEAR)],
    ids=lambda fault: fault.__name__,
)
def test_a_run_goes_on_and_loses_nothing(scene: Scene, fault: Fault) -> None:
    took: list[float] = []
    runs = 0
    while len(took) < TIMES:
        assert runs < 2 * TIMES + 2, "runs end before anything goes wrong"
        runs += 1
        took += in_a_run(scene, fault, at_most=min(MOST_IN_A_RUN, TIMES - len(took)))
    if file := os.environ.get(FIGURES_VARIABLE):
        found = {
            "fault": fault.__name__, "times": len(took), "runs": runs,
            "median_s": round(statistics.median(took), 2), "most_s": round(max(took), 2),
            "load": round(os.getloadavg()[0], 1),
        }  # fmt: skip
        with Path(file).open("a", encoding="utf-8") as opened:
            opened.write(json.dumps(found) + "\n")


def in_a_run(scene: Scene, fault: Fault, *, at_most: int) -> list[float]:
    """One run in which something goes wrong; seconds from each end of it to the next total."""
    deployed = scene.deployed
    run_id = deployed.request()
    deployed.await_progress(run_id, lambda row: bool(row.progress) and row.progress["round"] >= 2)
    took = []
    while len(took) < at_most and not deployed.row(run_id).ended:
        before = deployed.row(run_id).progress
        fault(scene)
        if deployed.row(run_id).ended:
            break  # it was too late to meet this run
        over = time.monotonic()
        deployed.await_progress(
            run_id, lambda row, before=before: row.progress["round"] > before["round"] + 1,
            timeout_s=GRACE_S,
        )  # fmt: skip
        took.append(time.monotonic() - over)
    row = deployed.await_end(run_id, timeout_s=GRACE_S)
    assert (row.state, row.code) == ("finished", ""), row
    release = deployed.release(run_id)
    together = np.vstack(list(scene.values.values()))
    assert release == deploy.pooled_release(deployed.agreement, release.run_hash, together)
    assert len(release.participants) == len(NAMES)
    return took
