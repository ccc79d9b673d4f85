"""A signed hand-over: a party, or the coordinator, replaces its signing key by another one.

It is a DSSE envelope over RFC 8785 JSON with two signatures: the old key's, which says that the new
one takes its place, and the new key's, which proves that the party has it. It holds under every
agreement that names the old key, and needs no new version of any. SPEC.md, 6.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.agreement.parties import PARTY_ID
from protocol.canonical import canonical_json, parse_canonical_json, tagged_hash
from protocol.errors import AgreementError, MalformedError, SignatureError
from protocol.signing import PUBLIC_KEY_BYTES, Envelope, key_id, public_bytes
from protocol.strict import Fields

SCHEMA: Final = "fedseg/hand-over/v1"
PAYLOAD_TYPE: Final = "application/vnd.fedseg.hand-over+json"
MAX_BYTES: Final = 1 << 12
#: Most hand-overs of one party, or of the coordinator: those of an agreement with as many parties
#: as it may have fit into one list.
MAX_NUMBER: Final = 80
#: Headers of a table of hand-overs.
COLUMNS: Final = ("whose", "number", "made at", "old key", "new key")
PARTNER: Final = "partner"
COORDINATOR: Final = "coordinator"
_TIME: Final = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver:
    """One hand-over, whose two signatures hold: `from_bytes` reads no other.

    Attributes:
        partner: Id of the partner whose key it is; empty for the coordinator.
        number: 1 for the first of the partner or coordinator, one more for each that follows.
        old_key, new_key: Raw Ed25519 keys, 32 bytes each.
        at: When it was made, as its maker's clock said, ``YYYY-MM-DDTHH:MM:SSZ``.
    """

    partner: str
    number: int
    old_key: bytes
    new_key: bytes
    at: str
    envelope: Envelope = field(compare=False, repr=False)

    @staticmethod
    def make(
        old: Ed25519PrivateKey, new: Ed25519PrivateKey, *, partner: str, number: int, at: str
    ) -> HandOver:
        """Hand over from one key to another.

        Args:
            partner: Empty for the coordinator.

        Raises:
            AgreementError: The two keys are one, or a value is not as it has to be (E-HAND-OVER).
        """
        whose = {"role": PARTNER, "partner": partner} if partner else {"role": COORDINATOR}
        values = {
            "schema": SCHEMA,
            **whose,
            "number": number,
            "old_key": public_bytes(old).hex(),
            "new_key": public_bytes(new).hex(),
            "at": at,
        }
        envelope = Envelope(
            payload_type=PAYLOAD_TYPE, payload=canonical_json(values), signatures={}
        )
        return HandOver.from_bytes(envelope.signed_by(old).signed_by(new).to_bytes())

    @staticmethod
    def from_bytes(data: bytes) -> HandOver:
        """Read one, and check that both keys, and nobody else, signed it.

        Raises:
            AgreementError: It is malformed (E-HAND-OVER), or a signature is missing, wrong or by
                another key (E-HAND-OVER-SIGNATURE).
        """
        try:
            envelope = Envelope.from_bytes(data, payload_type=PAYLOAD_TYPE, max_bytes=MAX_BYTES)
            values = parse_canonical_json(envelope.payload, max_bytes=MAX_BYTES, what="hand-over")
            fields = Fields(values, "hand-over")
            fields.one_of("schema", (SCHEMA,))
            role = fields.one_of("role", (PARTNER, COORDINATOR))
            found = HandOver(
                partner=fields.text("partner", max_length=40, pattern=PARTY_ID)
                if role == PARTNER
                else "",
                number=fields.integer("number", at_least=1, at_most=MAX_NUMBER),
                old_key=fields.hex("old_key", size=PUBLIC_KEY_BYTES),
                new_key=fields.hex("new_key", size=PUBLIC_KEY_BYTES),
                at=fields.text("at", max_length=20, pattern=_TIME),
                envelope=envelope,
            )
            fields.finish()
        except MalformedError as error:
            raise AgreementError(error.message, code="E-HAND-OVER", remedy=error.remedy) from error
        found._check_signatures()
        return found

    def _check_signatures(self) -> None:
        if self.old_key == self.new_key:
            raise AgreementError("the hand-over is from a key to itself", code="E-HAND-OVER")
        keys = {self.old_key: "old", self.new_key: "new"}
        try:
            signed = self.envelope.signers(list(keys))
        except SignatureError as error:
            raise _unsigned(self, error.message) from error
        missing = [name for key, name in keys.items() if key not in signed]
        if missing:
            raise _unsigned(self, f"the {missing[0]} key has not signed it")
        if len(self.envelope.signatures) != len(keys):
            raise _unsigned(self, "a third key has signed it")

    def to_bytes(self) -> bytes:
        """The envelope as JSON."""
        return self.envelope.to_bytes()

    @property
    def hash(self) -> bytes:
        """Names it; 32 bytes."""
        return tagged_hash("hand-over", self.envelope.payload)

    def follows(self, one: HandOver) -> bool:
        """Whether it is the next one of the same party."""
        return (self.partner, self.number) == (one.partner, one.number + 1)

    @property
    def whose(self) -> str:
        """Whose key it replaces, for people."""
        return self.partner or "the coordinator"

    @property
    def values(self) -> dict[str, str | int | None]:
        """What it says, as JSON values; no partner where it is the coordinator's."""
        return {
            "partner": self.partner or None,
            "number": self.number,
            "old_key": key_id(self.old_key),
            "new_key": key_id(self.new_key),
            "at": self.at,
        }

    @property
    def cells(self) -> tuple[str, ...]:
        """What it says, under `COLUMNS`."""
        return self.whose, str(self.number), self.at, key_id(self.old_key), key_id(self.new_key)

    @property
    def words(self) -> str:
        """What it says, in one line for people."""
        return (
            f"hand-over {self.number} of {self.whose}, made {self.at}: from key "
            f"{key_id(self.old_key)[:16]}… to {key_id(self.new_key)[:16]}…"
        )


def _unsigned(found: HandOver, why: str) -> AgreementError:
    return AgreementError(
        f"{found.words}: {why}",
        code="E-HAND-OVER-SIGNATURE",
        remedy=f"do not use it; ask {found.whose} for it again, by a way that you know",
    )
