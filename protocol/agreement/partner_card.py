"""A partner's card: what a node tells the operator about itself, by hand, before any agreement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

from protocol import limits
from protocol.agreement.parties import read_jurisdictions
from protocol.canonical import canonical_json, parse_json
from protocol.schema import Part
from protocol.signing import PUBLIC_KEY_BYTES
from protocol.strict import Fields

SCHEMA: Final = "fedseg/partner-card/v1"
MAX_BYTES: Final = 1 << 14

_NODE_KEY: Final = r"ecdsa-sha2-nistp384 [A-Za-z0-9+/]{20,400}={0,2}( [ -~]{0,200})?"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerCard(Part):
    """Public facts of a partner; nothing in it is secret.

    Attributes:
        dpo: Where its data protection officer is reached.
        jurisdictions: Where its customers' law comes from, like ``DE``.
        public_key: Raw Ed25519 key for agreements and messages.
        node_key: The node's ECDSA P-384 public key in OpenSSH form, which opens the public port.
        max_customers: Row cap that the partner proposes.
    """

    BESIDE = ("schema",)

    id: str
    legal_name: str
    contact: str
    dpo: str
    jurisdictions: tuple[str, ...]
    public_key: bytes
    node_key: str
    max_customers: int

    def to_dict(self) -> dict[str, Any]:
        """The card as JSON values."""
        return {
            "schema": SCHEMA,
            "id": self.id,
            "legal_name": self.legal_name,
            "contact": self.contact,
            "dpo": self.dpo,
            "jurisdictions": list(self.jurisdictions),
            "public_key": self.public_key.hex(),
            "node_key": self.node_key,
            "max_customers": self.max_customers,
        }

    def to_bytes(self) -> bytes:
        """The card as JSON."""
        return canonical_json(self.to_dict())

    @staticmethod
    def from_bytes(data: bytes) -> PartnerCard:
        """Read a card; raises MalformedError."""
        fields = Fields(parse_json(data, max_bytes=MAX_BYTES, what="partner card"), "partner card")
        fields.one_of("schema", (SCHEMA,))
        return PartnerCard.read(fields)

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        return cls(
            id=fields.text("id", max_length=40, pattern=r"[a-z][a-z0-9-]{0,39}"),
            legal_name=fields.line("legal_name", max_length=200),
            contact=fields.line("contact", max_length=200),
            dpo=fields.line("dpo", max_length=200),
            jurisdictions=read_jurisdictions(fields),
            public_key=fields.hex("public_key", size=PUBLIC_KEY_BYTES),
            node_key=fields.text("node_key", max_length=2_000, pattern=_NODE_KEY),
            max_customers=fields.integer(
                "max_customers", at_least=1, at_most=limits.MAX_CUSTOMERS_PER_PARTNER
            ),
        )
