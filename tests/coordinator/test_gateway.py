"""The public port: what passes, what does not, and who is cut off.

Behind the gateway stands a recording server in place of the SuperLink.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import http.server
import socket
import socketserver
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_TYPES

from coordinator.front.limits import FrontLimits
from coordinator.service import gateway as gateway_module
from coordinator.service.certificates import (
    LOOPBACK_HOSTS,
    ServerCertificate,
    make_server_certificate,
)
from coordinator.service.gateway import ALLOWED_PATHS, Gateway, GatewayConfig
from coordinator.service.heard_calls import HeardCalls
from coordinator.store.admitted_nodes import key_end
from machine.logs import Repetitions
from partner_node.link.flower_link import FLEET_PATHS
from protocol.calls import CALL_SIGNATURE_HEADER, call_bytes
from protocol.errors import ConfigError, TransportError
from tests.coordinator.test_asked_messages import handed_out, reply

KEYS = [ec.generate_private_key(ec.SECP384R1()) for _ in range(2)]
ADMITTED, OTHER = (
    key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for key in KEYS
)
PULL = "/v1/fleet/pull-messages"
PUSH = "/v1/fleet/push-messages"
NOWHERE = Path("nowhere")
SECRET = b"words from behind the gateway"


def signed(
    *,
    by: int = 0,
    key: bytes | None = None,
    at_s: float = 0.0,
    timestamp: str = "",
    path: str = PULL,
    body: bytes = b"",
) -> dict[str, str]:
    """Headers that the node with key number `by` sends for an instant `at_s` from now."""
    now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=at_s)
    text = timestamp or now.isoformat()
    signature = KEYS[by].sign(text.encode("ascii"), ec.ECDSA(hashes.SHA256()))
    bound = KEYS[by].sign(call_bytes(path, text, body), ec.ECDSA(hashes.SHA256()))
    return {
        "flwr-public-key": base64.b64encode(key or (ADMITTED, OTHER)[by]).decode("ascii"),
        "flwr-timestamp": text,
        "flwr-signature": base64.b64encode(signature).decode("ascii"),
        CALL_SIGNATURE_HEADER: base64.b64encode(bound).decode("ascii"),
    }


def head(length: int, **how: Any) -> bytes:
    """The head of a signed request with a body of `length` bytes."""
    lines = [f"POST {PULL} HTTP/1.1", "host: x", f"content-length: {length}"]
    lines += [f"{name}: {value}" for name, value in signed(**how).items()]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


@dataclass
class Upstream:
    """A server on a Unix socket that notes what reaches it."""

    path: Path
    seen: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    status: int = 200
    answer: bytes = b"answer"


@dataclass
class Setting:
    gateway: Gateway
    upstream: Upstream
    certificate: ServerCertificate

    def client(self) -> httpx.Client:
        context = ssl.create_default_context(cafile=str(self.certificate.authority))
        return httpx.Client(
            base_url=f"https://{self.gateway.address}",
            verify=context,
            trust_env=False,
            timeout=10.0,
        )

    def post(
        self, path: str = PULL, *, key: bytes | None = ADMITTED, **more: Any
    ) -> httpx.Response:
        headers = {"content-type": "application/protobuf"}
        content = more.get("content", b"question")
        body = content if isinstance(content, bytes) else b""
        headers |= signed(by=1 if key == OTHER else 0, path=path, body=body)
        headers["flwr-public-key"] = base64.b64encode(key or b"").decode()
        if key is None:
            del headers["flwr-public-key"]
        headers |= more.pop("headers", {})
        with self.client() as client:
            return client.post(path, headers=headers, **({"content": b"question"} | more))

    def raw(self, data: bytes, *, more: bytes = b"", timeout_s: float = 10.0) -> bytes:
        """Send bytes as they are; returns all that comes back until the connection ends."""
        context = ssl.create_default_context(cafile=str(self.certificate.authority))
        with (
            socket.create_connection(("127.0.0.1", self.gateway.port), timeout=timeout_s) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
        ):
            secured.sendall(data)
            answer = b""
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                while chunk := secured.recv(65_536):
                    answer += chunk
                    if more:
                        secured.sendall(more)
            return answer


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ServerCertificate:
    return make_server_certificate(
        tmp_path_factory.mktemp("tls"),
        name="server",
        hosts=LOOPBACK_HOSTS,
        now=datetime.datetime.now(datetime.UTC),
        lifetime_days=1,
    )


class _SocketServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path that is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="fedseg-") as made:
        yield Path(made)


@pytest.fixture
def upstream(folder: Path) -> Iterator[Upstream]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            note.seen.append((self.path, dict(self.headers.items()), body))
            answer = note.answer if note.status == 200 else SECRET
            self.send_response(note.status)
            self.send_header("content-type", "application/protobuf")
            self.send_header("x-secret", "of the inside")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    note = Upstream(folder / "superlink")
    server = _SocketServer(str(note.path), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield note
    server.shutdown()
    server.server_close()
    thread.join(10)


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def status_of(setting: Setting) -> int:
    """The status of a node's call; 0 when it was not even connected."""
    try:
        return setting.post().status_code
    except httpx.TransportError:
        return 0


@contextlib.contextmanager
def held(setting: Setting) -> Iterator[Callable[[], ssl.SSLSocket]]:
    """Gives a function that opens TLS connections; all are closed at the end."""
    context = ssl.create_default_context(cafile=str(setting.certificate.authority))
    with contextlib.ExitStack() as stack:

        def hold() -> ssl.SSLSocket:
            address = ("127.0.0.1", setting.gateway.port)
            plain = stack.enter_context(socket.create_connection(address, timeout=10))
            secured = context.wrap_socket(plain, server_hostname="127.0.0.1")
            return stack.enter_context(secured)

        yield hold


#: The names of the limits that both public ports have.
OF_THE_FRONT = {field.name for field in fields(FrontLimits)}


def _config(certificate: ServerCertificate, upstream: Path, **settings: Any) -> GatewayConfig:
    front = {name: settings.pop(name) for name in OF_THE_FRONT & settings.keys()}
    return GatewayConfig(
        front=FrontLimits(**front),
        certificate=certificate.certificate,
        key=certificate.key,
        upstream=upstream,
        **({"linger_s": 0.1} | settings),
    )


def door(certificate: ServerCertificate, **limits: Any) -> Any:
    """The inside of a gateway that listens on no port."""
    config = _config(certificate, NOWHERE, connections=1, **limits)
    pool: Any = None
    return gateway_module._Door(config, pool, lambda key: True, ssl.create_default_context())


@contextlib.contextmanager
def running(certificate: ServerCertificate, upstream: Upstream, **limits: Any) -> Iterator[Setting]:
    gateway = Gateway(
        _config(certificate, upstream.path, **limits), is_admitted=lambda key: key == ADMITTED
    )
    gateway.start()
    try:
        yield Setting(gateway, upstream, certificate)
    finally:
        gateway.stop()


@pytest.fixture
def setting(certificate: ServerCertificate, upstream: Upstream) -> Iterator[Setting]:
    with running(certificate, upstream) as setting:
        yield setting


def test_a_nodes_call_passes_with_its_body_and_its_answer(setting: Setting) -> None:
    response = setting.post()
    assert (response.status_code, response.content) == (200, b"answer")
    path, _, body = setting.upstream.seen[0]
    assert (path, body) == (PULL, b"question")


def test_of_messages_only_a_reply_to_what_the_node_was_handed_passes(setting: Setting) -> None:
    setting.upstream.answer = handed_out("asked")
    assert setting.post(PUSH, content=reply()).status_code == 409
    assert setting.post(PULL).status_code == 200
    assert setting.post(PUSH, content=reply()).status_code == 200
    assert setting.post(PUSH, content=reply("another")).status_code == 409
    assert [path for path, _, _ in setting.upstream.seen] == [PULL, PUSH]


def test_only_the_headers_that_flower_needs_pass_in_either_direction(setting: Setting) -> None:
    response = setting.post(headers={"x-forwarded-for": "10.0.0.1", "cookie": "c"})
    _, headers, _ = setting.upstream.seen[0]
    assert {name.lower() for name in headers} == {
        "host",
        "accept",
        "content-type",
        "content-length",
        "flwr-public-key",
        "flwr-timestamp",
        "flwr-signature",
    }
    assert set(response.headers) == {"date", "content-type", "content-length"}


def test_the_allow_list_is_exactly_what_a_node_calls() -> None:
    assert {path.decode() for path in ALLOWED_PATHS} == FLEET_PATHS


@pytest.mark.slow
def test_every_other_call_that_the_superlink_knows_ends_at_the_gateway(setting: Setting) -> None:
    others = {path for _, path in PROTOBUF_REQUEST_TYPES} - FLEET_PATHS
    assert "/v1/control/start-run" in others
    assert "/v1/fleet/register-node" in others
    with setting.client() as client:
        key = base64.b64encode(ADMITTED).decode()
        for path in [*sorted(others), "/", "/health", "/docs", "/openapi.json"]:
            response = client.post(path, headers={"flwr-public-key": key})
            assert (response.status_code, response.content) == (404, b""), path
    assert setting.upstream.seen == []


@pytest.mark.parametrize(
    "path",
    [
        "/v1/fleet/../control/start-run",
        "/v1/fleet/pull-messages/",
        "/v1/fleet/pull-messages?x=1",
        "//v1/fleet/pull-messages",
        "/v1/fleet/%70ull-messages",
        "/V1/FLEET/PULL-MESSAGES",
        "https://127.0.0.1/v1/control/start-run",
    ],
)
def test_a_path_that_only_looks_like_an_allowed_one_is_refused(setting: Setting, path: str) -> None:
    answer = setting.raw(f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert setting.upstream.seen == []


def test_other_methods_are_refused(setting: Setting) -> None:
    with setting.client() as client:
        for method in ("GET", "PUT", "DELETE", "OPTIONS", "CONNECT"):
            assert client.request(method, PULL).status_code == 405
    assert setting.upstream.seen == []


@pytest.mark.parametrize("key", [None, b"", b"another key", ADMITTED + b" "])
def test_a_key_that_is_not_admitted_does_not_reach_the_superlink(
    setting: Setting, key: bytes | None
) -> None:
    assert setting.post(key=key).status_code == 403
    assert setting.upstream.seen == []


def test_the_log_of_a_refusal_names_the_partner_or_the_key_as_partner_list_does(
    certificate: ServerCertificate, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    names = {ADMITTED: "north", OTHER: "east"}
    gateway = Gateway(
        _config(certificate, upstream.path),
        is_admitted=lambda key: key == ADMITTED,
        name_of=lambda key: names.get(key),
    )
    stranger = ec.generate_private_key(ec.SECP384R1()).public_key()
    pem, text = (
        stranger.public_bytes(encoding, form)
        for encoding, form in (
            (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
            (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH),
        )
    )
    gateway.start()
    try:
        setting = Setting(gateway, upstream, certificate)
        setting.post(PUSH)
        setting.post(key=OTHER)
        setting.post(key=pem)
        setting.post(key=b"none")
        setting.post(key=None)
    finally:
        gateway.stop()
    end = key_end(text.decode())
    told = [r.getMessage() for r in caplog.records if "refused with status" in r.getMessage()]
    assert told[0] == "north, at 127.0.0.1: a call was refused with status 400"
    assert told[1].endswith(
        ", which was that of east, at 127.0.0.1: a call was refused with status 403"
    )
    assert told[2].startswith(f"a node key that is not admitted, ending in {end}, at 127.0.0.1: ")
    assert told[3].startswith("a key that is none, SHA-256 ")
    assert told[4].startswith("a caller that shows no node key, at 127.0.0.1: ")


def test_a_caller_that_invents_keys_is_one_line_in_the_log(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for number in range(5):
        setting.post(key=b"invented %d" % number)
    told = [r for r in caplog.records if "status 403" in r.getMessage()]
    repetitions = Repetitions()
    assert (len(told), sum(map(repetitions.filter, told))) == (5, 1)


def test_calls_while_the_superlink_is_started_again_are_one_line_in_the_log(
    certificate: ServerCertificate, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    gateway = Gateway(
        _config(certificate, folder / "nobody"), is_admitted=lambda key: key in (ADMITTED, OTHER)
    )
    gateway.start()
    try:
        setting = Setting(gateway, Upstream(folder / "nobody"), certificate)
        statuses = [setting.post(key=key).status_code for key in 3 * [ADMITTED, OTHER]]
    finally:
        gateway.stop()
    assert statuses == [503] * 6
    told = [r for r in caplog.records if r.name == gateway_module.__name__]
    repetitions = Repetitions()
    assert [r.getMessage() for r in told if repetitions.filter(r)] == [
        "the SuperLink does not answer: nodes are told to ask again"
    ]


def test_a_key_that_is_not_base64_is_refused(setting: Setting) -> None:
    assert setting.post(key=None, headers={"flwr-public-key": "%%%"}).status_code == 403


def test_two_keys_in_one_request_are_refused(setting: Setting) -> None:
    key = base64.b64encode(ADMITTED)
    line = b"flwr-public-key: " + key + b"\r\n"
    answer = setting.raw(
        f"POST {PULL} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n".encode() + 2 * line + b"\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 403 ")


def test_a_body_over_the_limit_is_refused_unread(
    certificate: ServerCertificate, upstream: Upstream
) -> None:
    with running(certificate, upstream, max_body_bytes=1_000) as setting:
        assert setting.post(content=b"x" * 1_000).status_code == 200
        assert setting.post(content=b"x" * 1_001).status_code == 413
        assert setting.post(content=b"x" * 3_000_000).status_code == 413
    assert len(upstream.seen) == 1


def test_only_replies_may_be_large(setting: Setting) -> None:
    """Questions for millions of empty names took the SuperLink seconds and gigabytes."""
    for path in map(bytes.decode, sorted(ALLOWED_PATHS)):
        answer = setting.post(path, content=b"x" * 5_000)
        assert answer.status_code == (400 if path == PUSH else 413), path
        if path != PUSH:
            assert setting.post(path, content=b"x" * 1_000).status_code == 200, path
    assert len(setting.upstream.seen) == len(ALLOWED_PATHS) - 1


def test_bodies_of_all_connections_together_are_limited(
    certificate: ServerCertificate, upstream: Upstream
) -> None:
    with running(certificate, upstream, max_buffered_bytes=1_000) as setting:
        assert setting.post(content=b"x" * 1_001).status_code == 503
        assert setting.post(content=b"x" * 900).status_code == 200
        assert setting.post(content=b"x" * 900).status_code == 200


def test_announced_bytes_take_no_room_before_they_arrive(
    certificate: ServerCertificate, upstream: Upstream
) -> None:
    """Whoever announces bodies and sends none keeps nobody from answering."""
    with running(certificate, upstream, max_buffered_bytes=1_000) as setting, held(setting) as hold:
        for _ in range(3):
            hold().sendall(head(900))
        assert setting.post(content=b"x" * 900).status_code == 200


def test_one_key_fills_its_own_share_and_no_more(
    certificate: ServerCertificate, upstream: Upstream
) -> None:
    gateway = Gateway(
        _config(certificate, upstream.path, max_buffered_bytes_per_key=1_000),
        is_admitted=lambda key: key in (ADMITTED, OTHER),
    )
    gateway.start()
    try:
        setting = Setting(gateway, upstream, certificate)
        with held(setting) as hold:
            hold().sendall(head(1_000) + b"x" * 900)
            wait_until(lambda: setting.post(content=b"x" * 200).status_code == 503)
            assert setting.post(key=OTHER, content=b"x" * 900).status_code == 200
        wait_until(lambda: setting.post(content=b"x" * 200).status_code == 200)
    finally:
        gateway.stop()


@pytest.mark.parametrize(
    ("how", "change"),
    [
        ({"by": 1, "key": ADMITTED}, {}),
        ({"at_s": -310}, {}),
        ({"at_s": 30}, {}),
        ({"timestamp": "2026-01-01T00:00:00"}, {}),
        ({"timestamp": "yesterday"}, {}),
        ({}, {"flwr-signature": "AAAA"}),
        ({}, {"flwr-signature": "%%"}),
        ({"at_s": -1}, {"flwr-timestamp": "now"}),
    ],
    ids=["another key", "old", "ahead", "no zone", "no time", "short", "no base64", "changed"],
)
def test_a_request_that_the_key_did_not_sign_now_is_refused_before_its_body_is_read(
    setting: Setting, how: dict[str, Any], change: dict[str, str]
) -> None:
    """A public key is no secret; knowing one must not be enough to be listened to."""
    headers = signed(**how) | change
    if headers["flwr-timestamp"] == "now":
        headers["flwr-timestamp"] = datetime.datetime.now(datetime.UTC).isoformat()
    lines = [f"POST {PULL} HTTP/1.1", "host: x", "content-length: 1000000"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    answer = setting.raw("\r\n".join([*lines, "", ""]).encode("ascii"))
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"connection: close" in answer.lower()
    assert setting.upstream.seen == []


def test_the_head_of_one_call_is_good_for_no_other(setting: Setting) -> None:
    """Whoever read it, in a proxy's log say, could send anything for five minutes."""
    heads = signed(path=PULL, body=b"question")
    for path, body in ((PULL, b"another"), ("/v1/fleet/deactivate-node", b"question")):
        with setting.client() as client:
            assert client.post(path, headers=heads, content=body).status_code == 401
    assert setting.upstream.seen == []
    assert setting.post(headers=heads).status_code == 200


def test_a_call_that_is_sent_again_as_it_is_is_heard_once(setting: Setting) -> None:
    """Whoever read a whole call where TLS ended before the port could send it for five minutes."""
    call = signed(path=PULL, body=b"question")
    assert setting.post(headers=call).status_code == 200
    resigned = KEYS[0].sign(
        call_bytes(PULL, call["flwr-timestamp"], b"question"), ec.ECDSA(hashes.SHA256())
    )  # as anybody can make another of one ECDSA signature
    other = {CALL_SIGNATURE_HEADER: base64.b64encode(resigned).decode("ascii")}
    for again in (call, call | other):
        assert setting.post(headers=again).status_code == 401
    assert len(setting.upstream.seen) == 1
    assert setting.post(headers=signed(path=PULL, body=b"question")).status_code == 200


def test_of_one_key_no_more_calls_are_heard_than_are_remembered(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key at many addresses has the rate of each; what is remembered of it stays bounded."""
    monkeypatch.setattr(HeardCalls, "is_full", lambda *_, **__: True)
    assert setting.post().status_code == 429
    assert setting.upstream.seen == []
    heard = HeardCalls(for_s=10.0, most=3)
    monkeypatch.undo()
    for number in range(3):
        assert not heard.is_full(b"key", now_s=1.0)
        assert heard.is_new(b"key", bytes([number]), now_s=1.0)
    assert heard.is_full(b"key", now_s=11.0)
    assert not heard.is_full(b"another", now_s=11.0)
    assert not heard.is_full(b"key", now_s=11.1)
    assert heard._calls == {}, "what cannot be sent again is forgotten"


def test_a_request_without_signature_is_refused(setting: Setting) -> None:
    for missing in ("flwr-timestamp", "flwr-signature", CALL_SIGNATURE_HEADER):
        headers = signed()
        del headers[missing]
        with setting.client() as client:
            assert client.post(PULL, headers=headers, content=b"q").status_code == 401


def test_a_body_of_unknown_size_is_refused(setting: Setting) -> None:
    assert setting.post(content=iter([b"a", b"b"])).status_code == 411


def test_a_request_with_two_meanings_of_its_length_is_refused(setting: Setting) -> None:
    two = head(4).removesuffix(b"\r\n") + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\nPOST"
    answer = setting.raw(two)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 411 "))
    assert setting.upstream.seen == []


@pytest.mark.parametrize(
    "nonsense",
    [b"\x16\x03\x01 not http\r\n\r\n", b"POST\r\n\r\n", b"\r\n\0\r\n"],
)
def test_what_is_not_http_is_refused(setting: Setting, nonsense: bytes) -> None:
    assert setting.raw(nonsense).startswith(b"HTTP/1.1 400 ")


def test_a_head_over_the_limit_is_refused(setting: Setting) -> None:
    head = f"POST {PULL} HTTP/1.1\r\nhost: x\r\nx-long: ".encode() + b"a" * 100_000
    assert setting.raw(head).startswith(b"HTTP/1.1 431 ")


def test_a_client_that_asks_too_often_is_told_so_and_others_are_not(
    certificate: ServerCertificate, upstream: Upstream
) -> None:
    gateway = Gateway(
        _config(certificate, upstream.path, burst=5, requests_per_s=0.001),
        is_admitted=lambda key: key in (ADMITTED, OTHER),
    )
    gateway.start()
    try:
        setting = Setting(gateway, upstream, certificate)
        statuses = [setting.post().status_code for _ in range(8)]
        assert statuses == [200] * 5 + [429] * 3
        assert setting.post(key=OTHER).status_code == 200
    finally:
        gateway.stop()


def test_unknown_keys_share_one_allowance(
    certificate: ServerCertificate, upstream: Upstream
) -> None:
    with running(certificate, upstream, burst=3, requests_per_s=0.001) as setting:
        statuses = [setting.post(key=b"key %d" % i).status_code for i in range(5)]
        assert statuses == [403, 403, 403, 429, 429]
        assert setting.post().status_code == 200


class Rates:
    """The allowances of a gateway's clients, by a clock that a test sets."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, certificate: ServerCertificate, **limits: Any
    ) -> None:
        self.now_s = 1_000.0
        self.door = door(certificate, **limits)
        loop = SimpleNamespace(time=lambda: self.now_s)
        clock = SimpleNamespace(get_running_loop=lambda: loop)
        monkeypatch.setattr(gateway_module, "asyncio", clock)

    def allowed(self, client: int, *, times: int = 1) -> int:
        """How many of so many requests at once are allowed to a client."""
        key = (f"10.{client >> 16}.{client >> 8 & 255}.{client & 255}", b"key")
        return sum(self.door._within_rate(key) for _ in range(times))


def test_however_long_a_client_was_quiet_no_more_than_the_burst_comes_at_once(
    monkeypatch: pytest.MonkeyPatch, certificate: ServerCertificate
) -> None:
    rates = Rates(monkeypatch, certificate, burst=5, requests_per_s=2.0)
    assert rates.allowed(1, times=20) == 5
    rates.now_s += 1.0
    assert rates.allowed(1, times=20) == 2
    rates.now_s += 86_400
    assert rates.allowed(1, times=20) == 5


def test_of_too_many_clients_the_one_that_asked_longest_ago_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, certificate: ServerCertificate
) -> None:
    """Whoever is new is remembered, so that also then nobody asks without limit."""
    remembered = gateway_module._REMEMBERED_CLIENTS
    rates = Rates(monkeypatch, certificate, burst=3, requests_per_s=0.001)
    for client in range(remembered):
        assert rates.allowed(client, times=4 if client < 2 else 1) == (3 if client < 2 else 1)
    assert rates.allowed(0) == 0, "it is the one that asked last now"
    assert [rates.allowed(remembered) for _ in range(5)] == [1, 1, 1, 0, 0]
    assert len(rates.door._buckets) == remembered
    assert rates.allowed(0) == 0
    assert rates.allowed(1) == 1, "forgotten, and so as if it were new"


def test_a_client_that_never_finishes_its_head_is_cut_off(
    certificate: ServerCertificate, upstream: Upstream
) -> None:
    with running(certificate, upstream, stranger_s=0.3) as setting:
        assert setting.raw(b"POST /v1/fl") == b""


def test_a_client_that_never_finishes_its_body_is_told_and_cut_off(
    certificate: ServerCertificate, upstream: Upstream
) -> None:
    with running(certificate, upstream, body_timeout_s=0.3) as setting:
        assert setting.raw(head(9) + b"half").startswith(b"HTTP/1.1 408 ")
    assert upstream.seen == []


def test_a_client_that_never_speaks_tls_does_not_hold_a_place(
    certificate: ServerCertificate, upstream: Upstream
) -> None:
    with (
        running(certificate, upstream, stranger_s=0.3) as setting,
        socket.create_connection(("127.0.0.1", setting.gateway.port), timeout=10) as silent,
    ):
        assert setting.post().status_code == 200
        assert silent.recv(1) == b""


def test_an_idle_connection_is_closed(certificate: ServerCertificate, upstream: Upstream) -> None:
    with running(certificate, upstream, idle_timeout_s=0.3) as setting:
        assert setting.raw(head(0)).count(b"HTTP/1.1 200 ") == 1


def silent_callers(
    setting: Setting, count: int, *, source: str = "127.0.0.1"
) -> list[socket.socket]:
    """Connections that never say a word."""
    address = ("127.0.0.1", setting.gateway.port)
    return [
        socket.create_connection(address, timeout=10, source_address=(source, 0))
        for _ in range(count)
    ]


def is_closed(caller: socket.socket) -> bool:
    caller.settimeout(5)
    try:
        return caller.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def test_callers_who_never_speak_tls_are_counted_from_the_first_moment(
    certificate: ServerCertificate, upstream: Upstream
) -> None:
    """Else bare TCP connections use up the process's file descriptors."""
    with running(certificate, upstream, strangers_per_address=5) as setting:
        before = len(list(Path("/proc/self/fd").iterdir()))
        callers = silent_callers(setting, 40)
        try:
            assert [is_closed(c) for c in callers[:35]] == [True] * 35
            assert len(list(Path("/proc/self/fd").iterdir())) - before <= 40 + 5 + 2
        finally:
            for caller in callers:
                caller.close()
        wait_until(lambda: status_of(setting) == 200)


def test_when_all_places_are_taken_the_oldest_stranger_makes_room_for_a_node(
    certificate: ServerCertificate, upstream: Upstream
) -> None:
    with running(certificate, upstream, connections=6) as setting:
        callers = silent_callers(setting, 6)
        try:
            assert setting.post().status_code == 200
            assert is_closed(callers[0])
        finally:
            for caller in callers:
                caller.close()


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.2"])
def test_a_node_is_served_while_somebody_holds_connections_without_end(
    setting: Setting, source: str
) -> None:
    """More than there are places, from another address or from the node's own."""
    callers = silent_callers(setting, 300, source=source)
    try:
        assert setting.post().status_code == 200
    finally:
        for caller in callers:
            caller.close()


def test_a_caller_who_may_not_ask_does_not_keep_its_place(setting: Setting) -> None:
    answer = setting.raw(f"POST {PULL} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"connection: close" in answer.lower()


def answered(hold: Callable[[], ssl.SSLSocket]) -> ssl.SSLSocket:
    """A connection of the admitted node, which stays open."""
    connection = hold()
    connection.sendall(head(0))
    assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
    return connection


def test_where_nodes_have_all_places_nobody_else_is_let_in(
    certificate: ServerCertificate, upstream: Upstream
) -> None:
    with running(certificate, upstream, connections=1) as setting, held(setting) as hold:
        answered(hold)
        with pytest.raises(httpx.TransportError):
            setting.post()


def test_a_node_is_no_stranger_from_its_first_signed_call_on(
    certificate: ServerCertificate, upstream: Upstream
) -> None:
    """Fifty nodes may come from one address, which may also be that of whoever floods the port."""
    with (
        running(certificate, upstream, strangers_per_address=1, stranger_s=0.3) as setting,
        held(setting) as hold,
    ):
        node = answered(hold)
        callers = silent_callers(setting, 5)
        try:
            assert [is_closed(c) for c in callers] == [True] * 5
            node.sendall(head(0))
            assert node.recv(65_536).startswith(b"HTTP/1.1 200 ")
        finally:
            for caller in callers:
                caller.close()


def test_one_key_keeps_only_its_newest_connections(
    certificate: ServerCertificate, upstream: Upstream
) -> None:
    with running(certificate, upstream, per_member=2) as setting, held(setting) as hold:
        nodes = [answered(hold) for _ in range(3)]
        assert is_closed(nodes[0])
        nodes[2].sendall(head(0))
        assert nodes[2].recv(65_536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(("behind", "shown"), [(500, 502), (302, 502), (401, 401), (412, 412)])
def test_no_word_from_behind_leaves_with_a_failure(
    setting: Setting, behind: int, shown: int
) -> None:
    setting.upstream.status = behind
    response = setting.post()
    assert (response.status_code, response.content) == (shown, b"")
    assert "location" not in response.headers


def test_a_superlink_that_is_away_is_a_503_and_the_gateway_stays(
    certificate: ServerCertificate, folder: Path
) -> None:
    with running(certificate, Upstream(folder / "nobody")) as setting:
        assert setting.post().status_code == 503
        assert setting.post().status_code == 503


def test_a_plain_http_client_gets_nothing(setting: Setting) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.post(f"http://{setting.gateway.address}{PULL}", content=b"", trust_env=False)


def test_a_port_that_is_taken_is_said_so(certificate: ServerCertificate, setting: Setting) -> None:
    second = Gateway(
        _config(certificate, NOWHERE, port=setting.gateway.port), is_admitted=lambda key: True
    )
    with pytest.raises(TransportError) as caught:
        second.start()
    assert caught.value.code == "E-GATEWAY"
    assert str(setting.gateway.port) in caught.value.message
    second.stop()


def test_a_certificate_that_does_not_fit_its_key_is_said_so(
    certificate: ServerCertificate, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    config = _config(certificate, NOWHERE)
    with pytest.raises(ConfigError, match=r"empty\.pem"):
        Gateway(
            GatewayConfig(
                certificate=empty,
                key=config.key,
                upstream=config.upstream,
            ),
            is_admitted=lambda key: True,
        ).start()


def test_it_can_be_stopped_twice_and_is_not_there_afterwards(
    certificate: ServerCertificate, upstream: Upstream
) -> None:
    with running(certificate, upstream) as setting:
        assert setting.gateway.is_alive()
        setting.gateway.stop()
        setting.gateway.stop()
        assert not setting.gateway.is_alive()
        with pytest.raises(httpx.ConnectError):
            setting.post()
