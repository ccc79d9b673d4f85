"""`FlowerExchange` over both kinds of Grid: messages out, answers and errors back."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.runtime_pb2 import (
    PullAppMessagesRequest,
    PullAppMessagesResponse,
    PushAppMessagesRequest,
    PushAppMessagesResponse,
)
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid import HttpGrid

from coordinator.runs import flower_exchange
from coordinator.runs.exchange import Exchange, Reply
from coordinator.runs.flower_exchange import FlowerExchange
from protocol.errors import FedsegError, LocalProtocolError, RunFailedError
from protocol.limits import MAX_REPLY_BYTES, MAX_REQUEST_BYTES
from simulations.federation import Federation
from tests.federations import small_federation


class Carrier:
    """What both Grids of these tests share: messages in, scripted replies out."""

    def __init__(self) -> None:
        self.batches: list[list[Message]] = []
        self.replies: list[Message] = []
        self.refuse: set[int] = set()

    def take(self, messages: list[Message]) -> list[str]:
        self.batches.append(messages)
        return [
            "" if m.metadata.dst_node_id in self.refuse else m.metadata.message_id for m in messages
        ]

    def give(self, ids: Iterable[str]) -> list[Message]:
        wanted = set(ids)
        given = [m for m in self.replies if m.metadata.reply_to_message_id in wanted]
        self.replies = [m for m in self.replies if m not in given]
        return given

    def sent(self) -> list[Message]:
        return [message for batch in self.batches for message in batch]

    def answer(self, content: RecordDict | Error, number: int = 0) -> None:
        self.replies.append(Message(content, reply_to=self.sent()[number]))


class PublicGrid(Grid):
    """A Grid with nothing but its public methods, like that of Flower's simulation."""

    def __init__(self, carrier: Carrier) -> None:
        self.carrier = carrier

    def set_run(self, run: Any) -> None: ...

    @property
    def run(self) -> Any: ...

    def create_message(self, *_: Any, **__: Any) -> Message:
        raise AssertionError("messages are built by the exchange, which gives them their ids")

    def get_node_ids(self) -> Iterable[int]:
        return [7, 8, 9]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        batch = list(messages)
        for message in batch:  # ids of its own, and none for a message that it refuses
            message.metadata.__dict__["_message_id"] = str(uuid.uuid4())
        return [message_id for message_id in self.carrier.take(batch) if message_id]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return self.carrier.give(message_ids)

    def send_and_receive(self, messages: Any, *, timeout: Any = None) -> Iterable[Message]:
        raise AssertionError("it waits for the slowest node: the exchange pushes and pulls")


class RuntimeClient:
    """Stands for Flower's HTTP client behind `HttpGrid`; everything crosses as protobuf."""

    def __init__(self, carrier: Carrier) -> None:
        self.carrier = carrier

    def PushMessages(self, request: PushAppMessagesRequest) -> PushAppMessagesResponse:
        parsed = PushAppMessagesRequest.FromString(request.SerializeToString())
        ids = [tree.object_id for tree in parsed.message_object_trees]
        messages = [message_from_proto(proto) for proto in parsed.messages_list]
        assert ids == [message.metadata.message_id for message in messages]
        return PushAppMessagesResponse(message_ids=self.carrier.take(messages))

    def PullMessages(self, request: PullAppMessagesRequest) -> PullAppMessagesResponse:
        given = self.carrier.give(request.message_ids)
        return PullAppMessagesResponse(messages_list=[message_to_proto(m) for m in given])


class DeployedGrid(HttpGrid):
    """Flower's HTTP Grid with its client replaced."""

    def __init__(self, carrier: Carrier) -> None:
        super().__init__("127.0.0.1:9", token="token")
        self._client = RuntimeClient(carrier)  # type: ignore[assignment]

    def get_node_ids(self) -> Iterable[int]:
        return [7, 8, 9]


@pytest.fixture(autouse=True)
def _task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages are made inside a task of Flower's; here is one."""
    monkeypatch.setattr(TaskIdentity, "_run_id", 1)
    monkeypatch.setattr(TaskIdentity, "_node_id", SUPERLINK_NODE_ID)
    monkeypatch.setattr(TaskIdentity, "_task_id", 1)


@pytest.fixture
def carrier() -> Carrier:
    return Carrier()


@pytest.fixture(params=[PublicGrid, DeployedGrid])
def exchange(request: pytest.FixtureRequest, carrier: Carrier) -> Exchange:
    return FlowerExchange(request.param(carrier))


def _answer(payload: bytes) -> RecordDict:
    return RecordDict({"fedseg": ConfigRecord({"message": payload})})


def test_connected_nodes_are_flowers_ids(exchange: Exchange) -> None:
    assert exchange.nodes() == {7, 8, 9}


def test_a_message_crosses_as_one_bytes_field_with_its_time_to_live(
    exchange: Exchange, carrier: Carrier
) -> None:
    handle = exchange.push(8, b"\x00question\xff", ttl_s=12.5)
    assert exchange.pull([handle]) == {}
    (message,) = carrier.sent()
    assert message.metadata.dst_node_id == 8
    assert message.metadata.message_type == "query.fedseg"
    assert message.metadata.ttl == 12.5
    assert message.metadata.group_id == "witness-1", "so nodes know that it reads that field"
    assert dict(message.content["fedseg"]) == {"message": b"\x00question\xff"}


def test_an_answer_comes_back_once(exchange: Exchange, carrier: Carrier) -> None:
    handle = exchange.push(8, b"question", ttl_s=10)
    assert exchange.pull([handle]) == {}
    carrier.answer(_answer(b"answer"))
    assert exchange.pull([handle]) == {handle: Reply(node=8, message=b"answer", error=None)}
    assert exchange.pull([handle]) == {}


def test_what_is_said_of_logs_travels_beside_the_message(
    exchange: Exchange, carrier: Carrier
) -> None:
    handle = exchange.push(8, b"question", ttl_s=10, beside=b"logs")
    large = exchange.push(9, b"question", ttl_s=10, beside=bytes((1 << 18) + 1))
    exchange.pull([handle, large])
    both = [dict(message.content["fedseg"]) for message in carrier.sent()]
    assert both == [{"message": b"question", "witness": b"logs"}, {"message": b"question"}]
    carrier.answer(RecordDict({"fedseg": ConfigRecord({"message": b"a", "witness": b"theirs"})}))
    assert exchange.pull([handle])[handle] == Reply(
        node=8, message=b"a", error=None, beside=b"theirs"
    )


def test_all_messages_of_a_round_leave_in_one_batch(carrier: Carrier) -> None:
    exchange = FlowerExchange(DeployedGrid(carrier))
    handles = [exchange.push(node, b"question", ttl_s=10) for node in (7, 8, 9)]
    exchange.pull(handles)
    assert [len(batch) for batch in carrier.batches] == [3]
    exchange.pull(handles)
    assert len(carrier.batches) == 1


def test_a_large_round_leaves_in_several_batches(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = FlowerExchange(DeployedGrid(carrier))
    monkeypatch.setattr(flower_exchange, "_BATCH_BYTES", 100)
    handles = [exchange.push(7, bytes(60), ttl_s=10) for _ in range(3)]
    handles.append(exchange.push(8, bytes(30), ttl_s=10))
    handles.append(exchange.push(9, bytes(500), ttl_s=10))
    exchange.pull(handles)
    assert [len(batch) for batch in carrier.batches] == [1, 1, 2, 1]


def test_the_same_bytes_to_the_same_node_are_two_messages(exchange: Exchange) -> None:
    assert exchange.push(7, b"x", ttl_s=10) != exchange.push(7, b"x", ttl_s=10)


def test_the_nodes_code_comes_back_as_an_error(exchange: Exchange, carrier: Carrier) -> None:
    handle = exchange.push(7, b"question", ttl_s=10)
    exchange.pull([handle])
    carrier.answer(RecordDict({"fedseg": ConfigRecord({"error": "E-ATOM"})}))
    assert exchange.pull([handle])[handle] == Reply(node=7, message=None, error="E-ATOM")


def test_a_message_that_expired_or_whose_node_is_away_is_a_carriers_error(
    exchange: Exchange, carrier: Carrier
) -> None:
    handle = exchange.push(7, b"question", ttl_s=10)
    exchange.pull([handle])
    carrier.answer(Error(code=3, reason="words of Flower"))
    assert exchange.pull([handle])[handle] == Reply(node=7, message=None, error="E-TRANSPORT")


def test_a_message_that_the_superlink_refuses_is_a_carriers_error_and_others_go(
    exchange: Exchange, carrier: Carrier
) -> None:
    carrier.refuse = {8}
    lost, sent = (exchange.push(node, b"question", ttl_s=10) for node in (8, 9))
    assert exchange.pull([lost, sent]) == {lost: Reply(node=8, message=None, error="E-TRANSPORT")}
    assert exchange.pull([lost, sent]) == {}
    carrier.answer(_answer(b"answer"), number=1)
    assert exchange.pull([lost, sent])[sent].message == b"answer"


@pytest.mark.parametrize(
    "content",
    [
        RecordDict(),
        RecordDict({"fedseg": ConfigRecord({})}),
        RecordDict({"fedseg": ConfigRecord({"message": "text"})}),
        RecordDict({"fedseg": ConfigRecord({"message": b"x", "error": "E-X"})}),
        RecordDict({"fedseg": ConfigRecord({"message": b"x", "witness": "text"})}),
        RecordDict({"fedseg": ConfigRecord({"message": b"x", "witness": bytes((1 << 18) + 1)})}),
        RecordDict({"fedseg": ConfigRecord({"message": b"x", "witness": b"w", "more": b""})}),
        RecordDict({"fedseg": ConfigRecord({"error": "E-X", "witness": b"w"})}),
        RecordDict({"fedseg": ConfigRecord({"error": "words"})}),
        RecordDict({"fedseg": ConfigRecord({"error": b"E-X"})}),
        RecordDict({"fedseg": ConfigRecord({"message": bytes(MAX_REPLY_BYTES + 1)})}),
        RecordDict({"other": ConfigRecord({"message": b"x"})}),
        RecordDict({"fedseg": ConfigRecord({"message": b"x"}), "more": ConfigRecord({})}),
    ],
)
def test_an_answer_of_a_wrong_form_is_malformed(
    exchange: Exchange, carrier: Carrier, content: RecordDict
) -> None:
    handle = exchange.push(7, b"question", ttl_s=10)
    exchange.pull([handle])
    carrier.answer(content)
    assert exchange.pull([handle])[handle] == Reply(node=7, message=None, error="E-MALFORMED")


def test_a_message_that_no_node_would_accept_is_our_own_defect(exchange: Exchange) -> None:
    with pytest.raises(LocalProtocolError):
        exchange.push(7, bytes(MAX_REQUEST_BYTES + 1), ttl_s=10)


def test_unknown_handles_are_ignored(exchange: Exchange, carrier: Carrier) -> None:
    assert exchange.pull(["nothing"]) == {}
    assert carrier.batches == []


def test_what_was_pushed_leaves_with_a_flush(exchange: Exchange, carrier: Carrier) -> None:
    exchange.push(8, b"question", ttl_s=10)
    assert carrier.batches == []
    exchange.flush()
    exchange.flush()
    assert [len(batch) for batch in carrier.batches] == [1]


class NodesGrid(PublicGrid):
    """A Grid that hands messages to the nodes of a federation, which answer at once."""

    def __init__(self, federation: Federation, silent: int) -> None:
        super().__init__(Carrier())
        self.federation = federation
        self.silent = silent

    def get_node_ids(self) -> Iterable[int]:
        return [10 + i for i in self.federation.nodes]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        batch = list(messages)
        ids = list(super().push_messages(batch))
        for message in batch:
            number = message.metadata.dst_node_id - 10
            request = message.content["fedseg"]["message"]
            assert isinstance(request, bytes)
            if number == self.silent and b"fedseg/v1/announce" in request:
                continue
            try:
                content = _answer(self.federation.nodes[number].handle(request))
            except FedsegError as error:
                content = RecordDict({"fedseg": ConfigRecord({"error": error.code})})
            self.carrier.replies.append(Message(content, reply_to=message))
        return ids


def test_over_flower_every_node_hears_that_a_run_failed_and_forgets_its_keys() -> None:
    federation = small_federation(1.0, 9.0, n_clusters=2)
    federation.exchange = FlowerExchange(NodesGrid(federation, silent=2))  # type: ignore[assignment]
    with pytest.raises(RunFailedError) as caught:
        federation.run()
    assert "partner-2 did not answer" in caught.value.message
    for node in federation.nodes.values():
        (run,) = node.store.runs()
        assert (run.phase, run.reason) == ("aborted", caught.value.code)
        assert (run.state["x_private"], run.state["pair_keys"]) == ("", {})
