"""The node's long-lived link to the coordinator: the only file here that uses Flower's internals.

A stock SuperNode downloads the operator's app bundle and starts a process for each message. This
link does neither. It keeps one outbound TLS connection to the coordinator's gateway, polls for
messages, passes each to the ClientApp that is installed on this machine, and sends the answer
back. It speaks Flower's fleet calls (protobuf over HTTPS, signed with the node's key) itself, so
that every size is bounded, redirects are never followed, and no library call can end the process.
Messages travel inside their heads instead of as objects that are fetched one by one: two calls a
message instead of nine. `tests/partner_node/test_flower_contract.py` guards what is used of Flower.

What leaves the machine is one message, with what is said of logs beside it where the coordinator
reads that, or an error code; nothing else.
"""

from __future__ import annotations

import base64
import datetime
import email.utils
import logging
import random
import re
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import httpx
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    ActivateNodeResponse,
    DeactivateNodeRequest,
    DeactivateNodeResponse,
    PullMessagesRequest,
    PullMessagesResponse,
    PushMessagesRequest,
    PushMessagesResponse,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest, SendNodeHeartbeatResponse
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.message_pb2 import ObjectTree
from flwr.proto.node_pb2 import Node
from flwr.proto.run_pb2 import GetRunRequest, GetRunResponse
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtobufMessage

from machine.files import write_file
from partner_node.link.proxy import Proxy
from partner_node.link.settings import (
    APPROVED_BUNDLE_SHA256,
    Bell,
    LinkConfig,
    LinkEvent,
    Pace,
    PollSettings,
    load_node_key,
)
from partner_node.link.trouble import (
    SAID,
    ProxyAnswerError,
    ProxyAwayError,
    Trouble,
    of_failure,
)
from partner_node.link.trusting_client import TrustingClient
from protocol.calls import CALL_SIGNATURE_HEADER, call_bytes
from protocol.errors import ConfigError, MalformedError, UsageError
from protocol.limits import MAX_REPLY_BYTES, MAX_REQUEST_BYTES
from protocol.log.beside import MAX_BESIDE_BYTES

__all__ = [
    "APPROVED_BUNDLE_SHA256",
    "BESIDE_FIELD",
    "ERROR_FIELD",
    "FLEET_PATHS",
    "MESSAGE_FIELD",
    "MESSAGE_TYPE",
    "READS_BESIDE",
    "RECORD",
    "LinkConfig",
    "LinkEvent",
    "PollSettings",
    "beside_of",
    "error_content",
    "load_node_key",
    "payload_of",
    "place_of",
    "serve_link",
]

logger = logging.getLogger(__name__)

MESSAGE_TYPE: Final = "query.fedseg"
RECORD: Final = "fedseg"
MESSAGE_FIELD: Final = "message"
ERROR_FIELD: Final = "error"
#: States of logs and cosignatures, beside a message and no part of it.
BESIDE_FIELD: Final = "witness"
#: The group of requests whose coordinator reads that field.
READS_BESIDE: Final = "witness-1"

#: The fleet calls that a node makes: the only ones that the gateway lets through.
FLEET_PATHS: Final = frozenset(
    f"/v1/fleet/{call}"
    for call in (
        "activate-node",
        "deactivate-node",
        "send-node-heartbeat",
        "pull-messages",
        "push-messages",
        "get-run",
    )
)

_MEDIA_TYPE: Final = "application/protobuf"
_PUBLIC_KEY_HEADER: Final = "flwr-public-key"
_TIMESTAMP_HEADER: Final = "flwr-timestamp"
_SIGNATURE_HEADER: Final = "flwr-signature"

_FIELDS_OF_A_REQUEST: Final = ({MESSAGE_FIELD}, {MESSAGE_FIELD, BESIDE_FIELD})
_FIELDS_OF_A_REPLY: Final = (*_FIELDS_OF_A_REQUEST, {ERROR_FIELD})
_ERROR_CODE: Final = re.compile(r"E-[A-Z0-9][A-Z0-9-]{0,62}")
#: Room for Flower's wrapping around one message.
_OVERHEAD_BYTES: Final = 64 << 10
#: Flower refuses a signature older than 300 s or more than 5 s ahead of its clock.
_CLOCK_TOLERANCE_S: Final = 4.0
_RETRYABLE: Final = frozenset({429, 502, 503, 504})
_RUNS_REMEMBERED: Final = 64

ResponseT = TypeVar("ResponseT", bound=ProtobufMessage)


def serve_link(
    config: LinkConfig,
    app: ClientApp,
    *,
    stop: threading.Event,
    on_event: Callable[[LinkEvent], None],
    on_look: Callable[[], None] = lambda: None,
    bell: Bell | None = None,
) -> None:
    """Stay connected and answer messages until `stop` is set.

    If the gateway is unreachable or the SuperLink was restarted, the link reconnects by itself,
    with growing pauses. So it does after anything unexpected: whatever the other side sends, the
    process continues.

    Args:
        config: See `LinkConfig`.
        app: Answers the messages; runs in this thread, one message at a time.
        stop: Ends the link as soon as possible: at most one call later when idle.
        on_event: Called from this thread for each `LinkEvent`; must not raise.
        on_look: Called from this thread each time that messages were looked for, or could not be,
            after one that came was answered; must not raise.
        bell: Wakes the link while it waits; None where nobody does.

    Raises:
        ConfigError: The authority's file cannot be read, or a setting is invalid.
        KeystoreError: See `load_node_key`.
    """
    fleet = _Fleet(config, stop)
    bell = bell or Bell()
    failures = 0
    with fleet:
        while not stop.is_set():
            session = _Session(
                config, fleet, app, stop=stop, on_event=on_event, on_look=on_look, bell=bell
            )
            try:
                session.run()
                continue
            except _LinkLostError as lost:
                code, trouble = lost.code, lost.trouble
            except Exception as error:  # outermost loop: no answer from outside ends the process
                code, trouble = "E-LINK-INTERNAL", None
                logger.error("the link met something unexpected: %s", place_of(error))
            failures = 1 if session.connected else failures + 1
            on_event(LinkEvent(kind="lost", code=code))
            logger.warning("link lost (%s), attempt %s", code, failures)
            if trouble is not None:
                logger.warning("%s: %s; %s", config.address, trouble.words, trouble.way_out)
            on_look()
            pause = min(config.poll.reconnect_max_s, 0.2 * 2.0 ** min(failures - 1, 10))
            stop.wait(pause * random.uniform(0.7, 1.0))  # noqa: S311 (spreads load, no secret)
    on_event(LinkEvent(kind="stopped"))


class _LinkLostError(Exception):
    """The connection is lost: reconnect."""

    def __init__(self, code: str, trouble: Trouble | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.trouble = trouble or SAID.get(code)


class _RefusedCallError(Exception):
    """The gateway or the SuperLink refused one call permanently."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status

    def as_lost(self) -> _LinkLostError:
        """As a lost connection, if that is useless without the call."""
        known: dict[int, str] = {
            httpx.codes.FORBIDDEN: "E-LINK-NOT-ADMITTED",
            httpx.codes.PRECONDITION_FAILED: "E-LINK-SECOND",
        }
        return _LinkLostError(known.get(self.status, "E-LINK-REFUSED"))


class _Fleet:
    """Flower's fleet calls over one kept-alive HTTPS connection, with bounded answers."""

    def __init__(self, config: LinkConfig, stop: threading.Event) -> None:
        self._poll = config.poll
        self._proxy = config.proxy
        self._stop = stop
        key = config.node_key
        self._key = load_node_key(key) if isinstance(key, Path) else key
        self.public_key: Final = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._http = TrustingClient(config.root_certificates, lambda: _client(config))

    def __enter__(self) -> _Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def call(
        self,
        name: str,
        request: ProtobufMessage,
        answer: type[ResponseT],
        *,
        max_bytes: int = _OVERHEAD_BYTES,
    ) -> ResponseT:
        """Make one call, with retries for a while on network errors."""
        body = request.SerializeToString(deterministic=True)
        deadline = time.monotonic() + self._poll.retry_for_s
        pause = 0.05
        while True:
            try:
                return self._call_once(name, body, answer, max_bytes=max_bytes)
            except _LinkLostError:
                if time.monotonic() + pause > deadline or self._stop.wait(pause):
                    raise
            pause = min(2.0 * pause, 1.0)

    def _call_once(
        self, name: str, body: bytes, answer: type[ResponseT], *, max_bytes: int
    ) -> ResponseT:
        path = f"/v1/fleet/{name}"
        try:
            with (
                self._http.now() as http,
                http.stream(
                    "POST", path, content=body, headers=self._signed(path, body)
                ) as response,
            ):
                if response.status_code != httpx.codes.OK:
                    raise self._failure(response)
                content = bytearray()
                for chunk in response.iter_raw():
                    content += chunk
                    if len(content) > max_bytes:
                        raise _LinkLostError("E-LINK-OVERSIZE")
        except httpx.TransportError as error:
            trouble = of_failure(_on_the_way(error, self._proxy), through_proxy=bool(self._proxy))
            raise _LinkLostError(trouble.code, trouble) from error
        result = answer()
        try:
            result.ParseFromString(bytes(content))
        except DecodeError as error:
            raise _LinkLostError("E-LINK-PROTOCOL") from error
        return result

    def _signed(self, path: str, body: bytes) -> dict[str, str]:
        """Headers of a call: Flower's signature, of the time alone, and ours of all of it."""
        timestamp = datetime.datetime.now(datetime.UTC).isoformat()
        signature, ours = (
            self._key.sign(data, ec.ECDSA(hashes.SHA256()))
            for data in (timestamp.encode("ascii"), call_bytes(path, timestamp, body))
        )
        return {
            _PUBLIC_KEY_HEADER: base64.b64encode(self.public_key).decode("ascii"),
            _TIMESTAMP_HEADER: timestamp,
            _SIGNATURE_HEADER: base64.b64encode(signature).decode("ascii"),
            CALL_SIGNATURE_HEADER: base64.b64encode(ours).decode("ascii"),
        }

    @staticmethod
    def _failure(response: httpx.Response) -> Exception:
        status = response.status_code
        if status in _RETRYABLE:
            return _LinkLostError("E-LINK-AWAY" if status != 429 else "E-LINK-BUSY")
        if status == httpx.codes.UNAUTHORIZED:
            # A restarted SuperLink does not know the node id, or the clocks differ.
            skewed = _clock_skew_s(response.headers.get("date")) > _CLOCK_TOLERANCE_S
            return _LinkLostError("E-LINK-CLOCK" if skewed else "E-LINK-UNKNOWN")
        return _RefusedCallError(status)


def _client(config: LinkConfig) -> httpx.Client:
    """A client that trusts what is in the authority's file now; raises ConfigError."""
    try:
        context = ssl.create_default_context(cafile=str(config.root_certificates))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"cannot read the coordinator's authority {config.root_certificates}",
            remedy="Name the file ca.crt that the coordinator gave out.",
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return httpx.Client(
        base_url=f"https://{config.address}",
        verify=context,
        timeout=config.poll.call_timeout_s,
        follow_redirects=False,
        trust_env=False,
        proxy=None
        if config.proxy is None
        else httpx.Proxy(f"http://{config.proxy.address}", auth=config.proxy.login),
        headers={
            "content-type": _MEDIA_TYPE,
            "accept": _MEDIA_TYPE,
            "accept-encoding": "identity",
        },
    )


def _on_the_way(error: httpx.TransportError, proxy: Proxy | None) -> BaseException:
    """The error, or what it says of the proxy."""
    if proxy is None:
        return error
    if isinstance(error, httpx.ProxyError):  # its text begins with the status
        status = str(error)[:3]
        return ProxyAnswerError(int(status) if status.isdigit() else 0)
    behind: BaseException | None = error
    while behind is not None:  # in the tunnel, that is
        if isinstance(behind, ssl.SSLError | ConnectionResetError | BrokenPipeError):
            return error
        behind = behind.__cause__ or behind.__context__
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return ProxyAwayError(str(error))
    return error


def _clock_skew_s(date: str | None) -> float:
    """Seconds by which this machine's clock and the gateway's differ; 0 when unknown."""
    try:
        there = email.utils.parsedate_to_datetime(date or "")
        if there.tzinfo is None:
            return 0.0
        return abs((datetime.datetime.now(datetime.UTC) - there).total_seconds())
    except (ValueError, OverflowError, TypeError, IndexError):  # raised on odd dates
        return 0.0


class _Session:
    """One connection: from activation until it is lost or stopped."""

    def __init__(
        self,
        config: LinkConfig,
        fleet: _Fleet,
        app: ClientApp,
        *,
        stop: threading.Event,
        on_event: Callable[[LinkEvent], None],
        on_look: Callable[[], None],
        bell: Bell,
    ) -> None:
        self._config = config
        self._bell = bell
        self._pace = Pace(config.poll)
        self._fleet = fleet
        self._app = app
        self._stop = stop
        self._on_event = on_event
        self._on_look = on_look
        self._node = Node()
        self._approved_runs: OrderedDict[int, bool] = OrderedDict()
        self._over = threading.Event()
        self.connected = False

    def run(self) -> None:
        """Connect, answer messages until `stop`, leave."""
        self._activate()
        heartbeat = threading.Thread(target=self._keep_alive, name="fedseg-heartbeat", daemon=True)
        heartbeat.start()
        try:
            self._answer_messages()
        finally:
            self._over.set()
        heartbeat.join(self._config.poll.call_timeout_s)
        self._deactivate(self._node.node_id)
        self._remember(None)

    def _activate(self) -> None:
        request = ActivateNodeRequest(
            public_key=self._fleet.public_key, heartbeat_interval=self._config.poll.heartbeat_s
        )
        remembered = self._remembered()
        try:
            response = self._fleet.call("activate-node", request, ActivateNodeResponse)
        except _RefusedCallError as refused:
            if refused.status != httpx.codes.PRECONDITION_FAILED or remembered is None:
                raise refused.as_lost() from refused
            # This node was killed a moment ago and still counts as connected: leave, reconnect.
            self._deactivate(remembered)
            try:
                response = self._fleet.call("activate-node", request, ActivateNodeResponse)
            except _RefusedCallError as again:
                raise again.as_lost() from again
        self._node = Node(node_id=response.node_id)
        self._remember(response.node_id)
        self.connected = True
        self._on_event(LinkEvent(kind="connected"))

    def _deactivate(self, node_id: int) -> None:
        try:
            self._fleet.call(
                "deactivate-node", DeactivateNodeRequest(node_id=node_id), DeactivateNodeResponse
            )
        except (_LinkLostError, _RefusedCallError):
            logger.info("the coordinator was not told that this node leaves")

    def _remembered(self) -> int | None:
        """The node id under which this folder was connected last.

        Of a folder that was copied none: the node that it is a copy of may be connected.
        """
        path = self._config.state_file
        try:
            words = [] if path is None else path.read_text(encoding="ascii").split()
        except (OSError, UnicodeDecodeError):
            return None
        if path is None or not words or words[1:] not in ([], [_place_of_folder(path)]):
            return None
        text = words[0]
        return int(text) if text.isdecimal() and int(text[:21]) < 1 << 64 else None

    def _remember(self, node_id: int | None) -> None:
        """Store the node id for the next start, which is only faster with it."""
        path = self._config.state_file
        if path is None:
            return
        try:
            if node_id is None:
                path.unlink(missing_ok=True)
                return
            write_file(path, f"{node_id} {_place_of_folder(path)}")
        except UsageError as error:
            logger.warning("%s", error.message)
        except OSError as error:
            logger.warning("%s cannot be deleted: %s", path, error.strerror)

    def _keep_alive(self) -> None:
        interval = self._config.poll.heartbeat_s
        while not self._over.wait(interval * random.uniform(0.7, 0.9)):  # noqa: S311
            # The next one comes within the interval that this one tells.
            interval = self._pace.heartbeat(time.monotonic(), is_woken=self._bell.is_attended)
            request = SendNodeHeartbeatRequest(node=self._node, heartbeat_interval=interval)
            try:
                answer = self._fleet.call("send-node-heartbeat", request, SendNodeHeartbeatResponse)
            except Exception:  # noqa: S112 (the polling thread gets the same error and decides)
                continue
            if not answer.success:
                self._over.set()

    def _answer_messages(self) -> None:
        pace = self._pace
        request = PullMessagesRequest(node=self._node)
        while not self._stop.is_set():
            if self._over.is_set():
                raise _LinkLostError("E-LINK-UNKNOWN")
            try:
                pulled = self._fleet.call(
                    "pull-messages",
                    request,
                    PullMessagesResponse,
                    max_bytes=MAX_REQUEST_BYTES + MAX_BESIDE_BYTES + _OVERHEAD_BYTES,
                )
            except _RefusedCallError as refused:
                raise refused.as_lost() from refused
            # Flower hands out one at a time.
            came = time.monotonic()
            answered = bool(pulled.messages_list) and self._answer(pulled.messages_list[0])
            self._on_look()
            if answered:
                pause = pace.answered(came, time.monotonic())
            else:
                if pulled.messages_list:  # dropped: another may follow as soon
                    pace.message(time.monotonic())
                pause = pace.nothing(time.monotonic(), is_woken=self._bell.is_attended)
            if self._bell.wait(pause, self._stop):
                pace.message(time.monotonic())

    def _answer(self, proto: MessageProto) -> bool:
        """Answer one message; False when it was dropped."""
        run_id = proto.metadata.run_id
        start = time.monotonic()
        try:
            message = message_from_proto(proto)
        except Exception as error:  # Flower's decoding trusts its input: it may raise anything
            logger.warning("a message that cannot be decoded: %s", place_of(error))
            self._on_event(LinkEvent(kind="dropped", run=run_id))
            return False
        try:
            content = self._reply_content(message)
            reply = Message(content, reply_to=message)
            reply.metadata.__dict__["_message_id"] = reply.object_id
            self._fleet.call(
                "push-messages",
                PushMessagesRequest(
                    node=self._node,
                    messages_list=[message_to_proto(reply)],
                    message_object_trees=[ObjectTree(object_id=reply.metadata.message_id)],
                    clientapp_runtime_list=[time.monotonic() - start],
                ),
                PushMessagesResponse,
            )
        except (_RefusedCallError, ValueError, TypeError, KeyError):
            # The run ended, the message expired, or it cannot be replied to: nobody is waiting.
            self._on_event(LinkEvent(kind="dropped", run=run_id))
            return False
        code = content[RECORD].get(ERROR_FIELD)
        self._on_event(
            LinkEvent(
                kind="answered" if code is None else "refused",
                code=None if code is None else str(code),
                run=run_id,
            )
        )
        return True

    def _reply_content(self, message: Message) -> RecordDict:
        run_id = message.metadata.run_id
        if not self._is_approved(run_id):
            return error_content("E-BUNDLE")
        if message.metadata.message_type != MESSAGE_TYPE:
            return error_content(MalformedError.default_code)
        try:
            payload_of(message)
            beside_of(message)
        except MalformedError as error:
            return error_content(error.code)
        context = Context(
            run_id=run_id,
            node_id=self._node.node_id,
            node_config=dict(self._config.node_config),
            state=RecordDict(),
            run_config={},  # the operator's run configuration is ignored
        )
        try:
            reply = self._app(message, context)
        except Exception as error:  # outermost loop: whatever the app did, one code leaves
            logger.error("the ClientApp failed: %s", place_of(error))
            return error_content("E-INTERNAL")
        return _outgoing(reply)

    def _is_approved(self, run_id: int) -> bool:
        if run_id not in self._approved_runs:
            answer = self._fleet.call(
                "get-run", GetRunRequest(node=self._node, run_id=run_id), GetRunResponse
            )
            self._approved_runs[run_id] = answer.run.fab_hash == self._config.bundle_sha256
            while len(self._approved_runs) > _RUNS_REMEMBERED:
                self._approved_runs.popitem(last=False)
        return self._approved_runs[run_id]


def _place_of_folder(path: Path) -> str:
    """The folder of a file as its disk knows it: a copy of the folder has another one."""
    try:
        found = path.parent.stat()
    except OSError:
        return "gone"
    return f"{found.st_dev}:{found.st_ino}"


def payload_of(message: Message) -> bytes:
    """The protocol's message in a request.

    Raises:
        MalformedError: The request holds anything else but what may be beside it, or more bytes
            than a request may have.
    """
    record = _record_of(message)
    payload = record[MESSAGE_FIELD]
    if not isinstance(payload, bytes):
        raise MalformedError("a message that is not bytes")
    if len(payload) > MAX_REQUEST_BYTES:
        raise MalformedError(f"a message of {len(payload)} bytes, allowed are {MAX_REQUEST_BYTES}")
    return payload


def beside_of(message: Message) -> bytes:
    """What came beside the message in a request; empty where nothing did.

    Raises:
        MalformedError: It is not bytes, or too many.
    """
    beside = _record_of(message).get(BESIDE_FIELD, b"")
    if not isinstance(beside, bytes):
        raise MalformedError("what is beside a message is not bytes")
    if len(beside) > MAX_BESIDE_BYTES:
        raise MalformedError(f"{len(beside)} bytes beside a message, at most {MAX_BESIDE_BYTES}")
    return beside


def _record_of(message: Message) -> ConfigRecord:
    if not message.has_content() or set(message.content) != {RECORD}:
        raise MalformedError("a message with other than the one record")
    record = message.content[RECORD]
    if not isinstance(record, ConfigRecord) or set(record) not in _FIELDS_OF_A_REQUEST:
        raise MalformedError("a record with other than its fields")
    return record


def place_of(error: BaseException) -> str:
    """Type and code locations of an error, without its message, which may contain data."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{Path(code.co_filename).name}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return f"{type(error).__name__} at {' > '.join(places)}"


def error_content(code: str) -> RecordDict:
    """A reply with one error code and nothing else."""
    return RecordDict({RECORD: ConfigRecord({ERROR_FIELD: code})})


def _beside(beside: bytes) -> dict[str, bytes]:
    return {BESIDE_FIELD: beside} if beside else {}


def _outgoing(reply: Message) -> RecordDict:
    """The reply, if it is a message of allowed size or one code; else ``E-INTERNAL``.

    What is beside a message leaves with it.
    """
    if not reply.has_content() or set(reply.content) != {RECORD}:
        return error_content("E-INTERNAL")
    record = reply.content[RECORD]
    if not isinstance(record, ConfigRecord) or set(record) not in _FIELDS_OF_A_REPLY:
        return error_content("E-INTERNAL")
    payload, code = record.get(MESSAGE_FIELD), record.get(ERROR_FIELD)
    beside = record.get(BESIDE_FIELD, b"")
    if not isinstance(beside, bytes) or len(beside) > MAX_BESIDE_BYTES:
        return error_content("E-INTERNAL")
    if isinstance(payload, bytes) and len(payload) <= MAX_REPLY_BYTES:
        fields: dict[str, bytes] = {MESSAGE_FIELD: payload}
        return RecordDict({RECORD: ConfigRecord({**fields, **_beside(beside)})})
    if isinstance(code, str) and _ERROR_CODE.fullmatch(code):
        return error_content(code)
    return error_content("E-INTERNAL")
