"""Who certifies nodes, the port's beginning and end, and coordinators without a control port."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from coordinator.cli import setup as operator_setup
from coordinator.config import ControlSettings, CoordinatorConfig
from coordinator.control.authority import CERTIFICATE_FILE, KEY_FILE, NodesAuthority
from coordinator.control.inviting import invite
from coordinator.control.port import ControlPort
from machine.certificates import is_issued_by
from protocol.errors import ConfigError, KeystoreError, TransportError
from tests.control.lab import serving

NOW = datetime.now(UTC)
PASSPHRASE = b"a passphrase of some length"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    tmp_path.chmod(0o700)
    yield tmp_path


def test_the_authority_is_made_once_and_certifies_keys(folder: Path) -> None:
    made = NodesAuthority.of(folder, PASSPHRASE, now=NOW)
    again = NodesAuthority.of(folder, PASSPHRASE, now=NOW)
    assert again.certificate == made.certificate
    key = ec.generate_private_key(ec.SECP384R1())
    found = x509.load_pem_x509_certificate(again.issue(key.public_key(), partner="a", now=NOW))
    assert is_issued_by(found, made.certificate)
    assert found.public_key() == key.public_key()
    assert b"ENCRYPTED" in (folder / KEY_FILE).read_bytes()


@pytest.mark.parametrize("lost", [KEY_FILE, CERTIFICATE_FILE])
def test_an_authority_of_which_half_is_lost_is_not_made_anew(folder: Path, lost: str) -> None:
    NodesAuthority.of(folder, PASSPHRASE, now=NOW)
    (folder / lost).unlink()
    with pytest.raises((KeystoreError, ConfigError)) as caught:
        NodesAuthority.of(folder, PASSPHRASE, now=NOW)
    assert "backup" in caught.value.remedy
    assert not (folder / lost).exists()


def test_another_passphrase_or_another_certificate_is_refused(folder: Path) -> None:
    NodesAuthority.of(folder, PASSPHRASE, now=NOW)
    with pytest.raises(KeystoreError, match="passphrase"):
        NodesAuthority.load(folder, b"another passphrase")
    other = folder / "other"
    other.mkdir(mode=0o700)
    NodesAuthority.of(other, PASSPHRASE, now=NOW)
    (folder / CERTIFICATE_FILE).write_bytes((other / CERTIFICATE_FILE).read_bytes())
    with pytest.raises(ConfigError, match="not of the key"):
        NodesAuthority.load(folder, PASSPHRASE)


def test_a_key_that_others_may_read_is_refused(folder: Path) -> None:
    NodesAuthority.of(folder, PASSPHRASE, now=NOW)
    (folder / KEY_FILE).chmod(0o644)
    with pytest.raises(KeystoreError) as caught:
        NodesAuthority.of(folder, PASSPHRASE, now=NOW)
    assert caught.value.code == "E-KEY-MODE"


def test_a_port_that_another_process_has_is_named_with_a_way_out(tmp_path: Path) -> None:
    with serving(tmp_path) as lab, socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        assert lab.config.control is not None
        control = replace(lab.config.control, port=number)
        port = ControlPort(config=replace(lab.config, control=control), public_port=1)
        with pytest.raises(TransportError) as caught:
            port.start()
        assert caught.value.code == "E-CONTROL-PORT"
        assert str(number) in caught.value.message
        assert "control_port" in caught.value.remedy
        assert not port.is_alive()
        assert lab.port.is_alive()
    assert not lab.port.is_alive()


def test_a_port_whose_files_are_gone_does_not_begin(tmp_path: Path) -> None:
    with serving(tmp_path) as lab:
        control = ControlSettings(port=0, authority=tmp_path / "none.crt")
        port = ControlPort(config=replace(lab.config, control=control), public_port=1)
        with pytest.raises(ConfigError, match=r"none\.crt"):
            port.start()


def test_without_a_control_port_nobody_is_invited(tmp_path: Path) -> None:
    operator_setup.init(
        legal_name="x", contact="x", directory=tmp_path / "c", port=9443, by_hand=True
    )
    config = CoordinatorConfig.load(tmp_path / "c")
    assert config.control is None
    with pytest.raises(ConfigError) as caught:
        invite(
            config, config.open_store(), "north", name="127.0.0.1", secret=bytes(16), now=NOW,
            end=NOW,
        )  # fmt: skip
    assert caught.value.code == "E-NO-CONTROL"
    assert "by hand" in caught.value.remedy


def test_with_port_0_invitations_need_a_serving_coordinator(tmp_path: Path) -> None:
    operator_setup.init(legal_name="x", contact="x", directory=tmp_path / "c", port=0)
    config = CoordinatorConfig.load(tmp_path / "c")
    with pytest.raises(ConfigError, match="while the coordinator serves"):
        invite(
            config, config.open_store(), "north", name="127.0.0.1", secret=bytes(16), now=NOW,
            end=NOW,
        )  # fmt: skip
