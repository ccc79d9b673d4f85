"""The link against a coordinator that is honest, broken or hostile.

The counterparty is a scripted TLS server that speaks Flower's fleet calls.
"""

from __future__ import annotations

import contextlib
import datetime
import http.server
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from flwr.app import ArrayRecord, ConfigRecord, Context, Error, Message, Metadata, RecordDict
from flwr.app.message import make_message
from flwr.clientapp import ClientApp
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto import fleet_pb2, heartbeat_pb2, message_pb2, run_pb2
from google.protobuf.message import Message as ProtobufMessage

from coordinator.service.certificates import (
    LOOPBACK_HOSTS,
    ServerCertificate,
    make_server_certificate,
)
from machine.files import write_file
from partner_node.link import flower_link
from partner_node.link.flower_link import (
    APPROVED_BUNDLE_SHA256,
    FLEET_PATHS,
    LinkConfig,
    LinkEvent,
    PollSettings,
    load_node_key,
    serve_link,
)
from partner_node.link.proxy import Proxy
from partner_node.link.settings import Bell, Pace
from partner_node.link.trusting_client import TrustingClient
from protocol.errors import ConfigError, KeystoreError
from protocol.limits import MAX_REPLY_BYTES
from tests.connect_proxy import connect_proxy

pytestmark = pytest.mark.slow

CANARY = "customer 4711 spent 99.95"
RUN = 77

echo = ClientApp()


@echo.query("fedseg")
def _echo(message: Message, context: Context) -> Message:
    payload = message.content["fedseg"]["message"]
    return _reply(message, {"message": b"echo " + payload})


def _reply(message: Message, fields: dict[str, object]) -> Message:
    return Message(RecordDict({"fedseg": ConfigRecord(fields)}), reply_to=message)


@dataclass
class Coordinator:
    """What the scripted server has and has seen."""

    certificate: ServerCertificate
    port: int = 0
    node_id: int = 42
    bundle: str = APPROVED_BUNDLE_SHA256
    queue: list[message_pb2.Message] = field(default_factory=list)
    replies: list[Message] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    fail: Callable[[str, int], int | bytes | None] = lambda path, count: None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def send(
        self, content: RecordDict, *, message_type: str = "query.fedseg", group: str = ""
    ) -> None:
        """Queue a message for the node."""
        metadata = Metadata(
            run_id=RUN,
            message_id=f"{len(self.replies) + len(self.queue):064x}",
            src_node_id=SUPERLINK_NODE_ID,
            dst_node_id=self.node_id,
            reply_to_message_id="",
            group_id=group,
            created_at=time.time(),
            ttl=60.0,
            message_type=message_type,
        )
        self.queue.append(message_to_proto(make_message(metadata=metadata, content=content)))

    def ask(self, payload: bytes) -> None:
        self.send(RecordDict({"fedseg": ConfigRecord({"message": payload})}))

    def answer(self, path: str, body: bytes) -> ProtobufMessage:
        name = path.removeprefix("/v1/fleet/")
        if name == "activate-node":
            return fleet_pb2.ActivateNodeResponse(node_id=self.node_id)
        if name == "deactivate-node":
            return fleet_pb2.DeactivateNodeResponse()
        if name == "send-node-heartbeat":
            return heartbeat_pb2.SendNodeHeartbeatResponse(success=True)
        if name == "get-run":
            answer = run_pb2.GetRunResponse()
            answer.run.run_id, answer.run.fab_hash = RUN, self.bundle
            return answer
        if name == "push-messages":
            pushed = fleet_pb2.PushMessagesRequest.FromString(body)
            self.replies.append(message_from_proto(pushed.messages_list[0]))
            return fleet_pb2.PushMessagesResponse()
        pulled = fleet_pb2.PullMessagesResponse()
        if self.queue:
            pulled.messages_list.append(self.queue.pop(0))
        return pulled

    def reply_fields(self, number: int = 0) -> dict[str, object]:
        _wait(lambda: len(self.replies) > number)
        assert set(self.replies[number].content) == {"fedseg"}
        return dict(self.replies[number].content["fedseg"])


def _wait(condition: Callable[[], bool], *, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ServerCertificate:
    return make_server_certificate(
        tmp_path_factory.mktemp("tls"),
        name="server",
        hosts=LOOPBACK_HOSTS,
        now=datetime.datetime.now(datetime.UTC),
        lifetime_days=1,
    )


@pytest.fixture
def coordinator(certificate: ServerCertificate) -> Iterator[Coordinator]:
    state = Coordinator(certificate)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            state.paths.append(self.path)
            failure = state.fail(self.path, state.paths.count(self.path))
            status, content = 200, b""
            if isinstance(failure, int):
                status = failure
            elif isinstance(failure, bytes):
                content = failure
            else:
                content = state.answer(self.path, body).SerializeToString()
            self.send_response(status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    state.port = server.server_address[1]
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.certificate, certificate.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture
def node_key(tmp_path: Path) -> Path:
    path = tmp_path / "node.key"
    _write_key(path, ec.generate_private_key(ec.SECP384R1()))
    return path


def test_a_link_that_is_woken_waits_long_and_one_that_is_not_does_not() -> None:
    poll = PollSettings(fast_for_s=10, idle_max_s=2, woken_max_s=15, still_after_s=300, growth=3)
    for is_woken, after, most in (
        (True, 5.0, 0.2), (True, 100.0, 2.0), (True, 301.0, 15.0), (False, 301.0, 2.0),
    ):  # fmt: skip
        pace = Pace(poll)
        pace.message(0.0)
        assert max(pace.nothing(after, is_woken=is_woken) for _ in range(20)) == most
        assert pace.heartbeat(after, is_woken=is_woken) == (30 if most == 15 else 10)


def test_a_link_waits_for_most_of_the_usual_time_before_it_polls() -> None:
    poll = PollSettings(fast_s=0.03, fast_max_s=0.2, fast_for_s=10, growth=1.5)
    pace, now = Pace(poll), 100.0

    def round_of(seconds: float) -> float:
        nonlocal now
        came = now + seconds
        now = came + 0.05  # which answering takes
        return pace.answered(came, now)

    assert [round_of(s) for s in (50.0, 2.0, 1.5)] == [0.0] * 3, "not yet known"
    assert round_of(3.0) == pytest.approx(0.9), "of the shortest of three"
    assert pace.nothing(now) == pytest.approx(0.15)
    assert pace.nothing(now) == pytest.approx(0.2), "and then as usual in a run"
    assert round_of(0.1) == pytest.approx(0.06)
    assert pace.nothing(now) == pytest.approx(0.03)
    assert round_of(11.0) == 0.0, "another run"
    assert pace.nothing(now) == pytest.approx(0.03)
    for gap in (9.0, 9.0, 9.0):
        longest = round_of(gap)
    assert longest == 1.0, "a link never looks away for longer"
    pace.message(now)  # somebody rang
    assert pace.nothing(now) == pytest.approx(0.03)


def test_a_bell_that_is_rung_ends_a_wait_and_so_does_the_end() -> None:
    bell, stop = Bell(), threading.Event()
    bell.ring()
    assert bell.wait(60.0, stop), "rung before"
    assert not bell.wait(0.01, stop), "once"
    threading.Timer(0.05, bell.ring).start()
    assert bell.wait(60.0, stop)
    stop.set()
    assert not bell.wait(60.0, stop)


def _write_key(
    path: Path, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, *, mode: int = 0o600
) -> None:
    path.touch(mode=mode)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )


@dataclass
class Link:
    """A link in a thread, and what it reported."""

    config: LinkConfig
    app: ClientApp
    events: list[LinkEvent] = field(default_factory=list)
    #: How many events there were at each look for messages.
    looks: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stop = threading.Event()
        self.thread = threading.Thread(
            target=lambda: serve_link(
                self.config,
                self.app,
                stop=self.stop,
                on_event=self.events.append,
                on_look=lambda: self.looks.append(len(self.events)),
            )
        )

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def codes(self) -> list[str | None]:
        return [event.code for event in self.events if event.code]


@pytest.fixture
def link_to(node_key: Path, tmp_path: Path) -> Iterator[Callable[..., Link]]:
    links: list[Link] = []

    def start(coordinator: Coordinator, app: ClientApp = echo, **settings: object) -> Link:
        config = LinkConfig(
            **{
                "address": coordinator.address,
                "root_certificates": coordinator.certificate.authority,
                "node_key": node_key,
                "node_config": {"name": "north"},
                "poll": PollSettings(
                    idle_max_s=0.05, reconnect_max_s=0.1, retry_for_s=0.2, call_timeout_s=5.0
                ),
                **settings,
            }  # type: ignore[arg-type]
        )
        link = Link(config, app)
        links.append(link)
        link.thread.start()
        return link

    yield start
    for link in links:
        link.stop.set()
    for link in links:
        link.thread.join(20)
        assert not link.thread.is_alive()


def test_a_message_is_answered_by_the_installed_app(
    coordinator: Coordinator, link_to: Callable[..., Link]
) -> None:
    link = link_to(coordinator)
    coordinator.ask(b"hello")
    assert coordinator.reply_fields() == {"message": b"echo hello"}
    _wait(lambda: "answered" in link.kinds())
    assert link.events[0] == LinkEvent(kind="connected")
    assert link.events[1] == LinkEvent(kind="answered", run=RUN)


def test_what_is_said_of_logs_comes_and_leaves_beside_the_message(
    coordinator: Coordinator, link_to: Callable[..., Link]
) -> None:
    app = ClientApp()

    @app.query("fedseg")
    def _both(message: Message, context: Context) -> Message:
        said = message.content["fedseg"]["witness"]
        return _reply(
            message, {"message": b"m", "witness": said + message.metadata.group_id.encode()}
        )

    link_to(coordinator, app)
    fields = ConfigRecord({"message": b"hello", "witness": b"w "})
    coordinator.send(RecordDict({"fedseg": fields}), group="witness-1")
    assert coordinator.reply_fields() == {"message": b"m", "witness": b"w witness-1"}


def test_what_is_to_be_looked_at_is_looked_at_once_each_time_that_messages_are_looked_for(
    coordinator: Coordinator, link_to: Callable[..., Link]
) -> None:
    link = link_to(coordinator)
    _wait(lambda: len(link.looks) > 1)
    coordinator.ask(b"hello")
    _wait(lambda: "answered" in link.kinds())
    _wait(lambda: 2 in link.looks)  # after the answer, too
    link.stop.set()
    link.thread.join(20)
    assert len(link.looks) == coordinator.paths.count("/v1/fleet/pull-messages")


def test_it_is_looked_at_too_while_the_coordinator_is_away(
    coordinator: Coordinator, link_to: Callable[..., Link]
) -> None:
    link = link_to(coordinator, address="127.0.0.1:1")
    _wait(lambda: len(link.looks) > 1)
    assert {"lost"} == set(link.kinds())


def test_the_node_makes_only_the_calls_that_the_gateway_lets_through(
    coordinator: Coordinator, link_to: Callable[..., Link]
) -> None:
    link = link_to(coordinator)
    coordinator.ask(b"hello")
    coordinator.reply_fields()
    link.stop.set()
    link.thread.join(20)
    assert set(coordinator.paths) <= FLEET_PATHS
    assert coordinator.paths[0] == "/v1/fleet/activate-node"
    assert coordinator.paths[-1] == "/v1/fleet/deactivate-node"
    assert link.kinds()[-1] == "stopped"


def test_a_run_of_another_bundle_is_refused_and_the_app_never_sees_it(
    coordinator: Coordinator, link_to: Callable[..., Link]
) -> None:
    called = threading.Event()
    app = ClientApp()

    @app.query("fedseg")
    def _mark(message: Message, context: Context) -> Message:
        called.set()
        return _reply(message, {"message": b""})

    coordinator.bundle = "0" * 64
    link = link_to(coordinator, app)
    coordinator.ask(b"hello")
    assert coordinator.reply_fields() == {"error": "E-BUNDLE"}
    assert not called.is_set()
    assert "/v1/fleet/get-fab" not in coordinator.paths
    _wait(lambda: "refused" in link.kinds())


def test_the_operators_run_configuration_does_not_reach_the_app(
    coordinator: Coordinator, link_to: Callable[..., Link]
) -> None:
    app = ClientApp()

    @app.query("fedseg")
    def _tell(message: Message, context: Context) -> Message:
        told = f"{sorted(context.run_config)} {context.node_config}"
        return _reply(message, {"message": told.encode()})

    link_to(coordinator, app)
    coordinator.ask(b"hello")
    assert coordinator.reply_fields() == {"message": b"[] {'name': 'north'}"}


@pytest.mark.parametrize(
    "content",
    [
        RecordDict(),
        RecordDict({"other": ConfigRecord({"message": b"x"})}),
        RecordDict({"fedseg": ConfigRecord({"message": "text"})}),
        RecordDict({"fedseg": ConfigRecord({"message": [b"x"]})}),
        RecordDict({"fedseg": ConfigRecord({})}),
        RecordDict({"fedseg": ConfigRecord({"message": b"x", "more": 1})}),
        RecordDict({"fedseg": ConfigRecord({"message": b"x", "witness": "text"})}),
        RecordDict({"fedseg": ConfigRecord({"message": b"x", "witness": bytes((1 << 18) + 1)})}),
        RecordDict({"fedseg": ConfigRecord({"witness": b"w"})}),
        RecordDict({"fedseg": ArrayRecord({})}),
        RecordDict({"fedseg": ConfigRecord({"message": b"x"}), "more": ConfigRecord({})}),
    ],
)
def test_anything_but_one_bytes_field_is_malformed(
    coordinator: Coordinator, link_to: Callable[..., Link], content: RecordDict
) -> None:
    link_to(coordinator)
    coordinator.send(content)
    assert coordinator.reply_fields() == {"error": "E-MALFORMED"}


@pytest.mark.parametrize("message_type", ["train", "query", "query.other", "evaluate.fedseg"])
def test_messages_of_another_type_are_malformed(
    coordinator: Coordinator, link_to: Callable[..., Link], message_type: str
) -> None:
    link_to(coordinator)
    content = RecordDict({"fedseg": ConfigRecord({"message": b"x"})})
    coordinator.send(content, message_type=message_type)
    assert coordinator.reply_fields() == {"error": "E-MALFORMED"}


def test_a_message_over_the_limit_is_malformed(
    coordinator: Coordinator, link_to: Callable[..., Link], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flower_link, "MAX_REQUEST_BYTES", 100)
    link_to(coordinator)
    coordinator.ask(b"x" * 101)
    coordinator.ask(b"x" * 100)
    assert coordinator.reply_fields(0) == {"error": "E-MALFORMED"}
    assert coordinator.reply_fields(1) == {"message": b"echo " + b"x" * 100}


def test_the_words_of_an_exception_stay_here(
    coordinator: Coordinator,
    link_to: Callable[..., Link],
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = ClientApp()

    @app.query("fedseg")
    def _fail(message: Message, context: Context) -> Message:
        raise ZeroDivisionError(CANARY)

    link_to(coordinator, app)
    coordinator.ask(b"hello")
    assert coordinator.reply_fields() == {"error": "E-INTERNAL"}
    assert CANARY not in str(vars(coordinator.replies[0]))
    assert CANARY not in caplog.text
    assert "ZeroDivisionError at" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        RecordDict({"fedseg": ConfigRecord({"message": b"x", "rows": [1.0]})}),
        RecordDict({"fedseg": ConfigRecord({"message": b"x", "witness": CANARY})}),
        RecordDict({"fedseg": ConfigRecord({"message": b"x", "witness": bytes((1 << 18) + 1)})}),
        RecordDict({"fedseg": ConfigRecord({"message": b"x", "witness": b"w", "rows": [1.0]})}),
        RecordDict({"fedseg": ConfigRecord({"error": "E-X", "witness": b"w"})}),
        RecordDict({"fedseg": ConfigRecord({"witness": b"w"})}),
        RecordDict({"fedseg": ConfigRecord({"message": CANARY})}),
        RecordDict({"fedseg": ConfigRecord({"error": CANARY})}),
        RecordDict({"fedseg": ConfigRecord({"error": f"E-X {CANARY}"})}),
        RecordDict({"fedseg": ConfigRecord({"message": b"x"}), "extra": ConfigRecord({})}),
        RecordDict({"other": ConfigRecord({"message": b"x"})}),
        RecordDict({"fedseg": ConfigRecord({"message": b"x" * (MAX_REPLY_BYTES + 1)})}),
        RecordDict({}),
    ],
)
def test_whatever_the_app_answers_only_one_bytes_field_or_one_code_leaves(
    coordinator: Coordinator, link_to: Callable[..., Link], content: RecordDict
) -> None:
    app = ClientApp()

    @app.query("fedseg")
    def _leak(message: Message, context: Context) -> Message:
        return Message(content, reply_to=message)

    link_to(coordinator, app)
    coordinator.ask(b"hello")
    assert coordinator.reply_fields() == {"error": "E-INTERNAL"}


def test_an_error_of_flowers_own_kind_does_not_leave_either(
    coordinator: Coordinator, link_to: Callable[..., Link]
) -> None:
    app = ClientApp()

    @app.query("fedseg")
    def _error(message: Message, context: Context) -> Message:
        return Message(Error(code=1, reason=CANARY), reply_to=message)

    link_to(coordinator, app)
    coordinator.ask(b"hello")
    assert coordinator.reply_fields() == {"error": "E-INTERNAL"}


def test_a_code_that_the_app_gives_leaves_as_it_is(
    coordinator: Coordinator, link_to: Callable[..., Link]
) -> None:
    app = ClientApp()

    @app.query("fedseg")
    def _refuse(message: Message, context: Context) -> Message:
        return _reply(message, {"error": "E-QUORUM"})

    link = link_to(coordinator, app)
    coordinator.ask(b"hello")
    assert coordinator.reply_fields() == {"error": "E-QUORUM"}
    _wait(lambda: LinkEvent(kind="refused", code="E-QUORUM", run=RUN) in link.events)


def test_a_superlink_that_started_again_is_joined_anew(
    coordinator: Coordinator, link_to: Callable[..., Link]
) -> None:
    link = link_to(coordinator)
    _wait(lambda: "connected" in link.kinds())
    coordinator.node_id, before = 43, len(coordinator.paths)
    coordinator.fail = lambda path, count: (
        401
        if "activate" not in path and "/v1/fleet/activate-node" not in coordinator.paths[before:]
        else None
    )
    _wait(lambda: link.kinds().count("connected") == 2)
    assert "E-LINK-UNKNOWN" in link.codes()
    coordinator.ask(b"again")
    assert coordinator.reply_fields() == {"message": b"echo again"}
    assert coordinator.replies[0].metadata.src_node_id == 43


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_short_disturbance_does_not_lose_a_message(
    coordinator: Coordinator, link_to: Callable[..., Link], status: int
) -> None:
    coordinator.fail = lambda path, count: status if "push" in path and count == 1 else None
    link = link_to(coordinator)
    coordinator.ask(b"hello")
    assert coordinator.reply_fields() == {"message": b"echo hello"}
    _wait(lambda: "answered" in link.kinds())
    assert "lost" not in link.kinds()


def test_a_message_of_a_run_that_ended_is_dropped_and_the_link_stays(
    coordinator: Coordinator, link_to: Callable[..., Link]
) -> None:
    coordinator.fail = lambda path, count: 403 if "push" in path and count == 1 else None
    link = link_to(coordinator)
    coordinator.ask(b"first")
    _wait(lambda: "dropped" in link.kinds())
    coordinator.ask(b"second")
    assert coordinator.reply_fields() == {"message": b"echo second"}
    _wait(lambda: "answered" in link.kinds())
    assert link.kinds()[:3] == ["connected", "dropped", "answered"]


def test_a_node_that_is_not_admitted_is_told_so_and_goes_on_asking(
    coordinator: Coordinator, link_to: Callable[..., Link]
) -> None:
    coordinator.fail = lambda path, count: (
        403 if path.endswith("/activate-node") and count <= 3 else None
    )
    link = link_to(coordinator)
    _wait(lambda: "connected" in link.kinds())
    assert link.codes() == ["E-LINK-NOT-ADMITTED"] * 3


def test_a_killed_node_takes_its_place_again_at_once(
    coordinator: Coordinator, link_to: Callable[..., Link], tmp_path: Path
) -> None:
    state = tmp_path / "link.state"
    state.write_text("41")
    left: list[int] = []

    def fail(path: str, count: int) -> int | None:
        if path.endswith("/deactivate-node"):
            left.append(count)
        return 412 if path.endswith("/activate-node") and not left else None

    coordinator.fail = fail
    link = link_to(coordinator, state_file=state)
    _wait(lambda: "connected" in link.kinds())
    assert left == [1]
    assert link.codes() == []
    assert state.read_text().split()[0] == "42"
    link.stop.set()
    link.thread.join(20)
    assert not state.exists()


def test_a_second_copy_of_a_node_is_told_so_and_takes_nobodys_place(
    coordinator: Coordinator,
    link_to: Callable[..., Link],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The copy remembered the id too, and took the other one's place: both then answered."""
    ours, copied = tmp_path / "ours", tmp_path / "copied"
    ours.mkdir()
    first = link_to(coordinator, state_file=ours / "link")
    _wait(lambda: "connected" in first.kinds())
    shutil.copytree(ours, copied)
    coordinator.fail = lambda path, _: 412 if path.endswith("/activate-node") else None
    second = link_to(coordinator, state_file=copied / "link")
    _wait(lambda: second.codes()[:2] == ["E-LINK-SECOND"] * 2)
    assert not any(path.endswith("/deactivate-node") for path in coordinator.paths)
    assert "another process is connected with this node's key; stop the other one" in caplog.text


@pytest.mark.parametrize("damage", ["", "not a number", "\udcff", "9" * 20, "9" * 30])
def test_a_damaged_memory_of_the_node_id_is_ignored(
    coordinator: Coordinator, link_to: Callable[..., Link], tmp_path: Path, damage: str
) -> None:
    state = tmp_path / "link.state"
    state.write_bytes(damage.encode("utf-8", "surrogateescape"))
    coordinator.fail = lambda path, count: (
        412 if path.endswith("/activate-node") and count == 1 else None
    )
    link = link_to(coordinator, state_file=state)
    _wait(lambda: "connected" in link.kinds())
    assert "/v1/fleet/deactivate-node" not in coordinator.paths


def test_an_answer_over_the_limit_is_not_read_to_its_end(
    coordinator: Coordinator, link_to: Callable[..., Link]
) -> None:
    coordinator.fail = lambda path, count: b"x" * 10_000_000 if "activate" in path else None
    link = link_to(coordinator)
    _wait(lambda: "E-LINK-OVERSIZE" in link.codes())


def test_an_answer_that_is_not_flowers_is_refused(
    coordinator: Coordinator, link_to: Callable[..., Link]
) -> None:
    coordinator.fail = lambda path, count: b"<html>" if "activate" in path else None
    link = link_to(coordinator)
    _wait(lambda: "E-LINK-PROTOCOL" in link.codes())


def test_redirects_are_not_followed(coordinator: Coordinator, link_to: Callable[..., Link]) -> None:
    coordinator.headers = {"location": f"https://{coordinator.address}/elsewhere"}
    coordinator.fail = lambda path, count: 307
    link = link_to(coordinator)
    _wait(lambda: "E-LINK-REFUSED" in link.codes())
    assert set(coordinator.paths) == {"/v1/fleet/activate-node"}


def test_clocks_that_disagree_are_named_as_the_cause(
    coordinator: Coordinator,
    link_to: Callable[..., Link],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flower_link, "_clock_skew_s", lambda date: 60.0 if date else 0.0)
    coordinator.fail = lambda path, count: 401
    link = link_to(coordinator)
    _wait(lambda: "E-LINK-CLOCK" in link.codes())


def test_the_difference_of_clocks_is_read_from_the_gateways_date() -> None:
    assert flower_link._clock_skew_s("Mon, 01 Jan 2001 00:00:00 GMT") > 1e6
    assert flower_link._clock_skew_s(None) == 0.0
    assert flower_link._clock_skew_s("yesterday") == 0.0
    assert flower_link._clock_skew_s(FAR_FUTURE) == 0.0


FAR_FUTURE = "Thu, 01 Jan 99999999999999999999 00:00:00 GMT"


def _undecodable() -> message_pb2.Message:
    """A message whose one value is not set, which Flower's own decoding fails on."""
    proto = message_pb2.Message()
    proto.metadata.run_id = RUN
    proto.metadata.message_type = "query.fedseg"
    item = proto.content.items.add(key="fedseg")
    item.config_record.items.add(key="message")
    return proto


@pytest.mark.parametrize("proto", [_undecodable(), message_pb2.Message()], ids=["unset", "empty"])
def test_a_message_that_cannot_be_decoded_is_dropped_and_the_link_stays(
    coordinator: Coordinator, link_to: Callable[..., Link], proto: message_pb2.Message
) -> None:
    link = link_to(coordinator)
    coordinator.queue.append(proto)
    coordinator.ask(b"hello")
    _wait(lambda: "answered" in link.kinds())
    assert link.kinds()[0] == "connected"
    assert "lost" not in link.kinds()


def test_after_a_message_that_was_dropped_the_link_looks_again_as_soon_as_in_a_run(
    coordinator: Coordinator, link_to: Callable[..., Link], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[float] = []
    monkeypatch.setattr(Pace, "message", lambda self, now: heard.append(now))
    link = link_to(coordinator)
    _wait(lambda: len(link.looks) > 2)
    assert heard == []
    coordinator.queue.append(_undecodable())
    _wait(lambda: "dropped" in link.kinds() and len(heard) == 1)


def test_an_endless_row_of_undecodable_messages_is_not_read_without_pauses(
    coordinator: Coordinator, link_to: Callable[..., Link]
) -> None:
    coordinator.queue.extend(_undecodable() for _ in range(1_000))
    link = link_to(coordinator)
    _wait(lambda: link.kinds().count("dropped") >= 3)
    time.sleep(0.5)
    assert len(coordinator.queue) > 900


def test_a_date_that_no_calendar_has_does_not_end_the_link(
    coordinator: Coordinator, link_to: Callable[..., Link], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        http.server.BaseHTTPRequestHandler,
        "date_time_string",
        lambda self, timestamp=None: FAR_FUTURE,
    )
    coordinator.fail = lambda path, count: 401
    link = link_to(coordinator)
    _wait(lambda: len(link.codes()) >= 2)
    coordinator.fail = lambda path, count: None
    _wait(lambda: "connected" in link.kinds())
    assert set(link.codes()) == {"E-LINK-UNKNOWN"}


def test_a_node_id_that_cannot_be_kept_is_only_logged(
    coordinator: Coordinator,
    link_to: Callable[..., Link],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "gone").write_text("a file where a folder is meant")
    link = link_to(coordinator, state_file=tmp_path / "gone" / "link")
    coordinator.ask(b"hello")
    assert coordinator.reply_fields() == {"message": b"echo hello"}
    _wait(lambda: "answered" in link.kinds())
    link.stop.set()
    link.thread.join(20)
    assert link.codes() == []
    assert f"{tmp_path / 'gone' / 'link'} cannot be written" in caplog.text


def test_anything_unexpected_counts_as_a_lost_link_and_its_words_stay_unsaid(
    coordinator: Coordinator,
    link_to: Callable[..., Link],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pending = [ZeroDivisionError(CANARY), httpx.StreamError(CANARY), RecursionError(CANARY)]
    call = flower_link._Fleet.call

    def fails_first(self: object, name: str, *args: object, **options: object) -> object:
        if name == "pull-messages" and pending:
            raise pending.pop()
        return call(self, name, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(flower_link._Fleet, "call", fails_first)
    link = link_to(coordinator)
    coordinator.ask(b"hello")
    assert coordinator.reply_fields() == {"message": b"echo hello"}
    assert link.codes() == ["E-LINK-INTERNAL"] * 3
    assert "ZeroDivisionError at flower_link.py" in caplog.text
    assert CANARY not in caplog.text


def test_a_server_with_another_authority_learns_nothing(
    coordinator: Coordinator, link_to: Callable[..., Link], tmp_path: Path
) -> None:
    other = make_server_certificate(
        tmp_path,
        name="other",
        hosts=LOOPBACK_HOSTS,
        now=datetime.datetime.now(datetime.UTC),
        lifetime_days=1,
    )
    link = link_to(coordinator, root_certificates=other.authority)
    _wait(lambda: "E-LINK-TLS" in link.codes())
    assert coordinator.paths == []


def test_a_new_authority_counts_from_the_next_connection_on_without_a_restart(
    coordinator: Coordinator, link_to: Callable[..., Link], tmp_path: Path
) -> None:
    other = make_server_certificate(
        tmp_path,
        name="other",
        hosts=LOOPBACK_HOSTS,
        now=datetime.datetime.now(datetime.UTC),
        lifetime_days=1,
    )
    ours, file = coordinator.certificate.authority.read_bytes(), tmp_path / "trusted.pem"
    file.write_bytes(other.authority.read_bytes())
    link = link_to(coordinator, root_certificates=file)
    _wait(lambda: "E-LINK-TLS" in link.codes())
    write_file(file, b"nothing that can be read")
    write_file(file, other.authority.read_bytes() + ours)
    _wait(lambda: link.kinds().count("connected") == 1)
    before = len(coordinator.paths)
    write_file(file, other.authority.read_bytes())
    _wait(lambda: link.codes().count("E-LINK-TLS") >= 2)
    assert len(coordinator.paths) >= before
    asked = len(coordinator.paths)
    write_file(file, b"nothing that can be read")
    _wait(lambda: link.codes().count("E-LINK-TLS") >= 4)
    assert len(coordinator.paths) == asked, "an authority that was dropped is trusted no longer"


def test_a_client_in_use_is_closed_after_its_last_call(tmp_path: Path) -> None:
    file, made = tmp_path / "ca.pem", []

    def make() -> httpx.Client:
        if file.read_text() == "broken":
            raise ConfigError("it is broken")
        made.append(httpx.Client())
        return made[-1]

    file.write_text("first")
    client = TrustingClient(file, make)
    with client.now() as first, client.now() as again:
        assert first is again
        write_file(file, "second")
        with client.now() as second:
            assert second is not first and not first.is_closed
        assert not second.is_closed
    assert first.is_closed and not second.is_closed
    write_file(file, "broken")
    with client.now() as third:
        assert third is second, "it goes on with what was trusted before"
    write_file(file, "fourth")
    with client.now() as fourth:
        assert second.is_closed
    client.close()
    assert fourth.is_closed and len(made) == 3


def test_a_handshake_that_is_cut_says_nothing_of_certificates(
    coordinator: Coordinator, link_to: Callable[..., Link], caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as cutter:

        def cut() -> None:
            with contextlib.suppress(OSError):
                while True:
                    cutter.accept()[0].close()

        threading.Thread(target=cut, daemon=True).start()
        link = link_to(coordinator, address=f"127.0.0.1:{cutter.getsockname()[1]}")
        _wait(lambda: link.codes().count("E-LINK-AWAY") >= 2)
        cutter.shutdown(socket.SHUT_RDWR)
    assert "E-LINK-TLS" not in link.codes()
    assert "the connection was cut before it was secured" in caplog.text


def test_a_coordinator_that_is_away_is_waited_for(
    coordinator: Coordinator, link_to: Callable[..., Link]
) -> None:
    link = link_to(coordinator, address="127.0.0.1:9")
    _wait(lambda: link.codes().count("E-LINK-AWAY") >= 3)


def test_proxies_of_the_environment_are_not_consulted(
    coordinator: Coordinator, link_to: Callable[..., Link], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    link = link_to(coordinator)
    _wait(lambda: "connected" in link.kinds())


#: Where nobody is reached but through a proxy of the tests, which connects elsewhere.
UNREACHABLE = "127.0.0.1:9"


@pytest.mark.parametrize("login", ["", "user:pä ss:@"])
def test_all_that_a_link_says_goes_through_its_proxy_and_is_secret_there(
    coordinator: Coordinator, link_to: Callable[..., Link], login: str
) -> None:
    with connect_proxy(credentials=login, elsewhere=_place(coordinator)) as proxy:
        way = Proxy(address=f"127.0.0.1:{proxy.port}", credentials=login)
        link = link_to(coordinator, address=UNREACHABLE, proxy=way)
        coordinator.ask(b"hello")
        assert coordinator.reply_fields() == {"message": b"echo hello"}
        link.stop.set()
        link.thread.join(20)
    assert link.codes() == []
    assert proxy.asked == {UNREACHABLE: 1}
    assert proxy.n_bytes > 1_000
    assert b"flwr" not in b"".join(proxy.heads)


@pytest.mark.parametrize(
    ("settings", "login", "code"),
    [
        ({"credentials": "user:password"}, "", "E-PROXY-LOGIN"),
        ({"credentials": "user:password"}, "user:other", "E-PROXY-LOGIN"),
        ({"answer": 403}, "", "E-PROXY-REFUSED"),
        ({"answer": 503}, "", "E-LINK-AWAY"),
    ],
)
def test_a_proxy_that_does_not_let_through_is_told_as_that(
    coordinator: Coordinator,
    link_to: Callable[..., Link],
    settings: dict[str, Any],
    login: str,
    code: str,
) -> None:
    with connect_proxy(**settings) as proxy:
        way = Proxy(address=f"127.0.0.1:{proxy.port}", credentials=login)
        link = link_to(coordinator, proxy=way)
        _wait(lambda: len(link.codes()) >= 2)
        link.stop.set()
        link.thread.join(20)
    assert set(link.codes()) == {code}
    assert coordinator.paths == []


def test_a_proxy_that_is_not_there_is_told_as_that_and_not_gone_around(
    coordinator: Coordinator, link_to: Callable[..., Link]
) -> None:
    link = link_to(coordinator, proxy=Proxy(address=UNREACHABLE))
    _wait(lambda: len(link.codes()) >= 2)
    assert set(link.codes()) == {"E-PROXY-AWAY"}
    assert coordinator.paths == []


def test_a_proxy_that_opens_tls_is_told_as_that(
    coordinator: Coordinator, link_to: Callable[..., Link], tmp_path: Path
) -> None:
    other = make_server_certificate(
        tmp_path, name="other", hosts=["127.0.0.1"], now=datetime.datetime.now(datetime.UTC),
        lifetime_days=1,
    )  # fmt: skip
    with connect_proxy(elsewhere=_place(coordinator)) as proxy:
        way = Proxy(address=f"127.0.0.1:{proxy.port}")
        link = link_to(coordinator, proxy=way, root_certificates=other.authority)
        _wait(lambda: len(link.codes()) >= 2)
        assert set(link.codes()) == {"E-PROXY-TLS"}
        link.stop.set()
        link.thread.join(20)


def _place(coordinator: Coordinator) -> tuple[str, int]:
    host, _, port = coordinator.address.rpartition(":")
    return host, int(port)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "open.key"
    _write_key(path, ec.generate_private_key(ec.SECP384R1()))
    path.chmod(0o640)
    with pytest.raises(KeystoreError, match="0640"):
        load_node_key(path)


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()]
)
def test_a_key_of_another_kind_is_refused(
    tmp_path: Path, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
) -> None:
    _write_key(tmp_path / "other.key", key)
    with pytest.raises(KeystoreError, match=r"other\.key is not an ECDSA P-384 key"):
        load_node_key(tmp_path / "other.key")


def test_a_missing_or_damaged_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeystoreError, match=r"none\.key"):
        load_node_key(tmp_path / "none.key")
    damaged = tmp_path / "damaged.key"
    damaged.touch(mode=0o600)
    with pytest.raises(KeystoreError, match=r"damaged\.key"):
        load_node_key(damaged)


def test_an_authority_that_cannot_be_read_is_named(tmp_path: Path, node_key: Path) -> None:
    config = LinkConfig(
        address="127.0.0.1:9",
        root_certificates=tmp_path / "absent.crt",
        node_key=node_key,
        node_config={},
    )
    with pytest.raises(ConfigError, match=r"absent\.crt"):
        serve_link(config, echo, stop=threading.Event(), on_event=lambda event: None)
