"""Of what nodes push, replies to what they were asked pass, and nothing else."""

from __future__ import annotations

import time

import pytest
from flwr.app import ConfigRecord, RecordDict
from flwr.app import Message as FlowerMessage
from flwr.common.serde import message_from_proto, message_to_proto, recorddict_to_proto
from flwr.proto.fleet_pb2 import PullMessagesResponse, PushMessagesRequest
from flwr.proto.message_pb2 import Message, Metadata, ObjectTree
from flwr.proto.node_pb2 import Node

from coordinator.service.asked_messages import MESSAGES_KEPT, AskedMessages
from coordinator.service.message_fields import has_at_most
from protocol.limits import MAX_REPLY_BYTES

KEY, OTHER = b"a node's key", b"another node's key"
NODE, OTHER_NODE, RUN, SUPERLINK = 7, 8, 70, 1


def handed_out(*ids: str, run: int = RUN, node: int = NODE) -> bytes:
    """The SuperLink's answer to a node's ``pull-messages``."""
    about = [Metadata(run_id=run, message_id=name, dst_node_id=node) for name in ids]
    return PullMessagesResponse(
        messages_list=[Message(metadata=metadata) for metadata in about]
    ).SerializeToString()


def reply(
    to: str = "asked",
    *,
    run: int = RUN,
    node: int = NODE,
    source: int | None = None,
    own_id: str = "reply",
    group: str = "",
    copies: int = 1,
    trees: list[ObjectTree] | None = None,
) -> bytes:
    """A node's ``push-messages``."""
    about = Metadata(
        run_id=run,
        message_id=own_id,
        src_node_id=node if source is None else source,
        dst_node_id=SUPERLINK,
        reply_to_message_id=to,
        group_id=group,
    )
    return PushMessagesRequest(
        node=Node(node_id=node),
        messages_list=[Message(metadata=about)] * copies,
        message_object_trees=[ObjectTree(object_id=own_id)] if trees is None else trees,
    ).SerializeToString()


@pytest.fixture
def asked() -> AskedMessages:
    found = AskedMessages(max_bytes=1_000)
    found.note(KEY, handed_out("asked"))
    return found


def test_a_reply_to_what_was_asked_passes_as_often_as_its_answer_may_be_lost(
    asked: AskedMessages,
) -> None:
    assert [asked.status_of(KEY, reply()) for _ in range(9)] == [200] * 8 + [429]


@pytest.mark.parametrize(
    "body",
    [
        reply(""),
        reply("", source=SUPERLINK),
        reply("of another time"),
        reply(run=RUN + 1),
        reply(source=OTHER_NODE),
        reply(node=OTHER_NODE),
    ],
    ids=["to none", "as the SuperLink", "never asked", "of another run", "as a node", "by a node"],
)
def test_what_nobody_asked_for_is_refused(asked: AskedMessages, body: bytes) -> None:
    assert asked.status_of(KEY, body) == 409
    assert asked.status_of(KEY, reply()) == 200


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b"",
        reply(copies=2),
        reply(trees=[]),
        reply(trees=[ObjectTree(object_id="another")]),
        reply(trees=[ObjectTree(object_id="reply", children=[ObjectTree(object_id="more")])]),
    ],
    ids=["no message", "empty", "two at once", "no tree", "another's tree", "objects beside it"],
)
def test_what_is_no_single_reply_without_objects_is_refused(
    asked: AskedMessages, body: bytes
) -> None:
    assert asked.status_of(KEY, body) == 400


@pytest.mark.parametrize(
    "many",
    [b"\x12\x00", b"\x1a\x00", b"\x12\x02\x0a\x00", b"\x12\x00\x22\x00", b"\x78\x00", b"\x7b\x7c"],
    ids=["messages", "trees", "messages within", "of two kinds", "unknown fields", "groups"],
)
@pytest.mark.parametrize("where", ["at the top", "in the message", "in its content"])
def test_what_makes_objects_without_number_is_refused_before_they_are_made(
    asked: AskedMessages, many: bytes, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """13 MB of empty messages took 2.3 s and 456 MB, in which nobody else was answered."""
    flood = many * (13_000_000 // len(many))
    if where != "at the top":
        flood = framed(2, flood)
    if where == "in its content":
        flood = framed(2, flood)

    def never(*_: object) -> None:
        raise AssertionError("it was parsed")

    with monkeypatch.context() as patch:
        patch.setattr(
            "coordinator.service.asked_messages.PushMessagesRequest.ParseFromString", never
        )
        assert asked.status_of(KEY, reply() + flood) == 400
        assert asked.status_of(KEY, reply() + flood[:-1]) == 400
    assert asked.status_of(KEY, reply()) == 200


def framed(number: int, data: bytes) -> bytes:
    """Bytes as a field of that number."""
    size, left = b"", len(data)
    while left >= 0x80:
        size, left = size + bytes([left & 0x7F | 0x80]), left >> 7
    return bytes([number << 3 | 2]) + size + bytes([left]) + data


def test_a_reply_of_any_size_has_few_fields(asked: AskedMessages) -> None:
    asked = AskedMessages(max_bytes=MAX_REPLY_BYTES * 2)
    about = Metadata(run_id=RUN, message_id="asked", dst_node_id=NODE, src_node_id=SUPERLINK)
    about.message_type, about.ttl, about.created_at = "query.fedseg", 60.0, time.time()
    asked.note(
        KEY, PullMessagesResponse(messages_list=[Message(metadata=about)]).SerializeToString()
    )
    content = RecordDict(
        {"fedseg": ConfigRecord({"message": b"\x12\x00" * (MAX_REPLY_BYTES // 2)})}
    )
    question = message_from_proto(
        Message(metadata=about, content=recorddict_to_proto(RecordDict()))
    )
    answer = message_to_proto(FlowerMessage(content, reply_to=question))
    answer.metadata.message_id = "reply"
    body = PushMessagesRequest(
        node=Node(node_id=NODE),
        messages_list=[answer],
        message_object_trees=[ObjectTree(object_id="reply")],
        clientapp_runtime_list=[1.5],
    ).SerializeToString()
    assert has_at_most(64, body, PushMessagesRequest.DESCRIPTOR)
    assert asked.status_of(KEY, body) == 200


def test_what_one_node_was_asked_no_other_answers(asked: AskedMessages) -> None:
    assert asked.status_of(OTHER, reply()) == 409


def test_a_second_answer_to_one_message_is_refused(asked: AskedMessages) -> None:
    assert asked.status_of(KEY, reply()) == 200
    assert asked.status_of(KEY, reply(own_id="another")) == 409
    assert asked.status_of(KEY, reply()) == 200


def test_only_the_newest_messages_of_a_run_can_be_answered() -> None:
    asked = AskedMessages(max_bytes=10_000)
    names = [str(number) for number in range(MESSAGES_KEPT + 1)]
    for name in names:
        asked.note(KEY, handed_out(name))
    statuses = [asked.status_of(KEY, reply(name)) for name in names]
    assert statuses == [409] + [200] * MESSAGES_KEPT


def test_however_many_runs_there_were_only_the_newest_are_remembered() -> None:
    asked = AskedMessages(max_bytes=10_000)
    for run in range(9):
        asked.note(KEY, handed_out("asked", run=run))
    assert [asked.status_of(KEY, reply(run=run)) for run in range(9)] == [409] + [200] * 8


def test_replies_of_one_node_to_a_run_have_so_many_bytes_at_most(asked: AskedMessages) -> None:
    asked.note(KEY, handed_out("more"))
    asked.note(OTHER, handed_out("asked", node=OTHER_NODE))
    assert asked.status_of(KEY, reply(group="x" * 800)) == 200
    assert asked.status_of(KEY, reply("more", group="x" * 800)) == 413
    assert asked.status_of(KEY, reply("more")) == 200
    assert asked.status_of(OTHER, reply(node=OTHER_NODE, group="x" * 800)) == 200


def test_an_answer_of_the_superlink_that_nobody_can_read_ends_nothing(asked: AskedMessages) -> None:
    asked.note(KEY, b"\xff")
    assert asked.status_of(KEY, reply()) == 200
