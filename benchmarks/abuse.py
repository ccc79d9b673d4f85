"""Abuse of both public ports during runs: who gets in, what memory it takes, whether runs finish.

A coordinator and three nodes, each in processes of their own, go through one run after the other;
meanwhile somebody does what the first column says, as often as the second says. Strangers come from
another loopback address than the nodes. The malicious partner has valid keys of a node that was
admitted, and is in no agreement.

Runs must finish, who is admitted must be the same afterwards, and nobody may get an answer; a
row that breaks this raises an error in place of a figure.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import ssl
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import grpc
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.measure import Cell, Table
from coordinator.config import CoordinatorConfig
from coordinator.store.admitted_nodes import AdmittedNodes
from coordinator.store.coordinator_store import CoordinatorStore
from machine.certificates import client_certificate, pem, private_pem
from protocol.control.calls import ENROL, GREET, STANDING, path
from protocol.control.invitation import Invitation
from protocol.control.v1 import control_pb2 as v1
from protocol.errors import FedsegError
from tests.control.lab import JoinedNode, Lab, enrolled, greeted, new_node
from tests.end_to_end.deployment import Deployment
from tests.end_to_end.joined import joined_deployment
from tests.end_to_end.transport_support import tree_of

_NODES: Final = "127.0.0.1"
_ELSEWHERE: Final = "127.0.0.2"
_AT_ONCE: Final = 50
_GIGABYTE: Final = 1 << 30
#: For a run, while both of a machine's cores are kept busy by somebody.
_PATIENCE_S: Final = 600.0
_PULL: Final = "/v1/fleet/pull-messages"
_PUSH: Final = "/v1/fleet/push-messages"


@dataclass
class Scene:
    """The deployment under attack.

    Attributes:
        lab: Makes and admits nodes by the deployment's own control port.
        partner: The malicious partner.
        scale: The share of the full counts that is done.
    """

    deployment: Deployment
    lab: Lab
    partner: JoinedNode
    scale: float
    answers: Counter[str] = field(default_factory=Counter)

    def times(self, full: int) -> int:
        """How often something is done."""
        return max(1, round(full * self.scale))

    @property
    def ports(self) -> tuple[int, int]:
        """The port of runs, and that of the control plane."""
        control = self.lab.config.control
        if control is None:
            raise LookupError("the coordinator has no control port")
        return self.lab.config.port, control.port


def run(*, quick: bool) -> list[Table]:
    """Each kind of abuse, during runs."""
    rows: list[tuple[Cell, ...]] = []
    with (
        tempfile.TemporaryDirectory(prefix="fedseg-abuse-") as folder,
        _quiet(),
        joined_deployment(Path(folder), max_rounds=5, start="anew") as deployment,
    ):
        config = CoordinatorConfig.load(deployment.operator_folder)
        with closing(config.open_store()) as store:
            scene = scene_of(deployment, config, store, scale=0.005 if quick else 1.0)
            for what, times, action in KINDS:
                rows.append(_row(scene, what, scene.times(times), action))
                print(*rows[-1], sep=" | ", file=sys.__stderr__, flush=True)  # it takes long
    return [
        Table(
            name="abuse",
            title="Both public ports under abuse, during runs of three nodes",
            baseline="the coordinator's memory before",
            columns=(
                "what", "times", "answered", "seconds", "MiB before", "MiB at most", "MiB after",
                "runs finished meanwhile",
            ),
            rows=tuple(rows),
            notes=(
                "MiB: resident, of the service and the SuperLink together; drivers of runs come "
                "and go and are not in it",
                "answered: status of HTTP, code of gRPC, or how a connection ended",
            ),
        )
    ]  # fmt: skip


def scene_of(
    deployment: Deployment, config: CoordinatorConfig, store: CoordinatorStore, *, scale: float
) -> Scene:
    """A deployment, with a malicious partner who is admitted.

    Args:
        scale: The share of the full counts that is done.
    """
    if config.control is None:
        raise LookupError("the coordinator has no control port")
    at = _Port(f"{_NODES}:{config.control.port}")
    lab = Lab(config, at, store, config.control.authority.read_bytes())  # type: ignore[arg-type]
    partner = lab.join("malicious")
    lab.admit(partner)
    return Scene(deployment, lab, partner, scale)


@dataclass
class _Port:
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of abuse.

    Attributes:
        answers: How often each answer was given, by status, code, or how a connection ended.
        took_s: For how long it went on.
        memory: Bytes of the coordinator before, at most, and after.
        finished: Runs that finished meanwhile; one at least.
    """

    answers: dict[str, int]
    took_s: float
    memory: tuple[int, int, int]
    finished: int


def abused(scene: Scene, what: str, *actions: tuple[int, Action]) -> Outcome:
    """Do things so often, one after the other, while runs go on.

    Raises:
        RuntimeError: A run failed, a node ended, or somebody else is admitted than before.
    """
    scene.answers.clear()
    admitted = AdmittedNodes(scene.lab.store).key_of_partner()
    with _runs(scene.deployment) as runs, _memory(scene.deployment.coordinator.pid) as memory:
        begun = time.monotonic()
        for times, action in actions:
            action(scene, times)
        took_s = time.monotonic() - begun
    if AdmittedNodes(scene.lab.store).key_of_partner() != admitted:
        raise RuntimeError(f"{what}: others are admitted than before")
    if runs.failed:
        raise RuntimeError(f"{what}: {runs.failed}")
    if any(not node.is_alive() for node in scene.deployment.nodes.values()):
        raise RuntimeError(f"{what}: a node ended")
    return Outcome(
        answers=dict(scene.answers.most_common()),
        took_s=took_s,
        memory=memory.figures,
        finished=runs.finished,
    )


def _row(scene: Scene, what: str, times: int, action: Action) -> tuple[Cell, ...]:
    found = abused(scene, what, (times, action))
    answered = ", ".join(f"{word}: {count:,}" for word, count in found.answers.items())
    before, most, after = (f"{value / (1 << 20):.0f}" for value in found.memory)
    return what, times, answered, found.took_s, before, most, after, found.finished


# --- what goes on meanwhile --------------------------------------------------------------------


@dataclass
class _Runs:
    finished: int = 0
    failed: str = ""


@contextlib.contextmanager
def _runs(deployment: Deployment) -> Iterator[_Runs]:
    """One run after the other while the block goes on; the last one is waited for."""
    found, over = _Runs(), threading.Event()

    def keep() -> None:
        while not (over.is_set() and found.finished) and not found.failed:
            try:
                row = deployment.await_end(deployment.request(), timeout_s=_PATIENCE_S)
            except Exception as error:
                found.failed = repr(error)
                return
            if row.state == "finished":
                found.finished += 1
            else:
                found.failed = f"a run has {row.state}: {row.code} {row.reason}"

    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        yield found
    finally:
        over.set()
        keeper.join()


@dataclass
class _Memory:
    seen: list[int] = field(default_factory=list)

    @property
    def figures(self) -> tuple[int, int, int]:
        """Bytes before, at most, and after."""
        return self.seen[0], max(self.seen), self.seen[-1]


@contextlib.contextmanager
def _memory(pid: int) -> Iterator[_Memory]:
    """The memory of the coordinator's lasting processes, five times a second."""
    found, over = _Memory([resident(pid)]), threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            found.seen.append(resident(pid))

    looker = threading.Thread(target=look)
    looker.start()
    try:
        yield found
    finally:
        over.set()
        looker.join()
        found.seen.append(resident(pid))


def resident(pid: int) -> int:
    """Bytes that a coordinator's service and its SuperLink have in memory."""
    total = 0
    for one in tree_of(pid):
        with contextlib.suppress(OSError, StopIteration):
            words = Path(f"/proc/{one}/cmdline").read_bytes()
            if one == pid or b"superlink_process" in words:
                lines = Path(f"/proc/{one}/status").read_text(encoding="ascii").splitlines()
                line = next(line for line in lines if line.startswith("VmRSS"))
                total += int(line.split()[1]) << 10
    return total


# --- strangers ---------------------------------------------------------------------------------


def _unchecked(*alpn: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols([*alpn])
    return context


@contextlib.asynccontextmanager
async def _connected(
    port: int, *, tls: ssl.SSLContext | None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection from elsewhere, which is dropped at the end."""
    reader, writer = await asyncio.wait_for(
        asyncio.open_connection(
            _NODES, port, ssl=tls, local_addr=(_ELSEWHERE, 0),
            server_hostname="localhost" if tls else None,
        ),
        20,
    )  # fmt: skip
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


def _many(scene: Scene, times: int, one: Callable[[int], Any]) -> None:
    """Do something so often, `_AT_ONCE` at a time, and count how it ends."""

    async def all_of_them() -> None:
        numbers = iter(range(times))

        async def some() -> None:
            for number in numbers:
                scene.answers[await _ending(one(number))] += 1

        await asyncio.gather(*(some() for _ in range(min(times, _AT_ONCE))))

    asyncio.run(all_of_them())


async def _ending(action: Any) -> str:
    try:
        return str(await asyncio.wait_for(action, 60))
    except TimeoutError:
        return "silence"
    except ssl.SSLError:
        return "TLS refused"
    except (OSError, asyncio.IncompleteReadError):
        return "cut off"


def requests(scene: Scene, times: int) -> None:
    """Requests without a key to the port of runs, a hundred on a connection."""
    head = f"POST {_PULL} HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\nx".encode()

    async def some() -> None:
        done = 0
        while done < times // _AT_ONCE:
            try:
                async with _connected(scene.ports[0], tls=_unchecked()) as (reader, writer):
                    for _ in range(100):
                        writer.write(head)
                        said = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
                        scene.answers[said.split(b" ")[1].decode("ascii")] += 1
                        done += 1
                        length = next(
                            (int(line.split(b":")[1]) for line in said.lower().split(b"\r\n")
                             if line.startswith(b"content-length")), 0,
                        )  # fmt: skip
                        await reader.readexactly(length)
                        if b"connection: close" in said.lower() or done >= times // _AT_ONCE:
                            break
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                scene.answers["cut off"] += 1
                done += 1

    async def everybody() -> None:
        await asyncio.gather(*(some() for _ in range(_AT_ONCE)))

    asyncio.run(everybody())


def connections(scene: Scene, times: int) -> None:
    """Connections to the control port without a certificate of a node."""

    async def one(_: int) -> str:
        async with _connected(scene.ports[1], tls=_unchecked("h2")) as (reader, writer):
            writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
            return "answered" if await reader.read(1) else "cut off"

    _many(scene, times, one)


def slow_clients(scene: Scene, times: int) -> None:
    """Clients of both ports that send a byte a second, for half a minute."""

    async def one(number: int) -> str:
        port = scene.ports[number % 2]
        async with _connected(port, tls=_unchecked() if number % 4 < 2 else None) as (
            reader,
            writer,
        ):
            for byte in (f"POST {_PULL} HTTP/1.1\r\n" + "x" * 5).encode()[:30]:
                writer.write(bytes([byte]))
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    said = await asyncio.wait_for(reader.read(1), max(0.05, scene.scale))
                    return "cut off" if not said else "refused"
        return "still there"

    _many(scene, times, one)


def large_bodies(scene: Scene, times: int) -> None:
    """Bodies of a gigabyte, sent as long as they are taken."""

    async def one(_: int) -> str:
        head = f"POST {_PUSH} HTTP/1.1\r\nhost: x\r\ncontent-length: {_GIGABYTE}\r\n\r\n"
        async with _connected(scene.ports[0], tls=_unchecked()) as (reader, writer):
            writer.write(head.encode())
            sent, piece = 0, bytes(1 << 20)
            answer = asyncio.create_task(reader.readline())
            while sent < _GIGABYTE and not answer.done():
                writer.write(piece)
                await writer.drain()
                sent += len(piece)
            said = await asyncio.wait_for(answer, 20)
            return said.split(b" ")[1].decode("ascii") if said else "cut off"

    _many(scene, times, one)


def random_bytes(scene: Scene, times: int) -> None:
    """Random bytes to both ports, in clear and within TLS."""

    async def one(number: int) -> str:
        tls = _unchecked() if number % 4 < 2 else None
        async with _connected(scene.ports[number % 2], tls=tls) as (reader, writer):
            writer.write(os.urandom(4_096))
            said = await asyncio.wait_for(reader.read(64), 30)
            if not said:
                return "cut off"
            return said.split(b" ")[1].decode("ascii") if said[:4] == b"HTTP" else "TLS alert"

    _many(scene, times, one)


# --- wrong papers ------------------------------------------------------------------------------


def _call(scene: Scene, key: bytes, certificate: bytes, *, name: str = STANDING) -> str:
    """One call of the control plane; the code with which it ends."""
    request = {STANDING: v1.StandingRequest(version="1"), GREET: v1.GreetRequest()}[name]
    with grpc.secure_channel(
        f"{_NODES}:{scene.ports[1]}",
        grpc.ssl_channel_credentials(scene.lab.roots, key, certificate),
        options=(("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0)),
    ) as channel:
        try:
            channel.unary_unary(path(name))(request.SerializeToString(), timeout=20)
        except grpc.RpcError as error:
            code: str = error.details()
            return code if code.startswith("E-") else error.code().name
    return "ANSWERED"


def certificates(scene: Scene, times: int) -> None:
    """Certificates of another authority, and of an end in the past."""
    now, key = datetime.now(UTC), ec.generate_private_key(ec.SECP384R1())
    for number in range(times):
        ended = number % 2 == 1
        certificate = client_certificate(
            scene.partner.keystore.node_key.public_key() if ended else key.public_key(),
            name="malicious", issuer="fedseg nodes authority", issuer_key=_AUTHORITY,
            start=now - timedelta(days=3), end=now + timedelta(days=-1 if ended else 1),
        )  # fmt: skip
        used = scene.partner.keystore.node_key if ended else key
        scene.answers[_call(scene, private_pem(used), pem(certificate))] += 1
    if scene.answers["ANSWERED"]:
        raise RuntimeError("a wrong certificate was answered")


_AUTHORITY: Final = ec.generate_private_key(ec.SECP384R1())


def invitations(scene: Scene, times: int) -> None:
    """Invitations that were stolen: used by their owner already, withdrawn, or changed."""
    lab = scene.lab
    used, withdrawn = lab.invite("stolen"), lab.invite("withdrawn")
    keystore, card = new_node("stolen")
    greetings = greeted(used), greeted(withdrawn)
    enrolled(used, greetings[0], keystore, card)
    lab.invite("withdrawn")
    for number in range(times):
        invitation: Invitation = (used, withdrawn)[number % 2]
        thief = new_node("stolen" if number % 2 == 0 else "withdrawn")
        try:
            enrolled(invitation, greetings[number % 2], *thief)
        except FedsegError as error:
            scene.answers[error.code] += 1
        else:
            raise RuntimeError(f"{ENROL}: a stolen invitation let a node in")


# --- a malicious partner -----------------------------------------------------------------------


def partner_calls(scene: Scene, times: int) -> None:
    """Calls of the control plane with valid keys, as many as one connection takes."""
    key, certificate = private_pem(scene.partner.keystore.node_key), scene.partner.certificate
    with grpc.secure_channel(
        f"{_NODES}:{scene.ports[1]}",
        grpc.ssl_channel_credentials(scene.lab.roots, key, certificate),
        options=(("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0)),
    ) as channel:
        ask = channel.unary_unary(path(STANDING))
        request = v1.StandingRequest(version="1").SerializeToString()
        for begun in range(0, times, _AT_ONCE):
            asked = [ask.future(request, timeout=60) for _ in range(min(_AT_ONCE, times - begun))]
            for one in asked:
                scene.answers[_grpc_end(one)] += 1


def partner_bodies(scene: Scene, times: int) -> None:
    """Messages of 64 MiB to the control plane with valid keys."""
    key, certificate = private_pem(scene.partner.keystore.node_key), scene.partner.certificate
    body = bytes(64 << 20)
    with grpc.secure_channel(
        f"{_NODES}:{scene.ports[1]}",
        grpc.ssl_channel_credentials(scene.lab.roots, key, certificate),
        options=(("grpc.enable_http_proxy", 0), ("grpc.max_send_message_length", -1)),
    ) as channel:
        for _ in range(times):
            scene.answers[
                _grpc_end(channel.unary_unary(path(STANDING)).future(body, timeout=60))
            ] += 1


def _grpc_end(call: Any) -> str:
    error = call.exception()
    if error is None:
        return "OK"
    return error.details() if str(error.details()).startswith("E-") else str(error.code().name)


#: What is done, so often.
Action = Callable[[Scene, int], None]
#: What is done, how often in full, and how.
KINDS: Final[tuple[tuple[str, int, Action], ...]] = (
    ("requests without a key, port of runs", 100_000, requests),
    ("connections without a certificate, control port", 20_000, connections),
    ("slow clients, both ports", 200, slow_clients),
    ("bodies of 1 GiB, port of runs", 20, large_bodies),
    ("random bytes, both ports", 4_000, random_bytes),
    ("wrong and ended certificates", 200, certificates),
    ("stolen and reused invitations", 200, invitations),
    ("a partner's calls with valid keys", 100_000, partner_calls),
    ("a partner's bodies of 64 MiB", 16, partner_bodies),
)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Set-up commands report to standard output; that is for the tables."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
