"""The Flower ClientApp: decode, ask the node, encode; nothing else.

Runs inside the node's own process when deployed (`partner_node.link.flower_link`) and inside
Flower's simulation engine (``flwr run BUNDLE local``). There the directories of the simulated nodes
are ``<simulation-dir>/node-<partition-id>``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from partner_node.home import NodeHome
from partner_node.link.flower_link import ERROR_FIELD, MESSAGE_FIELD, RECORD, payload_of, place_of
from protocol.errors import ConfigError, FedsegError

if TYPE_CHECKING:
    from partner_node.node import Node

logger = logging.getLogger(__name__)

#: Key of the node configuration, set by the partner: the node's directory.
NODE_DIRECTORY_KEY: Final = "node-directory"
#: Key of the run configuration, read only in Flower's simulation engine.
SIMULATION_DIRECTORY_KEY: Final = "simulation-dir"
_PARTITION_KEY: Final = "partition-id"

app = ClientApp()


@app.query("fedseg")
def answer(message: Message, context: Context) -> Message:
    """Answer one message of the coordinator: with a message, or with an error code alone."""
    reply, code = answered(lambda: node_directory(context), lambda: payload_of(message))
    return _reply(message, {ERROR_FIELD: code} if reply is None else {MESSAGE_FIELD: reply})


def answered(
    directory: Callable[[], Path], payload: Callable[[], bytes]
) -> tuple[bytes | None, str]:
    """What the node of a folder replies to a request of a run; else None, and an error code."""
    try:
        return node_of(directory()).handle(payload()), ""
    except FedsegError as error:
        logger.warning("refused a message: %s: %s", error.code, error.message)
        return None, error.code
    except Exception as error:  # outermost loop: only a code leaves, whatever the error
        logger.error("internal error: %s", place_of(error))
        return None, "E-INTERNAL"


def node_directory(context: Context) -> Path:
    """The directory of the node that answers in this context.

    Raises:
        ConfigError: The context names none.
    """
    deployed = context.node_config.get(NODE_DIRECTORY_KEY)
    if isinstance(deployed, str) and deployed:
        return Path(deployed)
    simulated = context.run_config.get(SIMULATION_DIRECTORY_KEY)
    partition = context.node_config.get(_PARTITION_KEY)
    if isinstance(simulated, str) and simulated and isinstance(partition, int):
        return Path(simulated) / f"node-{partition}"
    raise ConfigError(
        f"neither {NODE_DIRECTORY_KEY} nor {SIMULATION_DIRECTORY_KEY} says where the node is",
        remedy="Start the node with `fedseg-node serve`, or give the simulation its directory.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """An open node, and the version of its agreement's file when it was opened."""

    node: Node
    agreement_file: Path
    mark: tuple[int, ...]


_opened: Final[dict[Path, _Opened]] = {}
#: Requests come from the link, and from the control plane.
_opening: Final = threading.Lock()


def node_of(directory: Path) -> Node:
    """The open node of a folder.

    It is opened once in a process, as deriving its key takes half a second, and reopened when its
    agreement's file was replaced: nothing is answered under the old one after that.

    Raises:
        FedsegError: The node cannot be opened with its folder as it is now.
    """
    with _opening:
        return _node_of(directory.resolve())


def _node_of(directory: Path) -> Node:
    known = _opened.get(directory)
    if known is not None and known.mark == _mark(known.agreement_file):
        return known.node
    opened = _open_node(directory)
    if known is not None:
        known.node.store.close()
        agreement = opened.node.agreement
        logger.info("took up agreement %s, version %s", agreement.id, agreement.version)
    _opened[directory] = opened
    return opened.node


def _open_node(directory: Path) -> _Opened:
    from partner_node.node import Node

    file = NodeHome.load(directory).config.node.agreement
    mark = _mark(file)  # before the file is read: a change in between opens the node again
    return _Opened(node=Node.open(directory), agreement_file=file, mark=mark)


def _mark(file: Path) -> tuple[int, ...]:
    """Values by which to distinguish two versions of a file; empty when there is none."""
    try:
        status = file.stat()
    except OSError:
        return ()
    return status.st_ino, status.st_mtime_ns, status.st_size


def _reply(message: Message, fields: dict[str, bytes | str]) -> Message:
    return Message(RecordDict({RECORD: ConfigRecord({**fields})}), reply_to=message)
