"""`coordinator.exchange.Exchange` over Flower's Grid.

Messages are handed to Flower in one batch when answers are asked for: their ids are known before
(a message's id is the hash of its content), and one batch costs a fraction of the calls. When the
Grid is Flower's HTTP client, answers are fetched with as few calls as possible and without its
pauses of one second for an answer that is still coming in.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.common.serde import message_from_proto
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    ObjectTree,
    PullObjectRequest,
)
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_object import get_object_id
from flwr.superlink.grid import HttpGrid
from google.protobuf.message import DecodeError

from coordinator.exchange import Reply
from protocol.limits import MAX_REPLY_BYTES

logger = logging.getLogger(__name__)

MESSAGE_TYPE: Final = "query.fedseg"
RECORD: Final = "fedseg"
MESSAGE_FIELD: Final = "message"
ERROR_FIELD: Final = "error"

#: The carrier lost the message: the node is away, or the time to answer is over.
CARRIER_ERROR: Final = "E-TRANSPORT"
#: A node answered something that is not an answer.
MALFORMED_ERROR: Final = "E-MALFORMED"

_ERROR_CODE: Final = re.compile(r"E-[A-Z0-9][A-Z0-9-]{0,62}")
_OBJECT_TIMEOUT_S: Final = 20.0


class FlowerExchange:
    """Carries messages over a Flower Grid (deployed or Flower's own simulation)."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._unsent: dict[str, Message] = {}
        self._failed: dict[str, Reply] = {}
        self._targets: dict[str, int] = {}
        self._unconfirmed: list[str] = []

    def nodes(self) -> Collection[int]:
        """Flower's ids of the nodes that are connected now."""
        return frozenset(self._grid.get_node_ids())

    def push(self, node: int, message: bytes, *, ttl_s: float) -> str:
        """Queue `message` for `node`; it leaves with the next `pull`.

        Args:
            node: One of `nodes`.
            message: The protocol message.
            ttl_s: Seconds until it counts as lost, with its answer.

        Returns:
            Handle for `pull`.
        """
        content = RecordDict({RECORD: ConfigRecord({MESSAGE_FIELD: message})})
        flower_message = Message(content, node, MESSAGE_TYPE, ttl=ttl_s)
        handle = flower_message.object_id
        self._unsent[handle] = flower_message
        self._targets[handle] = node
        return handle

    def pull(self, handles: Collection[str]) -> Mapping[str, Reply]:
        """Answers that have come in since for `handles`, each returned once; does not wait.

        A message that could not be delivered or answered in time gives the error
        ``E-TRANSPORT``; an answer of a wrong form gives ``E-MALFORMED``.
        """
        self._send()
        replies = {h: self._failed.pop(h) for h in list(handles) if h in self._failed}
        waiting = [h for h in handles if h in self._targets]
        if waiting:
            fetched = (
                self._fetch(self._grid, waiting)
                if isinstance(self._grid, HttpGrid)
                else self._grid.pull_messages(waiting)
            )
            for message in fetched:
                handle = message.metadata.reply_to_message_id
                node = self._targets.pop(handle, None)
                if node is not None:
                    replies[handle] = _reply(node, message)
            if len(replies) == 0:
                self._confirm()
        return replies

    def _send(self) -> None:
        if not self._unsent:
            return
        unsent, self._unsent = self._unsent, {}
        sent = list(self._grid.push_messages(list(unsent.values())))
        for handle, got in zip(unsent, sent or [""] * len(unsent), strict=True):
            if got != handle:
                node = self._targets.pop(handle)
                self._failed[handle] = Reply(node=node, message=None, error=CARRIER_ERROR)

    def _fetch(self, grid: HttpGrid, handles: Iterable[str]) -> list[Message]:
        client = grid._runtime_client
        pulled = client.PullMessages(PullAppMessagesRequest(message_ids=handles))
        messages = []
        for proto, tree in zip(pulled.messages_list, pulled.message_object_trees, strict=True):
            message = message_from_proto(proto)
            if not message.has_error():
                record = self._fetch_record(grid, tree)
                message.content = RecordDict({} if record is None else {RECORD: record})
            self._unconfirmed.append(proto.metadata.message_id)
            messages.append(message)
        return messages

    def _fetch_record(self, grid: HttpGrid, tree: ObjectTree) -> ConfigRecord | None:
        """The one record of an answer, checked by the hashes that name its parts.

        Flower stores a message as a tree of objects named by their SHA-256: message, record
        dict, config record. Only the last is fetched; what the middle one must be follows.
        """
        if len(tree.children) != 1 or len(tree.children[0].children) != 1:
            return None
        records, leaf = tree.children[0], tree.children[0].children[0]
        content = self._fetch_object(grid, leaf.object_id)
        if content is None or get_object_id(content) != leaf.object_id:
            return None
        try:
            record = ConfigRecord.inflate(content)
        except (ValueError, TypeError, KeyError, DecodeError):
            return None
        named = RecordDict({RECORD: record}).object_id == records.object_id
        return record if named else None

    def _fetch_object(self, grid: HttpGrid, object_id: str) -> bytes | None:
        request = PullObjectRequest(node=grid.node, run_id=grid.run.run_id, object_id=object_id)
        deadline = time.monotonic() + _OBJECT_TIMEOUT_S
        pause = 0.01
        while time.monotonic() < deadline:
            answer = grid._runtime_client.PullObject(request)
            if answer.object_available:
                return bytes(answer.object_content)
            if not answer.object_found:
                return None
            time.sleep(pause)  # the node is still handing it over
            pause = min(2.0 * pause, 0.25)
        return None

    def _confirm(self) -> None:
        """Let the SuperLink forget answers that we have; done while nothing else is to do."""
        if not isinstance(self._grid, HttpGrid):
            return
        unconfirmed, self._unconfirmed = self._unconfirmed, []
        for message_id in unconfirmed:
            self._grid._runtime_client.ConfirmMessageReceived(
                ConfirmMessageReceivedRequest(
                    node=self._grid.node,
                    run_id=self._grid.run.run_id,
                    message_object_id=message_id,
                )
            )


def _reply(node: int, message: Message) -> Reply:
    if message.has_error():
        return Reply(node=node, message=None, error=CARRIER_ERROR)
    malformed = Reply(node=node, message=None, error=MALFORMED_ERROR)
    if not message.has_content() or set(message.content) != {RECORD}:
        return malformed
    record = message.content[RECORD]
    if not isinstance(record, ConfigRecord) or len(record) != 1:
        return malformed
    payload, code = record.get(MESSAGE_FIELD), record.get(ERROR_FIELD)
    if isinstance(payload, bytes) and len(payload) <= MAX_REPLY_BYTES:
        return Reply(node=node, message=payload, error=None)
    if isinstance(code, str) and _ERROR_CODE.fullmatch(code):
        return Reply(node=node, message=None, error=code)
    return malformed
