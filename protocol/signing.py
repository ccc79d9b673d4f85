"""Ed25519 signatures with domain separation, and DSSE envelopes. SPEC.md, section 3.

Protocol messages are signed as ``frame(label("sig/" + name), body)``. Documents that people keep
(agreement, release) are signed as DSSE envelopes (Dead Simple Signing Envelope, protocol 1.0.2)
whose payload is RFC 8785 JSON.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocol.canonical import canonical_json, exactly, frame, label, parse_json
from protocol.errors import MalformedError, SignatureError
from protocol.strict import Fields

PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
MAX_ENVELOPE_SIGNATURES: Final = 64


def key_id(public_key: bytes) -> str:
    """SHA-256 of the raw public key in hex, by which signatures name their key."""
    return hashlib.sha256(exactly(public_key, PUBLIC_KEY_BYTES, "an Ed25519 key")).hexdigest()


def public_key_words(public_key: bytes) -> str:
    """How files write a key that people are told by its id."""
    return f"In files, as public_key of a card or an agreement, it is {public_key.hex()}."


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The raw 32-byte public key of `key`."""
    return key.public_key().public_bytes_raw()


def sign(key: Ed25519PrivateKey, name: str, body: bytes) -> bytes:
    """Sign `body` for the purpose `name`; 64 bytes."""
    return key.sign(frame(label("sig/" + name), body))


def verify(public_key: bytes, name: str, body: bytes, signature: bytes, *, who: str) -> None:
    """Check that `public_key` signed `body` for the purpose `name`.

    Args:
        who: Whose signature it should be, for the message.

    Raises:
        SignatureError: It did not.
    """
    _verify_raw(public_key, frame(label("sig/" + name), body), signature, who=who, what=name)


def _verify_raw(public_key: bytes, data: bytes, signature: bytes, *, who: str, what: str) -> None:
    try:
        key = Ed25519PublicKey.from_public_bytes(public_key)
        key.verify(exactly(signature, SIGNATURE_BYTES, "a signature"), data)
    except (InvalidSignature, ValueError) as error:
        raise SignatureError(f"{what}: not signed by {who}") from error


# --- DSSE ------------------------------------------------------------------------------------


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """DSSE's PAE: the bytes that are signed for a payload of a type."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A document with the signatures collected so far.

    Attributes:
        payload_type: Media type that separates documents of different kinds.
        payload: The signed bytes.
        signatures: Signature bytes by key id (`key_id`).
    """

    payload_type: str
    payload: bytes
    signatures: Mapping[str, bytes]

    def signed_by(self, key: Ed25519PrivateKey) -> Envelope:
        """A copy with the signature of `key` added."""
        signature = sign_document(key, self.payload_type, self.payload)
        return self.with_signature(public_bytes(key), signature)

    def with_signature(self, public_key: bytes, signature: bytes) -> Envelope:
        """A copy with `signature` added after checking it against `public_key`."""
        verify_document(public_key, self.payload_type, self.payload, signature, who="the key given")
        return Envelope(
            payload_type=self.payload_type,
            payload=self.payload,
            signatures={**self.signatures, key_id(public_key): signature},
        )

    def signers(self, public_keys: Collection[bytes]) -> frozenset[bytes]:
        """Those of `public_keys` that signed.

        Raises:
            SignatureError: A signature that claims one of the keys is wrong.
        """
        found = set()
        for public_key in public_keys:
            signature = self.signatures.get(key_id(public_key))
            if signature is not None:
                verify_document(
                    public_key, self.payload_type, self.payload, signature, who=key_id(public_key)
                )
                found.add(public_key)
        return frozenset(found)

    def to_bytes(self) -> bytes:
        """The envelope as JSON, RFC 8785."""
        return canonical_json(
            {
                "payload": base64.b64encode(self.payload).decode("ascii"),
                "payloadType": self.payload_type,
                "signatures": [
                    {"keyid": keyid, "sig": base64.b64encode(signature).decode("ascii")}
                    for keyid, signature in sorted(self.signatures.items())
                ],
            }
        )

    @staticmethod
    def from_bytes(data: bytes, *, payload_type: str, max_bytes: int) -> Envelope:
        """Read an envelope of the expected type.

        Raises:
            MalformedError: Not such an envelope, too large, or a key signed twice.
        """
        fields = Fields(parse_json(data, max_bytes=2 * max_bytes, what="envelope"), "envelope")
        found_type = fields.text("payloadType", max_length=200)
        payload = _unbase64(fields.text("payload", max_length=2 * max_bytes))
        signatures: dict[str, bytes] = {}
        for entry in fields.objects("signatures", at_most=MAX_ENVELOPE_SIGNATURES, at_least=0):
            keyid = entry.text("keyid", max_length=64)
            signature = exactly(
                _unbase64(entry.text("sig", max_length=100)), SIGNATURE_BYTES, "a signature"
            )
            entry.finish()
            if keyid in signatures:
                raise MalformedError(f"envelope: key {keyid} signed twice")
            signatures[keyid] = signature
        fields.finish()
        if found_type != payload_type:
            raise MalformedError(f"envelope of {found_type!r}, expected {payload_type!r}")
        if len(payload) > max_bytes:
            raise MalformedError(f"payload of {len(payload)} bytes, at most {max_bytes}")
        return Envelope(payload_type=payload_type, payload=payload, signatures=signatures)


def sign_document(key: Ed25519PrivateKey, payload_type: str, payload: bytes) -> bytes:
    """DSSE signature over a payload; 64 bytes."""
    return key.sign(pre_authentication_encoding(payload_type, payload))


def verify_document(
    public_key: bytes, payload_type: str, payload: bytes, signature: bytes, *, who: str
) -> None:
    """Check a DSSE signature; raises SignatureError."""
    data = pre_authentication_encoding(payload_type, payload)
    _verify_raw(public_key, data, signature, who=who, what=payload_type)


def _unbase64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedError("envelope: a field is not base64") from error
    if base64.b64encode(data).decode("ascii") != text:
        raise MalformedError("envelope: a field is not in the usual form of base64")
    return data
