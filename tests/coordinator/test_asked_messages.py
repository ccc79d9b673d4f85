"""Of what nodes push, replies to what they were asked pass, and nothing else."""

from __future__ import annotations

import pytest
from flwr.proto.fleet_pb2 import PullMessagesResponse, PushMessagesRequest
from flwr.proto.message_pb2 import Message, Metadata, ObjectTree
from flwr.proto.node_pb2 import Node

from coordinator.service.asked_messages import MESSAGES_KEPT, AskedMessages

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
