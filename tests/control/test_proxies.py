"""The control plane through an HTTP proxy.

Nodes are told an address at which nobody listens; the proxy connects to the port in its place. So
whatever goes past the proxy arrives nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from coordinator.service.certificates import make_server_certificate
from partner_node.config.node_config import NodeConfig
from partner_node.control.channel import Channel
from partner_node.control.joining import greet
from partner_node.control.presence import open_channel, show_up
from partner_node.home import NodeHome
from partner_node.link.proxy import Proxy
from protocol.errors import TransportError
from tests.connect_proxy import ConnectProxy, connect_proxy
from tests.control.commands import join_words, shell
from tests.control.lab import JoinedNode, Lab, lab
from tests.shell import Shell

__all__ = ["lab", "shell"]

UNREACHABLE = "127.0.0.1:9"
LOGIN = "user:pä ss:@"


@contextmanager
def before(lab: Lab, **settings: Any) -> Iterator[ConnectProxy]:
    """A proxy that connects to the port, whatever it is asked for."""
    host, _, port = lab.port.address.rpartition(":")
    with connect_proxy(elsewhere=(host, int(port)), **settings) as proxy:
        yield proxy


def way(proxy: ConnectProxy, credentials: str = "") -> Proxy:
    return Proxy(address=f"127.0.0.1:{proxy.port}", credentials=credentials)


@pytest.fixture(scope="module")
def node(lab: Lab) -> JoinedNode:
    node = lab.join("north")
    lab.admit(node)
    return node


def shown(lab: Lab, node: JoinedNode, proxy: Proxy | None) -> bool:
    """Whether a node is admitted, asked through a proxy."""
    with Channel(
        UNREACHABLE, roots=lab.roots, identity=node.identity, retries=False, proxy=proxy
    ) as channel:
        return show_up(channel).admitted


def code(lab: Lab, node: JoinedNode, proxy: Proxy | None) -> str:
    with pytest.raises(TransportError) as caught:
        shown(lab, node, proxy)
    assert caught.value.remedy
    assert LOGIN not in caught.value.diagnostics()
    return caught.value.code


def test_a_node_calls_through_a_proxy_with_and_without_a_password(
    lab: Lab, node: JoinedNode
) -> None:
    for login in ("", LOGIN):
        with before(lab, credentials=login) as proxy:
            assert shown(lab, node, way(proxy, login))
            assert proxy.asked == {UNREACHABLE: 1}
            assert proxy.n_bytes > 3_000
    assert code(lab, node, None) == "E-CONTROL-AWAY"


def test_no_variable_of_the_environment_leads_a_call_past_the_proxy_or_to_one(
    lab: Lab, node: JoinedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they mean was decided before; gRPC would read them once more, in its own way."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    with before(lab) as proxy:
        assert shown(lab, node, way(proxy))
        for name in ("https_proxy", "grpc_proxy", "http_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy")
        assert code(lab, node, None) == "E-CONTROL-AWAY"
        assert proxy.asked == {UNREACHABLE: 1}


def test_a_proxy_that_asks_for_another_password_or_any_is_told_as_that(
    lab: Lab, node: JoinedNode
) -> None:
    with before(lab, credentials=LOGIN) as proxy:
        assert code(lab, node, way(proxy)) == "E-PROXY-LOGIN"
        assert code(lab, node, way(proxy, "user:other")) == "E-PROXY-LOGIN"


def test_a_proxy_that_refuses_does_not_connect_or_is_not_there_is_told_as_that(
    lab: Lab, node: JoinedNode
) -> None:
    for answer, wanted in ((403, "E-PROXY-REFUSED"), (502, "E-CONTROL-AWAY")):
        with connect_proxy(answer=answer) as proxy:
            assert code(lab, node, way(proxy)) == wanted
    assert code(lab, node, Proxy(address=UNREACHABLE)) == "E-PROXY-AWAY"


def test_a_proxy_that_opens_tls_learns_nothing_and_is_told_as_that(
    lab: Lab, node: JoinedNode, tmp_path: Path
) -> None:
    other = make_server_certificate(
        tmp_path, name="other", hosts=["127.0.0.1"], now=datetime.now(UTC), lifetime_days=1
    )
    with before(lab) as proxy:
        theirs = replace(lab, roots=other.authority.read_bytes())
        assert code(theirs, node, way(proxy)) == "E-PROXY-TLS"
        invitation = replace(lab.invite("guest"), address=UNREACHABLE, fingerprint=bytes(32))
        with pytest.raises(TransportError) as caught:
            greet(invitation, now=datetime.now(UTC), retries=False, proxy=way(proxy))
    assert caught.value.code == "E-CONTROL-FINGERPRINT"
    assert f"through the proxy 127.0.0.1:{proxy.port}" in caught.value.message


def test_a_partner_joins_through_a_proxy_and_its_node_keeps_to_it(
    lab: Lab, shell: Shell, tmp_path: Path
) -> None:
    secret, folder = tmp_path / "secret", tmp_path / "west"
    secret.write_text(LOGIN + "\n", encoding="utf-8")
    secret.chmod(0o600)
    invitation = replace(lab.invite("west"), address=UNREACHABLE)
    words = join_words(invitation.to_text(), folder)
    with before(lab, credentials=LOGIN) as proxy:
        error = shell.refused(*words, "--proxy", proxy.url, status=1)
        assert error["code"] == "E-PROXY-LOGIN"
        assert f"through the proxy 127.0.0.1:{proxy.port} (--proxy)" in error["message"]
        error = shell.refused(*words, "--proxy", f"http://u:p@127.0.0.1:{proxy.port}", status=2)
        assert (error["code"], folder.exists()) == ("E-PROXY", False)
        proxy.asked.clear()
        shell.json(*words, "--proxy", proxy.url, "--proxy-password-file", secret)
        config = NodeConfig.load(folder / "node.toml")
        assert config.coordinator.control == UNREACHABLE
        assert config.coordinator.proxy.address == f"127.0.0.1:{proxy.port}"
        assert config.coordinator.proxy.password_file == secret
        asked = proxy.asked[UNREACHABLE]
        assert asked >= 3
        with open_channel(NodeHome.load(folder), retries=False) as channel:
            assert not show_up(channel).admitted
        assert proxy.asked == {UNREACHABLE: asked + 1}
    for file in folder.rglob("*"):
        assert not file.is_file() or LOGIN.encode() not in file.read_bytes()
