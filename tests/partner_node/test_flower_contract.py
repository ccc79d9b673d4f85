"""What the link and the coordinator use of Flower's inside, checked against the installed Flower.

When one of these fails after an upgrade, Flower changed something that the product relies on:
the message says what to look at. Nothing here starts a process.
"""

from __future__ import annotations

import base64
import datetime
import inspect
import time
from importlib.metadata import version
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import HTTPException
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.app.message import make_message
from flwr.common import constant
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto import control_pb2, fleet_pb2, heartbeat_pb2, run_pb2, runtime_pb2
from flwr.proto.message_pb2 import ObjectTree
from flwr.server.utils.validator import validate_message
from flwr.supercore import constant as supercore_constant
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.error import ApiErrorCode
from flwr.supercore.error.catalog import API_ERROR_MAP
from flwr.supercore.object_store.in_memory_object_store import InMemoryObjectStore
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_TYPES
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid import HttpGrid
from flwr.superlink.routers.fleet import node_auth
from flwr.superlink.servicer.fleet import fleet_handlers
from flwr.superlink.servicer.runtime import runtime_handlers

from partner_node.link import flower_link

CALLS = {
    "activate-node": fleet_pb2.ActivateNodeRequest,
    "deactivate-node": fleet_pb2.DeactivateNodeRequest,
    "send-node-heartbeat": heartbeat_pb2.SendNodeHeartbeatRequest,
    "pull-messages": fleet_pb2.PullMessagesRequest,
    "push-messages": fleet_pb2.PushMessagesRequest,
    "get-run": run_pb2.GetRunRequest,
}


@pytest.fixture(autouse=True)
def _task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages are made inside a task of Flower's; here is one."""
    monkeypatch.setattr(TaskIdentity, "_run_id", 1)
    monkeypatch.setattr(TaskIdentity, "_node_id", SUPERLINK_NODE_ID)
    monkeypatch.setattr(TaskIdentity, "_task_id", 1)


def test_flower_is_the_version_that_this_was_checked_with() -> None:
    assert version("flwr").startswith("1.41."), (
        "another Flower is installed: go through this file and flower_link.py, then raise the pin"
    )


def test_the_fleet_calls_have_the_paths_and_types_that_the_link_uses() -> None:
    assert {f"/v1/fleet/{name}" for name in CALLS} == flower_link.FLEET_PATHS
    for name, request in CALLS.items():
        assert PROTOBUF_REQUEST_TYPES.get(("POST", f"/v1/fleet/{name}")) is request, (
            f"Flower's fleet call {name} moved or takes another message"
        )


def test_the_wire_has_the_media_type_and_headers_that_the_link_sends() -> None:
    assert flower_link._MEDIA_TYPE == PROTOBUF_MEDIA_TYPE
    assert flower_link._PUBLIC_KEY_HEADER == supercore_constant.FLEET_HTTP_PUBLIC_KEY_HEADER
    assert flower_link._SIGNATURE_HEADER == supercore_constant.FLEET_HTTP_SIGNATURE_HEADER
    assert flower_link._TIMESTAMP_HEADER == constant.TIMESTAMP_HEADER


def test_flower_tolerates_clocks_as_the_link_believes() -> None:
    assert flower_link._CLOCK_TOLERANCE_S < constant.SYSTEM_TIME_TOLERANCE


def test_the_heartbeat_interval_is_one_that_flower_takes() -> None:
    poll = flower_link.PollSettings()
    for interval in (poll.heartbeat_s, poll.still_heartbeat_s):
        assert constant.HEARTBEAT_MIN_INTERVAL <= interval <= constant.HEARTBEAT_MAX_INTERVAL
    assert constant.HEARTBEAT_PATIENCE == 2, "the documented time until a dead node counts as gone"


def _fleet(key: ec.EllipticCurvePrivateKey) -> flower_link._Fleet:
    fleet = object.__new__(flower_link._Fleet)
    fleet._key = key
    object.__setattr__(
        fleet,
        "public_key",
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
    )
    return fleet


def _request(headers: dict[str, str], message: object) -> SimpleNamespace:
    return SimpleNamespace(headers=headers, state=SimpleNamespace(protobuf_request=message))


def test_flower_accepts_the_links_signature_and_refuses_a_changed_one() -> None:
    fleet = _fleet(ec.generate_private_key(ec.SECP384R1()))
    headers = fleet._signed("/v1/fleet/activate-node", b"")
    activate = fleet_pb2.ActivateNodeRequest(public_key=fleet.public_key)
    node_auth.authenticate_node(_request(headers, activate))
    headers["flwr-timestamp"] = datetime.datetime.now(datetime.UTC).isoformat()
    with pytest.raises(HTTPException):
        node_auth.authenticate_node(_request(headers, activate))


def test_flower_refuses_the_key_of_another_node() -> None:
    fleet = _fleet(ec.generate_private_key(ec.SECP384R1()))
    activate = fleet_pb2.ActivateNodeRequest(public_key=b"another")
    with pytest.raises(HTTPException):
        node_auth.authenticate_node(
            _request(fleet._signed("/v1/fleet/activate-node", b""), activate)
        )


def test_the_key_in_the_header_is_what_the_gateway_compares() -> None:
    fleet = _fleet(ec.generate_private_key(ec.SECP384R1()))
    assert (
        base64.b64decode(fleet._signed("/v1/fleet/activate-node", b"")["flwr-public-key"])
        == fleet.public_key
    )
    assert fleet.public_key.startswith(b"-----BEGIN PUBLIC KEY-----\n")


def _message() -> Message:
    content = RecordDict({"fedseg": ConfigRecord({"message": b"\x00payload\xff"})})
    return Message(content, 17, "query.fedseg", ttl=30.0)


def test_content_that_travels_in_a_messages_head_survives_flowers_conversions() -> None:
    message = message_from_proto(message_to_proto(_message()))
    assert message.content["fedseg"]["message"] == b"\x00payload\xff"
    assert message.metadata.message_type == "query.fedseg"


def test_flowers_check_of_a_message_accepts_content_in_its_head() -> None:
    message = _message()
    message.metadata.__dict__["_message_id"] = message.object_id
    message.metadata.__dict__["_src_node_id"] = SUPERLINK_NODE_ID
    assert validate_message(message, is_reply_message=False) == []


def test_a_reply_goes_back_to_its_sender_within_the_time_that_is_left() -> None:
    asked = _message()
    asked.metadata.__dict__["_message_id"] = "a" * 64
    asked.metadata.__dict__["_src_node_id"] = SUPERLINK_NODE_ID
    reply = Message(RecordDict({"fedseg": ConfigRecord({"error": "E-X"})}), reply_to=asked)
    assert reply.metadata.reply_to_message_id == "a" * 64
    assert reply.metadata.dst_node_id == SUPERLINK_NODE_ID
    assert reply.metadata.src_node_id == 17
    assert 0 < reply.metadata.ttl <= 30.0
    assert reply.metadata.created_at <= time.time() + 1


def test_a_messages_id_is_a_hash_that_the_object_store_accepts_without_parts() -> None:
    store = InMemoryObjectStore()
    message_id = _message().object_id
    assert store.preregister(1, ObjectTree(object_id=message_id)) == [message_id]
    assert store.get_object_tree(message_id) == ObjectTree(object_id=message_id)
    store.delete_objects_in_run(1)
    assert len(store) == 0, "objects of ended runs stay in the SuperLink's memory"


def test_the_superlink_hands_messages_on_whole() -> None:
    for handler in (fleet_handlers.pull_messages, runtime_handlers.pull_messages):
        source = inspect.getsource(handler)
        assert "message_to_proto(msg)" in source, (
            "the SuperLink does not hand on a message's content any more: "
            "flower_link and flower_exchange must fetch objects"
        )
    assert "delete_messages" in inspect.getsource(runtime_handlers.pull_messages), (
        "answers that were fetched stay in the SuperLink's memory"
    )


def test_a_message_can_be_made_from_metadata_and_content() -> None:
    message = _message()
    same = make_message(metadata=message.metadata, content=message.content)
    assert same.object_id == message.object_id


def test_the_grid_of_a_deployed_serverapp_has_the_client_that_the_exchange_uses() -> None:
    assert isinstance(inspect.getattr_static(HttpGrid, "_runtime_client"), property)
    fields = runtime_pb2.PushAppMessagesRequest.DESCRIPTOR.fields_by_name
    assert {"messages_list", "message_object_trees"} <= set(fields)
    assert "message_ids" in runtime_pb2.PushAppMessagesResponse.DESCRIPTOR.fields_by_name
    assert "message_ids" in runtime_pb2.PullAppMessagesRequest.DESCRIPTOR.fields_by_name


def test_the_control_client_lets_its_http_client_be_replaced() -> None:
    client = ControlHttpClient("https://127.0.0.1:9")
    assert client._client.is_closed is False
    client.close()
    for call in ("StartRun", "StopRun", "ListRuns", "RegisterNode", "UnregisterNode", "ListNodes"):
        assert callable(getattr(client, call)), f"Flower's Control API lost {call}"
    assert "override_config" in control_pb2.StartRunRequest.DESCRIPTOR.fields_by_name


def test_flowers_error_codes_mean_what_the_coordinator_takes_them_for() -> None:
    assert API_ERROR_MAP[ApiErrorCode.PUBLIC_KEY_ALREADY_IN_USE].http_status_code == 412
    assert API_ERROR_MAP[ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED].http_status_code == 412
    assert API_ERROR_MAP[ApiErrorCode.FLEET_RUN_STATUS_NOT_ALLOWED].http_status_code == 403
    assert API_ERROR_MAP[ApiErrorCode.RUN_ID_NOT_FOUND].http_status_code == 404
    assert ApiErrorCode.RUN_ALREADY_FINISHED in API_ERROR_MAP
