"""What a customer gets for a request that was answered: a receipt, signed by the node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.canonical import canonical_json
from protocol.signing import Envelope

RECEIPT_TYPE: Final = "application/vnd.fedseg.rights-receipt+json"
RECEIPT_SCHEMA: Final = "fedseg/rights-receipt/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The receipt for one request; it names the customer by its pseudonym alone.

    Attributes:
        number: Of the request, in the register.
        partner: Id of the partner.
        agreement, agreement_version: What was in force.
        received: When the request came.
        due: By when it had to be answered.
        done_at: When it was.
        effects: What was done, as JSON values.
        outcome: What became of the request, for people.
    """

    number: int
    kind: str
    pseudonym: str
    partner: str
    agreement: str
    agreement_version: int
    received: date
    due: date
    done_at: str
    effects: Mapping[str, Any]
    outcome: str = "answered"

    def to_dict(self) -> dict[str, Any]:
        """The receipt as JSON values."""
        return {
            "schema": RECEIPT_SCHEMA,
            "number": self.number,
            "kind": self.kind,
            "pseudonym": self.pseudonym,
            "partner": self.partner,
            "agreement": self.agreement,
            "agreement_version": self.agreement_version,
            "received": self.received.isoformat(),
            "due": self.due.isoformat(),
            "done_at": self.done_at,
            "effects": self.effects,
        }

    @property
    def payload(self) -> bytes:
        """The bytes that are signed: JSON, RFC 8785."""
        return canonical_json(self.to_dict())

    def signed_by(self, key: Ed25519PrivateKey) -> Envelope:
        """The receipt under the signature of `key`."""
        unsigned = Envelope(payload_type=RECEIPT_TYPE, payload=self.payload, signatures={})
        return unsigned.signed_by(key)

    @property
    def words(self) -> str:
        """The receipt in words."""
        when = f"received on {self.received}, due by {self.due}"
        return f"Request {self.number}, {when}: {self.outcome}."
