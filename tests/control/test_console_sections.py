"""`[console]` of both sides: what one takes, the other takes, and as the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coordinator import console_section as of_coordinator
from machine.web.address import Address
from machine.web.oidc.settings import OidcSettings
from partner_node.config import console as of_node
from partner_node.config_section import ConfigSection
from protocol.errors import FedsegError
from protocol.strict import Fields

HERE = Path("/folder")
TLS = {"certificate": "a.crt", "key": "a.key"}
OIDC = {"issuer": "https://login.example", "client_id": "fedseg"}


def both(values: dict[str, Any]) -> tuple[Address, OidcSettings | None]:
    """What both sides read; they refuse together, and the message names the same key."""
    said: list[Any] = []
    for side in ("coordinator", "node"):
        try:
            if side == "coordinator":
                fields = Fields(values, "console")
                said.append(
                    (
                        of_coordinator.read_console(fields, HERE),
                        of_coordinator.read_oidc(fields, HERE),
                    )
                )
            else:
                section = ConfigSection(HERE / "node.toml", "console", values, of_node.CONSOLE_KEYS)
                said.append((of_node.read_console(section), of_node.read_oidc(section)))
        except FedsegError as error:
            said.append(error)
    first, second = said
    if isinstance(first, FedsegError):
        assert isinstance(second, FedsegError), second
        raise first
    assert not isinstance(second, FedsegError), second
    assert first[1:] == second[1:]
    assert (first[0].host, first[0].names) == (second[0].host, second[0].names)
    return (first[0], first[1])


@pytest.mark.parametrize(
    "values",
    [
        {"host": "::1"}, {"host": "10.0.0.5", "tls": TLS}, {"names": []},
        {"host": "10.0.0.6", "tls": TLS, "names": ["node.example", "10.0.0.5", "a_b"]},
        {"names": [f"n{number}.example" for number in range(20)]}, {"names": ["n" * 253]},
    ],
)  # fmt: skip
def test_both_sides_take_it(values: dict[str, Any]) -> None:
    both(values)


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("host", {"host": "10.0.0.5"}), ("host", {"host": "a/b", "tls": TLS}),
        ("host", {"host": "n" * 254, "tls": TLS}), ("host", {"host": "ä.example", "tls": TLS}),
        ("names", {"names": ["ä.example"]}), ("names", {"names": ["https://node.example"]}),
        ("names", {"names": ["n" * 254]}), ("names", {"names": ["a.example", "a.example"]}),
        ("names", {"names": [f"n{number}.example" for number in range(21)]}),
    ],
)  # fmt: skip
def test_both_sides_refuse_it(key: str, values: dict[str, Any]) -> None:
    with pytest.raises(FedsegError, match=key):
        both(values)


@pytest.mark.parametrize(
    "values",
    [
        {}, {"name": "Stäff login"}, {"name": "n" * 60}, {"acr_values": []},
        {"acr_values": ["mfa", "urn:example:phr"]}, {"acr_values": ["a" * 255]},
        {"acr_values": [f"way{number}" for number in range(20)]}, {"client_id": "a b"},
        {"issuer": f"https://login.example/{'a' * 978}"}, {"client_secret_file": "s"},
    ],
)  # fmt: skip
def test_both_sides_take_the_provider(values: dict[str, Any]) -> None:
    assert both({"oidc": OIDC | values})[1] is not None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("issuer", "http://login.example"), ("issuer", f"https://login.example/{'a' * 979}"),
        ("client_id", "c" * 256), ("client_id", "cä"), ("name", "n" * 61), ("name", "a\nb"),
        ("name", "a\u202eb"), ("acr_values", ["a b"]), ("acr_values", ["a" * 256]),
        ("acr_values", ["mfa", "mfa"]), ("acr_values", [f"way{number}" for number in range(21)]),
        ("other", "a"),
    ],
)  # fmt: skip
def test_both_sides_refuse_the_provider(key: str, value: object) -> None:
    with pytest.raises(FedsegError, match=key):
        both({"oidc": OIDC | {key: value}})
