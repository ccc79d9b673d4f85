"""Seals: what partners witness of a log, without learning how many entries it has.

A seal is a hash over random bytes and the text of the log's checkpoint. The seals of one agreement
are the entries of a second log, one a message, so its size tells what partners know anyway; its
checkpoints are signed and cosigned. Who opens a seal shows that the log was in that state when
they were. SPEC.md, section 18.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from protocol.canonical import canonical_json, parse_canonical_json, tagged_hash
from protocol.errors import LogError, MalformedError
from protocol.log.checkpoints import Checkpoint
from protocol.log.cosignatures import cosigned_at, cosigner
from protocol.log.names import party_of
from protocol.log.notes import Ed25519Verifier, VerifierKey
from protocol.log.proofs import MAX_EXTRA_BYTES, MAX_HASHES, LogProof
from protocol.log.text import from_base64, malformed, to_base64
from protocol.log.tree import HASH_BYTES, check_inclusion, leaf_hash
from protocol.strict import Fields

NONCE_BYTES: Final = 32
SCHEMA: Final = "fedseg/opened-seal/1"
_MAX_NUMBER: Final = 2**53 - 1
_MAX_TEXT: Final = MAX_EXTRA_BYTES


def seal(nonce: bytes, text: str) -> bytes:
    """The seal of a checkpoint's text, 32 bytes: nobody tells from it what it seals.

    Args:
        nonce: 32 random bytes, used once.
    """
    if len(nonce) != NONCE_BYTES:
        raise malformed(f"a seal's nonce takes {NONCE_BYTES} bytes, found {len(nonce)}")
    Checkpoint.from_text(text)
    return tagged_hash("log-seal", nonce, text.encode("utf-8"))


@dataclass(frozen=True, slots=True)
class Opened:
    """An entry of a log, and the opened seal of a state in which it is.

    Attributes:
        text: Of the log's checkpoint, which nobody signed: the seal binds it.
        index: The entry's number.
        hashes: Prove that it is in the log of that checkpoint.
    """

    nonce: bytes
    text: str
    index: int
    hashes: tuple[bytes, ...]
    entry: bytes

    def to_bytes(self) -> bytes:
        """It as RFC 8785 JSON, which a proof of the seal carries as extra data."""
        return canonical_json(
            {
                "schema": SCHEMA,
                "nonce": self.nonce.hex(),
                "checkpoint": self.text,
                "index": self.index,
                "hashes": [one.hex() for one in self.hashes],
                "entry": to_base64(self.entry),
            }
        )

    @staticmethod
    def from_bytes(data: bytes) -> Opened:
        """Read it; nothing of it is checked. Raises MalformedError."""
        try:
            values = parse_canonical_json(data, max_bytes=MAX_EXTRA_BYTES, what="an opened seal")
            fields = Fields(values, "opened seal")
            fields.one_of("schema", (SCHEMA,))
            found = Opened(
                nonce=fields.hex("nonce", size=NONCE_BYTES),
                text=fields.text("checkpoint", max_length=_MAX_TEXT),
                index=fields.integer("index", at_least=0, at_most=_MAX_NUMBER),
                hashes=hashes_of(fields),
                entry=from_base64(fields.text("entry", max_length=_MAX_TEXT), "an entry"),
            )
            fields.finish()
        except MalformedError as error:
            raise malformed(error.message) from error
        return found


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a proof by a cosigned seal shows.

    Attributes:
        checkpoint: The state of the log in which the entry is.
        index: The entry's number.
        entry: Its bytes.
        seals: The state of the log of seals.
        cosigned: Who cosigned it, by name, and when by their clocks, seconds since 1970.
    """

    checkpoint: Checkpoint
    index: int
    entry: bytes
    seals: Checkpoint
    cosigned: dict[str, int]


def is_sealed(proof: LogProof) -> bool:
    """Whether a proof is one by a seal: its extra data claim that."""
    return proof.extra is not None and f'"schema":"{SCHEMA}"'.encode() in proof.extra


def check_sealed(
    proof: LogProof, key: VerifierKey, witnesses: Collection[VerifierKey] = (), quorum: int = 0
) -> Sealed:
    """Check that the log of `key`'s party had an entry when a seal of it was cosigned.

    Args:
        proof: Of the seal in the log of seals; its extra data open it.
        key: Of the log of seals: under its name, which is the origin.
        witnesses: Keys that cosign; those of strangers are passed over.
        quorum: How many of them have to have cosigned.

    Raises:
        MalformedError: It is no such proof (E-LOG-FORMAT).
        LogError: As `LogProof.check`; also E-LOG-ORIGIN where the seal is of another party's log,
            and E-LOG-INCLUSION where it seals something else or a state without the entry.
    """
    if proof.extra is None:
        raise malformed("a proof by a seal opens it in its extra data")
    opened = Opened.from_bytes(proof.extra)
    checkers = [cosigner(one) for one in witnesses]
    seals = proof.check(
        seal(opened.nonce, opened.text),
        origin=key.name,
        log=Ed25519Verifier(key),
        witnesses=checkers,
        quorum=quorum,
    )
    checkpoint = Checkpoint.from_text(opened.text)
    if party_of(checkpoint.origin) != party_of(key.name):
        raise LogError(
            f"a seal of {key.name!r} is about the log of {checkpoint.origin!r}",
            code="E-LOG-ORIGIN",
            remedy="Ask for the proof from the log that is meant.",
        )
    leaf = leaf_hash(opened.entry)
    check_inclusion(leaf, opened.index, checkpoint.size, opened.hashes, checkpoint.root)
    found = proof.note.verified([Ed25519Verifier(key), *checkers])
    times = {
        one.name: cosigned_at(data)
        for one, data in found.items()
        if one.public_key != key.public_key
    }
    return Sealed(checkpoint, opened.index, opened.entry, seals, times)


def hashes_of(fields: Fields) -> tuple[bytes, ...]:
    """The field `hashes`: at most 63 of 32 bytes each, in hex."""
    listed = fields.values.get("hashes")
    if not fields.has("hashes") or not isinstance(listed, list) or len(listed) > MAX_HASHES:
        raise malformed(f"a proof is a list of at most {MAX_HASHES} hashes")
    one_by_one = Fields({str(at): one for at, one in enumerate(listed)}, fields.path("hashes"))
    return tuple(one_by_one.hex(str(at), size=HASH_BYTES) for at in range(len(listed)))
