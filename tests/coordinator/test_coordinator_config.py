"""``coordinator.toml``: every key, refused with the place and the nearest known name."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.config import FILE_NAME, CoordinatorConfig, quoted, template
from coordinator.patience import Patience
from machine.metrics.settings import MetricsSettings
from machine.traces import TraceSettings
from protocol.errors import ConfigError, KeystoreError
from tests.hidden_characters import CATEGORIES, UNSEEN


def text_of(**changes: object) -> str:
    values: dict[str, object] = {
        "legal_name": "Operator Ltd",
        "contact": "ops@operator.example",
        "host": "0.0.0.0",  # noqa: S104
        "port": 9443,
        "certificate": "tls/coordinator.crt",
        "key": "tls/coordinator.key",
        "patience": Patience(grace_s=45, resend_s=7, farewell_s=9),
    }
    return template(**(values | changes))  # type: ignore[arg-type]


def parse(text: str, directory: Path = Path("/home/coordinator")) -> CoordinatorConfig:
    return CoordinatorConfig.parse(text.encode("utf-8"), directory)


def refused(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert caught.value.exit_code == 2
    assert caught.value.remedy
    return caught.value


def test_the_template_is_a_configuration_with_every_value_it_was_given() -> None:
    found = parse(text_of())
    assert (found.legal_name, found.contact) == ("Operator Ltd", "ops@operator.example")
    assert (found.host, found.port) == ("0.0.0.0", 9443)  # noqa: S104
    assert found.certificate == Path("/home/coordinator/tls/coordinator.crt")
    assert found.key == Path("/home/coordinator/tls/coordinator.key")
    assert found.passphrase_file == Path("/home/coordinator/keys/passphrase")
    assert found.passphrase_env is None
    patience = found.patience
    assert (patience.grace_s, patience.resend_s, patience.farewell_s) == (45, 7, 9)


def test_metrics_are_offered_where_a_port_is_named_and_else_nowhere() -> None:
    text = text_of()
    assert parse(text).metrics is None
    assert parse(text.split("[metrics]")[0]).metrics is None
    on = re.sub(r"(?m)^# port = 9464$", "port = 9464", text)
    assert parse(on).metrics == MetricsSettings(host="127.0.0.1", port=9464)
    elsewhere = re.sub(r"(?m)^# host = .*$", 'host = "::1"', on)
    assert parse(elsewhere).metrics == MetricsSettings(host="::1", port=9464)
    for host in ("localhost", "*", "10.0.0.256"):
        assert "metrics.host" in refused(elsewhere.replace("::1", host)).message
    assert "metrics.port" in refused(on.replace("9464", "65536")).message


def test_traces_are_sent_where_an_endpoint_is_named_and_else_nowhere() -> None:
    text = text_of()
    assert parse(text).traces is None
    on = text.replace("# endpoint =", "endpoint =")
    assert parse(on).traces == TraceSettings(endpoint="http://127.0.0.1:4318/v1/traces")
    assert "traces.endpoint" in refused(on.replace("http://", "ftp://")).message
    secret = refused(on.replace("http://", "http://somebody:s3cret@")).message
    assert "traces.endpoint" in secret
    assert "s3cret" not in secret


def test_a_configuration_of_before_may_lack_the_time_for_farewells() -> None:
    found = parse(re.sub(r"(?m)^farewell_s = .*$", "", text_of()))
    assert found.patience.farewell_s == Patience().farewell_s


NASTY = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters=[chr(i) for i in range(32)])
    | st.sampled_from(['"', "\\", "\n", "'", "{", "}", "é", "\u202e", "\x7f", "\x85", "\u2028"]),
    min_size=1,
    max_size=60,
)


#: Signed texts hold nothing that their reader would not see.
NAMES = NASTY.filter(
    lambda text: all(
        c == "\n" or (unicodedata.category(c) not in CATEGORIES and c not in UNSEEN) for c in text
    )
)


@settings(deadline=None)
@given(name=NAMES, contact=NAMES)
def test_any_name_survives_the_template(name: str, contact: str) -> None:
    found = parse(text_of(legal_name=name, contact=contact))
    assert (found.legal_name, found.contact) == (name, contact)


@settings(deadline=None)
@given(NASTY)
def test_quoted_text_is_one_line_that_shows_every_character(text: str) -> None:
    assert quoted(text).isprintable()
    assert tomllib.loads(f"a = {quoted(text)}") == {"a": text}


def test_without_a_control_port_there_is_none_and_nothing_else_changes() -> None:
    plain = parse(text_of())
    assert plain.control is None
    assert "control" not in text_of()
    found = parse(text_of(control_port=9_444, authority="tls/ca.crt"))
    assert found.control is not None
    assert (found.control.port, found.control.authority.name) == (9_444, "ca.crt")
    assert replace(found, control=None) == plain


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"control_port": 65_536, "authority": "a"}, "public.control_port is 65536"),
        ({"control_port": -1, "authority": "a"}, "public.control_port is -1"),
        ({"control_port": 9_444, "authority": ""}, "public.authority"),
        ({"control_port": 9_443, "authority": "a", "port": 9_443}, "the port itself"),
    ],
    ids=str,
)
def test_a_control_port_that_cannot_be_is_refused(words: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse(text_of(**words))


@pytest.mark.parametrize("line", ["control_port", "authority"])
def test_half_a_control_port_is_refused(line: str) -> None:
    text = text_of(control_port=9_444, authority="tls/ca.crt")
    with pytest.raises(ConfigError, match="both control_port and authority"):
        parse(re.sub(rf"(?m)^{line} = .*$", "", text))


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ('legal_name = ""', "operator.legal_name"),
        ('contact = "a\\u0007"', "operator.contact"),
        ("host = 5", "public.host"),
        ("port = -1", "public.port"),
        ("port = 65536", "public.port"),
        ('port = "9443"', "public.port"),
        ("port = true", "public.port"),
        ("certificate = []", "public.certificate"),
        ('key = ""', "public.key"),
        ("grace_s = 0", "runs.grace_s"),
        ("grace_s = 86401", "runs.grace_s"),
        ("resend_s = 0.5", "runs.resend_s"),
        ("resend_s = 3601", "runs.resend_s"),
        ("farewell_s = -1", "runs.farewell_s"),
        ("passphrase_file = 1", "keys.passphrase_file"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(line: str, place: str) -> None:
    key = line.split(" = ")[0]
    text, count = re.subn(rf"(?m)^{key} = .*$", line.replace("\\", "\\\\"), text_of())
    assert count == 1
    assert place in refused(text).message


@pytest.mark.parametrize(
    "key",
    ["legal_name", "contact", "host", "port", "certificate", "key", "passphrase_file", "grace_s",
     "resend_s"],
)  # fmt: skip
def test_every_key_is_needed_and_a_misspelt_one_is_refused(key: str) -> None:
    assert key in refused(re.sub(rf"(?m)^{key} = .*$", "", text_of())).message
    message = refused(
        re.sub(rf"(?m)^({key} = .*)$", r"\1\n\1_".replace(r"\1_", f"x_{key} = 1"), text_of())
    ).message
    assert f"unknown field 'x_{key}'" in message
    assert "did you mean" in message


def test_an_unknown_section_is_refused() -> None:
    assert "'operators'" in refused(text_of() + "\n[operators]\n").message


def test_the_passphrase_comes_from_exactly_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    line = 'passphrase_file = "keys/passphrase"'
    variable = 'passphrase_env = "SECRET"'
    found = parse(text_of().replace(line, variable))
    assert (found.passphrase_file, found.passphrase_env) == (None, "SECRET")
    for text in (text_of().replace(line, ""), text_of().replace(line, f"{line}\n{variable}")):
        assert "exactly one" in refused(text).message


def test_absolute_paths_are_kept() -> None:
    assert parse(text_of(certificate="/etc/tls/a.crt")).certificate == Path("/etc/tls/a.crt")


@pytest.mark.parametrize(
    "data",
    [b"\xff\xfe\x00", b"[operator", b"a = 1\na = 2", b"a = " + b"[" * 20_000, b"x" * (2 << 20)],
)
def test_what_is_no_toml_is_our_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(data)
    with pytest.raises(ConfigError, match=re.escape(str(tmp_path))):
        CoordinatorConfig.load(tmp_path)


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(text_of(), encoding="utf-8-sig")
    assert CoordinatorConfig.load(tmp_path).port == 9443


def test_a_folder_without_configuration_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        CoordinatorConfig.load(tmp_path)
    assert "fedseg-coordinator init" in caught.value.remedy
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(ConfigError, match="directory"):
        CoordinatorConfig.load(tmp_path)


def test_a_key_that_is_not_there_is_our_error(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(text_of(), encoding="utf-8")
    with pytest.raises(KeystoreError) as caught:
        CoordinatorConfig.load(tmp_path).signing_key()
    assert caught.value.code == "E-KEY-MISSING"
