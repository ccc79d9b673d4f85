"""The table of the kinds of reply, and a reply read back from its bytes. SPEC.md, section 9.

The coordinator knows which reply it asked for and calls that message's own parser. Whoever stands
in between and knows nothing of the round, such as a node's egress gate, starts here: the label in
the bytes decides, and the same parsers read the rest.

The table has facts of a kind. What a reply must say in a run, whoever checks it derives itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from protocol import limits
from protocol.canonical import label, unframe_list
from protocol.errors import MalformedError
from protocol.messages import (
    Accept,
    Ack,
    Announce,
    Approval,
    Hello,
    Masked,
    Open,
    Propose,
    Publish,
    Ready,
    Request,
    Roster,
    Stop,
)
from protocol.partner_state import Phase
from protocol.ring import WORD_BYTES
from protocol.signing import verify

HELLO: Final = "HELLO"
READY: Final = "READY"
ACCEPT: Final = "ACCEPT"
MASKED: Final = "MASKED"
APPROVAL: Final = "APPROVAL"
ACK: Final = "ACK"

#: An APPROVAL, the reply with the most fields.
_MOST_FIELDS: Final = 4


class Message(Protocol):
    """A reply's fields; `protocol.messages` has a class for each kind."""

    @property
    def partner(self) -> int:
        """In whose name it speaks: the partner's number in the agreement."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyKind:
    """What is to be known of a kind of reply.

    Attributes:
        name: Its label in the bytes is this in small letters.
        message: Its class.
        read: Reads its bytes: the message, the bytes that the signature is over (None where there
            is none over the message) and the signature.
        answers: The requests that it may answer, with what it says in reply to each, in words.
        leaves: In which phases of its run it may leave a node.
        one_a_set: Whether there is one for each participant set of a run, instead of one for the
            run or for the round.
    """

    name: str
    message: type[Message]
    read: Callable[[bytes], tuple[Message, bytes | None, bytes]]
    answers: Mapping[type[Request], str]
    leaves: frozenset[Phase]
    one_a_set: bool = False

    @property
    def place(self) -> str:
        """The field that says what a message belongs to; empty for an ACK, which says nothing."""
        places = ("run_id", "run_hash", "context")
        return next((name for name in places if name in self.message.__annotations__), "")

    @property
    def signs_set(self) -> bool:
        """Whether a message signs a participant set, in its field `head`."""
        return "head" in self.message.__annotations__


def _masked(data: bytes) -> tuple[Masked, bytes, bytes]:
    vector = unframe_list(data, max_count=_MOST_FIELDS)[-1]
    return Masked.parse(data, length=len(vector) // WORD_BYTES)


def _approval(data: bytes) -> tuple[Approval, None, bytes]:
    approval = Approval.from_bytes(data)  # its signature is over the release
    return approval, None, approval.signature


#: Every kind of reply, by its name.
KINDS: Final[Mapping[str, ReplyKind]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            ReplyKind(
                name=HELLO,
                message=Hello,
                read=Hello.parse,
                answers={Open: "fresh keys"},
                leaves=frozenset({Phase.GREETED, Phase.READY, Phase.RUNNING, Phase.DONE}),
            ),
            ReplyKind(
                name=READY,
                message=Ready,
                read=Ready.parse,
                answers={Roster: "participant set signed"},
                leaves=frozenset({Phase.READY, Phase.RUNNING, Phase.DONE}),
            ),
            ReplyKind(
                name=ACCEPT,
                message=Accept,
                read=Accept.parse,
                answers={Propose: "participant set signed"},
                leaves=frozenset({Phase.READY, Phase.RUNNING}),
                one_a_set=True,
            ),
            ReplyKind(
                name=MASKED,
                message=Masked,
                read=_masked,
                answers={Announce: "answer hidden under masks"},
                leaves=frozenset({Phase.RUNNING, Phase.DONE}),
            ),
            ReplyKind(
                name=APPROVAL,
                message=Approval,
                read=_approval,
                answers={Announce: "release signed"},
                leaves=frozenset({Phase.RUNNING, Phase.DONE}),
            ),
            ReplyKind(
                name=ACK,
                message=Ack,
                read=lambda data: (Ack.from_bytes(data), None, b""),
                answers={Publish: "release received", Stop: "stop noted"},
                leaves=frozenset({Phase.DONE, Phase.ABORTED}),
            ),
        )
    }
)
_KIND_OF: Final = {label(name.lower()): kind for name, kind in KINDS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the bytes of a reply say.

    Attributes:
        kind: The name of its kind.
        message: The message itself.
        signed: The bytes that the signature is over; None where there is none over the message
            (an APPROVAL signs the release, an ACK nothing).
        signature: 64 bytes; empty for an ACK.
    """

    kind: str
    message: Message
    signed: bytes | None
    signature: bytes

    @property
    def partner(self) -> int:
        """In whose name it speaks: the partner's number in the agreement."""
        return self.message.partner

    @property
    def belongs_to(self) -> bytes:
        """What it says that it belongs to: a run or a round; empty for an ACK."""
        place = KINDS[self.kind].place
        return getattr(self.message, place) if place else b""

    @property
    def head(self) -> bytes:
        """Which participant set it signs; empty when it signs none."""
        return getattr(self.message, "head", b"")

    @property
    def length(self) -> int | None:
        """Entries of the vector of a MASKED; None for every other kind."""
        vector = self.message.vector if isinstance(self.message, Masked) else None
        return None if vector is None else len(vector) // WORD_BYTES

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
    kind = _kind(unframe_list(data, max_count=_MOST_FIELDS))
    message, signed, signature = kind.read(data)
    return Reply(kind=kind.name, message=message, signed=signed, signature=signature)


def _kind(fields: list[bytes]) -> ReplyKind:
    """The kind that the label names: the first field, or the first within the first."""
    first = fields[0] if fields else b""
    if first not in _KIND_OF and first:
        first = unframe_list(first, max_count=limits.MAX_PARTNERS)[0]
    if first not in _KIND_OF:
        raise MalformedError(f"unknown reply {first[:40]!r}")
    return _KIND_OF[first]
