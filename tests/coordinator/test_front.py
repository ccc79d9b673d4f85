"""Places at a public port: whose they are, and who has to leave when there are too many."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from coordinator.front import limits as limits_module
from coordinator.front.front import Connection, Front
from coordinator.front.limits import FrontLimits, connections_possible
from coordinator.front.listening import counted_as, listen
from coordinator.front.relay import RelayedFront

PATIENCE_S = 10.0
LONG_S = 1_000.0


class Port:
    """A front whose connections say nothing."""

    def __init__(self, **limits: float) -> None:
        self.front = Front(FrontLimits(**({"stranger_s": LONG_S} | limits)), _wait, files_each=1)
        self.callers: list[socket.socket] = []

    def call(self, address: str) -> Connection:
        """A caller comes from an address."""
        caller, accepted = socket.socketpair()
        caller.setblocking(False)
        self.callers.append(caller)
        connection = Connection(sock=accepted, address=address)
        self.front.let_in(connection)
        return connection

    async def end(self) -> None:
        await self.front.close()
        for caller in self.callers:
            caller.close()


async def _wait(_: Connection) -> None:
    await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def port(**limits: float) -> AsyncIterator[Port]:
    made = Port(**limits)
    try:
        yield made
    finally:
        await made.end()


async def left(*connections: Connection) -> list[bool]:
    """Which of some connections are closed, once all is done that is to be done now."""
    for _ in range(5):
        await asyncio.sleep(0)
    return [connection.sock.fileno() < 0 for connection in connections]


async def until_left(connection: Connection) -> None:
    """Wait until a connection is closed."""
    async with asyncio.timeout(PATIENCE_S):
        while connection.sock.fileno() >= 0:
            await asyncio.sleep(0.005)


async def test_an_address_with_too_many_strangers_displaces_its_own_oldest() -> None:
    async with port(strangers_per_address=2) as at:
        other = at.call("b")
        ours = [at.call("a") for _ in range(4)]
        assert await left(other, *ours) == [False, True, True, False, False]


async def test_where_there_is_no_place_the_address_with_most_strangers_gives_one_up() -> None:
    """Whoever waits alone at its address is not the one that fills the port."""
    async with port(connections=4) as at:
        alone = at.call("b")
        crowd = [at.call("a") for _ in range(3)]
        late = at.call("c")
        assert await left(alone, late, *crowd) == [False, False, True, False, False]


async def test_members_of_one_address_are_not_counted_by_it_and_displaced_by_nobody() -> None:
    async with port(connections=4, strangers_per_address=1) as at:
        members = [at.call("a") for _ in range(3)]
        assert await left(*members) == [True, True, False]
        for number, connection in enumerate(members := [at.call("a") for _ in range(1)]):
            at.front.is_of(connection, f"member {number}")
        more = at.call("a")
        at.front.is_of(more, "another")
        strangers = [at.call("a"), at.call("b"), at.call("c")]
        assert await left(*members, more) == [False, False]
        assert await left(*strangers) == [True, False, False]


async def test_nobody_is_let_in_where_members_have_all_places() -> None:
    async with port(connections=2) as at:
        for number in range(2):
            at.front.is_of(at.call("a"), str(number))
        assert await left(at.call("b")) == [True]


async def test_a_member_keeps_only_its_newest_connections() -> None:
    async with port(per_member=2) as at:
        ours = [at.call(str(number)) for number in range(3)]
        other = at.call("other")
        at.front.is_of(other, "b")
        for connection in ours:
            at.front.is_of(connection, "a")
            at.front.is_of(connection, "a")  # told at every call
        assert await left(other, *ours) == [False, True, False, False]


async def test_a_place_is_free_again_when_its_connection_has_ended() -> None:
    async with port(connections=1) as at:
        for _ in range(3):
            connection = at.call("a")
            at.front.is_of(connection, "a")
            assert await left(connection) == [False]
            assert connection._task is not None
            connection._task.cancel()
            assert await left(connection) == [True]
        assert at.front._members == {}


async def test_whoever_stays_a_stranger_leaves() -> None:
    async with port(stranger_s=0.05) as at:
        stranger, member = at.call("a"), at.call("a")
        at.front.is_of(member, "a")
        await until_left(stranger)
        assert await left(member) == [False]
        at.front.is_nobodys(member)
        await until_left(member)


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
async def test_callers_in_one_ipv6_network_are_counted_as_one(
    monkeypatch: pytest.MonkeyPatch, peer: str, address: str
) -> None:
    """Whoever has one such address has 2^64 of them."""
    assert counted_as(peer) == address
    accepted: list[Connection] = []

    async def sock_accept(_: object) -> tuple[object, tuple[str, int]]:
        if accepted:
            raise asyncio.CancelledError
        return object(), (peer, 50_000)

    with socket.socket() as listener:
        at = Port()
        monkeypatch.setattr(asyncio.get_running_loop(), "sock_accept", sock_accept)
        monkeypatch.setattr(at.front, "let_in", accepted.append)
        with pytest.raises(asyncio.CancelledError):
            await at.front.accept(listener)
    assert [connection.address for connection in accepted] == [address]


def test_places_are_no_more_than_the_files_that_the_process_may_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of two ports may have half of them."""
    limits = {"now": (256, 2_048)}
    resource = limits_module.resource
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: limits.update(now=wanted))
    assert connections_possible(256, files_each=2) == 256
    assert limits["now"] == (1_152, 2_048)
    limits["now"] = (320, 320)
    assert connections_possible(256, files_each=3) == 32


class Relayed:
    """A port before a server that notes who comes, what it says, and answers with one word."""

    def __init__(self, folder: Path, **limits: float) -> None:
        self.front = RelayedFront(FrontLimits(**({"stranger_s": LONG_S} | limits)), folder)
        self.heard: list[tuple[str, bytes]] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = writer.get_extra_info("peername")
        with contextlib.suppress(OSError):
            while data := await reader.read(100):
                self.heard.append((name, data))
                writer.write(b"heard")
        writer.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path that is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="fedseg-") as made:
        yield Path(made)


@contextlib.asynccontextmanager
async def relayed(folder: Path, **limits: float) -> AsyncIterator[tuple[Relayed, int]]:
    made = Relayed(folder, **limits)
    listener = listen("127.0.0.1", 0)[0]
    server = await asyncio.start_unix_server(made.answer, made.front.server)
    accepting = asyncio.create_task(made.front.accept(listener))
    try:
        yield made, listener.getsockname()[1]
    finally:
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)
        await made.front.close()
        listener.close()
        server.close()


GREETING = b"\x16\x03\x01\x00\x05hello"


async def test_bytes_pass_from_a_whole_greeting_on_and_back(folder: Path) -> None:
    async with asyncio.timeout(PATIENCE_S), relayed(folder) as (at, number):
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        writer.write(GREETING[:7])
        await writer.drain()
        writer.write(GREETING[7:] + b"more")
        assert await reader.readexactly(5) == b"heard"
        assert b"".join(data for _, data in at.heard).startswith(GREETING)
        writer.write_eof()
        await reader.read()
        writer.close()
        assert b"".join(data for _, data in at.heard) == GREETING + b"more"
    assert not list(folder.glob("[0-9]*")), "names are taken away"


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x02\x01\x00\x05hello",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\xff\xffhello",
        b"\x17\x03\x03\x00\x05hello",
    ],
    ids=["http", "version", "empty", "too long", "data"],
)
async def test_what_does_not_begin_as_tls_does_is_cut_off_and_reaches_no_server(
    folder: Path, said: bytes
) -> None:
    async with asyncio.timeout(PATIENCE_S), relayed(folder) as (at, number):
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        writer.write(said)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
    assert at.heard == []


async def test_silent_callers_and_half_a_greeting_reach_no_server(folder: Path) -> None:
    async with asyncio.timeout(PATIENCE_S), relayed(folder, stranger_s=0.1) as (at, number):
        for said in (b"", GREETING[:-1]):
            reader, writer = await asyncio.open_connection("127.0.0.1", number)
            writer.write(said)
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
    assert at.heard == []


async def test_the_server_says_by_name_whose_a_connection_is(folder: Path) -> None:
    async with (
        asyncio.timeout(PATIENCE_S),
        relayed(folder, strangers_per_address=1, stranger_s=0.3) as (at, number),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        writer.write(GREETING)
        await reader.readexactly(5)
        name = at.heard[0][0]
        at.front.met("a name that nobody has", "somebody")
        at.front.met(name, "somebody")
        other, other_writer = await asyncio.open_connection("127.0.0.1", number)
        other_writer.write(GREETING)
        await other.readexactly(5)
        with contextlib.suppress(ConnectionError):
            await other.read()  # a stranger that stays one
        writer.write(b"again")
        assert await reader.readexactly(5) == b"heard"
        at.front.met(name, "")
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        for one in (writer, other_writer):
            one.close()


async def test_a_caller_that_takes_no_answer_has_no_more_read(folder: Path) -> None:
    """What the server sends is not kept anywhere for whoever does not read it."""
    sent = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        with contextlib.suppress(OSError):
            while sent < 64 << 20:
                writer.write(bytes(1 << 16))
                await writer.drain()
                sent += 1 << 16
        writer.close()

    async with asyncio.timeout(PATIENCE_S):
        made = RelayedFront(FrontLimits(stranger_s=0.5), folder)
        listener = listen("127.0.0.1", 0)[0]
        server = await asyncio.start_unix_server(pour, made.server)
        accepting = asyncio.create_task(made.accept(listener))
        caller = socket.create_connection(("127.0.0.1", listener.getsockname()[1]))
        caller.sendall(GREETING)
        while made._by_name or not sent:
            await asyncio.sleep(0.02)
        assert sent < 32 << 20
        caller.close()
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)
        await made.close()
        listener.close()
        server.close()
