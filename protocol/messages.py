"""Every message on the wire, strictly to and from bytes. SPEC.md, section 9.

Requests go from the coordinator to nodes and are signed with its key; replies come back. Parsing
checks size, label, number and size of fields; meaning is the state machines' business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, get_args

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol import limits
from protocol.canonical import (
    exactly,
    frame,
    label,
    parse_u32,
    tagged_hash,
    u32,
    unframe,
    unframe_labelled,
    unframe_list,
)
from protocol.errors import MalformedError
from protocol.masking import KEM_CIPHERTEXT_BYTES, KEM_PUBLIC_BYTES, X25519_BYTES
from protocol.ring import WORD_BYTES
from protocol.signing import SIGNATURE_BYTES, sign, verify

HASH_BYTES: Final = 32
RUN_ID_BYTES: Final = 16
NONCE_BYTES: Final = 16


# --- requests: coordinator to nodes ------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Asks for a HELLO of a new run.

    Attributes:
        last: The last release under the agreement, with its signatures; empty when there is none,
            or runs are agreed to start anew.
        hand_overs: Those that lead from the agreed keys to the run's, `HandOvers.to_bytes`; empty
            while all keys are as agreed, and then the message has no such field.
    """

    agreement_hash: bytes
    run_id: bytes
    last: bytes = b""
    hand_overs: bytes = b""

    def body(self) -> bytes:
        """The bytes that are signed."""
        more = (self.hand_overs,) if self.hand_overs else ()
        return frame(label("open"), self.agreement_hash, self.run_id, self.last, *more)

    @staticmethod
    def parse(body: bytes) -> Open:
        """Read the body; raises MalformedError."""
        has_more = len(unframe_list(body, max_count=5)) == 5
        fields = unframe_labelled(body, "open", 4 if has_more else 3)
        if has_more and not fields[3]:
            raise MalformedError("an OPEN without hand-overs has no field for them")
        return Open(
            agreement_hash=exactly(fields[0], HASH_BYTES, "an agreement hash"),
            run_id=exactly(fields[1], RUN_ID_BYTES, "a run id"),
            last=fields[2],
            hand_overs=fields[3] if has_more else b"",
        )

    @staticmethod
    def unverified(data: bytes) -> Open | None:
        """What a signed OPEN says, before its signature is checked; None for anything else.

        The hand-overs in it prove themselves, and one of them may be of the coordinator's own key.
        """
        try:
            return Open.parse(_signed_request(data)[0])
        except MalformedError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """All HELLOs of a run (empty bytes for an absent partner) and the chain up to its first set."""

    run_id: bytes
    hellos: tuple[bytes, ...]
    chain: bytes

    def body(self) -> bytes:
        """The bytes that are signed."""
        return frame(label("roster"), self.run_id, frame(*self.hellos), self.chain)

    @staticmethod
    def parse(body: bytes) -> Roster:
        """Read the body; raises MalformedError."""
        run_id, hellos, chain = unframe_labelled(body, "roster", 3)
        return Roster(
            run_id=exactly(run_id, RUN_ID_BYTES, "a run id"),
            hellos=tuple(unframe_list(hellos, max_count=limits.MAX_PARTNERS)),
            chain=chain,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Propose:
    """Asks for the signature on the last set of a chain."""

    run_hash: bytes
    chain: bytes

    def body(self) -> bytes:
        """The bytes that are signed."""
        return frame(label("propose"), self.run_hash, self.chain)

    @staticmethod
    def parse(body: bytes) -> Propose:
        """Read the body; raises MalformedError."""
        run_hash, chain = unframe_labelled(body, "propose", 2)
        return Propose(run_hash=exactly(run_hash, HASH_BYTES, "a run hash"), chain=chain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The signatures that make a participant set active: READYs, and ACCEPTs for a later set."""

    readys: tuple[bytes, ...]
    accepts: tuple[bytes, ...]

    def to_bytes(self) -> bytes:
        """The certificate, framed."""
        return frame(frame(*self.readys), frame(*self.accepts))

    @staticmethod
    def from_bytes(data: bytes) -> Certificate:
        """Read a certificate; raises MalformedError."""
        readys, accepts = unframe(data, 2)
        return Certificate(
            readys=tuple(unframe_list(readys, max_count=limits.MAX_PARTNERS)),
            accepts=tuple(unframe_list(accepts, max_count=limits.MAX_PARTNERS)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What a round is about.

    Attributes:
        step_hash: Hash of the query, or of the release, that follows from the transcript. Nodes
            derive it themselves and refuse another one; it is here so that a difference is found
            before anybody answers.
        transcript: Every signed masked message of the round before, in the order of partners;
            empty for round 0.
    """

    step_hash: bytes
    transcript: tuple[bytes, ...]

    def to_bytes(self) -> bytes:
        """The payload, framed."""
        return frame(label("payload"), self.step_hash, frame(*self.transcript))

    @staticmethod
    def from_bytes(data: bytes) -> Payload:
        """Read a payload; raises MalformedError."""
        step_hash, transcript = unframe_labelled(data, "payload", 2)
        return Payload(
            step_hash=exactly(step_hash, HASH_BYTES, "a step hash"),
            transcript=tuple(unframe_list(transcript, max_count=limits.MAX_PARTNERS)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Announce:
    """Opens a round: the set that answers and what the answer is about."""

    run_hash: bytes
    head: bytes
    round: int
    payload: bytes
    certificate: Certificate | None

    def body(self) -> bytes:
        """The bytes that are signed."""
        certificate = b"" if self.certificate is None else self.certificate.to_bytes()
        return frame(
            label("announce"), self.run_hash, self.head, u32(self.round), self.payload, certificate
        )

    @property
    def context(self) -> bytes:
        """``ctx``: everything that all members must see alike, hashed; keys every mask."""
        return round_context(self.run_hash, self.head, self.round, self.payload)

    @staticmethod
    def parse(body: bytes) -> Announce:
        """Read the body; raises MalformedError."""
        run_hash, head, number, payload, certificate = unframe_labelled(body, "announce", 5)
        return Announce(
            run_hash=exactly(run_hash, HASH_BYTES, "a run hash"),
            head=exactly(head, HASH_BYTES, "a head"),
            round=parse_u32(number),
            payload=payload,
            certificate=Certificate.from_bytes(certificate) if certificate else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """The release with every signature; ends the run."""

    run_hash: bytes
    release: bytes

    def body(self) -> bytes:
        """The bytes that are signed."""
        return frame(label("publish"), self.run_hash, self.release)

    @staticmethod
    def parse(body: bytes) -> Publish:
        """Read the body; raises MalformedError."""
        run_hash, release = unframe_labelled(body, "publish", 2)
        return Publish(run_hash=exactly(run_hash, HASH_BYTES, "a run hash"), release=release)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Ends a run without a release; `reason` is a code."""

    run_id: bytes
    reason: str

    def body(self) -> bytes:
        """The bytes that are signed."""
        return frame(label("stop"), self.run_id, self.reason.encode("ascii"))

    @staticmethod
    def parse(body: bytes) -> Stop:
        """Read the body; raises MalformedError."""
        run_id, reason = unframe_labelled(body, "stop", 2)
        return Stop(run_id=exactly(run_id, RUN_ID_BYTES, "a run id"), reason=parse_code(reason))


Request = Open | Roster | Propose | Announce | Publish | Stop
#: Each is read by its own class; its label is the name of the class in small letters.
_REQUESTS: Final[dict[bytes, Callable[[bytes], Request]]] = {
    label(kind.__name__.lower()): kind.parse for kind in get_args(Request)
}


def sign_request(request: Request, key: Ed25519PrivateKey) -> bytes:
    """The request with the coordinator's signature, ready to be sent."""
    body = request.body()
    return frame(body, sign(key, "request", body))


def open_request(data: bytes, *, coordinator_key: bytes) -> Request:
    """Read a request and check the coordinator's signature.

    Raises:
        MalformedError: Too large, or not a request.
        SignatureError: Not signed by the coordinator that the agreement names.
    """
    body, signature = _signed_request(data)
    verify(coordinator_key, "request", body, signature, who="the coordinator")
    name = unframe_list(body, max_count=8)[0] if body else b""
    parser = _REQUESTS.get(name)
    if parser is None:
        raise MalformedError(f"unknown request {name[:40]!r}")
    return parser(body)


# --- replies: nodes to coordinator -------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """A partner's fresh keys for one run, signed with its key of the agreement."""

    agreement_hash: bytes
    run_id: bytes
    partner: int
    nonce: bytes
    x25519: bytes
    kem: bytes

    def signed(self, key: Ed25519PrivateKey) -> bytes:
        """The message, signed."""
        body = frame(
            label("hello"),
            self.agreement_hash,
            self.run_id,
            u32(self.partner),
            self.nonce,
            self.x25519,
            self.kem,
        )
        return frame(body, sign(key, "hello", body))

    @staticmethod
    def parse(data: bytes) -> tuple[Hello, bytes, bytes]:
        """Read the message, its signed body and its signature, unchecked."""
        body, signature = _signed(data, "hello")
        agreement_hash, run_id, partner, nonce, x25519, kem = unframe_labelled(body, "hello", 6)
        hello = Hello(
            agreement_hash=exactly(agreement_hash, HASH_BYTES, "an agreement hash"),
            run_id=exactly(run_id, RUN_ID_BYTES, "a run id"),
            partner=parse_u32(partner),
            nonce=exactly(nonce, NONCE_BYTES, "a nonce"),
            x25519=exactly(x25519, X25519_BYTES, "an X25519 key"),
            kem=exactly(kem, KEM_PUBLIC_BYTES, "an ML-KEM-768 key"),
        )
        return hello, body, signature

    @staticmethod
    def verified(data: bytes, *, public_key: bytes, who: str) -> Hello:
        """Read the message and check its signature; raises SignatureError, MalformedError."""
        hello, body, signature = Hello.parse(data)
        verify(public_key, "hello", body, signature, who=who)
        return hello


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A partner's signature on the run's first participant set, with its ML-KEM ciphertexts.

    Attributes:
        ciphertexts: One for each present partner with a higher number, in their order.
    """

    run_hash: bytes
    partner: int
    head: bytes
    ciphertexts: tuple[bytes, ...]

    def signed(self, key: Ed25519PrivateKey) -> bytes:
        """The message, signed."""
        body = frame(
            label("ready"), self.run_hash, u32(self.partner), self.head, frame(*self.ciphertexts)
        )
        return frame(body, sign(key, "ready", body))

    @staticmethod
    def parse(data: bytes) -> tuple[Ready, bytes, bytes]:
        """Read the message, its signed body and its signature, unchecked."""
        body, signature = _signed(data, "ready")
        run_hash, partner, head, ciphertexts = unframe_labelled(body, "ready", 4)
        ready = Ready(
            run_hash=exactly(run_hash, HASH_BYTES, "a run hash"),
            partner=parse_u32(partner),
            head=exactly(head, HASH_BYTES, "a head"),
            ciphertexts=tuple(
                exactly(c, KEM_CIPHERTEXT_BYTES, "an ML-KEM ciphertext")
                for c in unframe_list(ciphertexts, max_count=limits.MAX_PARTNERS)
            ),
        )
        return ready, body, signature

    @staticmethod
    def verified(data: bytes, *, public_key: bytes, who: str) -> Ready:
        """Read the message and check its signature; raises SignatureError, MalformedError."""
        ready, body, signature = Ready.parse(data)
        verify(public_key, "ready", body, signature, who=who)
        return ready


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """A partner's signature on a later participant set."""

    run_hash: bytes
    partner: int
    head: bytes

    def signed(self, key: Ed25519PrivateKey) -> bytes:
        """The message, signed."""
        body = frame(label("accept"), self.run_hash, u32(self.partner), self.head)
        return frame(body, sign(key, "accept", body))

    @staticmethod
    def parse(data: bytes) -> tuple[Accept, bytes, bytes]:
        """Read the message, its signed body and its signature, unchecked."""
        body, signature = _signed(data, "accept")
        run_hash, partner, head = unframe_labelled(body, "accept", 3)
        accept = Accept(
            run_hash=exactly(run_hash, HASH_BYTES, "a run hash"),
            partner=parse_u32(partner),
            head=exactly(head, HASH_BYTES, "a head"),
        )
        return accept, body, signature

    @staticmethod
    def verified(data: bytes, *, public_key: bytes, who: str) -> Accept:
        """Read the message and check its signature; raises SignatureError, MalformedError."""
        accept, body, signature = Accept.parse(data)
        verify(public_key, "accept", body, signature, who=who)
        return accept


@dataclass(frozen=True, slots=True, kw_only=True)
class Masked:
    """A partner's masked answer to one round.

    Attributes:
        context: The round's context (`Announce.context`), 32 bytes.
        commitment: Hash of context, salt and plain answer: an auditor may ask to open it.
        vector: ``length`` little-endian 64-bit words.
    """

    context: bytes
    partner: int
    commitment: bytes
    vector: bytes

    def signed(self, key: Ed25519PrivateKey) -> bytes:
        """The message, signed: header, signature over header and vector hash, vector."""
        header = frame(label("masked"), self.context, u32(self.partner), self.commitment)
        return frame(header, sign(key, "masked", _masked_body(header, self.vector)), self.vector)

    @staticmethod
    def parse(data: bytes, *, length: int) -> tuple[Masked, bytes, bytes]:
        """Read a masked vector of `length` entries, its signed body and signature, unchecked."""
        most = WORD_BYTES * length + limits.MASKED_OVERHEAD_BYTES
        if len(data) > most:
            raise MalformedError(f"masked message of {len(data)} bytes, at most {most}")
        header, signature, vector = unframe(data, 3)
        context, partner, commitment = unframe_labelled(header, "masked", 3)
        masked = Masked(
            context=exactly(context, HASH_BYTES, "a context"),
            partner=parse_u32(partner),
            commitment=exactly(commitment, HASH_BYTES, "a commitment"),
            vector=exactly(vector, WORD_BYTES * length, f"a vector of {length} entries"),
        )
        exactly(signature, SIGNATURE_BYTES, "a signature")
        return masked, _masked_body(header, vector), signature

    @staticmethod
    def verified(data: bytes, *, length: int, public_key: bytes, who: str) -> Masked:
        """Read the message and check its signature; raises SignatureError, MalformedError."""
        masked, body, signature = Masked.parse(data, length=length)
        verify(public_key, "masked", body, signature, who=who)
        return masked


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A partner's DSSE signature on the release that it derived itself."""

    run_hash: bytes
    partner: int
    signature: bytes

    def to_bytes(self) -> bytes:
        """The message."""
        return frame(label("approval"), self.run_hash, u32(self.partner), self.signature)

    @staticmethod
    def from_bytes(data: bytes) -> Approval:
        """Read the message; raises MalformedError."""
        run_hash, partner, signature = unframe_labelled(data, "approval", 3)
        return Approval(
            run_hash=exactly(run_hash, HASH_BYTES, "a run hash"),
            partner=parse_u32(partner),
            signature=exactly(signature, SIGNATURE_BYTES, "a signature"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """A partner stored the release, or took note of a stop."""

    partner: int

    def to_bytes(self) -> bytes:
        """The message."""
        return frame(label("ack"), u32(self.partner))

    @staticmethod
    def from_bytes(data: bytes) -> Ack:
        """Read the message; raises MalformedError."""
        (partner,) = unframe_labelled(data, "ack", 1)
        return Ack(partner=parse_u32(partner))


def round_number(index: int) -> int:
    """The number of a round as people and JSON are told it: from 1, and 0 before the first.

    Args:
        index: As in messages, from 0; -1 before the first.
    """
    return index + 1


def round_context(run_hash: bytes, head: bytes, number: int, payload: bytes) -> bytes:
    """``ctx = H("ctx", h_run, head, r, SHA-256(payload))``, 32 bytes."""
    return tagged_hash("ctx", run_hash, head, u32(number), hashlib.sha256(payload).digest())


def run_hash(
    agreement_hash: bytes,
    run_id: bytes,
    hellos: tuple[bytes, ...],
    *,
    last: bytes = b"",
    keys: bytes = b"",
) -> bytes:
    """``h_run``: binds agreement, run, every HELLO, the last release and the keys; 32 bytes.

    Args:
        last: The hash of the release that OPEN named; empty when it named none.
        keys: The hash of the keys in force, `Keys.hash`; empty while all are as agreed.
    """
    of_keys = (keys,) if keys else ()
    return tagged_hash("run", agreement_hash, run_id, frame(*hellos), last, *of_keys)


def parse_code(data: bytes) -> str:
    """An error code like ``E-GRACE``; raises MalformedError on anything else."""
    text = data.decode("ascii", errors="replace")
    if not (3 <= len(text) <= 40 and text.startswith("E-")) or not all(
        c.isupper() or c.isdigit() or c == "-" for c in text
    ):
        raise MalformedError("a reason must be an error code like E-GRACE")
    return text


def _signed_request(data: bytes) -> tuple[bytes, bytes]:
    if len(data) > limits.MAX_REQUEST_BYTES:
        raise MalformedError(
            f"request of {len(data)} bytes, at most {limits.MAX_REQUEST_BYTES}", code="E-SIZE"
        )
    body, signature = unframe(data, 2)
    return body, signature


def _signed(data: bytes, name: str) -> tuple[bytes, bytes]:
    if len(data) > limits.MAX_REPLY_BYTES:
        raise MalformedError(f"{name} of {len(data)} bytes", code="E-SIZE")
    body, signature = unframe(data, 2)
    return body, exactly(signature, SIGNATURE_BYTES, "a signature")


def _masked_body(header: bytes, vector: bytes) -> bytes:
    return frame(header, hashlib.sha256(vector).digest())
