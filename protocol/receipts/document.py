"""The receipt of being counted, as JSON in the shape of ISO/IEC TS 27560:2023.

Field names are those of the standard's consent records and receipts, also where the legal basis is
another than consent; what it has no name for begins with ``fedseg:``. The proofs are in the
receipt, so it is checked offline, with nothing but the log's key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.canonical import canonical_form, canonical_json, parse_json
from protocol.errors import MalformedError
from protocol.log.checkpoints import Checkpoint
from protocol.log.notes import MAX_NOTE_BYTES, Note
from protocol.receipts.handles import HANDLE_BYTES
from protocol.receipts.proof import AnswerProof, CountedSet
from protocol.receipts.seen import Seen
from protocol.receipts.text import malformed
from protocol.signing import SIGNATURE_BYTES, sign_document
from protocol.strict import Fields

SCHEMA: Final = "ISO/IEC TS 27560:2023"
PROFILE: Final = "fedseg/counted-receipt/v1"
RECEIPT_TYPE: Final = "application/vnd.fedseg.counted-receipt+json"
MAX_RECEIPT_BYTES: Final = 32 << 20

#: States of an event: the customer was in the set that an answer counted, or was not; or the node
#: kept no set then, so it is not known.
COUNTED: Final = "fedseg:counted"
NOT_COUNTED: Final = "fedseg:not-counted"
NOT_RECORDED: Final = "fedseg:not-recorded"
EVENT: Final = "fedseg:question-answered"

_SIGNATURE: Final = "fedseg:signature"
_CHECKPOINT: Final = "fedseg:checkpoint"
_RUNS: Final = "fedseg:runs"
_SEAL: Final = "fedseg:seal"
_MOST_RUNS: Final = 4096
_MOST_ANSWERS: Final = 4096
_MOST_TEXT: Final = 4096
_RUN_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer of which the node kept the set.

    Attributes:
        left: Whether it left the node; one that was held and refused did not. The node says so.
    """

    proof: AnswerProof
    left: bool

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {"left": self.left, **self.proof.to_dict()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unrecorded:
    """An answer that left when the node kept no sets."""

    at: str
    round: int

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {"at": self.at, "round": self.round}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunShown:
    """What a receipt shows of one run.

    Attributes:
        run: Its id, 16 bytes.
        handle: What stands for the customer in its sets, 16 bytes; empty where none was kept.
    """

    run: bytes
    handle: bytes
    answers: tuple[Answer, ...]
    unrecorded: tuple[Unrecorded, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            "run": self.run.hex(),
            "handle": self.handle.hex(),
            "answers": [one.to_dict() for one in self.answers],
            "unrecorded": [one.to_dict() for one in self.unrecorded],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a receipt says of one answer.

    Attributes:
        state: `COUNTED`, `NOT_COUNTED` or `NOT_RECORDED`.
        context: Names the answer; empty where the node kept no set of it.
    """

    at: str
    run: bytes
    round: int
    state: str
    left: bool
    context: bytes

    def to_dict(self, entity: str) -> dict[str, Any]:
        """It as an event of the standard; `entity` is the party that answered."""
        return {
            "event_time": self.at,
            "event_type": EVENT,
            "event_state": self.state,
            "entity_id": entity,
            "fedseg:run": self.run.hex(),
            "fedseg:round": self.round,
            "fedseg:context": self.context.hex(),
            "fedseg:left": self.left,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A receipt, unchecked.

    Attributes:
        receipt_id, record_id: Name the receipt, and the record that it is of.
        principal: The customer's pseudonym.
        entity: Id of the party whose node made it; one of `parties`.
        processing: The section ``pii_processing``, JSON values.
        parties: The section ``party_identification``, JSON values.
        events: The section ``event`` as it was read; what follows from the proofs when made.
        checkpoint: Under which all of its entries are proved.
        seen: That partners cosigned a seal of that state; None where it was not asked for.
    """

    receipt_id: str
    record_id: str
    principal: str
    entity: str
    processing: Mapping[str, Any]
    parties: Sequence[Mapping[str, Any]]
    events: Sequence[Mapping[str, Any]]
    checkpoint: Note
    runs: tuple[RunShown, ...]
    seen: Seen | None = None

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values, without its signature."""
        return {
            "schema_version": SCHEMA,
            "fedseg:profile": PROFILE,
            "receipt_id": self.receipt_id,
            "record_id": self.record_id,
            "pii_principal_id": self.principal,
            "fedseg:entity_id": self.entity,
            "pii_processing": dict(self.processing),
            "party_identification": [dict(one) for one in self.parties],
            "event": [dict(one) for one in self.events],
            _CHECKPOINT: self.checkpoint.to_bytes().decode("utf-8"),
            _RUNS: [one.to_dict() for one in self.runs],
            **({} if self.seen is None else {_SEAL: self.seen.to_dict()}),
        }

    def signed_by(self, key: Ed25519PrivateKey) -> dict[str, Any]:
        """It as JSON values, under the signature of the key that signs the log."""
        values = self.to_dict()
        signature = sign_document(key, RECEIPT_TYPE, canonical_json(values))
        return {**values, _SIGNATURE: signature.hex()}


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedReceipt:
    """A receipt as it was read, with the bytes that are signed."""

    receipt: Receipt
    signed: bytes
    signature: bytes

    @staticmethod
    def parse(data: bytes) -> SignedReceipt:
        """Read a receipt, however its JSON is laid out; nothing of it is checked.

        Raises:
            MalformedError: It is none (E-RECEIPT-FORMAT).
        """
        try:
            values = parse_json(data, max_bytes=MAX_RECEIPT_BYTES, what="a receipt")
            fields = Fields(values, "receipt")
            receipt, signature = _read(fields), fields.hex(_SIGNATURE, size=SIGNATURE_BYTES)
            fields.finish()
            body = {k: v for k, v in values.items() if k != _SIGNATURE}
            signed = canonical_form(body, what="a receipt")
        except MalformedError as error:
            raise malformed(error.message) from error
        return SignedReceipt(receipt=receipt, signed=signed, signature=signature)


def told_of(about: CountedSet, *, counted: bool, left: bool) -> Told:
    """What a receipt says of an answer whose set was kept."""
    return Told(
        at=about.at,
        run=about.run,
        round=about.round,
        state=COUNTED if counted else NOT_COUNTED,
        left=left,
        context=about.context,
    )


def told_nothing(run: bytes, one: Unrecorded) -> Told:
    """What a receipt says of an answer whose set was not kept."""
    return Told(at=one.at, run=run, round=one.round, state=NOT_RECORDED, left=True, context=b"")


def checkpoint_of(note: Note) -> Checkpoint:
    """What a receipt's checkpoint says; raises MalformedError."""
    return Checkpoint.from_text(note.text)


def _read(fields: Fields) -> Receipt:
    fields.one_of("schema_version", (SCHEMA,))
    fields.one_of("fedseg:profile", (PROFILE,))
    note = fields.text(_CHECKPOINT, max_length=MAX_NOTE_BYTES)
    return Receipt(
        receipt_id=fields.line("receipt_id", max_length=_MOST_TEXT),
        record_id=fields.line("record_id", max_length=_MOST_TEXT),
        principal=fields.line("pii_principal_id", max_length=_MOST_TEXT),
        entity=fields.line("fedseg:entity_id", max_length=_MOST_TEXT),
        processing=fields.object("pii_processing").values,
        parties=[one.values for one in fields.objects("party_identification", at_most=_MOST_RUNS)],
        events=[
            one.values
            for one in fields.objects("event", at_least=0, at_most=_MOST_RUNS * _MOST_ANSWERS)
        ],
        checkpoint=Note.parse(note.encode("utf-8")),
        runs=tuple(_run(one) for one in fields.objects(_RUNS, at_most=_MOST_RUNS)),
        seen=Seen.read(fields.object(_SEAL)) if fields.has(_SEAL) else None,
    )


def _run(fields: Fields) -> RunShown:
    nothing = not fields.text_or_nothing("handle", max_length=_MOST_TEXT)
    found = RunShown(
        run=fields.hex("run", size=_RUN_BYTES),
        handle=b"" if nothing else fields.hex("handle", size=HANDLE_BYTES),
        answers=tuple(
            _answer(one) for one in fields.objects("answers", at_least=0, at_most=_MOST_ANSWERS)
        ),
        unrecorded=tuple(
            _unrecorded(one)
            for one in fields.objects("unrecorded", at_least=0, at_most=_MOST_ANSWERS)
        ),
    )
    fields.finish()
    if bool(found.handle) != bool(found.answers):
        raise malformed(f"{fields.where} has a handle without sets, or sets without a handle")
    return found


def _answer(fields: Fields) -> Answer:
    left = fields.values["left"] if fields.has("left") else None
    if not isinstance(left, bool):
        raise malformed(f"{fields.path('left')} is neither true nor false")
    proof = AnswerProof.read(fields)
    fields.finish()
    return Answer(proof=proof, left=left)


def _unrecorded(fields: Fields) -> Unrecorded:
    found = Unrecorded(
        at=fields.line("at", max_length=_MOST_TEXT),
        round=fields.integer("round", at_least=0, at_most=(1 << 53) - 1),
    )
    fields.finish()
    return found
