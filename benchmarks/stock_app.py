"""A trivial Flower app for stock SuperNodes: asks all nodes for a number of bytes."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from coordinator.service.bundle import DIRECTORY_VARIABLE

PLAN_FILE = "plan.json"
REPORT_FILE = "report.json"

client = ClientApp()
server = ServerApp()


@client.query("echo")
def _answer(message: Message, context: Context) -> Message:
    """Answer with the requested number of bytes."""
    size = message.content["echo"]["answer"]
    if not isinstance(size, int):
        raise TypeError("the size of an answer is a whole number")
    return Message(RecordDict({"echo": ConfigRecord({"data": bytes(size)})}), reply_to=message)


@server.main()
def _ask(grid: Grid, context: Context) -> None:
    """Ask every node in a number of rounds, and record the seconds of each."""
    directory = Path(os.environ[DIRECTORY_VARIABLE])
    plan = json.loads((directory / PLAN_FILE).read_text(encoding="ascii"))
    deadline = time.monotonic() + plan["timeout_s"]
    while len(nodes := list(grid.get_node_ids())) < plan["nodes"]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(nodes)} nodes have connected")
        time.sleep(0.1)
    seconds = []
    for _ in range(plan["rounds"]):
        start = time.monotonic()
        content = {"data": bytes(plan["bytes_down"]), "answer": plan["bytes_up"]}
        replies = grid.send_and_receive(
            [
                Message(RecordDict({"echo": ConfigRecord({**content})}), node, "query.echo")
                for node in nodes
            ],
            timeout=plan["timeout_s"],
        )
        seconds.append(time.monotonic() - start)
        if sum(reply.has_content() for reply in replies) != len(nodes):
            raise ValueError("a node has not answered")
    draft = directory / f".{REPORT_FILE}"
    draft.write_text(json.dumps(seconds), encoding="ascii")
    draft.replace(directory / REPORT_FILE)
