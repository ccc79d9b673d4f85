"""Joining: once an invitation, for the partner and the node that are invited, by their own keys."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from coordinator.control.invitations import Invitations
from coordinator.control.joined import card_with_code, joined_cards
from coordinator.control.nodes import EnrolledNodes
from coordinator.control.standing import shut_out, standings
from coordinator.store.times import moment
from machine.certificates import key_fingerprint
from partner_node.control.channel import Channel
from partner_node.control.joining import _channel, checked_certificate
from partner_node.control.pinned import pinned_certificate
from partner_node.control.presence import show_up
from protocol.control.calls import ENROL, GREET, RENEW
from protocol.control.enrolment import read_code, short_code, sign_card
from protocol.control.invitation import Invitation, invitation_id
from protocol.control.v1 import control_pb2 as v1
from protocol.errors import FedsegError, TransportError, UsageError
from protocol.signing import public_bytes
from tests.control.lab import RUNS_PORT, Lab, enrolled, greeted, lab, new_node

__all__ = ["lab"]


def refused(code: str, action: object, *arguments: object) -> FedsegError:
    assert callable(action)
    with pytest.raises(FedsegError) as caught:
        action(*arguments)
    assert caught.value.code == code, caught.value
    assert caught.value.remedy
    return caught.value


def connected(invitation: Invitation, node: object) -> Channel:
    greeting = greeted(invitation)
    key = node.node_key  # type: ignore[attr-defined]
    return _channel(
        invitation, greeting.shown, key, now=datetime.now(UTC), retries=False, proxy=None
    )


def test_whoever_is_invited_learns_who_invites(lab: Lab) -> None:
    greeting = greeted(lab.invite("north"))
    assert (greeting.partner, greeting.legal_name) == ("north", "Segment Trust")
    assert greeting.contact == "ops@trust.example"
    assert greeting.key == public_bytes(lab.config.signing_key())
    assert greeting.address == f"127.0.0.1:{RUNS_PORT}"
    assert greeting.authority == lab.roots


def test_being_greeted_uses_nothing_up(lab: Lab) -> None:
    invitation = lab.invite("patient")
    for _ in range(3):
        greeted(invitation)
    greeting = greeted(invitation)
    enrolled(invitation, greeting, *new_node("patient"))


def test_a_node_that_joined_waits_and_is_admitted_by_its_code_alone(lab: Lab) -> None:
    node = lab.join("east")
    key = public_bytes(lab.config.signing_key())
    code = short_code(node.card.to_bytes(), key)
    with lab.channel(node.identity) as channel:
        assert not show_up(channel).admitted
        assert node.card not in joined_cards(lab.store)
        refused(
            "E-CONTROL-CODE", lambda: card_with_code(lab.store, "0000-0000", coordinator_key=key)
        )
        spoken = code.lower().replace("-", " ")
        assert card_with_code(lab.store, spoken, coordinator_key=key) == node.card
        (line,) = [one for one in standings(lab.store, coordinator_key=key, now=datetime.now(UTC))
                   if one.partner == "east"]  # fmt: skip
        assert (line.state, line.code) == ("waits for its code", code)
        lab.admit(node)
        assert show_up(channel).admitted
    assert node.card in joined_cards(lab.store)
    refused("E-CONTROL-CODE", lambda: card_with_code(lab.store, code, coordinator_key=key))


def test_the_code_hangs_on_the_card_and_on_the_coordinator() -> None:
    codes = {short_code(card, key) for card in (b"a", b"b") for key in (bytes(32), b"\x01" * 32)}
    assert len(codes) == 4
    assert all(read_code(code) == code for code in codes)


def test_an_invitation_is_good_for_one_node_which_may_ask_again(lab: Lab) -> None:
    invitation = lab.invite("once")
    greeting = greeted(invitation)
    first, card = new_node("once")
    assert enrolled(invitation, greeting, first, card)
    again = enrolled(invitation, greeting, first, card)
    assert checked_certificate(again, first) == again
    thief, other = new_node("once")
    refused("E-INVITATION-USED", lambda: enrolled(invitation, greeting, thief, other))
    (kept,) = [row for row in EnrolledNodes(lab.store).all() if row.partner == "once"]
    assert kept.card == card.to_bytes()


def test_an_invitation_that_was_replaced_withdrawn_or_has_ended_is_refused(lab: Lab) -> None:
    old = lab.invite("again")
    greeting = greeted(old)
    lab.invite("again")
    refused("E-INVITATION-REFUSED", greeted, old)
    refused("E-CONTROL-AWAY", lambda: enrolled(old, greeting, *new_node("again")))
    gone = lab.invite("gone")
    shut_out(lab.store, "gone")
    refused("E-INVITATION-REFUSED", greeted, gone)
    ended = lab.invite("ended", now=datetime.now(UTC) - timedelta(days=3), lasts=timedelta(days=1))
    refused("E-INVITATION-ENDED", greeted, ended)
    later = replace(ended, expires=int(datetime.now(UTC).timestamp()) + 3_600)
    refused("E-INVITATION-REFUSED", greeted, later)


def test_a_node_cannot_be_kept_for_an_invitation_that_ended_meanwhile(lab: Lab) -> None:
    invitation = lab.invite("slow")
    keystore, card = new_node("slow")
    id = invitation_id(invitation.key().public_key())
    nodes = EnrolledNodes(lab.store)
    for now in (invitation.end, invitation.end + timedelta(seconds=1)):
        refused(
            "E-INVITATION-USED",
            lambda now=now: nodes.enrol(card, card.to_bytes(), invitation=id, now=now),
        )
    assert nodes.with_key(card.node_key) is None
    assert keystore


def test_a_card_of_another_partner_is_refused(lab: Lab) -> None:
    lab.admit(lab.join("victim"))
    invitation = lab.invite("liar")
    keystore, card = new_node("victim")
    refused("E-CARD", lambda: enrolled(invitation, greeted(invitation), keystore, card))
    with connected(invitation, keystore) as channel:
        data = card.to_bytes()
        id = invitation_id(invitation.key().public_key())
        asked = v1.EnrolRequest(card=data, signature=sign_card(keystore.identity, data, id))
        refused("E-CARD", channel.call, ENROL, asked, v1.EnrolReply)


def test_a_card_with_another_nodes_key_is_refused(lab: Lab) -> None:
    """Whoever sends a card must have the node key in it: nobody enrols a key of others."""
    invitation = lab.invite("keyless")
    keystore, _ = new_node("keyless")
    _, other = new_node("keyless")
    data = replace(other, public_key=keystore.identity_public).to_bytes()
    id = invitation_id(invitation.key().public_key())
    asked = v1.EnrolRequest(card=data, signature=sign_card(keystore.identity, data, id))
    with connected(invitation, keystore) as channel:
        refused("E-CARD", channel.call, ENROL, asked, v1.EnrolReply)


@pytest.mark.parametrize("wrong", ["other key", "other card", "other invitation"])
def test_a_card_that_its_own_key_did_not_sign_for_this_invitation_is_refused(
    lab: Lab, wrong: str
) -> None:
    invitation = lab.invite("forger")
    keystore, card = new_node("forger")
    data = card.to_bytes()
    id = invitation_id(invitation.key().public_key())
    signature = {
        "other key": sign_card(new_node("x")[0].identity, data, id),
        "other card": sign_card(keystore.identity, data + b" ", id),
        "other invitation": sign_card(keystore.identity, data, "0" * 32),
    }[wrong]
    with connected(invitation, keystore) as channel:
        asked = v1.EnrolRequest(card=data, signature=signature)
        refused("E-SIGNATURE", channel.call, ENROL, asked, v1.EnrolReply)


@pytest.mark.parametrize("card", [b"", b"{}", b"\xff", b"[" * 20_000], ids=len)
def test_what_is_no_card_is_refused(lab: Lab, card: bytes) -> None:
    invitation = lab.invite("nonsense")
    keystore, _ = new_node("nonsense")
    with connected(invitation, keystore) as channel:
        asked = v1.EnrolRequest(card=card, signature=bytes(64))
        refused("E-MALFORMED", channel.call, ENROL, asked, v1.EnrolReply)


def test_one_node_is_not_two_partners(lab: Lab) -> None:
    node = lab.join("first")
    invitation = lab.invite("second")
    card = replace(node.card, id="second")
    greeting = greeted(invitation)
    refused("E-ADMITTED", lambda: enrolled(invitation, greeting, node.keystore, card))
    assert EnrolledNodes(lab.store).with_key(node.card.node_key).partner == "first"  # type: ignore[union-attr]


def test_whoever_joins_anew_does_not_shut_out_the_node_that_is_admitted(lab: Lab) -> None:
    node = lab.join("both")
    lab.admit(node)
    second = lab.join("both")
    third = lab.join("both")
    with lab.channel(node.identity) as channel:
        assert show_up(channel).admitted
    with lab.channel(third.identity) as channel:
        assert not show_up(channel).admitted
    keys = {row.node_key for row in EnrolledNodes(lab.store).all() if row.partner == "both"}
    assert keys == {node.card.node_key, third.card.node_key}
    assert second.card.node_key not in keys
    lab.admit(third)
    with lab.channel(node.identity) as channel:
        assert not show_up(channel).admitted


def test_a_certificate_is_renewed_and_the_one_before_stays_good(lab: Lab) -> None:
    node = lab.join("renews")
    lab.admit(node)
    with lab.channel(node.identity) as channel:
        reply = channel.call(RENEW, v1.RenewRequest(), v1.RenewReply)
    renewed = checked_certificate(reply.certificate, node.keystore)
    numbers = {x509.load_pem_x509_certificate(c).serial_number for c in (renewed, node.certificate)}
    assert len(numbers) == 2
    for certificate in (renewed, node.certificate):
        with lab.channel(replace(node.identity, certificate=certificate)) as channel:
            assert show_up(channel).admitted


def test_the_operator_sees_until_when_a_nodes_certificate_holds(lab: Lab) -> None:
    node = lab.join("holds")
    lab.admit(node)
    key = public_bytes(lab.config.signing_key())

    def until() -> str:
        (one,) = [
            found for found in standings(lab.store, coordinator_key=key, now=datetime.now(UTC))
            if found.partner == "holds"
        ]  # fmt: skip
        return one.certificate_until

    def ends(certificate: bytes) -> datetime:
        return x509.load_pem_x509_certificate(certificate).not_valid_after_utc

    assert moment(until()).replace(microsecond=0) == ends(node.certificate)
    before = until()
    with lab.channel(node.identity) as channel:
        reply = channel.call(RENEW, v1.RenewRequest(), v1.RenewReply)
    renewed = checked_certificate(reply.certificate, node.keystore)
    assert until() > before
    assert moment(until()).replace(microsecond=0) == ends(renewed)
    shut_out(lab.store, "holds")
    lab.admit(node)
    assert until() == ""


def test_a_certificate_of_another_key_is_not_taken(lab: Lab) -> None:
    node, other = lab.join("one"), lab.join("two")
    refused("E-CONTROL-REPLY", checked_certificate, other.certificate, node.keystore)
    refused("E-CONTROL-REPLY", checked_certificate, b"", node.keystore)


def test_a_port_with_another_key_than_the_invitation_says_is_not_greeted(lab: Lab) -> None:
    invitation = lab.invite("pinned")
    other = replace(invitation, fingerprint=b"\x01" * 32)
    refused("E-CONTROL-FINGERPRINT", greeted, other)
    shown = x509.load_pem_x509_certificate(
        pinned_certificate(invitation.address, invitation.fingerprint)
    )
    assert key_fingerprint(shown.public_key()) == invitation.fingerprint


def test_a_port_that_nobody_serves_is_said_to_be_away(lab: Lab) -> None:
    away = replace(lab.invite("away"), address="127.0.0.1:1")
    assert "127.0.0.1:1" in refused("E-CONTROL-AWAY", greeted, away).message


def test_the_secret_of_an_invitation_is_nowhere_at_the_coordinator(lab: Lab) -> None:
    invitation = lab.invite("secret")
    for path in lab.config.directory.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            for form in (
                invitation.secret, invitation.secret.hex().encode(), invitation.to_text().encode()
            ):  # fmt: skip
                assert form not in data, path
    assert any(row.partner == "secret" for row in Invitations(lab.store).valid(datetime.now(UTC)))


def test_a_coordinator_that_answers_nonsense_is_no_coordinator(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    invitation = lab.invite("puzzled")
    real = Channel.call
    changes: dict[str, object] = {}
    said: list[dict[str, object]] = [
        {"partner": "../x"}, {"legal_name": "a\x1b[31m"}, {"contact": "a\nb"},
        {"coordinator_key": b"x"}, {"port": 0}, {"port": 70_000}, {"authority": b"none"},
    ]  # fmt: skip

    def nonsense(self: Channel, name: str, request: object, reply: type) -> object:
        found = real(self, name, request, reply)  # type: ignore[type-var]
        if name == GREET:
            for field, value in changes.items():
                setattr(found, field, value)
        return found

    monkeypatch.setattr(Channel, "call", nonsense)
    for one in said:
        changes.clear()
        changes.update(one)
        with pytest.raises(TransportError) as caught:
            greeted(invitation)
        assert caught.value.code == "E-CONTROL-REPLY"


def test_partners_are_invited_by_ids_that_agreements_take(lab: Lab) -> None:
    for name in ("", "North", "a b", "x" * 41, "-a", "../x"):
        with pytest.raises(UsageError, match="id"):
            lab.invite(name)
