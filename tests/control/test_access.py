"""Who may call what at the control port: every call as everybody, over TLS."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.message import Message

from coordinator.control.callers import ACCESS, Who, caller_of
from coordinator.control.invitations import Invitations
from coordinator.control.nodes import EnrolledNodes
from coordinator.control.standing import shut_out
from machine.certificates import client_certificate, pem, private_pem
from machine.quiet_grpc import grpc
from partner_node.control.channel import Channel, Identity
from protocol.agreement.document import time_text
from protocol.agreement.stop import SignedStop
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
    MAX_REQUEST_BYTES,
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
    path,
)
from protocol.control.invitation import Invitation, authority_name
from protocol.control.v1 import control_pb2 as v1
from protocol.errors import FedsegError, StoreError
from tests.control.lab import Lab, lab
from tests.control.parties import Parties, parties

__all__ = ["lab", "parties"]

NOW = datetime.now(UTC)
REQUESTS: dict[str, tuple[Message, type[Message]]] = {
    GREET: (v1.GreetRequest(), v1.GreetReply),
    ENROL: (v1.EnrolRequest(card=b"{}"), v1.EnrolReply),
    STANDING: (v1.StandingRequest(version="1"), v1.StandingReply),
    RENEW: (v1.RenewRequest(), v1.RenewReply),
    PROPOSALS: (v1.ProposalsRequest(), v1.ProposalsReply),
    PROPOSAL: (v1.ProposalRequest(hash=bytes(32)), v1.ProposalReply),
    SIGN: (v1.SignRequest(hash=bytes(32), signature=bytes(64)), v1.SignReply),
    STOP: (v1.StopRequest(envelope=b"{}"), v1.StopReply),
    STOPS: (v1.StopsRequest(hash=bytes(32)), v1.StopsReply),
    DILIGENCE: (v1.DiligenceRequest(hash=bytes(32)), v1.DiligenceReply),
    BUILDS: (v1.BuildsRequest(hash=bytes(32)), v1.BuildsReply),
    SIGN_BUILD: (
        v1.SignBuildRequest(hash=bytes(32), build=bytes(32), signature=bytes(64)),
        v1.SignBuildReply,
    ),
    HAND_OVER: (v1.HandOverRequest(envelope=b"{}"), v1.HandOverReply),
    ANNOUNCEMENTS: (v1.AnnouncementsRequest(after=1 << 40), v1.Announcement),
    HAND_OVERS: (v1.HandOversRequest(), v1.HandOversReply),
    AUTHORITIES: (v1.AuthoritiesRequest(), v1.AuthoritiesReply),
    DECLINE: (v1.DeclineRequest(hash=bytes(32), comment="no"), v1.DeclineReply),
    READINESS: (v1.ReadinessRequest(hash=bytes(32)), v1.ReadinessReply),
    RELEASES: (v1.ReleasesRequest(hash=bytes(32)), v1.ReleasesReply),
    RELEASE: (v1.ReleaseRequest(run=bytes(16)), v1.ReleaseReply),
    ACKNOWLEDGE: (v1.AcknowledgeRequest(run=bytes(16)), v1.AcknowledgeReply),
}


#: How calls are answered that may be made, about what is not there.
ABOUT_NOTHING = {
    ENROL: "E-MALFORMED", PROPOSAL: "E-PROPOSAL", SIGN: "E-PROPOSAL", DECLINE: "E-PROPOSAL",
    STOP: "E-AGR-SCHEMA", STOPS: "E-PROPOSAL",
    READINESS: "E-PROPOSAL", RELEASES: "E-PROPOSAL", RELEASE: "E-NO-RELEASE",
    ACKNOWLEDGE: "E-NO-RELEASE",
    BUILDS: "E-PROPOSAL", SIGN_BUILD: "E-PROPOSAL", DILIGENCE: "E-PROPOSAL",
    HAND_OVER: "E-HAND-OVER",
}  # fmt: skip


def certified(
    issuer_key: ec.EllipticCurvePrivateKey, issuer: str, *, name: str = "somebody"
) -> Identity:
    key = ec.generate_private_key(ec.SECP384R1())
    certificate = client_certificate(
        key.public_key(), name=name, issuer=issuer, issuer_key=issuer_key,
        start=NOW - timedelta(hours=1), end=NOW + timedelta(hours=1),
    )  # fmt: skip
    return Identity(key=private_pem(key), certificate=pem(certificate))


def invited(invitation: Invitation, *, name: str = "somebody") -> Identity:
    key = invitation.key()
    return certified(key, authority_name(key.public_key()), name=name)


def stranger(lab: Lab) -> Identity:
    """A key that is certified by an authority of the same name, which anybody can make."""
    return certified(ec.generate_private_key(ec.SECP256R1()), "fedseg nodes authority")


def waiting(lab: Lab) -> Identity:
    return lab.join("waits").identity


def admitted(lab: Lab) -> Identity:
    node = lab.join("admitted")
    lab.admit(node)
    return node.identity


def removed(lab: Lab) -> Identity:
    node = lab.join("removed")
    lab.admit(node)
    shut_out(lab.store, "removed")
    return node.identity


def withdrawn(lab: Lab) -> Identity:
    identity = invited(lab.invite("withdrawn"))
    shut_out(lab.store, "withdrawn")
    return identity


def replaced(lab: Lab) -> Identity:
    identity = invited(lab.invite("replaced"))
    lab.invite("replaced")
    return identity


def ended(lab: Lab) -> Identity:
    return invited(
        lab.invite("ended", now=NOW - timedelta(days=2), lasts=timedelta(days=1)),
    )


#: Everybody, and what each is to the coordinator; nobody is let in to nothing.
EVERYBODY: dict[str, tuple[Callable[[Lab], Identity], Who | None]] = {
    "invited": (lambda lab: invited(lab.invite("guest")), Who.INVITED),
    "waiting": (waiting, Who.WAITING),
    "admitted": (admitted, Who.ADMITTED),
    "removed": (removed, None),
    "stranger": (stranger, None),
    "withdrawn": (withdrawn, None),
    "replaced": (replaced, None),
    "ended": (ended, None),
}


def refusal(channel: Channel, call: str) -> str:
    """The code with which a call is refused; empty when it is answered."""
    request, reply = REQUESTS[call]
    try:
        if call == ANNOUNCEMENTS:
            next(channel.stream(call, request, reply))
        else:
            channel.call(call, request, reply)
    except FedsegError as error:
        return error.code
    return ""


@pytest.mark.parametrize("name", EVERYBODY)
def test_everybody_may_call_what_the_table_says_and_nothing_else(lab: Lab, name: str) -> None:
    make, who = EVERYBODY[name]
    with lab.channel(make(lab)) as channel:
        for call in ACCESS:
            code = refusal(channel, call)
            if who is not None and who in ACCESS[call]:
                assert code == ABOUT_NOTHING.get(call, ""), call
            else:
                assert code in ("E-CALLER", "E-CONTROL-AWAY"), call


def test_the_table_names_every_call_and_lets_nobody_in_who_is_nobody() -> None:
    assert set(REQUESTS) == set(ACCESS)
    assert {who for allowed in ACCESS.values() for who in allowed} == set(Who)
    assert ACCESS[RENEW] == {Who.ADMITTED}
    assert ACCESS[ENROL] == {Who.INVITED}
    for call in set(ACCESS) - {GREET, ENROL, STANDING, AUTHORITIES, ANNOUNCEMENTS}:
        assert ACCESS[call] == {Who.ADMITTED}


#: Requests about one agreement, by its hash; whoever is no party to it is told what somebody is
#: told who asks about none.
ABOUT_AN_AGREEMENT = {
    call
    for call, (request, _) in REQUESTS.items()
    if "hash" in type(request).DESCRIPTOR.fields_by_name
}


def about(call: str, agreement_hash: bytes) -> Message:
    """A request about an agreement that there is."""
    made = type(REQUESTS[call][0])()
    made.CopyFrom(REQUESTS[call][0])
    made.hash = agreement_hash
    return made


def test_another_agreements_party_may_call_and_is_told_of_its_own_alone(parties: Parties) -> None:
    lab, agreement_hash = parties.lab, parties.draft.agreement.hash
    for node in parties.nodes:
        parties.sign(node)
    other = lab.join("other-party")
    lab.admit(other)
    assert set(ABOUT_NOTHING) - ABOUT_AN_AGREEMENT == {
        ENROL, STOP, RELEASE, ACKNOWLEDGE, HAND_OVER
    }  # fmt: skip
    answered = set()
    for name, identity in (("party", parties.nodes[0].identity), ("other", other.identity)):
        with lab.channel(identity) as channel:
            for call in sorted(ABOUT_AN_AGREEMENT):
                _, reply = REQUESTS[call]
                try:
                    channel.call(call, about(call, agreement_hash), reply)
                except FedsegError as error:
                    code = error.code
                else:
                    code = ""
                if name == "other":
                    assert code == ABOUT_NOTHING[call], call
                elif code != ABOUT_NOTHING[call]:
                    answered.add(call)
    assert answered == ABOUT_AN_AGREEMENT - {SIGN_BUILD}, "parties are answered otherwise"
    key = parties.nodes[0].keystore.identity
    stop = SignedStop.sign(parties.draft.agreement, key, at=time_text(NOW))
    with lab.channel(other.identity) as channel, pytest.raises(FedsegError, match="E-PROPOSAL"):
        channel.call(STOP, v1.StopRequest(envelope=stop.to_bytes()), v1.StopReply)
    assert lab.store.stops_of(agreement_hash) == []


@pytest.mark.parametrize("certificate", [None, "no certificate"], ids=str)
def test_without_a_certificate_nobody_is_greeted(lab: Lab, certificate: str | None) -> None:
    credentials = grpc.ssl_channel_credentials(lab.roots)
    with (
        grpc.secure_channel(lab.port.address, credentials, [("grpc.enable_retries", 0)]) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        channel.unary_unary(path(GREET))(b"", timeout=10)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


def test_names_in_a_certificate_make_nobody(lab: Lab) -> None:
    """An invitation for one partner certifies whatever name its holder likes."""
    lab.admit(lab.join("north"))
    with lab.channel(invited(lab.invite("west"), name="north")) as channel:
        reply = channel.call(GREET, v1.GreetRequest(), v1.GreetReply)
        assert reply.partner == "west"
        assert refusal(channel, STANDING) == "E-CALLER"


def test_whoever_is_shut_out_is_refused_on_a_connection_that_it_has(lab: Lab) -> None:
    node = lab.join("leaves")
    lab.admit(node)
    with lab.channel(node.identity) as channel:
        assert refusal(channel, STANDING) == ""
        shut_out(lab.store, "leaves")
        assert refusal(channel, STANDING) == "E-CALLER"
    with lab.channel(invited(lab.invite("leaves"))) as channel:
        assert refusal(channel, GREET) == ""
        Invitations(lab.store).withdraw("leaves")
        assert refusal(channel, GREET) == "E-CALLER"


def raw(lab: Lab, identity: Identity, call: str, data: bytes) -> tuple[str, str]:
    """Status and details of a call with any bytes."""
    credentials = grpc.ssl_channel_credentials(lab.roots, identity.key, identity.certificate)
    with (
        grpc.secure_channel(lab.port.address, credentials, [("grpc.enable_retries", 0)]) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        channel.unary_unary(path(call))(data, timeout=10)
    return caught.value.code().name, caught.value.details()


def test_nothing_of_a_request_is_read_before_its_caller_is_known_to_be_allowed(lab: Lab) -> None:
    garbage = b"\xff" * 40
    node = lab.join("garbage")
    assert raw(lab, node.identity, RENEW, garbage) == ("PERMISSION_DENIED", "E-CALLER")
    lab.admit(node)
    assert raw(lab, node.identity, RENEW, garbage) == ("INVALID_ARGUMENT", "E-MALFORMED")


def test_a_request_beyond_the_limit_is_refused_unread(lab: Lab) -> None:
    status, _ = raw(lab, admitted(lab), STANDING, bytes(MAX_REQUEST_BYTES + 1))
    assert status == "RESOURCE_EXHAUSTED"


def test_a_defect_is_told_as_a_code_alone(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("customer 4711")

    node = lab.join("defect")
    monkeypatch.setattr(EnrolledNodes, "note_seen", broken)
    request = v1.StandingRequest(version="1").SerializeToString()
    assert raw(lab, node.identity, STANDING, request) == ("INTERNAL", "E-INTERNAL")


def test_while_the_database_is_away_nodes_are_told_to_call_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not that they are refused, which they would take for the coordinator's word."""

    def away(*_: object, **__: object) -> None:
        raise StoreError("database 'fedseg' at db.example is not reached", code="E-STORE-CONNECT")

    node = lab.join("patient")
    monkeypatch.setattr(EnrolledNodes, "note_seen", away)
    request = v1.StandingRequest(version="1").SerializeToString()
    assert raw(lab, node.identity, STANDING, request) == ("UNAVAILABLE", "E-STORE-CONNECT")


def test_errors_of_the_port_are_codes_alone(lab: Lab) -> None:
    for make, _ in EVERYBODY.values():
        identity = make(lab)
        for call in ACCESS:
            credentials = grpc.ssl_channel_credentials(
                lab.roots, identity.key, identity.certificate
            )
            with grpc.secure_channel(
                lab.port.address, credentials, [("grpc.enable_retries", 0)]
            ) as channel:
                try:
                    channel.unary_unary(path(call))(b"\xff", timeout=10)
                except grpc.RpcError as error:
                    if error.code() != grpc.StatusCode.UNAVAILABLE:
                        assert re.fullmatch(r"E-[A-Z-]+", error.details())


def test_a_certificate_that_has_ended_or_not_begun_is_nobodys(lab: Lab) -> None:
    node = lab.join("later")
    certificate = x509.load_pem_x509_certificate(node.certificate)
    authority = lab.port.prepared.authority.certificate
    for now, known in (
        (NOW, True),
        (certificate.not_valid_after_utc + timedelta(seconds=1), False),
        (certificate.not_valid_before_utc - timedelta(seconds=1), False),
    ):
        found = caller_of(certificate, lab.store, authority=authority, now=now)
        assert (found is not None) is known


def test_an_authority_of_the_same_name_and_another_key_certifies_nobody(lab: Lab) -> None:
    """Also not a key that is a node's: whoever lost its certificate cannot make itself another."""
    ours = lab.port.prepared.authority.certificate
    node = lab.join("forged")
    public = node.keystore.node_key.public_key()
    now = datetime.now(UTC)
    for key, known in ((ec.generate_private_key(ec.SECP256R1()), False), (_key(lab), True)):
        certificate = client_certificate(
            public, name="forged", issuer="fedseg nodes authority", issuer_key=key,
            start=now - timedelta(hours=1), end=now + timedelta(days=1),
        )  # fmt: skip
        assert certificate.issuer == ours.subject
        found = caller_of(certificate, lab.store, authority=ours, now=now)
        assert (found is not None) is known


def _key(lab: Lab) -> ec.EllipticCurvePrivateKey:
    return lab.port.prepared.authority._key
