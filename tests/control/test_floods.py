"""Connections without end at the control port: others are served all the while.

Whoever floods comes from another loopback address than the nodes, or from the same.
"""

from __future__ import annotations

import resource
import socket
import ssl
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from coordinator.control import port as port_module
from coordinator.control.standing import shut_out
from partner_node.control.channel import Channel
from partner_node.control.presence import show_up
from protocol.control.calls import ANNOUNCEMENTS
from protocol.control.v1.control_pb2 import Announcement, AnnouncementsRequest
from protocol.errors import RuleError
from tests.control.lab import Lab, lab

__all__ = ["lab"]

NODES, ELSEWHERE = "127.0.0.1", "127.0.0.2"
#: More than the port has places for.
HELD = 300


def client_hello() -> bytes:
    """What TLS begins with; nothing follows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    sent = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), sent).do_handshake()
    return sent.read()


@contextmanager
def flooded(lab: Lab, *, source: str, connections: int, said: bytes = b"") -> Iterator[None]:
    """So many connections from an address, of which the newest are held open."""
    where = int(lab.port.address.rpartition(":")[2])
    held: deque[socket.socket] = deque()
    try:
        for _ in range(connections):
            caller = socket.socket()
            held.append(caller)
            caller.settimeout(30)
            caller.bind((source, 0))
            caller.connect((NODES, where))
            caller.sendall(said)
            if len(held) > HELD:
                held.popleft().close()
        yield
    finally:
        for caller in held:
            caller.close()


@pytest.fixture
def north(lab: Lab) -> Iterator[Channel]:
    """A new connection of a node of the lab, which is not tried twice."""
    node = lab.join("north")
    lab.admit(node)
    with lab.channel(node.identity) as channel:
        yield channel


@pytest.mark.parametrize(
    ("source", "connections", "greets"),
    [(ELSEWHERE, 256, True), (ELSEWHERE, 4_000, False), (NODES, 256, True)],
    ids=["half-open", "silent", "half-open, from the nodes' address"],
)
def test_a_node_is_served_while_somebody_holds_connections_without_end(
    lab: Lab, north: Channel, source: str, connections: int, greets: bool
) -> None:
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > HELD
    said = client_hello() if greets else b""
    with flooded(lab, source=source, connections=connections, said=said):
        assert show_up(north).admitted


def test_a_flood_ends_no_connection_that_a_node_has(lab: Lab, north: Channel) -> None:
    request = AnnouncementsRequest(after=1 << 40)
    with closing(north.stream(ANNOUNCEMENTS, request, Announcement)) as stream:
        next(stream)
        with flooded(lab, source=NODES, connections=HELD, said=client_hello()):
            assert next(stream).kind == Announcement.NOTHING
            assert show_up(north).admitted


def test_a_connection_whose_caller_is_shut_out_is_a_strangers_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    met: list[str] = []
    tell = port_module._tell
    monkeypatch.setattr(port_module, "_tell", lambda *told: (met.append(told[-1]), tell(*told)))
    node = lab.join("south")
    with lab.channel(node.identity) as channel:
        assert not show_up(channel).admitted
        assert met[-1] == node.card.node_key
        shut_out(lab.store, "south")
        with pytest.raises(RuleError, match="E-CALLER"):
            show_up(channel)
        assert met[-1] == ""
