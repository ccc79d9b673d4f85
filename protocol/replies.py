"""A node's reply read back from its bytes: which message it is, and what it says. SPEC.md, 9.

The coordinator knows which reply it asked for and calls that message's own parser. Whoever stands
in between and knows nothing of the round, such as a node's egress gate, starts here: the label in
the bytes decides, and the same parsers read the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocol import limits
from protocol.canonical import label, unframe_list
from protocol.errors import MalformedError
from protocol.messages import Accept, Ack, Approval, Hello, Masked, Ready
from protocol.ring import WORD_BYTES
from protocol.signing import verify

HELLO: Final = "HELLO"
READY: Final = "READY"
ACCEPT: Final = "ACCEPT"
MASKED: Final = "MASKED"
APPROVAL: Final = "APPROVAL"
ACK: Final = "ACK"
KINDS: Final = (HELLO, READY, ACCEPT, MASKED, APPROVAL, ACK)

Message = Hello | Ready | Accept | Masked | Approval | Ack
_KIND_OF: Final = {label(kind.lower()): kind for kind in KINDS}
#: An APPROVAL, the reply with the most fields.
_MOST_FIELDS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the bytes of a reply say.

    Attributes:
        message: The message itself.
        length: Entries of the vector of a MASKED; None for every other kind.
        signed: The bytes that the signature is over; None where there is none over the message
            (an APPROVAL signs the release, an ACK nothing).
        signature: 64 bytes; empty for an ACK.
    """

    kind: str
    message: Message
    length: int | None = None
    signed: bytes | None = None
    signature: bytes = b""

    @property
    def partner(self) -> int:
        """In whose name it speaks: the partner's number in the agreement."""
        return self.message.partner

    def check_signature(self, public_key: bytes, *, who: str) -> None:
        """Check the signature over the message, of kinds that have one; raises SignatureError."""
        if self.signed is not None:
            verify(public_key, self.kind.lower(), self.signed, self.signature, who=who)


def read_reply(data: bytes) -> Reply:
    """Read any reply; its signature is not checked.

    Raises:
        MalformedError: Too large (E-SIZE), or no reply of this protocol.
    """
    if len(data) > limits.MAX_REPLY_BYTES:
        raise MalformedError(
            f"reply of {len(data)} bytes, at most {limits.MAX_REPLY_BYTES}", code="E-SIZE"
        )
    fields = unframe_list(data, max_count=_MOST_FIELDS)
    kind = _kind(fields)
    match kind:
        case "HELLO":
            hello, body, signature = Hello.parse(data)
            return Reply(kind=kind, message=hello, signed=body, signature=signature)
        case "READY":
            ready, body, signature = Ready.parse(data)
            return Reply(kind=kind, message=ready, signed=body, signature=signature)
        case "ACCEPT":
            accept, body, signature = Accept.parse(data)
            return Reply(kind=kind, message=accept, signed=body, signature=signature)
        case "MASKED":
            length = len(fields[-1]) // WORD_BYTES
            masked, body, signature = Masked.parse(data, length=length)
            return Reply(kind=kind, message=masked, length=length, signed=body, signature=signature)
        case "APPROVAL":
            approval = Approval.from_bytes(data)
            return Reply(kind=kind, message=approval, signature=approval.signature)
        case _:
            return Reply(kind=kind, message=Ack.from_bytes(data))


def _kind(fields: list[bytes]) -> str:
    """The kind that the label names: the first field, or the first within the first."""
    first = fields[0] if fields else b""
    if first not in _KIND_OF and first:
        first = unframe_list(first, max_count=limits.MAX_PARTNERS)[0]
    if first not in _KIND_OF:
        raise MalformedError(f"unknown reply {first[:40]!r}")
    return _KIND_OF[first]
