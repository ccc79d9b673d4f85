"""What the operator checked of a partner before it deals with it, signed by the operator.

A DSSE envelope over RFC 8785 JSON; an agreement may demand that every party has one that holds.
SPEC.md, 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.agreement.document import time_in, time_text
from protocol.agreement.duties import Document
from protocol.agreement.hand_overs import NONE, HandOvers
from protocol.canonical import canonical_json, parse_canonical_json
from protocol.errors import AgreementError, MalformedError, SignatureError
from protocol.signing import Envelope
from protocol.strict import Fields

SCHEMA: Final = "fedseg/diligence/v1"
PAYLOAD_TYPE: Final = "application/vnd.fedseg.diligence+json"
MAX_BYTES: Final = 1 << 15
MAX_DOCUMENTS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class DiligenceRecord:
    """One record.

    Attributes:
        partner: Id of the partner.
        public_key: Its key of agreements, 32 bytes: a partner with another one was not checked.
        checked: What was, in words.
        by: Who did.
        documents: What it rests on, by SHA-256.
        at, expires: From when until when it holds.
    """

    partner: str
    public_key: bytes
    checked: str
    by: str
    documents: tuple[Document, ...]
    at: datetime
    expires: datetime
    envelope: Envelope

    @staticmethod
    def sign(values: dict[str, Any], key: Ed25519PrivateKey) -> DiligenceRecord:
        """A record by the operator whose key this is; raises AgreementError (E-AGR-SCHEMA)."""
        payload = canonical_json({"schema": SCHEMA, **values})
        envelope = Envelope(payload_type=PAYLOAD_TYPE, payload=payload, signatures={})
        return DiligenceRecord.from_bytes(envelope.signed_by(key).to_bytes())

    @staticmethod
    def from_bytes(data: bytes) -> DiligenceRecord:
        """Read a record; `verify` says whether the operator signed it. Raises AgreementError."""
        try:
            envelope = Envelope.from_bytes(data, payload_type=PAYLOAD_TYPE, max_bytes=MAX_BYTES)
            values = parse_canonical_json(envelope.payload, max_bytes=MAX_BYTES, what="diligence")
            fields = Fields(values, "diligence")
            fields.one_of("schema", (SCHEMA,))
            found = DiligenceRecord(
                partner=fields.text("partner", max_length=40),
                public_key=fields.hex("public_key", size=32),
                checked=fields.text("checked", max_length=2_000),
                by=fields.line("by", max_length=200),
                documents=tuple(
                    Document.read(f)
                    for f in fields.objects("documents", at_least=0, at_most=MAX_DOCUMENTS)
                ),
                at=time_in(fields, "at"),
                expires=time_in(fields, "expires"),
                envelope=envelope,
            )
            fields.finish()
            if found.expires <= found.at:
                raise MalformedError("diligence.expires is not after at")
        except MalformedError as error:
            raise AgreementError(error.message, remedy=error.remedy) from error
        return found

    def verify(self, operator_key: bytes, *, known: HandOvers = NONE) -> None:
        """Refuse a record that the operator did not sign alone (E-AGR-SIGNATURE).

        Args:
            known: Hand-overs: one by a key that the operator handed over since stays valid.
        """
        try:
            signers = self.envelope.signers(known.same_owner(operator_key))
        except SignatureError as error:
            raise AgreementError(error.message, code="E-AGR-SIGNATURE") from error
        if not signers or len(self.envelope.signatures) != 1:
            raise AgreementError(
                f"the record on {self.partner} is not signed by the operator alone",
                code="E-AGR-SIGNATURE",
                remedy="ask the operator, and tell the other partners",
            )

    def is_of(self, public_key: bytes, *, known: HandOvers = NONE) -> bool:
        """Whether it is on whoever has this key, or had the key that led to it by a hand-over."""
        return self.public_key in known.same_owner(public_key)

    def holds_for(self, public_key: bytes, now: datetime, *, known: HandOvers = NONE) -> bool:
        """Whether it is of this key, and neither over nor begun later; `known` as for `is_of`."""
        return self.is_of(public_key, known=known) and self.at <= now < self.expires

    def to_bytes(self) -> bytes:
        """The envelope as JSON."""
        return self.envelope.to_bytes()

    def to_dict(self) -> dict[str, Any]:
        """What it says, as JSON values."""
        return {
            "partner": self.partner,
            "public_key": self.public_key.hex(),
            "checked": self.checked,
            "by": self.by,
            "documents": [document.to_dict() for document in self.documents],
            "at": time_text(self.at),
            "expires": time_text(self.expires),
        }
