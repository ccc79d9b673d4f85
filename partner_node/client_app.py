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
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from machine.files import mark_of
from partner_node.home import NodeHome
from partner_node.link.flower_link import (
    BESIDE_FIELD,
    ERROR_FIELD,
    MESSAGE_FIELD,
    READS_BESIDE,
    RECORD,
    beside_of,
    payload_of,
    place_of,
)
from partner_node.open_keys import OpenKeys
from protocol.errors import ConfigError, FedsegError

if TYPE_CHECKING:
    from partner_node.served_nodes import ServedNodes

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Key of the node configuration, set by the partner: the node's directory.
NODE_DIRECTORY_KEY: Final = "node-directory"
#: Key of the run configuration, read only in Flower's simulation engine.
SIMULATION_DIRECTORY_KEY: Final = "simulation-dir"
_PARTITION_KEY: Final = "partition-id"

app = ClientApp()

#: Requests come from the link and from the control plane, and are answered one at a time: nodes
#: that are opened again close their state.
_one_at_a_time: Final = threading.RLock()


@app.query("fedseg")
def answer(message: Message, context: Context) -> Message:
    """Answer one message of the coordinator: with a message, or with an error code alone.

    Beside a message leaves what is said of logs, where the coordinator reads that.
    """
    if message.metadata.group_id != READS_BESIDE:
        reply, code = answered(lambda: node_directory(context), lambda: payload_of(message))
        return _reply(message, {ERROR_FIELD: code} if reply is None else {MESSAGE_FIELD: reply})
    both, code = _guarded(
        lambda: nodes_of(node_directory(context)).answer(payload_of(message), beside_of(message))
    )
    if both is None:
        return _reply(message, {ERROR_FIELD: code})
    reply, beside = both
    return _reply(message, {MESSAGE_FIELD: reply, **({BESIDE_FIELD: beside} if beside else {})})


def answered(
    directory: Callable[[], Path], payload: Callable[[], bytes]
) -> tuple[bytes | None, str]:
    """What the node of a folder replies to a request of a run; else None, and an error code."""
    return _guarded(lambda: nodes_of(directory()).handle(payload()))


def _guarded(answer_it: Callable[[], T]) -> tuple[T | None, str]:
    """What a node answers; else None, and an error code."""
    try:
        with _one_at_a_time:
            return answer_it(), ""
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
    """Open nodes, and the versions of `NodeHome.watched_files` when they were."""

    nodes: ServedNodes
    files: tuple[Path, ...]
    marks: tuple[tuple[int, ...], ...]

    def is_current(self, now: datetime) -> bool:
        """Whether no file was replaced since, and nothing that waited is effective now."""
        return self.marks == tuple(map(mark_of, self.files)) and not self.nodes.is_overtaken(now)


_opened: Final[dict[Path, _Opened]] = {}
_keys: Final[dict[Path, OpenKeys]] = {}


def nodes_of(directory: Path) -> ServedNodes:
    """The open nodes of a folder.

    They are opened once in a process, as deriving their key takes half a second, and reopened when
    an agreement's file was replaced or another one arrived, also by a version that waited and is
    effective now: nothing is answered under the old one after that. Also when the key in force may
    be another one, which `OpenKeys` knows, or ``node.toml`` was changed: what it says of data,
    consent and egress holds from the next message on.

    Raises:
        FedsegError: The nodes cannot be opened with their folder as it is now.
    """
    with _one_at_a_time:
        return _nodes_of(directory.resolve())


def _nodes_of(directory: Path) -> ServedNodes:
    known = _opened.get(directory)
    if known is not None and known.is_current(datetime.now(UTC)):
        return known.nodes
    opened = _open_nodes(directory)
    if known is not None:
        known.nodes.store.close()
        logger.info("took up %s", opened.nodes.words)
    _opened[directory] = opened
    return opened.nodes


def _open_nodes(directory: Path) -> _Opened:
    from partner_node.served_nodes import ServedNodes

    files = NodeHome.load(directory).watched_files
    marks = tuple(map(mark_of, files))  # before they are read: a change in between opens them again
    keys = _keys.setdefault(directory, OpenKeys())
    return _Opened(nodes=ServedNodes.open(directory, keys=keys), files=files, marks=marks)


def _reply(message: Message, fields: dict[str, bytes | str]) -> Message:
    return Message(RecordDict({RECORD: ConfigRecord({**fields})}), reply_to=message)
