"""An admitted partner that floods: the coordinator's memory stays as it was."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, RecordDict
from flwr.common.serde import recorddict_to_proto
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    ActivateNodeResponse,
    PullMessagesRequest,
    PullMessagesResponse,
    PushMessagesRequest,
    PushMessagesResponse,
)
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.message_pb2 import Metadata, ObjectTree
from flwr.proto.node_pb2 import Node

from partner_node.link.flower_link import _Fleet, _RefusedCallError
from tests.end_to_end.transport_support import (
    Deployment,
    LinkThread,
    deployment,
    echo_bundle,
    wait_for,
)

pytestmark = pytest.mark.slow

MEGABYTE = 1 << 20
MESSAGES, SIZE = 60, 2 * MEGABYTE
SUPERLINK_NODE = 1


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployment(tmp_path_factory.mktemp("deployment")) as running:
        yield running


def memory_of(pid: int | None) -> int:
    """Bytes that a process has in memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) << 10


def unsolicited(number: int, run: int, *, source: int, to: int) -> PushMessagesRequest:
    """A message that nobody asked for, for a node or the SuperLink."""
    payload = number.to_bytes(8, "big") + b"x" * SIZE
    content = RecordDict({"fedseg": ConfigRecord({"message": payload})})
    about = Metadata(
        run_id=run,
        message_id=f"{number:064x}",
        src_node_id=source,
        dst_node_id=to,
        ttl=3_600.0,
        created_at=time.time(),
        message_type="query.fedseg",
    )
    return PushMessagesRequest(
        messages_list=[MessageProto(metadata=about, content=recorddict_to_proto(content))],
        message_object_trees=[ObjectTree(object_id=about.message_id)],
        clientapp_runtime_list=[0.0],
    )


def test_messages_that_nobody_asked_for_fill_no_memory_and_reach_no_other_node(
    deployed: Deployment,
) -> None:
    """They named the SuperLink as their sender, an hour to live and any node to be for.

    Without the guard the SuperLink grew by 251 MB, and the other node answered half of them.
    """
    deployed.plan(nodes=3, timeout_s=60)  # waits for a third node as long as the attack takes
    run = deployed.superlink.submit("f1", bundle=echo_bundle())
    wait_for(
        lambda: deployed.superlink.flower_run(run).state == "running", timeout_s=60, what="the run"
    )
    victim = LinkThread(deployed.link_config("victim")).start()
    wait_for(lambda: victim.count("connected") == 1, timeout_s=30, what="the other node")
    config = deployed.link_config("flooder")
    refused = 0
    with _Fleet(config, victim._stop) as fleet:
        activation = ActivateNodeRequest(public_key=fleet.public_key, heartbeat_interval=60)
        me = fleet.call("activate-node", activation, ActivateNodeResponse).node_id
        others = [node for node in deployed.superlink.node_ids().values() if node != me]
        before = memory_of(deployed.superlink.pid)
        for number in range(MESSAGES):
            request = unsolicited(
                number, run, source=SUPERLINK_NODE, to=others[0] if number % 2 else SUPERLINK_NODE
            )
            request.node.CopyFrom(Node(node_id=me))
            try:
                fleet.call("push-messages", request, PushMessagesResponse)
            except _RefusedCallError as error:
                assert error.status == 409
                refused += 1
    grown = memory_of(deployed.superlink.pid) - before
    deployed.superlink.stop_run(run)
    answered = victim.count("answered")
    victim.stop()
    assert (refused, answered) == (MESSAGES, 0)
    assert grown < MESSAGES * SIZE / 4


def test_questions_for_millions_of_names_reach_no_superlink(deployed: Deployment) -> None:
    """Without the guard fifteen such calls took the SuperLink 78 seconds and 1.2 GB."""
    config = deployed.link_config("asker")
    with _Fleet(config, threading.Event()) as fleet:
        activation = ActivateNodeRequest(public_key=fleet.public_key, heartbeat_interval=60)
        me = Node(node_id=fleet.call("activate-node", activation, ActivateNodeResponse).node_id)
        before = memory_of(deployed.superlink.pid)
        for names in ([""] * 4_000_000, ["x" * 1_000] * 8_000):
            for _ in range(3):
                with pytest.raises(_RefusedCallError) as refused:
                    fleet.call(
                        "pull-messages",
                        PullMessagesRequest(node=me, message_ids=names),
                        PullMessagesResponse,
                    )
                assert refused.value.status == 413
        grown = memory_of(deployed.superlink.pid) - before
        fleet.call("pull-messages", PullMessagesRequest(node=me), PullMessagesResponse)
    assert grown < 8 * MEGABYTE
