"""The coordinator's signing key: encrypted, private, never overwritten."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.keystore import (
    create_key,
    create_passphrase,
    load_key,
    read_passphrase,
)
from machine.private_files import write_private_file
from protocol.errors import KeystoreError

PASSPHRASE = b"a passphrase of some length"


def refused(code: str, action: Callable[[], object]) -> KeystoreError:
    with pytest.raises(KeystoreError) as caught:
        action()
    assert caught.value.code == code
    assert caught.value.exit_code == 3
    assert PASSPHRASE.decode() not in str(caught.value)
    return caught.value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "coordinator.pem"


def test_a_key_reads_back_and_lies_encrypted_in_a_private_file(path: Path) -> None:
    before = os.umask(0)
    try:
        key = create_key(path, PASSPHRASE)
    finally:
        os.umask(before)
    assert load_key(path, PASSPHRASE).private_bytes_raw() == key.private_bytes_raw()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    data = path.read_bytes()
    assert data.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert key.private_bytes_raw() not in data


def test_every_key_and_passphrase_is_drawn_anew(tmp_path: Path) -> None:
    keys = {create_key(tmp_path / str(i), PASSPHRASE).private_bytes_raw() for i in range(3)}
    words = {create_passphrase(tmp_path / f"p{i}") for i in range(3)}
    assert len(keys) == len(words) == 3
    assert min(len(word) for word in words) >= 43


def test_nothing_is_ever_overwritten(path: Path) -> None:
    create_key(path, PASSPHRASE)
    before = path.read_bytes()
    for action in (
        lambda: create_key(path, PASSPHRASE),
        lambda: create_passphrase(path),
        lambda: write_private_file(path, b"x"),
    ):
        assert refused("E-KEY-EXISTS", action).remedy
    assert path.read_bytes() == before


def test_another_passphrase_does_not_open_the_key(path: Path) -> None:
    create_key(path, PASSPHRASE)
    for wrong in (b"other", PASSPHRASE + b"\n", b"x" * 5_000, b"\0"):
        assert refused("E-KEY-PASSPHRASE", lambda wrong=wrong: load_key(path, wrong)).remedy


def test_a_damaged_key_file_is_our_error(path: Path) -> None:
    create_key(path, PASSPHRASE)
    whole = path.read_bytes()
    for data in (b"", b"\0" * 100, whole[: len(whole) // 2], whole[::-1]):
        path.write_bytes(data)
        refused("E-KEY-PASSPHRASE", lambda: load_key(path, PASSPHRASE))


def test_a_key_of_another_kind_is_refused(path: Path) -> None:
    data = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(PASSPHRASE),
    )
    write_private_file(path, data)
    refused("E-KEY-DAMAGED", lambda: load_key(path, PASSPHRASE))


def test_a_key_that_lies_there_in_clear_is_refused(path: Path) -> None:
    data = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_private_file(path, data)
    refused("E-KEY-PASSPHRASE", lambda: load_key(path, PASSPHRASE))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o777])
def test_a_file_that_others_could_read_is_refused_with_the_chmod(path: Path, mode: int) -> None:
    create_key(path, PASSPHRASE)
    path.chmod(mode)
    error = refused("E-KEY-MODE", lambda: load_key(path, PASSPHRASE))
    assert f"chmod 0600 {path}" in error.remedy
    assert f"{mode:04o}" in error.message


def test_what_is_not_a_file_of_ours_is_refused_and_never_waited_for(
    tmp_path: Path, path: Path
) -> None:
    create_key(path, PASSPHRASE)
    link, folder, pipe = (tmp_path / name for name in ("link", "folder", "pipe"))
    link.symlink_to(path)
    folder.mkdir(mode=0o700)
    os.mkfifo(pipe, 0o600)
    tmp_path.chmod(0o700)
    for other in (link, folder, pipe):
        refused("E-KEY-FILE", lambda other=other: load_key(other, PASSPHRASE))
    assert refused("E-KEY-MISSING", lambda: load_key(tmp_path / "none", PASSPHRASE)).remedy


def test_the_passphrase_comes_from_a_private_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    word = create_passphrase(tmp_path / "passphrase")
    assert read_passphrase(file=tmp_path / "passphrase", variable=None) == word
    monkeypatch.setenv("SECRET", "pässword")
    assert read_passphrase(file=None, variable="SECRET") == "pässword".encode()
    monkeypatch.setenv("SECRET", "")
    for variable in ("SECRET", "NOT_SET"):
        error = refused(
            "E-KEY-PASSPHRASE", lambda v=variable: read_passphrase(file=None, variable=v)
        )
        assert variable in error.message
    write_private_file(tmp_path / "empty", b" \n")
    refused("E-KEY-PASSPHRASE", lambda: read_passphrase(file=tmp_path / "empty", variable=None))
