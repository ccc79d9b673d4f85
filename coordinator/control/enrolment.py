"""How a node joins: it is greeted, sends its card, and gets a certificate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec

from coordinator.control.authority import CERTIFICATE_DAYS, NodesAuthority
from coordinator.control.callers import Caller
from coordinator.control.certified import Certified
from coordinator.control.guard import RefusedError, parsed
from coordinator.control.nodes import EnrolledNodes, bare_key
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.hand_overs import KeptHandOvers
from protocol.agreement.partner_card import PartnerCard
from protocol.control.enrolment import verify_card
from protocol.control.v1.control_pb2 import EnrolReply, EnrolRequest, GreetReply, GreetRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """What a node that joins is told about the coordinator.

    Attributes:
        key: Its Ed25519 key, 32 bytes.
        port: The public port for runs.
    """

    legal_name: str
    contact: str
    key: bytes
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """Answers whoever is invited.

    Attributes:
        trusted: Reads the authorities that nodes are to trust for both ports, PEM.
    """

    store: CoordinatorStore
    authority: NodesAuthority
    operator: Operator
    trusted: Callable[[], bytes]
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def greet(self, caller: Caller, request: bytes) -> GreetReply:
        """Say who the coordinator is."""
        parsed(GreetRequest, request)
        return GreetReply(
            partner=caller.partner,
            legal_name=self.operator.legal_name,
            contact=self.operator.contact,
            coordinator_key=self.operator.key,
            port=self.operator.port,
            authority=self.trusted(),
        )

    def enrol(self, caller: Caller, request: bytes) -> EnrolReply:
        """Keep the card of an invited node and certify its key.

        The same node may ask again, when the answer was lost.

        Raises:
            MalformedError: The card cannot be read.
            RefusedError: The card is another partner's or another node's (E-CARD).
            SignatureError: Its signing key did not sign.
            AgreementError: Another partner handed its signing key over (E-KEY-PARTY).
            UsageError: Another node joined before (E-INVITATION-USED).
        """
        asked = parsed(EnrolRequest, request)
        card = PartnerCard.from_bytes(asked.card)
        if card.id != caller.partner:
            raise RefusedError(f"invited is {caller.partner!r}, not {card.id!r}", code="E-CARD")
        if bare_key(card.node_key) != caller.node_key:
            raise RefusedError("the card has another node's key", code="E-CARD")
        verify_card(card, asked.card, caller.invitation, asked.signature)
        # another partner's key, that was handed over, is refused
        KeptHandOvers(self.store).load().latest_of(card.public_key, partner=card.id)
        now = self.clock()
        EnrolledNodes(self.store).enrol(card, asked.card, invitation=caller.invitation, now=now)
        return EnrolReply(certificate=certificate_for(self.store, caller, self.authority, now=now))


def certificate_for(
    store: CoordinatorStore, caller: Caller, authority: NodesAuthority, *, now: datetime
) -> bytes:
    """A certificate (PEM) for the key that a caller proved to have; raises RefusedError.

    Until when it holds is noted.
    """
    public_key = caller.certificate.public_key()
    if not isinstance(public_key, ec.EllipticCurvePublicKey):
        raise RefusedError("a node's key is ECDSA P-384", code="E-CARD")
    Certified(store).note(caller.node_key, now + timedelta(days=CERTIFICATE_DAYS))
    return authority.issue(public_key, partner=caller.partner, now=now)
