"""C2SP cosignatures: a witness says when it saw which state of a log.

Both types are those of c2sp.org/tlog-cosignature: cosignature/v1 (Ed25519, 0x04) over time and
note text, and subtree/v1 (ML-DSA-44, 0x06) over names, time, size and root. The latter says
nothing of extension lines, and is what that document advises for logs' own signatures too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from protocol.errors import MalformedError
from protocol.log.checkpoints import Checkpoint
from protocol.log.notes import Note, VerifierKey, ed25519_holds, require_kind
from protocol.log.text import MAX_NUMBER, malformed

ED25519_COSIGNATURE: Final = 0x04
ML_DSA_44_COSIGNATURE: Final = 0x06
ML_DSA_44_KEY_BYTES: Final = 1312
TIME_BYTES: Final = 8
#: How far clocks may be apart, in seconds.
CLOCKS_S: Final = 300
_MAX_NAME_BYTES: Final = 255


@dataclass(frozen=True, slots=True)
class Ed25519Cosigner:
    """Checks cosignature/v1."""

    key: VerifierKey

    def __post_init__(self) -> None:
        require_kind(self.key, ED25519_COSIGNATURE, 32)

    def holds(self, text: str, signature: bytes) -> bool:
        """See `protocol.log.notes.Verifier`."""
        try:
            message = _ed25519_message(text, cosigned_at(signature))
        except MalformedError:
            return False
        return ed25519_holds(self.key.public_key, signature[TIME_BYTES:], message)


@dataclass(frozen=True, slots=True)
class MlDsaCosigner:
    """Checks subtree/v1 over a whole log."""

    key: VerifierKey

    def __post_init__(self) -> None:
        require_kind(self.key, ML_DSA_44_COSIGNATURE, ML_DSA_44_KEY_BYTES)

    def holds(self, text: str, signature: bytes) -> bool:
        """See `protocol.log.notes.Verifier`."""
        try:
            message = _ml_dsa_message(self.key.name, text, cosigned_at(signature))
            key = MLDSA44PublicKey.from_public_bytes(self.key.public_key)
            key.verify(signature[TIME_BYTES:], message)
        except (InvalidSignature, MalformedError, ValueError):
            return False
        return True


def cosigner(key: VerifierKey) -> Ed25519Cosigner | MlDsaCosigner:
    """What checks cosignatures of `key`; raises MalformedError for another type of key."""
    return MlDsaCosigner(key) if key.kind == ML_DSA_44_COSIGNATURE else Ed25519Cosigner(key)


def cosign_ed25519(note: Note, name: str, key: Ed25519PrivateKey, time: int) -> Note:
    """A copy of a checkpoint's note with cosignature/v1 at `time`, seconds since 1970."""
    message = _ed25519_message(note.text, time)
    named = VerifierKey(name, ED25519_COSIGNATURE, key.public_key().public_bytes_raw())
    return note.with_signature(named, time.to_bytes(TIME_BYTES, "big") + key.sign(message))


def cosign_ml_dsa(note: Note, name: str, key: MLDSA44PrivateKey, time: int) -> Note:
    """A copy of a checkpoint's note with subtree/v1 at `time`, seconds since 1970."""
    message = _ml_dsa_message(name, note.text, time)
    named = VerifierKey(name, ML_DSA_44_COSIGNATURE, key.public_key().public_bytes_raw())
    return note.with_signature(named, time.to_bytes(TIME_BYTES, "big") + key.sign(message))


def cosigned_at(signature: bytes) -> int:
    """The time, seconds since 1970, that a cosignature's bytes begin with."""
    if len(signature) <= TIME_BYTES:
        raise malformed("a cosignature ends before its signature")
    return int.from_bytes(signature[:TIME_BYTES], "big")


def _ed25519_message(text: str, time: int) -> bytes:
    Checkpoint.from_text(text)
    return f"cosignature/v1\ntime {_time(time)}\n{text}".encode()


def _ml_dsa_message(name: str, text: str, time: int) -> bytes:
    checkpoint = Checkpoint.from_text(text)
    return b"".join(
        (
            b"subtree/v1\n\0",
            _short(name),
            _time(time).to_bytes(8, "big"),
            _short(checkpoint.origin),
            bytes(8),
            checkpoint.size.to_bytes(8, "big"),
            checkpoint.root,
        )
    )


def _short(text: str) -> bytes:
    data = text.encode("utf-8")
    if not 1 <= len(data) <= _MAX_NAME_BYTES:
        raise malformed(f"a name takes 1 to {_MAX_NAME_BYTES} bytes, found {len(data)}")
    return bytes([len(data)]) + data


def _time(time: int) -> int:
    if not 0 <= time <= MAX_NUMBER:
        raise malformed(f"a time lies outside 0 to 2^63 - 1: {time}")
    return time
