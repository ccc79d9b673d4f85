"""C2SP signed notes: a text, and lines of signatures by named keys.

Format, key ids, verifier keys and types of signatures are those of c2sp.org/signed-note. A note
says nothing until `Note.verified` found a signature by a key that the reader knows.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocol.errors import LogError
from protocol.log.text import from_base64, malformed, to_base64, utf8

ED25519: Final = 0x01
KEY_ID_BYTES: Final = 4
MAX_SIGNATURES: Final = 256
MAX_NOTE_BYTES: Final = 2 << 20
_DASH: Final = "\u2014 "
_NO_NAME: Final = re.compile(r"[\s+\x00-\x1f]")


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key under a name: `kind` is the type of its signatures, as one byte."""

    name: str
    kind: int
    public_key: bytes

    def __post_init__(self) -> None:
        check_name(self.name)

    @property
    def key_id(self) -> bytes:
        """Four bytes by which a signature names its key, together with the name."""
        data = self.name.encode("utf-8") + b"\n" + bytes([self.kind]) + self.public_key
        return hashlib.sha256(data).digest()[:KEY_ID_BYTES]

    def __str__(self) -> str:
        """The key as text: ``name+id+base64``, a "vkey"."""
        material = to_base64(bytes([self.kind]) + self.public_key)
        return f"{self.name}+{self.key_id.hex()}+{material}"

    @staticmethod
    def parse(text: str) -> VerifierKey:
        """Read a vkey; raises MalformedError, also when the id is not that of name and key."""
        parts = text.split("+", 2)
        if len(parts) != 3:
            raise malformed(f"no verifier key: {text[:80]!r}")
        material = from_base64(parts[2], "a verifier key")
        if len(material) < 2:
            raise malformed("a verifier key ends before the key")
        found = VerifierKey(parts[0], material[0], material[1:])
        if parts[1] != found.key_id.hex():
            raise malformed(f"a verifier key of {parts[0]!r} has not the id of its key")
        return found


class Verifier(Protocol):
    """What checks the signatures of one key; each type of signatures is a class."""

    @property
    def key(self) -> VerifierKey:
        """The key."""
        ...

    def holds(self, text: str, signature: bytes) -> bool:
        """Whether `signature`, without the key id, is the key's over a note's text."""
        ...


@dataclass(frozen=True, slots=True)
class Ed25519Verifier:
    """Checks Ed25519 signatures over the text itself (type 0x01)."""

    key: VerifierKey

    def __post_init__(self) -> None:
        require_kind(self.key, ED25519, 32)

    def holds(self, text: str, signature: bytes) -> bool:
        """See `Verifier`."""
        return ed25519_holds(self.key.public_key, signature, text.encode("utf-8"))


@dataclass(frozen=True, slots=True)
class Signature:
    """A line: the key's name and id, and the signature's bytes."""

    name: str
    key_id: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A text that ends with a newline, and its signatures."""

    text: str
    signatures: tuple[Signature, ...] = ()

    def with_signature(self, key: VerifierKey, data: bytes) -> Note:
        """A copy with one more signature."""
        return replace(self, signatures=(*self.signatures, Signature(key.name, key.key_id, data)))

    def to_bytes(self) -> bytes:
        """The note; raises MalformedError where `parse` would."""
        lines = [
            f"{_DASH}{one.name} {to_base64(one.key_id + one.data)}\n" for one in self.signatures
        ]
        data = (self.text + "\n" + "".join(lines)).encode("utf-8")
        if Note.parse(data) != self:
            raise malformed("a note's text does not come back from its bytes")
        return data

    @staticmethod
    def parse(data: bytes) -> Note:
        """Read a note; its signatures are not checked. Raises MalformedError."""
        if len(data) > MAX_NOTE_BYTES:
            raise malformed(f"a note of {len(data)} bytes, at most {MAX_NOTE_BYTES}")
        whole = utf8(data, "a note")
        text, blank, tail = whole.rpartition("\n\n")
        if not blank or not tail.endswith("\n"):
            raise malformed("a note takes a text, an empty line and lines of signatures")
        lines = tail[:-1].split("\n")
        if len(lines) > MAX_SIGNATURES:
            raise malformed(f"a note of {len(lines)} signatures, at most {MAX_SIGNATURES}")
        return Note(text + "\n", tuple(_signature(line) for line in lines))

    def verified(self, verifiers: Collection[Verifier]) -> dict[VerifierKey, bytes]:
        """Signatures by keys of `verifiers`; those of other keys are passed over.

        Raises:
            LogError: E-LOG-SIGNATURE, one of a known key is wrong; E-LOG-UNSIGNED, there is none.
            MalformedError: A known key signed twice, or two known keys have one name and id.
        """
        known = {(one.key.name, one.key.key_id): one for one in verifiers}
        if len(known) != len(verifiers):
            raise malformed("two verifier keys have the same name and id")
        found: dict[VerifierKey, bytes] = {}
        for one in self.signatures:
            verifier = known.get((one.name, one.key_id))
            if verifier is None:
                continue
            if verifier.key in found:
                raise malformed(f"{one.name} signed a note twice")
            if not verifier.holds(self.text, one.data):
                raise LogError(
                    f"a signature of {one.name} does not hold",
                    code="E-LOG-SIGNATURE",
                    remedy="Do not use the note; ask for it again.",
                )
            found[verifier.key] = one.data
        if not found:
            raise LogError(
                "no key that is known signed the note",
                code="E-LOG-UNSIGNED",
                remedy="Ask for the keys of log and witnesses by a way that you trust.",
            )
        return found


def sign_ed25519(note: Note, name: str, key: Ed25519PrivateKey) -> Note:
    """A copy with an Ed25519 signature (type 0x01) under `name`."""
    named = VerifierKey(name, ED25519, key.public_key().public_bytes_raw())
    return note.with_signature(named, key.sign(note.text.encode("utf-8")))


def ed25519_holds(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether an Ed25519 signature holds; a key or signature of another length never does."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def require_kind(key: VerifierKey, kind: int, size: int) -> None:
    """Raise MalformedError unless `key` is of type `kind` and has `size` bytes."""
    if key.kind != kind or len(key.public_key) != size:
        raise malformed(f"{key.name} has no key of type {kind:#04x} with {size} bytes")


def check_name(name: str) -> None:
    """Raise MalformedError unless `name` may be a key's: no space, plus or control character."""
    if not name or _NO_NAME.search(name):
        raise malformed(f"no name of a key: {name[:80]!r}")


def _signature(line: str) -> Signature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space:
        raise malformed("a line of a note is no signature")
    check_name(name)
    data = from_base64(encoded, "a signature")
    if len(data) <= KEY_ID_BYTES:
        raise malformed("a signature ends before its bytes")
    return Signature(name, data[:KEY_ID_BYTES], data[KEY_ID_BYTES:])
