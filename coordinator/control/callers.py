"""Who may call what at the control port: one table, and who a caller is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from cryptography import x509

from coordinator.control.invitations import Invitations
from coordinator.control.nodes import EnrolledNodes, bare_key
from coordinator.store.admitted_nodes import AdmittedNodes
from coordinator.store.coordinator_store import CoordinatorStore
from machine.certificates import is_issued_by, openssh_key
from protocol.control.calls import (
    ACKNOWLEDGE,
    ANNOUNCEMENTS,
    AUTHORITIES,
    BUILDS,
    DECLINE,
    DILIGENCE,
    ENROL,
    GREET,
    HAND_OVER,
    HAND_OVERS,
    PROPOSAL,
    PROPOSALS,
    READINESS,
    RELEASE,
    RELEASES,
    RENEW,
    SIGN,
    SIGN_BUILD,
    STANDING,
    STOP,
    STOPS,
)


class Who(Enum):
    """What somebody is to the coordinator."""

    INVITED = "has an open invitation"
    WAITING = "joined, but is not admitted yet"
    ADMITTED = "is a partner's admitted node"


#: Who may make each call; whoever is none of these is let in to nothing.
ACCESS: Final[Mapping[str, frozenset[Who]]] = {
    GREET: frozenset({Who.INVITED, Who.WAITING, Who.ADMITTED}),
    ENROL: frozenset({Who.INVITED}),
    STANDING: frozenset({Who.WAITING, Who.ADMITTED}),
    RENEW: frozenset({Who.ADMITTED}),
    PROPOSALS: frozenset({Who.ADMITTED}),
    PROPOSAL: frozenset({Who.ADMITTED}),
    SIGN: frozenset({Who.ADMITTED}),
    DECLINE: frozenset({Who.ADMITTED}),
    STOP: frozenset({Who.ADMITTED}),
    STOPS: frozenset({Who.ADMITTED}),
    READINESS: frozenset({Who.ADMITTED}),
    RELEASES: frozenset({Who.ADMITTED}),
    RELEASE: frozenset({Who.ADMITTED}),
    ACKNOWLEDGE: frozenset({Who.ADMITTED}),
    DILIGENCE: frozenset({Who.ADMITTED}),
    BUILDS: frozenset({Who.ADMITTED}),
    SIGN_BUILD: frozenset({Who.ADMITTED}),
    HAND_OVER: frozenset({Who.ADMITTED}),
    HAND_OVERS: frozenset({Who.ADMITTED}),
    AUTHORITIES: frozenset({Who.WAITING, Who.ADMITTED}),
    ANNOUNCEMENTS: frozenset({Who.WAITING, Who.ADMITTED}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody who proved to have a private key.

    Attributes:
        partner: The id that the invitation or the node is for.
        node_key: The key of the certificate, OpenSSH.
        public_key: The same.
        invitation: The invitation's id; empty for nodes that joined.
    """

    who: Who
    partner: str
    node_key: str
    certificate: x509.Certificate
    invitation: str = ""


def caller_of(
    certificate: x509.Certificate,
    store: CoordinatorStore,
    *,
    authority: x509.Certificate,
    now: datetime,
) -> Caller | None:
    """Whose certificate it is, by its key and by whose key signed it; None for nobody's.

    The handshake has checked it once; what was withdrawn, removed or has ended since is asked here,
    at every call.
    """
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        return None
    node_key = openssh_key(certificate.public_key())
    if is_issued_by(certificate, authority):
        return _node(certificate, node_key, store)
    for row in Invitations(store).valid(now):
        if is_issued_by(certificate, row.certificate()):
            return Caller(
                who=Who.INVITED,
                partner=row.partner,
                node_key=node_key,
                certificate=certificate,
                invitation=row.id,
            )
    return None


def _node(certificate: x509.Certificate, node_key: str, store: CoordinatorStore) -> Caller | None:
    row = EnrolledNodes(store).with_key(node_key)
    if row is None:
        return None
    admitted = AdmittedNodes(store).key_of_partner().get(row.partner, "")
    return Caller(
        who=Who.ADMITTED if bare_key(admitted) == node_key else Who.WAITING,
        partner=row.partner,
        node_key=node_key,
        certificate=certificate,
    )
