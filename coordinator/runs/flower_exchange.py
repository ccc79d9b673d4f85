"""`coordinator.runs.exchange.Exchange` over Flower's Grid.

Messages are handed over in batches when answers are asked for: their ids are known before (a
message's id is the hash of its content). When the Grid is Flower's HTTP client (deployed), content
travels inside the messages' heads, as in `partner_node.link.flower_link`: one call for a batch and
one to fetch all answers, where Flower's own way takes four calls a message each way, and pauses of
one to three seconds. Any other Grid (Flower's simulation engine) is used through its public
methods.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.message_pb2 import ObjectTree
from flwr.proto.runtime_pb2 import PullAppMessagesRequest, PushAppMessagesRequest
from flwr.serverapp import Grid
from flwr.superlink.grid import HttpGrid

from coordinator.runs.exchange import Reply
from protocol.errors import LocalProtocolError
from protocol.limits import MAX_REPLY_BYTES, MAX_REQUEST_BYTES
from protocol.log.beside import MAX_BESIDE_BYTES

logger = logging.getLogger(__name__)

MESSAGE_TYPE: Final = "query.fedseg"
RECORD: Final = "fedseg"
MESSAGE_FIELD: Final = "message"
ERROR_FIELD: Final = "error"
#: States of logs and cosignatures, beside a message and no part of it.
BESIDE_FIELD: Final = "witness"
#: The group of all requests: says to nodes that this coordinator reads that field.
READS_BESIDE: Final = "witness-1"

#: The carrier lost the message: the node is away, or the time to answer is over.
CARRIER_ERROR: Final = "E-TRANSPORT"
#: A node answered something that is not an answer.
MALFORMED_ERROR: Final = "E-MALFORMED"

_FIELDS: Final = ({MESSAGE_FIELD}, {MESSAGE_FIELD, BESIDE_FIELD}, {ERROR_FIELD})
_ERROR_CODE: Final = re.compile(r"E-[A-Z0-9][A-Z0-9-]{0,62}")
#: Largest batch handed to the SuperLink in one call, unless one message alone is larger.
_BATCH_BYTES: Final = 16 << 20


class FlowerExchange:
    """Carries messages over a Flower Grid (deployed or Flower's own simulation)."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._unsent: dict[str, Message] = {}
        self._failed: dict[str, Reply] = {}
        self._targets: dict[str, int] = {}
        self._grid_ids: dict[str, str] = {}

    def nodes(self) -> Collection[int]:
        """Flower's ids of the nodes that are connected now."""
        return frozenset(self._grid.get_node_ids())

    def push(self, node: int, message: bytes, *, ttl_s: float, beside: bytes = b"") -> str:
        """Queue `message` for `node`; it leaves with the next `flush` or `pull`.

        Args:
            node: One of `nodes`.
            message: The protocol message.
            ttl_s: Seconds until it counts as lost, with its answer.
            beside: What goes with it; too large a one stays here.

        Returns:
            Handle for `pull`.

        Raises:
            LocalProtocolError: The message is larger than a node accepts.
        """
        if len(message) > MAX_REQUEST_BYTES:
            raise LocalProtocolError(
                f"a message of {len(message)} bytes, nodes accept {MAX_REQUEST_BYTES}"
            )
        fields: dict[str, bytes] = {MESSAGE_FIELD: message}
        if 0 < len(beside) <= MAX_BESIDE_BYTES:
            fields[BESIDE_FIELD] = beside
        content = RecordDict({RECORD: ConfigRecord({**fields})})
        flower_message = Message(content, node, MESSAGE_TYPE, ttl=ttl_s, group_id=READS_BESIDE)
        handle = flower_message.object_id
        self._unsent[handle] = flower_message
        self._targets[handle] = node
        return handle

    def flush(self) -> None:
        """Send what was pushed since."""
        self._send()

    def pull(self, handles: Collection[str]) -> Mapping[str, Reply]:
        """Answers that have come in since for `handles`, each returned once; does not wait.

        A message that could not be delivered or answered in time gives the error
        ``E-TRANSPORT``; an answer of a wrong form gives ``E-MALFORMED``.
        """
        self.flush()
        replies = {h: self._failed.pop(h) for h in list(handles) if h in self._failed}
        waiting = [h for h in handles if h in self._targets]
        for handle, message in self._fetch(waiting) if waiting else ():
            node = self._targets.pop(handle, None)
            if node is not None:
                replies[handle] = _reply(node, message)
        return replies

    def _send(self) -> None:
        batch: dict[str, Message] = {}
        size = 0
        for handle, message in self._unsent.items():
            length = _length(message)
            if batch and size + length > _BATCH_BYTES:
                self._send_batch(batch)
                batch, size = {}, 0
            batch[handle] = message
            size += length
        self._unsent = {}
        if batch:
            self._send_batch(batch)

    def _send_batch(self, batch: Mapping[str, Message]) -> None:
        if isinstance(self._grid, HttpGrid):
            for handle, message in batch.items():
                message.metadata.__dict__["_message_id"] = handle
            answer = self._grid._runtime_client.PushMessages(
                PushAppMessagesRequest(
                    messages_list=[message_to_proto(message) for message in batch.values()],
                    message_object_trees=[ObjectTree(object_id=handle) for handle in batch],
                )
            )
            accepted = set(answer.message_ids)
        else:
            accepted = {h for h, message in batch.items() if self._send_publicly(h, message)}
        for handle in batch.keys() - accepted:
            node = self._targets.pop(handle)
            self._failed[handle] = Reply(node=node, message=None, error=CARRIER_ERROR)

    def _send_publicly(self, handle: str, message: Message) -> bool:
        """Send by the Grid's public method, which may give the message another id."""
        grid_id = next(iter(self._grid.push_messages([message])), None)
        if grid_id:
            self._grid_ids[handle] = grid_id
        return bool(grid_id)

    def _fetch(self, handles: Collection[str]) -> Iterable[tuple[str, Message]]:
        if isinstance(self._grid, HttpGrid):
            answer = self._grid._runtime_client.PullMessages(
                PullAppMessagesRequest(message_ids=handles)
            )
            messages = [message_from_proto(proto) for proto in answer.messages_list]
            return [(message.metadata.reply_to_message_id, message) for message in messages]
        by_id = {self._grid_ids[handle]: handle for handle in handles}
        return [
            (by_id.get(message.metadata.reply_to_message_id, ""), message)
            for message in self._grid.pull_messages(by_id.keys())
        ]


def _length(message: Message) -> int:
    fields = message.content[RECORD].values()
    return sum(len(field) for field in fields if isinstance(field, bytes))


def _reply(node: int, message: Message) -> Reply:
    if message.has_error():
        return Reply(node=node, message=None, error=CARRIER_ERROR)
    malformed = Reply(node=node, message=None, error=MALFORMED_ERROR)
    if not message.has_content() or set(message.content) != {RECORD}:
        return malformed
    record = message.content[RECORD]
    if not isinstance(record, ConfigRecord) or set(record) not in _FIELDS:
        return malformed
    payload, code = record.get(MESSAGE_FIELD), record.get(ERROR_FIELD)
    beside = record.get(BESIDE_FIELD, b"")
    if not isinstance(beside, bytes) or len(beside) > MAX_BESIDE_BYTES:
        return malformed
    if isinstance(payload, bytes) and len(payload) <= MAX_REPLY_BYTES:
        return Reply(node=node, message=payload, error=None, beside=beside)
    if isinstance(code, str) and _ERROR_CODE.fullmatch(code):
        return Reply(node=node, message=None, error=code)
    return malformed
