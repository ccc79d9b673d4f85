"""The key store: what it holds, who may read it, and what happens when it is altered."""

from __future__ import annotations

import copy
import json
import os
import pickle
import stat
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from machine.private_files import read_private_file
from partner_node.keystore import (
    MIN_LOG2_N,
    Keystore,
    decrypt_secrets,
    encrypt_secrets,
    read_passphrase,
)
from protocol.errors import KeystoreError
from protocol.signing import sign, verify

PASSPHRASE = b"correct horse battery staple"


def create(path: Path, passphrase: bytes = PASSPHRASE) -> Keystore:
    return Keystore.create(path, passphrase, log2_n=MIN_LOG2_N)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "keystore.json"


@pytest.fixture(scope="module")
def data() -> bytes:
    named = {"identity": b"i" * 32, "node": b"n" * 100, "state": b"s" * 32}
    return encrypt_secrets(named, PASSPHRASE, salt=b"\1" * 16, nonce=b"\2" * 12, log2_n=MIN_LOG2_N)


def test_a_store_opens_again_with_the_same_keys(path: Path) -> None:
    made = create(path)
    opened = Keystore.open(path, PASSPHRASE)
    assert opened.identity_public == made.identity_public
    assert opened.node_public_openssh() == made.node_public_openssh()
    assert opened.unseal(made.seal(b"secret", b"row 1"), b"row 1") == b"secret"


def test_a_new_store_costs_half_a_second_to_try_a_passphrase_on(path: Path) -> None:
    Keystore.create(path, PASSPHRASE)
    kdf = json.loads(path.read_bytes())["kdf"]
    assert (kdf["name"], kdf["log2_n"], kdf["r"], kdf["p"]) == ("scrypt", 17, 8, 1)
    Keystore.open(path, PASSPHRASE)


def test_two_stores_share_no_key(tmp_path: Path) -> None:
    one, two = create(tmp_path / "a" / "k"), create(tmp_path / "b" / "k")
    assert one.identity_public != two.identity_public
    assert one.node_public_openssh() != two.node_public_openssh()
    with pytest.raises(KeystoreError):
        two.unseal(one.seal(b"secret", b""), b"")


def test_the_identity_signs_as_the_protocol_expects(path: Path) -> None:
    keys = create(path)
    verify(keys.identity_public, "hello", b"body", sign(keys.identity, "hello", b"body"), who="us")


def test_the_node_key_is_p384_in_the_form_that_flower_reads(path: Path) -> None:
    keys = create(path)
    private = serialization.load_ssh_private_key(keys.node_private_openssh(), password=None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert isinstance(private.curve, ec.SECP384R1)
    assert keys.node_public_openssh().startswith(b"ecdsa-sha2-nistp384 ")
    public = serialization.load_ssh_public_key(keys.node_public_openssh())
    assert public == private.public_key() == keys.node_key.public_key()


def test_no_key_is_in_the_file_in_clear(path: Path) -> None:
    keys = create(path)
    content = path.read_bytes()
    for secret in (
        keys.identity.private_bytes_raw(),
        keys.node_key.private_numbers().private_value.to_bytes(48, "big"),
    ):
        assert secret not in content
        assert secret.hex().encode() not in content
    assert PASSPHRASE not in content


def test_file_and_folder_are_closed_to_everybody_else(path: Path) -> None:
    before = os.umask(0)
    try:
        create(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o700, 0o602, 0o4600])
def test_a_file_with_a_wider_mode_is_refused_with_the_chmod_that_mends_it(
    path: Path, mode: int
) -> None:
    create(path)
    path.chmod(mode)
    with pytest.raises(KeystoreError) as caught:
        Keystore.open(path, PASSPHRASE)
    assert caught.value.code == "E-KEY-MODE"
    assert caught.value.remedy == f"chmod 0600 {path}"
    path.chmod(0o600)
    Keystore.open(path, PASSPHRASE)


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o770, 0o755])
def test_a_folder_with_a_wider_mode_is_refused_with_the_chmod_that_mends_it(
    path: Path, mode: int
) -> None:
    create(path)
    path.parent.chmod(mode)
    for attempt in (Keystore.open, create):
        with pytest.raises(KeystoreError) as caught:
            attempt(path, PASSPHRASE)
        assert caught.value.code == "E-KEY-MODE"
        assert caught.value.remedy == f"chmod 0700 {path.parent}"


def test_a_narrower_mode_is_fine(path: Path) -> None:
    create(path)
    path.chmod(0o400)
    path.parent.chmod(0o500)
    Keystore.open(path, PASSPHRASE)
    path.parent.chmod(0o700)


def test_a_file_of_another_user_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create(path)
    other = os.geteuid() + 1
    monkeypatch.setattr("os.geteuid", lambda: other)
    with pytest.raises(KeystoreError) as caught:
        Keystore.open(path, PASSPHRASE)
    assert caught.value.code == "E-KEY-MODE"
    assert "sudo -u" in caught.value.remedy


def test_a_link_is_not_followed(path: Path) -> None:
    create(path)
    link = path.with_name("link.json")
    link.symlink_to(path)
    with pytest.raises(KeystoreError) as caught:
        Keystore.open(link, PASSPHRASE)
    assert caught.value.code == "E-KEY-FILE"


def test_a_folder_or_a_pipe_is_no_key_store(path: Path) -> None:
    path.mkdir(parents=True, mode=0o700)
    path.parent.chmod(0o700)
    with pytest.raises(KeystoreError) as caught:
        Keystore.open(path, PASSPHRASE)
    assert caught.value.code == "E-KEY-FILE"
    pipe = path.with_name("pipe")
    os.mkfifo(pipe, 0o600)
    with pytest.raises(KeystoreError) as caught:
        Keystore.open(pipe, PASSPHRASE)
    assert caught.value.code == "E-KEY-FILE"


def test_a_missing_store_says_what_to_do(tmp_path: Path) -> None:
    for missing in (tmp_path / "keystore.json", tmp_path / "nowhere" / "keystore.json"):
        tmp_path.chmod(0o700)
        with pytest.raises(KeystoreError) as caught:
            Keystore.open(missing, PASSPHRASE)
        assert caught.value.code == "E-KEY-MISSING"
        assert "init" in caught.value.remedy


def test_a_store_is_never_overwritten(path: Path) -> None:
    create(path)
    before = path.read_bytes()
    with pytest.raises(KeystoreError) as caught:
        create(path)
    assert caught.value.code == "E-KEY-EXISTS"
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_of_two_at_once_one_wins_and_its_keys_are_in_the_file(path: Path) -> None:
    made: list[Keystore] = []
    refused: list[KeystoreError] = []

    def attempt() -> None:
        try:
            made.append(create(path))
        except KeystoreError as error:
            refused.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(made) == 1
    assert [error.code for error in refused] == ["E-KEY-EXISTS"] * 3
    assert Keystore.open(path, PASSPHRASE).identity_public == made[0].identity_public


def test_a_full_disk_leaves_nothing_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(KeystoreError) as caught:
        create(path)
    assert caught.value.code == "E-KEY-FILE"
    assert list(path.parent.iterdir()) == []


def test_a_wrong_passphrase_is_told_apart_from_a_damaged_file(path: Path) -> None:
    create(path)
    with pytest.raises(KeystoreError) as caught:
        Keystore.open(path, PASSPHRASE + b"!")
    assert caught.value.code == "E-KEY-PASSPHRASE"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(KeystoreError) as caught:
        Keystore.open(path, PASSPHRASE)
    assert caught.value.code == "E-KEY-DAMAGED"


@pytest.mark.parametrize("passphrase", [b"", b"short", b"x" * 11, b"x" * 5_000])
def test_a_passphrase_of_a_bad_length_is_refused(path: Path, passphrase: bytes) -> None:
    with pytest.raises(KeystoreError) as caught:
        create(path, passphrase)
    assert caught.value.code == "E-KEY-PASSPHRASE"
    assert not path.exists()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda f: f.update(format="fedseg-keystore-2"), "E-KEY-DAMAGED"),
        (lambda f: f.update(extra=1), "E-KEY-DAMAGED"),
        (lambda f: f.pop("nonce"), "E-KEY-DAMAGED"),
        (lambda f: f.update(nonce="00"), "E-KEY-DAMAGED"),
        (lambda f: f.update(nonce="zz"), "E-KEY-DAMAGED"),
        (lambda f: f.update(nonce="00" * 12), "E-KEY-PASSPHRASE"),
        (lambda f: f.update(ciphertext="?"), "E-KEY-DAMAGED"),
        (lambda f: f.update(ciphertext=""), "E-KEY-PASSPHRASE"),
        (lambda f: f.update(kdf=None), "E-KEY-DAMAGED"),
        (lambda f: f["kdf"].update(extra=1), "E-KEY-DAMAGED"),
        (lambda f: f["kdf"].update(name="none"), "E-KEY-DAMAGED"),
        (lambda f: f["kdf"].update(r=1), "E-KEY-DAMAGED"),
        (lambda f: f["kdf"].update(log2_n=1), "E-KEY-DAMAGED"),
        (lambda f: f["kdf"].update(log2_n=40), "E-KEY-DAMAGED"),
        (lambda f: f["kdf"].update(log2_n=True), "E-KEY-DAMAGED"),
        (lambda f: f["kdf"].update(log2_n=MIN_LOG2_N + 1), "E-KEY-PASSPHRASE"),
        (lambda f: f["kdf"].update(salt="00" * 16), "E-KEY-PASSPHRASE"),
    ],
)
def test_an_altered_field_is_refused(data: bytes, change: object, code: str) -> None:
    fields = json.loads(data)
    change(fields)  # type: ignore[operator]
    with pytest.raises(KeystoreError) as caught:
        decrypt_secrets(json.dumps(fields).encode(), PASSPHRASE, where="file")
    assert caught.value.code == code


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(position=st.integers(0, 10**6), value=st.integers(0, 255), cut=st.booleans())
def test_no_altered_byte_opens_or_raises_anything_but_our_error(
    data: bytes, position: int, value: int, cut: bool
) -> None:
    changed = bytearray(data)
    position %= len(changed) - 1  # the last byte is a line end
    if cut:
        del changed[position:]
    elif changed[position] == value:
        return
    else:
        changed[position] = value
    try:
        named = decrypt_secrets(bytes(changed), PASSPHRASE, where="file")
    except KeystoreError:
        return
    # Only a change that means the same JSON (a hex digit in capitals, blanks) may still open.
    assert json.loads(bytes(changed).lower()) == json.loads(data.lower())
    assert named["state"] == b"s" * 32


def test_a_store_with_other_keys_is_damaged(path: Path) -> None:
    create(path)
    for named in ({"identity": b"i"}, {"identity": b"i", "node": b"n", "state": b"s"}):
        path.write_bytes(
            encrypt_secrets(named, PASSPHRASE, salt=b"1" * 16, nonce=b"2" * 12, log2_n=MIN_LOG2_N)
        )
        with pytest.raises(KeystoreError) as caught:
            Keystore.open(path, PASSPHRASE)
        assert caught.value.code == "E-KEY-DAMAGED"


def test_the_encrypted_form_is_pinned_by_a_known_answer(data: bytes) -> None:
    """What an older fedseg wrote must open with a newer one."""
    known = Path(__file__).parent.parent / "vectors" / "keystore_1.json"
    assert known.read_bytes() == data
    assert decrypt_secrets(known.read_bytes(), PASSPHRASE, where="vector")["node"] == b"n" * 100


# --- sealing ---------------------------------------------------------------------------------


def test_a_sealed_secret_opens_only_in_its_own_context(path: Path) -> None:
    keys = create(path)
    sealed = keys.seal(b"mask seed", b"runs/1")
    assert keys.unseal(sealed, b"runs/1") == b"mask seed"
    for context in (b"runs/2", b"", b"runs/1\0"):
        with pytest.raises(KeystoreError) as caught:
            keys.unseal(sealed, context)
        assert caught.value.code == "E-KEY-SEAL"


def test_sealing_twice_gives_different_bytes(path: Path) -> None:
    keys = create(path)
    assert keys.seal(b"same", b"c") != keys.seal(b"same", b"c")
    assert len(keys.seal(b"same", b"c")) == 12 + 4 + 16


def test_an_altered_or_cut_sealed_secret_is_refused(path: Path) -> None:
    keys = create(path)
    sealed = keys.seal(b"secret", b"c")
    altered = [sealed[:i] + bytes([sealed[i] ^ 1]) + sealed[i + 1 :] for i in range(len(sealed))]
    for bad in (*altered, b"", sealed[:5], sealed[:12], sealed[:-1], sealed + b"\0"):
        with pytest.raises(KeystoreError) as caught:
            keys.unseal(bad, b"c")
        assert caught.value.code == "E-KEY-SEAL"


def test_an_open_store_shows_and_copies_no_key(path: Path) -> None:
    keys = create(path)
    assert repr(keys) == "Keystore(…)"
    for attempt in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="not written"):
            attempt(keys)


# --- passphrases -----------------------------------------------------------------------------


def test_a_passphrase_comes_from_a_file_without_its_line_end(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    for ending in (b"", b"\n", b"\r\n"):
        file.write_bytes(PASSPHRASE + ending)
        file.chmod(0o600)
        assert read_passphrase(file=file, variable=None, environment={}) == PASSPHRASE


def test_a_passphrase_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.write_bytes(PASSPHRASE)
    file.chmod(0o644)
    with pytest.raises(KeystoreError) as caught:
        read_passphrase(file=file, variable=None, environment={})
    assert caught.value.code == "E-KEY-MODE"
    assert caught.value.remedy == f"chmod 0600 {file}"


def test_a_passphrase_comes_from_the_environment() -> None:
    environment = {"FEDSEG_PASSPHRASE": PASSPHRASE.decode()}
    found = read_passphrase(file=None, variable="FEDSEG_PASSPHRASE", environment=environment)
    assert found == PASSPHRASE


def test_a_missing_or_short_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeystoreError) as caught:
        read_passphrase(file=None, variable="NOT_SET", environment={})
    assert (caught.value.code, "NOT_SET" in caught.value.message) == ("E-KEY-MISSING", True)
    with pytest.raises(KeystoreError) as caught:
        read_passphrase(file=tmp_path / "nowhere", variable=None, environment={})
    assert caught.value.code == "E-KEY-MISSING"
    with pytest.raises(KeystoreError) as caught:
        read_passphrase(file=None, variable="V", environment={"V": "short"})
    assert caught.value.code == "E-KEY-PASSPHRASE"


def test_two_places_for_a_passphrase_or_none_are_a_defect_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not from both"):
        read_passphrase(file=tmp_path, variable="V", environment={})
    with pytest.raises(ValueError, match="not from both"):
        read_passphrase(file=None, variable=None, environment={})


def test_a_huge_file_is_not_read_as_a_key_store(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    file = tmp_path / "huge"
    file.touch(mode=0o600)
    os.truncate(file, 1 << 30)
    with pytest.raises(KeystoreError) as caught:
        read_private_file(file)
    assert caught.value.code == "E-KEY-FILE"
