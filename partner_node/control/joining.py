"""Joining by invitation: greet the coordinator, then send the card."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from machine.certificates import CLOCK_ALLOWANCE, client_certificate, pem, private_pem
from partner_node.control.channel import Channel, Identity
from partner_node.control.pinned import pinned_certificate
from partner_node.keystore import Keystore
from partner_node.link.proxy import Proxy
from protocol.agreement.parties import PARTY_ID
from protocol.agreement.partner_card import PartnerCard
from protocol.control.calls import ENROL, GREET
from protocol.control.enrolment import sign_card
from protocol.control.invitation import Invitation, authority_name, invitation_id
from protocol.control.v1.control_pb2 import EnrolReply, EnrolRequest, GreetReply, GreetRequest
from protocol.errors import MalformedError, TransportError, UsageError
from protocol.signing import PUBLIC_KEY_BYTES
from protocol.strict import Fields

#: Codes with which the coordinator says that it will never take this node by this invitation.
FINAL: Final = frozenset({"E-ADMITTED", "E-CARD", "E-INVITATION-USED"})
#: How long the certificate is good that a node makes of its key with the invitation's.
_SHORT: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """Who the coordinator is, as whoever has the certificate of the invitation says.

    Attributes:
        partner: The id that is invited.
        key: The coordinator's Ed25519 key.
        address: ``host:port`` of the public port for runs.
        authority: What both ports' certificate is signed by, PEM.
        shown: The certificate that the control port showed, PEM.
    """

    partner: str
    legal_name: str
    contact: str
    key: bytes
    address: str
    authority: bytes
    shown: bytes


def greet(
    invitation: Invitation, *, now: datetime, retries: bool = True, proxy: Proxy | None = None
) -> Greeting:
    """Ask who invites; makes nothing and uses nothing up.

    Raises:
        UsageError: The invitation has ended (E-INVITATION-ENDED).
        TransportError: The coordinator is not reached, is another one, or does not take the
            invitation.
    """
    if invitation.end <= now:
        raise UsageError(
            f"the invitation ended at {invitation.end:%Y-%m-%d %H:%M} UTC",
            code="E-INVITATION-ENDED",
            remedy="ask the operator for a new one; or set this machine's clock, when it is ahead",
        )
    shown = pinned_certificate(invitation.address, invitation.fingerprint, proxy=proxy)
    passing = ec.generate_private_key(ec.SECP256R1())
    with _channel(invitation, shown, passing, now=now, retries=retries, proxy=proxy) as channel:
        try:
            reply = channel.call(GREET, GreetRequest(), GreetReply)
        except TransportError as error:
            if error.code != "E-CONTROL-AWAY":
                raise
            raise TransportError(
                f"{invitation.address} does not take the invitation",
                code="E-INVITATION-REFUSED",
                remedy="it was used by another node, was withdrawn or replaced by a newer one, or "
                "the clocks differ: ask the operator",
            ) from error
    return _read(reply, invitation, shown)


def enrol(
    invitation: Invitation,
    greeting: Greeting,
    keystore: Keystore,
    card: bytes,
    *,
    now: datetime,
    retries: bool = True,
    proxy: Proxy | None = None,
) -> bytes:
    """Send a node's card.

    Args:
        card: The bytes of the partner's card.

    Returns:
        The node's certificate, PEM.

    Raises:
        FedsegError: The coordinator refuses, or is not reached: call it again then.
    """
    own = PartnerCard.from_bytes(card)
    if own.id != greeting.partner:
        raise UsageError(
            f"the invitation is for {greeting.partner!r}, this folder's node is {own.id!r}",
            code="E-CARD",
            remedy="join in a folder of its own: --dir; where this one never joined, delete it",
        )
    id = invitation_id(invitation.key().public_key())
    with _channel(
        invitation, greeting.shown, keystore.node_key, now=now, retries=retries, proxy=proxy
    ) as channel:
        reply = channel.call(
            ENROL,
            EnrolRequest(card=card, signature=sign_card(keystore.identity, card, id)),
            EnrolReply,
        )
    return checked_certificate(reply.certificate, keystore)


def checked_certificate(data: bytes, keystore: Keystore) -> bytes:
    """A certificate from the coordinator, if it is one of this node's key; else TransportError."""
    try:
        certificate = x509.load_pem_x509_certificate(data)
        ours = certificate.public_key() == keystore.node_key.public_key()
    except ValueError:
        ours = False
    if not ours:
        raise TransportError(
            "the coordinator's certificate is not of this node's key",
            code="E-CONTROL-REPLY",
            remedy="ask the operator which version the coordinator has",
        )
    return pem(certificate)


def _channel(
    invitation: Invitation,
    shown: bytes,
    key: ec.EllipticCurvePrivateKey,
    *,
    now: datetime,
    retries: bool,
    proxy: Proxy | None = None,
) -> Channel:
    """A connection as somebody whose key the invitation's key certifies."""
    inviting = invitation.key()
    certificate = client_certificate(
        key.public_key(),
        name="joins by invitation",
        issuer=authority_name(inviting.public_key()),
        issuer_key=inviting,
        start=now - CLOCK_ALLOWANCE,
        end=now + _SHORT,
    )
    return Channel(
        invitation.address,
        roots=shown,
        identity=Identity(key=private_pem(key), certificate=pem(certificate)),
        retries=retries,
        proxy=proxy,
    )


def _read(reply: GreetReply, invitation: Invitation, shown: bytes) -> Greeting:
    host = invitation.address.rpartition(":")[0]
    try:
        fields = Fields(
            {
                "partner": reply.partner,
                "legal_name": reply.legal_name,
                "contact": reply.contact,
                "coordinator_key": reply.coordinator_key.hex(),
                "port": reply.port,
            },
            "greeting",
        )
        greeting = Greeting(
            partner=fields.text("partner", max_length=40, pattern=PARTY_ID),
            legal_name=fields.line("legal_name", max_length=200),
            contact=fields.line("contact", max_length=200),
            key=fields.hex("coordinator_key", size=PUBLIC_KEY_BYTES),
            address=f"{host}:{fields.integer('port', at_least=1, at_most=65_535)}",
            authority=b"".join(map(pem, x509.load_pem_x509_certificates(reply.authority))),
            shown=shown,
        )
    except (MalformedError, ValueError) as error:
        raise TransportError(
            f"{invitation.address} answers as no coordinator does",
            code="E-CONTROL-REPLY",
            remedy="ask the operator which version the coordinator has",
        ) from error
    return greeting
