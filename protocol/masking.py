"""Key schedule and mask streams of the secure sum. SPEC.md, section 5.

Every pair of partners shares a key from X25519 and ML-KEM-768 together, so the sum stays hidden
as long as either holds. For every round context the pair derives a fresh AES-256-CTR keystream;
the lower id adds it, the higher id subtracts it, and in the total they cancel.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from protocol.canonical import frame, label, u32
from protocol.errors import RemoteProtocolError
from protocol.ring import WORD_BYTES, RingVector

KEY_BYTES: Final = 32
X25519_BYTES: Final = 32
KEM_SEED_BYTES: Final = 64
KEM_PUBLIC_BYTES: Final = 1184
KEM_CIPHERTEXT_BYTES: Final = 1088

_BLOCK_BYTES: Final = 1 << 18
_ZEROS: Final = bytes(_BLOCK_BYTES)


def agree_x25519(private: bytes, public: bytes) -> bytes:
    """The X25519 secret of a raw private and a raw public key, 32 bytes.

    Raises:
        RemoteProtocolError: The public key is of low order (E-KEY-WEAK).
    """
    try:
        return X25519PrivateKey.from_private_bytes(private).exchange(
            X25519PublicKey.from_public_bytes(public)
        )
    except ValueError as error:
        raise RemoteProtocolError(
            "a partner's X25519 key is not usable", code="E-KEY-WEAK"
        ) from error


def x25519_public(private: bytes) -> bytes:
    """The raw public key of a raw X25519 private key."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def kem_public(seed: bytes) -> bytes:
    """The ML-KEM-768 encapsulation key of a 64-byte seed (FIPS 203), 1184 bytes."""
    return MLKEM768PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()


def check_public_keys(x25519: bytes, kem: bytes) -> None:
    """Refuse keys from which no shared secret can be derived.

    Args:
        x25519: Raw X25519 public key, 32 bytes.
        kem: ML-KEM-768 encapsulation key, 1184 bytes.

    Raises:
        RemoteProtocolError: One is not usable (E-KEY-WEAK).
    """
    agree_x25519(bytes(range(X25519_BYTES)), x25519)
    _encapsulated(kem)


def kem_encapsulate(public: bytes) -> tuple[bytes, bytes]:
    """A fresh shared secret, 32 bytes, and its ciphertext for the holder of `public`."""
    return _encapsulated(public)


def _encapsulated(public: bytes) -> tuple[bytes, bytes]:
    try:
        return MLKEM768PublicKey.from_public_bytes(public).encapsulate()
    except ValueError as error:
        raise RemoteProtocolError(
            "a partner's ML-KEM key is not usable", code="E-KEY-WEAK"
        ) from error


def kem_decapsulate(seed: bytes, ciphertext: bytes) -> bytes:
    """The shared secret in `ciphertext`, 32 bytes."""
    try:
        return MLKEM768PrivateKey.from_seed_bytes(seed).decapsulate(ciphertext)
    except ValueError as error:
        raise RemoteProtocolError(
            "a partner's ML-KEM ciphertext is not usable", code="E-KEY-WEAK"
        ) from error


def pair_key(x25519_secret: bytes, kem_secret: bytes, *, run_hash: bytes, a: int, b: int) -> bytes:
    """The key of the pair {a, b} for one run, 32 bytes."""
    info = frame(label("pair"), u32(min(a, b)), u32(max(a, b)))
    hkdf = HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=run_hash, info=info)
    return hkdf.derive(x25519_secret + kem_secret)


def expand(key: bytes, name: str, context: bytes) -> bytes:
    """HKDF-Expand of `key` for a purpose and a context, 32 bytes."""
    info = frame(label(name), context)
    return HKDFExpand(algorithm=hashes.SHA256(), length=KEY_BYTES, info=info).derive(key)


def apply_mask(accumulator: RingVector, key: bytes, *, subtract: bool) -> None:
    """Add (or subtract) the AES-256-CTR keystream of `key` to `accumulator` in place.

    The keystream is read as little-endian 64-bit words and made block-wise, so that it stays in
    the processor's cache.

    Args:
        accumulator: Shape ``(length,)``, dtype ``uint64``, contiguous.
        key: 32 bytes, used for this one vector only.
        subtract: True for the pair's higher id.
    """
    encryptor = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    buffer = bytearray(_BLOCK_BYTES)
    operation = np.subtract if subtract else np.add
    step = _BLOCK_BYTES // WORD_BYTES
    for start in range(0, accumulator.shape[0], step):
        part = accumulator[start : start + step]
        size = WORD_BYTES * part.shape[0]
        encryptor.update_into(memoryview(_ZEROS)[:size], memoryview(buffer)[:size])
        operation(part, np.frombuffer(buffer, "<u8", part.shape[0]), out=part)


class Stream:
    """A deterministic stream of random numbers from a key: AES-256-CTR, little-endian words.

    The same key gives the same numbers on every platform.
    """

    def __init__(self, key: bytes) -> None:
        self._encryptor = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()

    def words(self, count: int) -> RingVector:
        """The next `count` uniform 64-bit words, shape ``(count,)``."""
        data = self._encryptor.update(bytes(WORD_BYTES * count))
        return np.frombuffer(data, "<u8").astype(np.uint64)

    def below(self, bound: int, count: int) -> RingVector:
        """The next `count` uniform numbers in 0 … bound-1, by rejection.

        Args:
            bound: 1 to 2^63.
        """
        limit = (1 << 64) // bound * bound
        found = np.empty(0, dtype=np.uint64)
        while found.shape[0] < count:
            words = self.words(count - found.shape[0])
            if limit < 1 << 64:
                words = words[words < np.uint64(limit)]
            found = np.concatenate([found, words % np.uint64(bound)])
        return found
