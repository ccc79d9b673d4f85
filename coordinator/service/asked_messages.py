"""Which messages each node was handed, so that nothing but replies to them gets to the SuperLink.

The SuperLink keeps what is pushed to it in memory. Of a message that replies to none it asks only
that it says to be the SuperLink's own; it then keeps the message, for whatever time that names,
and hands it to whichever node it is for. Of a reply it asks not that the sender is the node that
was asked. So the gateway notes what it hands out, and lets one reply to each pass.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flwr.proto.fleet_pb2 import PullMessagesResponse, PushMessagesRequest
from google.protobuf.message import DecodeError

from coordinator.service.message_fields import has_at_most

#: The newest messages of a run that a node may still answer: a driver looks for answers to no more
#: copies of a request (`coordinator.runs.driver`), and a node answers one before it takes another.
MESSAGES_KEPT: Final = 8
#: The newest runs of which a node may still answer messages.
_RUNS_KEPT: Final = 8
#: How often one reply may be sent, for lost answers; the SuperLink opens a session for each.
_MOST_TRIES: Final = 8
#: Fields of a reply with all within it: a node's has about 30, however long its one text of bytes.
#: The SuperLink and this process would make an object of each.
_MOST_FIELDS: Final = 256


@dataclass(slots=True)
class _Asked:
    """A message that was handed to a node.

    Attributes:
        node: Flower's id of that node.
        reply: SHA-256 of the reply that passed; empty before.
        n_bytes: Size of that reply.
        tries: How often it was sent.
    """

    node: int
    reply: bytes = b""
    n_bytes: int = 0
    tries: int = 0


class AskedMessages:
    """What nodes were handed and may answer, by node key.

    Args:
        max_bytes: Most bytes of replies by one node to the newest messages of one run.

    Example:
        >>> AskedMessages(max_bytes=1_000).status_of(b"a node's key", b"no reply")
        400
    """

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        #: Newest last: runs by key, messages by run.
        self._runs: dict[bytes, OrderedDict[int, OrderedDict[str, _Asked]]] = {}

    def note(self, key: bytes, handed_out: bytes) -> None:
        """Note the messages in the SuperLink's answer to a node's ``pull-messages``."""
        answer = PullMessagesResponse()
        try:
            answer.ParseFromString(handed_out)
        except DecodeError:  # the node cannot read it either
            return
        for message in answer.messages_list:
            about = message.metadata
            runs = self._runs.setdefault(key, OrderedDict())
            messages = runs.setdefault(about.run_id, OrderedDict())
            runs.move_to_end(about.run_id)
            messages[about.message_id] = _Asked(node=about.dst_node_id)
            while len(messages) > MESSAGES_KEPT:
                messages.popitem(last=False)
            while len(runs) > _RUNS_KEPT:
                runs.popitem(last=False)

    def status_of(self, key: bytes, body: bytes) -> int:
        """With which status a ``push-messages`` of the node is refused; 200 when it may pass.

        400 when it is no reply or has too many fields, 409 when nobody asked for it or another was
        given, 413 when the node's replies have more bytes than allowed, 429 when it was sent too
        often.
        """
        if not has_at_most(_MOST_FIELDS, body, PushMessagesRequest.DESCRIPTOR):
            return 400
        request = PushMessagesRequest()
        try:
            request.ParseFromString(body)
        except DecodeError:
            return 400
        if len(request.messages_list) != 1 or len(request.message_object_trees) != 1:
            return 400
        about, tree = request.messages_list[0].metadata, request.message_object_trees[0]
        # Objects named beside the message would each be kept room for.
        if tree.object_id != about.message_id or tree.children:
            return 400
        runs: Mapping[int, OrderedDict[str, _Asked]] = self._runs.get(key, {})
        messages = runs.get(about.run_id, OrderedDict())
        asked = messages.get(about.reply_to_message_id)
        if asked is None or not asked.node == about.src_node_id == request.node.node_id:
            return 409
        digest = hashlib.sha256(body).digest()
        if asked.reply not in (b"", digest):
            return 409
        if asked.tries >= _MOST_TRIES:
            return 429
        if not asked.reply:
            if sum(other.n_bytes for other in messages.values()) + len(body) > self._max_bytes:
                return 413
            asked.reply, asked.n_bytes = digest, len(body)
        asked.tries += 1
        return 200
