"""CPU time of processes that wait: a node under an agreement, and a coordinator with many nodes.

Three partners join by invitation and sign, and are left alone; their processes are those that a
partner starts. Of the many nodes only the two connections exist, each made by the code
of a node: the link for runs, which asks for messages, and the stream of announcements; they live in
this process, and only the coordinator's processes are counted.

CPU seconds are the kernel's, of each process with all that it started, so what else the machine
does meanwhile hardly counts.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.measure import Cell, Table
from coordinator.config import CoordinatorConfig
from coordinator.store.admitted_nodes import AdmittedNodes
from partner_node.control.channel import Channel
from partner_node.control.presence import show_up
from partner_node.link.settings import LinkConfig
from protocol.control.calls import ANNOUNCEMENTS
from protocol.control.v1.control_pb2 import Announcement, AnnouncementsRequest
from protocol.errors import FedsegError
from tests.control.lab import JoinedNode, Lab
from tests.end_to_end import deployment as deploy
from tests.end_to_end.joined import joined_deployment
from tests.end_to_end.transport_support import LinkThread, tree_of, wait_for

_MANY: Final = 50
_SECONDS: Final = 60.0
#: After their start processes check agreement and data, and links ask often.
_SETTLED_S: Final = 75.0
_PATIENCE_S: Final = 120.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def run(*, quick: bool) -> list[Table]:
    """A node's share of a core, and a coordinator's with few and with many nodes."""
    seconds, many = (2.0, 4) if quick else (_SECONDS, _MANY)
    rows: list[tuple[Cell, ...]] = []
    with (
        tempfile.TemporaryDirectory(prefix="fedseg-idle-") as folder,
        _quiet(),
        joined_deployment(Path(folder)) as deployment,
    ):
        # As idle as they are for most of their life: links ask often for a while after a run.
        time.sleep(0.0 if quick else _SETTLED_S)
        nodes = {name: node.pid for name, node in deployment.nodes.items()}
        few = _measured({"coordinator": deployment.coordinator.pid, **nodes}, seconds)
        rows += [(f"node {name}", few[name], few[name] / seconds) for name in nodes]
        coordinator = few["coordinator"]
        rows.append((f"coordinator, {len(nodes)} nodes", coordinator, coordinator / seconds))
        with standing_in(deployment, many):
            time.sleep(0.0 if quick else _SETTLED_S)
            busy = _measured({"coordinator": deployment.coordinator.pid}, seconds)
        used = busy["coordinator"]
        rows.append((f"coordinator, {len(nodes) + many} nodes", used, used / seconds))
    return [
        Table(
            name="idle",
            title=f"CPU time of processes that wait, over {seconds:g} s",
            baseline="one core",
            columns=("process", "CPU seconds", "share of a core"),
            rows=tuple(rows),
            notes=(
                "goals: a node below 0.01, a coordinator with 50 nodes below 0.1",
                "a coordinator is all of its processes: service, SuperLink, guard",
            ),
        )
    ]


def _measured(pids: dict[str, int], seconds: float) -> dict[str, float]:
    """CPU seconds of each process tree over a while."""
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    time.sleep(seconds)
    return {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process and of all that it started and that lives."""
    total = 0
    for one in tree_of(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text(encoding="ascii").rpartition(")")[2]
            total += sum(map(int, fields.split()[11:13]))
    return total / _TICKS


@dataclass
class _StandIn:
    """A node's two connections."""

    link: LinkThread
    channel: Channel
    thread: threading.Thread = field(init=False)
    heard: int = 0

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._listen, daemon=True)

    def start(self) -> None:
        self.link.start()
        self.thread.start()

    def _listen(self) -> None:
        with contextlib.suppress(FedsegError):
            announced = show_up(self.channel).announced
            request = AnnouncementsRequest(after=announced)
            self.link.bell.is_attended = True
            for _ in self.channel.stream(ANNOUNCEMENTS, request, Announcement):
                self.heard += 1
                show_up(self.channel)

    def stop(self) -> None:
        self.channel.close()
        self.link.stop()
        self.thread.join(10)


@contextlib.contextmanager
def standing_in(deployment: deploy.Deployment, count: int) -> Iterator[list[_StandIn]]:
    """Connections of `count` further nodes, admitted, while the block runs."""
    config = CoordinatorConfig.load(deployment.operator_folder)
    if config.control is None:
        raise LookupError("the coordinator has no control port")
    roots = config.control.authority.read_bytes()
    with closing(config.open_store()) as store:
        lab = Lab(config, _Port(f"127.0.0.1:{config.control.port}"), store, roots)  # type: ignore[arg-type]
        nodes = [lab.join(f"stands-in-{number}") for number in range(count)]
        AdmittedNodes(store).admit({n.card.id: n.card.node_key for n in nodes}, replace=True)
        made = [_stand_in(deployment, lab, node) for node in nodes]
        try:
            for one in made:
                one.start()
            wait_for(
                lambda: all(one.link.count("connected") for one in made),
                timeout_s=_PATIENCE_S,
                what="the nodes' links",
            )
            yield made
        finally:
            _all(one.stop for one in made)


@dataclass
class _Port:
    address: str


def _stand_in(deployment: deploy.Deployment, lab: Lab, node: JoinedNode) -> _StandIn:
    link = LinkConfig(
        address=deployment.address,
        root_certificates=lab.config.control.authority,  # type: ignore[union-attr]
        node_key=node.keystore.node_key,
        node_config={"name": node.card.id},
    )
    return _StandIn(LinkThread(link), lab.channel(node.identity))


def _all(actions: Iterator[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=action) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Set-up commands report to standard output; that is for the tables."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
