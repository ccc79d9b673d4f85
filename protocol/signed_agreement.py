"""The agreement with its signatures: nothing runs before every party has signed the same bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocol import limits
from protocol.agreement.document import Agreement
from protocol.agreement.parties import Party
from protocol.agreement_rules import problems_of
from protocol.errors import AgreementError, MalformedError, SignatureError
from protocol.signing import Envelope, key_id

PAYLOAD_TYPE: Final = "application/vnd.fedseg.agreement.v1+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedAgreement:
    """An agreement with its envelope; `verify` checks that everyone signed."""

    agreement: Agreement
    envelope: Envelope

    @staticmethod
    def draft(agreement: Agreement) -> SignedAgreement:
        """An agreement without signatures; raises the first problem that lint finds."""
        for problem in problems_of(agreement):
            raise problem
        envelope = Envelope(payload_type=PAYLOAD_TYPE, payload=agreement.to_bytes(), signatures={})
        return SignedAgreement(agreement=agreement, envelope=envelope)

    @staticmethod
    def from_bytes(data: bytes, *, kept: bool = False) -> SignedAgreement:
        """Read an envelope, signed or not; raises AgreementError.

        Args:
            kept: As for `problems_of`.
        """
        try:
            envelope = Envelope.from_bytes(
                data, payload_type=PAYLOAD_TYPE, max_bytes=limits.MAX_AGREEMENT_BYTES
            )
        except MalformedError as error:
            raise AgreementError(error.message) from error
        agreement = Agreement.from_bytes(envelope.payload)
        for problem in problems_of(agreement, kept=kept):
            raise problem
        return SignedAgreement(agreement=agreement, envelope=envelope)

    def to_bytes(self) -> bytes:
        """The envelope as JSON."""
        return self.envelope.to_bytes()

    def missing(self) -> tuple[Party, ...]:
        """The parties that have not signed.

        Raises:
            AgreementError: A signature is wrong or by a stranger (E-AGR-SIGNATURE).
        """
        keys = {key_id(party.public_key): party for party in self.agreement.parties}
        for keyid in self.envelope.signatures:
            if keyid not in keys:
                raise AgreementError(
                    f"signature by key {keyid[:16]}…, which belongs to no party",
                    code="E-AGR-SIGNATURE",
                )
        try:
            signed = self.envelope.signers([p.public_key for p in self.agreement.parties])
        except SignatureError as error:
            raise AgreementError(error.message, code="E-AGR-SIGNATURE") from error
        return tuple(p for p in self.agreement.parties if p.public_key not in signed)

    def verify(self) -> Agreement:
        """Return the agreement if every party signed these bytes; else AgreementError."""
        missing = self.missing()
        if missing:
            names = ", ".join(party.id for party in missing)
            raise AgreementError(
                f"agreement {self.agreement.id!r} is not signed by {names}",
                code="E-AGR-UNSIGNED",
                remedy="collect the missing signatures with `fedseg-node agreement sign`",
            )
        return self.agreement

    def merged(self, other: SignedAgreement) -> SignedAgreement:
        """Union of two sets of signatures over the same bytes; AgreementError on other bytes."""
        if other.envelope.payload != self.envelope.payload:
            raise AgreementError(
                "the two files hold different agreements; signatures cannot be joined",
                code="E-AGR-SIGNATURE",
                remedy="every party must sign the very same draft",
            )
        joined = Envelope(
            payload_type=PAYLOAD_TYPE,
            payload=self.envelope.payload,
            signatures={**self.envelope.signatures, **other.envelope.signatures},
        )
        return SignedAgreement(agreement=self.agreement, envelope=joined)
