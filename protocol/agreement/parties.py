"""Who makes an agreement: partners with customers of their own, and the coordinator's operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

from protocol import limits
from protocol.agreement.governance import LegalBasis
from protocol.schema import Part
from protocol.signing import PUBLIC_KEY_BYTES
from protocol.strict import Fields

PARTY_ID: Final = r"[a-z][a-z0-9-]{0,39}"
#: A country of ISO 3166-1 (alpha-2), a part of one of ISO 3166-2, or EU.
JURISDICTION: Final = r"[A-Z]{2}(-[A-Z0-9]{1,3})?"
MAX_JURISDICTIONS: Final = 50
#: Who decides with the others what is computed and why, or for itself alone (GDPR 26 and 4(7)).
ROLES: Final = ("joint-controller", "controller")


@dataclass(frozen=True, slots=True, kw_only=True)
class Party(Part):
    """A partner: an organisation with customers of its own.

    Attributes:
        id: Short name, unique in the agreement; its place in the list is its number in messages.
        role: Whether it decides purpose and means with the others or alone.
        dpo: Where its data protection officer is reached.
        public_key: Raw Ed25519 key that signs the agreement and every message of its node.
        jurisdictions: Where its customers' law comes from.
        max_customers: Row cap: how many customers the node may count at most.
        legal_basis: On what basis it uses its customers' data.
    """

    id: str
    role: str
    legal_name: str
    contact: str
    dpo: str
    public_key: bytes
    jurisdictions: tuple[str, ...]
    max_customers: int
    legal_basis: LegalBasis

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        return cls(
            id=fields.text("id", max_length=40, pattern=PARTY_ID),
            role=fields.one_of("role", ROLES),
            legal_name=fields.text("legal_name", max_length=200),
            contact=fields.text("contact", max_length=200),
            dpo=fields.text("dpo", max_length=200),
            public_key=fields.hex("public_key", size=PUBLIC_KEY_BYTES),
            jurisdictions=read_jurisdictions(fields),
            max_customers=fields.integer(
                "max_customers", at_least=1, at_most=limits.MAX_CUSTOMERS_PER_PARTNER
            ),
            legal_basis=LegalBasis.read(fields.object("legal_basis")),
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "role": self.role,
            "legal_name": self.legal_name,
            "contact": self.contact,
            "dpo": self.dpo,
            "public_key": self.public_key.hex(),
            "jurisdictions": list(self.jurisdictions),
            "max_customers": self.max_customers,
            "legal_basis": self.legal_basis.to_dict(),
        }


def read_jurisdictions(fields: Fields) -> tuple[str, ...]:
    """The field ``jurisdictions`` of a party or of a partner's card."""
    return fields.texts(
        "jurisdictions", at_most=MAX_JURISDICTIONS, max_length=6, pattern=JURISDICTION
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator(Part):
    """Who runs the coordinator, and the key that signs its messages."""

    legal_name: str
    contact: str
    public_key: bytes

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        return cls(
            legal_name=fields.text("legal_name", max_length=200),
            contact=fields.text("contact", max_length=200),
            public_key=fields.hex("public_key", size=PUBLIC_KEY_BYTES),
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "legal_name": self.legal_name,
            "contact": self.contact,
            "public_key": self.public_key.hex(),
        }
