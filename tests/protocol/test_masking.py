"""The ring, the mask streams and the pair keys."""

from __future__ import annotations

import hashlib
import hmac

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from protocol import masking, ring
from protocol.canonical import frame, label, u32
from protocol.errors import EncodingRangeError, MalformedError, RemoteProtocolError

KEY = bytes(range(32))


def keystream(key: bytes, blocks: int) -> bytes:
    """AES-256-CTR from zero, made of single AES blocks."""
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305
    return encryptor.update(b"".join(i.to_bytes(16, "big") for i in range(blocks)))


@pytest.mark.parametrize("length", [1, 2, 31, (1 << 15) - 1, 1 << 15, (1 << 15) + 1, 100_000])
def test_a_mask_is_the_aes_256_ctr_keystream_as_little_endian_words(length: int) -> None:
    expected = np.frombuffer(keystream(KEY, (length + 1) // 2), "<u8")[:length]
    vector = np.zeros(length, dtype=np.uint64)
    masking.apply_mask(vector, KEY, subtract=False)
    assert (vector == expected).all()
    masking.apply_mask(vector, KEY, subtract=True)
    assert not vector.any()


def test_the_first_words_of_a_stream_are_known() -> None:
    words = np.frombuffer(keystream(KEY, 2), "<u8")
    assert (masking.Stream(KEY).words(4) == words).all()
    stream = masking.Stream(KEY)
    split = np.concatenate([stream.words(1), stream.words(3)])
    assert (split == words).all()


@given(st.integers(1, 1 << 63), st.integers(1, 20))
def test_numbers_below_a_bound_are_below_it_and_repeat(bound: int, count: int) -> None:
    found = masking.Stream(KEY).below(bound, count)
    assert found.shape == (count,)
    assert int(found.max()) < bound
    assert (masking.Stream(KEY).below(bound, count) == found).all()


def test_numbers_below_a_bound_reject_instead_of_favouring_the_small() -> None:
    """Two thirds of 2^64 as bound: a third of the words have to be thrown away."""
    bound = (1 << 64) // 3 * 2
    words = masking.Stream(KEY).words(60)
    assert (masking.Stream(KEY).below(bound, 20) == words[words < np.uint64(bound)][:20]).all()


@given(st.integers(2, 8), st.integers(1, 40), st.integers(0, 2**32))
def test_masks_of_all_pairs_cancel_in_the_total(n: int, length: int, seed: int) -> None:
    answers = np.random.default_rng(seed).integers(-(2**61), 2**61, (n, length)) // n
    total = np.zeros(length, dtype=np.uint64)
    for i in range(n):
        vector = ring.to_ring(
            answers[i], low=np.full(length, -(2**61)), high=np.full(length, 2**61)
        )
        for j in range(n):
            if j != i:
                key = hashlib.sha256(bytes([min(i, j), max(i, j)])).digest()
                masking.apply_mask(vector, key, subtract=i > j)
        assert (ring.from_ring(vector) != answers[i]).any()
        ring.add(total, ring.from_bytes(ring.to_bytes(vector), length=length))
    assert (ring.from_ring(total) == answers.sum(axis=0)).all()


def test_both_sides_of_a_pair_derive_the_same_key() -> None:
    a, b, seed = bytes([1] * 32), bytes([2] * 32), bytes([3] * 64)
    secret, ciphertext = masking.kem_encapsulate(masking.kem_public(seed))
    assert masking.kem_decapsulate(seed, ciphertext) == secret
    ab = masking.agree_x25519(a, masking.x25519_public(b))
    assert ab == masking.agree_x25519(b, masking.x25519_public(a))
    key = masking.pair_key(ab, secret, run_hash=bytes(32), a=0, b=1)
    assert key == masking.pair_key(ab, secret, run_hash=bytes(32), a=1, b=0)
    others = {
        masking.pair_key(ab, secret, run_hash=bytes(32), a=0, b=2),
        masking.pair_key(ab, secret, run_hash=bytes([1] * 32), a=0, b=1),
        masking.pair_key(secret, ab, run_hash=bytes(32), a=0, b=1),
    }
    assert key not in others
    assert len(others) == 3


@pytest.mark.parametrize("public", [bytes(32), b"\1" + bytes(31), bytes(31)])
def test_an_x25519_key_of_low_order_or_size_is_refused(public: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="E-KEY-WEAK"):
        masking.agree_x25519(bytes([1] * 32), public)


def test_an_ml_kem_key_or_ciphertext_that_is_none_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="E-KEY-WEAK"):
        masking.kem_encapsulate(b"\xff" * masking.KEM_PUBLIC_BYTES)
    with pytest.raises(RemoteProtocolError, match="E-KEY-WEAK"):
        masking.kem_encapsulate(bytes(10))
    with pytest.raises(RemoteProtocolError, match="E-KEY-WEAK"):
        masking.kem_decapsulate(bytes(64), bytes(10))


def test_keys_are_expanded_with_hkdf_sha_256() -> None:
    info = frame(label("mask"), b"ctx")
    expected = hmac.new(KEY, info + b"\1", "sha256").digest()
    assert masking.expand(KEY, "mask", b"ctx") == expected
    salt, pair = b"s" * 32, frame(label("pair"), u32(1), u32(4))
    extracted = hmac.new(salt, b"x" * 32 + b"k" * 32, "sha256").digest()
    expected = hmac.new(extracted, pair + b"\1", "sha256").digest()
    assert masking.pair_key(b"x" * 32, b"k" * 32, run_hash=salt, a=4, b=1) == expected


@pytest.mark.parametrize("value", [-(2**62), -1, 0, 1, 2**62])
def test_negative_numbers_are_held_in_twos_complement(value: int) -> None:
    vector = ring.to_ring(np.array([value]), low=np.array([-(2**62)]), high=np.array([2**62]))
    assert int(vector[0]) == value % (1 << 64)
    assert ring.to_bytes(vector) == (value % (1 << 64)).to_bytes(8, "little")
    assert int(ring.from_ring(vector)[0]) == value


@pytest.mark.parametrize(
    "answer",
    [
        np.array([11, 0]),
        np.array([0, -11]),
        np.array([-(2**63), 0]),
        np.array([1.0, 2.0]),
        np.array([1, 2, 3]),
        np.array([[1, 2]]),
        np.array([1, 2], dtype=np.int32),
    ],
)
def test_an_answer_beyond_its_bounds_or_of_another_form_is_refused(answer: np.ndarray) -> None:
    with pytest.raises(EncodingRangeError):
        ring.to_ring(answer, low=np.array([-10, -10]), high=np.array([10, 10]))


def test_a_vector_of_another_length_is_refused() -> None:
    with pytest.raises(MalformedError):
        ring.from_bytes(bytes(15), length=2)
