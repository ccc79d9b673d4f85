"""A partner's signed stop: from then on nothing is computed under an agreement.

It needs nobody's consent and cannot be taken back; the parties go on under a new version. It is a
DSSE envelope over RFC 8785 JSON, like the agreement, so whoever gets it can check it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.agreement.document import Agreement
from protocol.canonical import canonical_json, parse_canonical_json
from protocol.errors import AgreementError, MalformedError, RuleError, SignatureError
from protocol.signing import Envelope
from protocol.strict import Fields

SCHEMA: Final = "fedseg/stop/v1"
PAYLOAD_TYPE: Final = "application/vnd.fedseg.stop+json"
MAX_BYTES: Final = 1 << 14
#: The code with which a node refuses under an agreement that was stopped.
WITHDRAWN: Final = "E-WITHDRAWN"
_TIME: Final = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedStop:
    """One partner's stop of an agreement, signed.

    Attributes:
        agreement_hash: Of the agreement that is stopped; 32 bytes.
        partner: Id of the partner that stops it.
        at: When, as its clock said, ``YYYY-MM-DDTHH:MM:SSZ``.
        reason: In words; may be empty.
    """

    agreement_hash: bytes
    partner: str
    at: str
    reason: str
    envelope: Envelope

    @staticmethod
    def sign(
        agreement: Agreement, key: Ed25519PrivateKey, *, at: str, reason: str = ""
    ) -> SignedStop:
        """A stop by the party whose key this is; raises AgreementError (E-AGR-PARTY)."""
        party = agreement.parties[agreement.index_of_key(key.public_key().public_bytes_raw())]
        values = {
            "schema": SCHEMA,
            "agreement": agreement.hash.hex(),
            "partner": party.id,
            "at": at,
            "reason": reason,
        }
        envelope = Envelope(
            payload_type=PAYLOAD_TYPE, payload=canonical_json(values), signatures={}
        ).signed_by(key)
        return SignedStop.from_bytes(envelope.to_bytes())

    @staticmethod
    def from_bytes(data: bytes) -> SignedStop:
        """Read a stop; `verify` says whether it holds. Raises AgreementError."""
        try:
            envelope = Envelope.from_bytes(data, payload_type=PAYLOAD_TYPE, max_bytes=MAX_BYTES)
            values = parse_canonical_json(envelope.payload, max_bytes=MAX_BYTES, what="stop")
            fields = Fields(values, "stop")
            fields.one_of("schema", (SCHEMA,))
            stop = SignedStop(
                agreement_hash=fields.hex("agreement", size=32),
                partner=fields.text("partner", max_length=40),
                at=fields.text("at", max_length=20, pattern=_TIME),
                reason=fields.text_or_nothing("reason", max_length=1_000),
                envelope=envelope,
            )
            fields.finish()
        except MalformedError as error:
            raise AgreementError(error.message, remedy=error.remedy) from error
        return stop

    def to_bytes(self) -> bytes:
        """The envelope as JSON."""
        return self.envelope.to_bytes()

    def verify(self, agreement: Agreement) -> None:
        """Refuse a stop of another agreement, or one that its partner did not sign.

        A key that the partner handed over counts too: a stop that it made before, and that comes
        late, is not lost.

        Raises:
            AgreementError: E-AGR-PARTY or E-AGR-SIGNATURE.
        """
        if self.agreement_hash != agreement.hash:
            raise AgreementError(
                f"the stop is of the agreement {self.agreement_hash.hex()[:16]}…, not of "
                f"{agreement.id!r}, version {agreement.version}, with the hash "
                f"{agreement.hash.hex()[:16]}…",
                code="E-AGR-PARTY",
                remedy="a stop holds for the version that it names and for no other",
            )
        had = {p.id: k for p, k in zip(agreement.parties, agreement.keys.of_parties, strict=True)}
        if self.partner not in had:
            raise AgreementError(
                f"the stop is by {self.partner!r}, who is no party of agreement {agreement.id!r}",
                code="E-AGR-PARTY",
            )
        try:
            signers = self.envelope.signers(had[self.partner])
        except SignatureError as error:
            raise AgreementError(error.message, code="E-AGR-SIGNATURE") from error
        if not signers or len(self.envelope.signatures) != 1:
            raise AgreementError(
                f"the stop is not signed by {self.partner} alone",
                code="E-AGR-SIGNATURE",
                remedy="ask the partner for the file again",
            )

    def refusal(self, agreement: Agreement) -> RuleError:
        """Why nothing is done any more under the agreement that it stops."""
        reason = f": {self.reason}" if self.reason else ""
        return RuleError(
            f"{self.partner} stopped agreement {agreement.id!r}, version {agreement.version}, on "
            f"{self.at[:10]}{reason}",
            code=WITHDRAWN,
            remedy="to go on, have the parties that stay sign a new version",
        )
