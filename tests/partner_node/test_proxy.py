"""Which way a node goes out: what its configuration and the environment say of proxies."""

from __future__ import annotations

from pathlib import Path

import pytest

from partner_node.link.proxy import DIRECT, Proxy, ProxySettings, proxy_address, way_to
from protocol.errors import ConfigError

COORDINATOR = "segments.example:9443"
OURS = ProxySettings(address="proxy.example:8080")
ANY = ProxySettings()


def way(settings: ProxySettings = ANY, to: str = COORDINATOR, **environment: str) -> Proxy | None:
    return way_to(to, settings, environment=environment)


def test_without_any_setting_the_way_is_direct() -> None:
    assert way() is None


def test_what_node_toml_names_counts_before_the_environment() -> None:
    found = way(OURS, HTTPS_PROXY="http://other.example:1", NO_PROXY="*")
    assert found == Proxy(address="proxy.example:8080")
    assert way(ProxySettings(address=DIRECT), HTTPS_PROXY="http://other.example:1") is None
    assert way(OURS, to="127.0.0.1:9443") == found


@pytest.mark.parametrize(
    ("value", "address", "credentials"),
    [
        ("http://p.example:3128", "p.example:3128", ""),
        ("http://p.example:3128/", "p.example:3128", ""),
        ("p.example:3128", "p.example:3128", ""),
        ("http://p.example", "p.example:80", ""),
        ("http://[2001:db8::1]:3128", "[2001:db8::1]:3128", ""),
        ("http://u:p%40ss%3A@p.example:1", "p.example:1", "u:p@ss:"),
    ],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
def test_the_environments_proxy_is_taken(
    variable: str, value: str, address: str, credentials: str
) -> None:
    found = way(**{variable: value})
    assert found == Proxy(address=address, credentials=credentials, named_by=variable)


@pytest.mark.parametrize(
    ("to", "exceptions", "direct"),
    [
        (COORDINATOR, "segments.example", True),
        (COORDINATOR, "other.example, .example", True),
        (COORDINATOR, "example", True),
        (COORDINATOR, "*", True),
        (COORDINATOR, "segments.example:9443", True),
        (COORDINATOR, "segments.example:1", False),
        (COORDINATOR, "ments.example", False),
        (COORDINATOR, "", False),
        ("10.0.0.1:9443", "10.0.0.1", True),
        ("127.0.0.1:9443", "", True),
        ("127.1.2.3:9443", "", True),
        ("localhost:9443", "", True),
        ("[::1]:9443", "", True),
        ("[2001:db8::1]:9443", "2001:db8::1", True),
    ],
)
@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_exceptions_of_the_environment_and_this_machine_are_reached_directly(
    variable: str, to: str, exceptions: str, direct: bool
) -> None:
    found = way(to=to, HTTPS_PROXY="http://p.example:1", **{variable: exceptions})
    assert (found is None) is direct


@pytest.mark.parametrize(
    "value", ["https://p.example:1", "socks5://u:secret@p.example:1", "http://p.example:0", "http:"]
)
def test_another_kind_of_proxy_is_refused_and_its_password_is_not_told(value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        way(HTTPS_PROXY=value)
    assert caught.value.code == "E-PROXY"
    assert "HTTPS_PROXY" in caught.value.message
    assert "secret" not in caught.value.diagnostics()


@pytest.mark.parametrize(
    "text",
    ["https://p.example:1", "p.example:1", "http://p.example", "http://p.example:70000", "http://"],
)
def test_an_address_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no address of an HTTP proxy"):
        proxy_address(text)


def test_user_and_password_come_from_a_file_or_a_variable(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("us er:pä:ss@/%\n", encoding="utf-8")
    file.chmod(0o600)
    found = way(ProxySettings(address="p:1", password_file=file))
    assert found is not None
    assert found.login == ("us er", "pä:ss@/%")
    assert found.url == "http://us%20er:p%C3%A4%3Ass%40%2F%25@p:1"
    by_variable = ProxySettings(address="p:1", password_env="OURS")
    assert way(by_variable, OURS="u:p") == Proxy(address="p:1", credentials="u:p")
    by_both = ProxySettings(password_env="OURS")
    assert way(by_both, OURS="u:p", HTTPS_PROXY="http://a:b@p:1") == Proxy(
        address="p:1", credentials="u:p", named_by="HTTPS_PROXY"
    )
    for shown in (repr(found), found.words):
        assert "pä" not in shown


@pytest.mark.parametrize("text", ["", "user", ":password", "user:\n", "u:p\nmore", "u:p\x00"])
def test_what_is_no_user_and_password_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "secret"
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    for settings in (
        ProxySettings(address="p:1", password_file=file),
        ProxySettings(address="p:1", password_env="OURS"),
    ):
        if text == "user:\n" and settings.password_env is None:
            continue  # an empty password and the end of the line
        with pytest.raises(ConfigError, match="holds no user and password") as caught:
            way(settings, OURS=text)
        assert caught.value.code == "E-PROXY"


def test_a_file_that_others_may_read_or_that_is_missing_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    with pytest.raises(ConfigError, match="no such file"):
        way(ProxySettings(address="p:1", password_file=file))
    file.write_text("u:p", encoding="utf-8")
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="0644") as caught:
        way(ProxySettings(address="p:1", password_file=file))
    assert caught.value.code == "E-PROXY"
