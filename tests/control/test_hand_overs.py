"""Hand-overs of keys online: sent by their own partner, told to whom they concern, checked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.control.announcements import HAND_OVER as ANNOUNCED
from coordinator.control.announcements import Announcements
from coordinator.control.invitations import Invitations
from coordinator.control.joined import card_with_code, joined_cards, shown_code
from coordinator.control.nodes import EnrolledNodes
from coordinator.control.proposals import Proposals
from coordinator.control.standing import standings
from coordinator.control.taking_hand_overs import keep_hand_over
from coordinator.control.taking_stops import take_stop
from coordinator.runs.in_force import versions
from coordinator.shown.forks import forks_shown
from coordinator.shown.proposals import proposals_shown
from coordinator.store.hand_overs import KeptHandOvers
from machine.console import Format, output
from machine.logs import Repetitions
from machine.times import stamp
from partner_node.control import presence
from partner_node.control.belonging import open_channel
from partner_node.control.channel import Channel
from partner_node.control.handing_over import exchange_hand_overs
from partner_node.control.presence import present
from partner_node.home import NodeHome
from partner_node.keystore import Keystore
from protocol.agreement.document import Agreement, time_text
from protocol.agreement.hand_over import HandOver
from protocol.agreement.stop import SignedStop
from protocol.control.calls import HAND_OVER, HAND_OVERS
from protocol.control.enrolment import short_code
from protocol.control.v1 import control_pb2 as v1
from protocol.errors import FedsegError
from protocol.signing import key_id, public_bytes
from simulations.agreement import signed_with
from tests.control.commands import invited, join_words, operator, shell
from tests.control.lab import JoinedNode, drafted, enrolled, greeted, lab, new_node, no_run
from tests.control.parties import (
    Parties,
    Signing,
    cards_of,
    code_of,
    in_force,
    lying,
    outcome,
    parties,
    signing,
    stopped,
)
from tests.end_to_end.transport_support import wait_for
from tests.shell import Shell

__all__ = ["lab", "parties", "shell", "signing"]

PATIENCE_S = 20.0
AT = "2026-03-01T09:00:00Z"


def made(node: JoinedNode, *, partner: str | None = None, number: int = 1) -> HandOver:
    """A hand-over of a node's key to a new one."""
    return HandOver.make(
        node.keystore.identity, Ed25519PrivateKey.generate(),
        partner=node.card.id if partner is None else partner, number=number, at=AT,
    )  # fmt: skip


def sent(parties: Parties, by: JoinedNode, one: HandOver) -> str:
    asked = v1.HandOverRequest(envelope=one.to_bytes())
    return outcome(parties.lab, by, HAND_OVER, asked, v1.HandOverReply)


def told(parties: Parties, node: JoinedNode) -> list[HandOver]:
    with parties.lab.channel(node.identity) as channel:
        reply = channel.call(HAND_OVERS, v1.HandOversRequest(), v1.HandOversReply)
    return [HandOver.from_bytes(envelope) for envelope in reply.envelopes]


@pytest.fixture
def published(parties: Parties) -> Parties:
    """The three have an agreement."""
    keys = [node.keystore.identity for node in parties.nodes]
    parties.lab.store.add_agreement(signed_with(parties.draft.agreement, keys))
    return parties


def test_hand_overs_are_told_to_whom_they_concern_alone(published: Parties) -> None:
    store, (first, second, _) = published.lab.store, published.nodes
    stranger = published.lab.join(f"{first.card.id}-other")
    published.lab.admit(stranger)
    before = Announcements(store).last()
    one = made(first)
    assert sent(published, first, one) == ""
    assert sent(published, first, one) == "", "again is nothing new"
    assert [o.hash for o in told(published, second)] == [one.hash]
    assert [o.hash for o in told(published, first)] == [one.hash]
    assert told(published, stranger) == []
    kinds = [line.kind for line in Announcements(store).after(before, second.card.id)]
    assert kinds == [ANNOUNCED]
    assert not Announcements(store).after(before, stranger.card.id)
    agreement = store.agreement(published.draft.agreement.hash)
    assert agreement.keys.of(0) == one.new_key
    cards = {card.id: card for card in joined_cards(store)}
    assert cards[first.card.id].public_key == one.new_key, "the next version is drafted with it"


def test_a_partner_hands_over_no_key_but_its_own(published: Parties) -> None:
    first, second, _ = published.nodes
    assert sent(published, second, made(first)) == "E-KEY-PARTY"
    assert sent(published, first, made(first, partner="")) == "E-KEY-PARTY"
    assert sent(published, second, made(first, partner=second.card.id)) == "E-KEY-PARTY"
    thief = Ed25519PrivateKey.generate()
    own = HandOver.make(thief, Ed25519PrivateKey.generate(), partner=first.card.id, number=1, at=AT)
    assert sent(published, first, own) == "E-KEY-STRANGER"
    half = made(first)
    fewer = dict(list(half.envelope.signatures.items())[:1])
    lacking = replace(half, envelope=replace(half.envelope, signatures=fewer))
    assert sent(published, first, lacking) == "E-HAND-OVER-SIGNATURE"
    assert told(published, first) == []


def test_of_two_hand_overs_the_first_stays(
    published: Parties, shell: Shell, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, _ = published.nodes
    one, fork = made(first), made(first)
    assert sent(published, first, one) == ""
    caplog.set_level("WARNING")
    caplog.handler.addFilter(once := Repetitions())
    for again in (fork, fork, made(first), made(first)):
        assert sent(published, first, again) == "E-KEY-FORK"
    caplog.handler.removeFilter(once)
    assert one.words in caplog.text and fork.words in caplog.text, "people are shown both"
    assert caplog.text.count("a hand-over that") == 1, "once a minute, with whatever keys it comes"
    store = published.lab.store
    mine = [other for other, _ in KeptHandOvers(store).forks() if other.partner == one.partner]
    assert mine == [fork], "each key's first one is kept for people"
    folder = published.lab.config.directory
    found = operator(shell).json("key", "show", "--dir", folder)
    assert key_id(fork.new_key) in {line["new_key"] for line in found["refused"]}
    assert fork.words in " ".join(map(str, forks_shown(store).parts))
    assert [o.hash for o in told(published, second)] == [one.hash]
    later = HandOver.make(
        Ed25519PrivateKey.generate(), first.keystore.identity, partner=first.card.id,
        number=2, at=AT,
    )  # fmt: skip
    assert sent(published, first, later) == "E-KEY-REUSED"


def test_a_key_that_was_handed_over_signs_no_agreement_that_is_not_published_yet(
    published: Parties, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, (first, second, third) = published.lab.store, published.nodes
    published.draft = drafted(
        published.lab, [node.card for node in published.nodes],
        id=published.draft.agreement.id, version=2,
        supersedes=published.draft.agreement.hash.hex(),
    )  # fmt: skip
    published.propose()
    for node in (first, second):
        assert published.sign(node) == ""
    assert sent(published, first, made(first)) == ""
    assert published.sign(third) == "E-KEY-ROTATED"
    hash = published.draft.agreement.hash
    proposal = Proposals(store).with_hash(hash)
    assert proposal is not None and proposal.outdated == (first.card.id,)
    kinds = {answer.partner: answer.kind for answer in proposal.answers}
    assert kinds == {first.card.id: "open", second.card.id: "signed", third.card.id: "open"}
    assert published.decline(first, "no") == "", (
        "a signature that does not count keeps nobody from it"
    )
    proposal = Proposals(store).with_hash(hash)
    assert proposal is not None and proposal.answers[0].kind == "declined"
    assert published.decline(second, "no") == "E-AGR-SIGNED"
    monkeypatch.setattr(output, "format", Format.TEXT)  # whatever a command set last
    output.show(proposals_shown([proposal], datetime.now(UTC)))
    assert "draft it again" in " ".join(capsys.readouterr().out.split())
    keys = [node.keystore.identity for node in published.nodes]
    assert code_of(lambda: store.add_agreement(signed_with(published.draft.agreement, keys))) == (
        "E-KEY-ROTATED"
    )
    assert not store.has_agreement(hash) and not Proposals(store).publish(hash)
    published.draft = drafted(published.lab, [node.card for node in published.nodes], id="again")
    assert code_of(published.propose) == "E-KEY-ROTATED"


def test_what_was_published_before_a_key_was_handed_over_stays(published: Parties) -> None:
    store, (first, *_) = published.lab.store, published.nodes
    signed = signed_with(
        published.draft.agreement, [node.keystore.identity for node in published.nodes]
    )
    for node in published.nodes:
        assert "complete" in published.sign(node) or node is not published.nodes[-1]
    assert sent(published, first, made(first)) == ""
    store.add_agreement(signed)
    proposal = Proposals(store).with_hash(signed.agreement.hash)
    assert proposal is not None and proposal.complete and not proposal.outdated


def test_a_hand_over_that_does_not_fit_keeps_nothing_else_from_being_read(
    published: Parties, caplog: pytest.LogCaptureFixture
) -> None:
    lab, store, (first, second, _) = published.lab, published.lab.store, published.nodes
    agreement = published.draft.agreement
    wrong = made(first, partner=second.card.id)
    now = datetime.now(UTC)
    keep = partial(keep_hand_over, store, wrong, own_key=bytes(32), now=now)
    assert code_of(keep) == "E-KEY-PARTY"
    with store.transaction():  # as a version of before may have kept it
        KeptHandOvers(store).take([wrong], now=now)
    try:
        assert agreement.hash in [signed.agreement.hash for signed in store.agreements()]
        assert agreement.id in versions(store)
        assert first.card.id in {card.id for card in joined_cards(store)}
        assert code_of(lambda: store.agreement(agreement.hash)) == "E-KEY-PARTY"
        assert f"agreement {agreement.id}, version 1" in caplog.text
        assert f"the card of {first.card.id}" in caplog.text
        alone = lab.join(f"{first.card.id}-alone")
        lab.admit(alone)
        assert sent(published, alone, made(alone)) == "", "others hand theirs over"
        assert told(published, second) == [wrong]
    finally:  # the port serves other tests of this file
        store.ask("DELETE FROM hand_overs WHERE hand_over_hash = ?", wrong.hash)


def test_nobody_joins_with_a_key_that_another_partner_handed_over(published: Parties) -> None:
    store, first = published.lab.store, published.nodes[0]
    alone = published.lab.join(f"{first.card.id}-alone")
    published.lab.admit(alone)
    wrong, one, now = made(alone, partner=first.card.id), made(alone), datetime.now(UTC)
    keep = partial(keep_hand_over, store, wrong, own_key=bytes(32), now=now)
    assert code_of(keep) == "E-KEY-PARTY"
    assert sent(published, alone, one) == ""
    id = f"{first.card.id}-other"
    keystore, card = new_node(id)
    card = replace(card, public_key=alone.card.public_key)
    keystore = Keystore(
        identity=alone.keystore.identity, node_key=keystore.node_key, state_key=bytes(32)
    )
    invitation = published.lab.invite(id)
    greeting = greeted(invitation)
    assert code_of(lambda: enrolled(invitation, greeting, keystore, card)) == "E-KEY-PARTY"
    assert id not in {row.partner for row in EnrolledNodes(store).all()}


def test_a_node_that_has_no_agreement_yet_hands_its_key_over(parties: Parties) -> None:
    alone = parties.lab.join(f"{parties.nodes[0].card.id}-alone")
    parties.lab.admit(alone)
    one = made(alone)
    assert sent(parties, alone, one) == ""
    cards = {card.id: card for card in joined_cards(parties.lab.store)}
    assert cards[alone.card.id].public_key == one.new_key
    assert sent(parties, alone, one) == "", "again is nothing new, though its card has the new key"


# --- at a node -----------------------------------------------------------------------------------


def exchanged(signing: Signing, now: datetime | None = None) -> str:
    home = NodeHome.load(signing.home.directory)
    try:
        with open_channel(home, retries=False) as channel:
            exchange_hand_overs(home, channel, now=now or datetime.now(UTC))
    except FedsegError as error:
        return error.code
    return ""


def test_a_refused_hand_over_cuts_no_node_off(
    signing: Signing, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody who stole the key handed it over first; a partner's stop arrives nevertheless."""
    caplog.set_level("INFO")
    agreed = in_force(signing)
    home, store = NodeHome.load(signing.home.directory), signing.parties.lab.store
    stolen = HandOver.make(
        home.keystore().identity, Ed25519PrivateKey.generate(), number=1, at=AT,
        partner=home.config.node.partner,
    )  # fmt: skip
    own_key = public_bytes(signing.parties.lab.config.signing_key())
    assert keep_hand_over(store, stolen, own_key=own_key, now=datetime.now(UTC))
    rotated = key(signing, "rotate")
    assert rotated["sent"] is False
    (told,) = rotated["warnings"]
    assert "docs/keys.md" in told or "stop the agreements" in told
    assert "as soon as it can" not in told
    (own,) = home.hand_overs.load()
    with present(home, no_run, first_wait_s=600, most_wait_s=600):
        wait_for(lambda: said(caplog, "E-KEY-FORK"), timeout_s=PATIENCE_S, what="the refusal")
        assert said(caplog, "stop the agreements", level="WARNING") == 1, "what to do"
        assert own.words in caplog.text and stolen.words in caplog.text, "which two there are"
        stop_at(signing, agreed)
    assert said(caplog, "E-KEY-FORK") == 1, "it is said once"
    assert [one.hash for one in home.hand_overs.load()] == [own.hash], "the first one stays"
    refused = key(signing, "show")["refused"]
    assert {(one["refused_by"], one["new_key"]) for one in refused} == {
        ("coordinator", key_id(own.new_key)), ("here", key_id(stolen.new_key)),
    }  # fmt: skip
    warned = signing.shell.json("status", "--dir", home.directory)["warnings"]
    assert sum("E-KEY-FORK" in words for words in warned) == 2
    key(signing, "renew", "--yes")
    warned = signing.shell.json("status", "--dir", home.directory)["warnings"]
    assert not any("The coordinator refused" in words for words in warned), "that key is gone"


def test_a_hand_over_that_the_coordinator_refused_is_sent_again_after_a_day(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_force(signing)
    home, now, sends = NodeHome.load(signing.home.directory), datetime.now(UTC), []
    before = HandOver.make(
        Ed25519PrivateKey.generate(), home.keystore().identity, number=1, at=AT,
        partner=home.config.node.partner,
    )  # fmt: skip
    strange = HandOver.make(
        Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate(), number=1, at=AT,
        partner=home.config.node.partner,
    )  # fmt: skip
    home.hand_overs.take([before, strange])
    real = Channel.call

    def counted(self: Channel, name: str, request: Any, reply: Any) -> Any:
        if name == HAND_OVER:
            sends.append(request.envelope)
        return real(self, name, request, reply)

    monkeypatch.setattr(Channel, "call", counted)
    for later in (timedelta(0), timedelta(minutes=1), timedelta(hours=23)):
        assert exchanged(signing, now + later) == "E-KEY-STRANGER", "it waits for people still"
        assert sends == [before.to_bytes()], "once, and none that leads to another key"
    assert exchanged(signing, now + timedelta(hours=25)) == "E-KEY-STRANGER"
    assert len(sends) == 2
    assert exchanged(signing, now) == "E-KEY-STRANGER"
    assert len(sends) == 3, "the clock was set back: what it noted is no reason to wait"
    assert [one["code"] for one in key(signing, "show")["refused"]] == ["E-KEY-STRANGER"]
    monkeypatch.setattr(Channel, "call", real)
    lying(monkeypatch, HAND_OVERS, lambda reply: reply.envelopes.append(before.to_bytes()))
    assert exchanged(signing, now) == ""
    assert key(signing, "show")["refused"] == [], "the coordinator has it now"


def test_a_hand_over_of_before_that_the_coordinator_does_not_know_holds_nothing_up(
    signing: Signing, caplog: pytest.LogCaptureFixture
) -> None:
    """The node rotated by hand and then joined; it rotates again."""
    caplog.set_level("INFO")
    agreed = in_force(signing)
    home = NodeHome.load(signing.home.directory)
    before = HandOver.make(
        Ed25519PrivateKey.generate(), home.keystore().identity, number=1, at=AT,
        partner=home.config.node.partner,
    )  # fmt: skip
    home.hand_overs.take([before])
    with present(home, no_run, first_wait_s=600, most_wait_s=600):
        wait_for(lambda: said(caplog, "names the key"), timeout_s=PATIENCE_S, what="the refusal")
        stop_at(signing, agreed)
    key(signing, "rotate")
    assert exchanged(signing) == "E-KEY-STRANGER", "the one of before, as it was refused"
    kept = signing.parties.lab.store.agreement(agreed.hash)
    assert kept.keys.of(0) == own_key_of(signing), "the later one is sent all the same"


def test_one_that_does_not_hold_keeps_no_other_from_being_taken(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreed = in_force(signing)
    first, second = signing.parties.nodes
    wrong = made(first, partner=agreed.parties[0].id)
    half = replace(wrong.envelope, signatures=dict(list(wrong.envelope.signatures.items())[:1]))
    honest = (made(first), made(second))

    def tell(reply: v1.HandOversReply) -> None:
        reply.envelopes.extend([half.to_bytes(), wrong.to_bytes()])
        reply.envelopes.extend(one.to_bytes() for one in honest)

    with monkeypatch.context() as patch:
        lying(patch, HAND_OVERS, tell)
        assert exchanged(signing) == "E-HAND-OVER-SIGNATURE"
    keys = agreement_at(signing).keys
    assert (keys.of(1), keys.of(2)) == tuple(one.new_key for one in honest)


def test_a_serving_node_takes_up_the_version_that_names_its_new_key(
    signing: Signing, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    agreed = in_force(signing)
    with present(signing.home, no_run, first_wait_s=600, most_wait_s=600):
        wait_for(lambda: said(caplog, "admitted"), timeout_s=PATIENCE_S, what="the node")
        assert key(signing, "rotate")["sent"] is True
        signing.propose_next(id=agreed.id, version=2, supersedes=agreed.hash.hex())
        signing.agree()
        wait_for(
            lambda: agreement_at(signing).version == 2,
            timeout_s=PATIENCE_S,
            what="the next version",
        )
    assert agreement_at(signing).parties[0].public_key == own_key_of(signing)


def own_key_of(signing: Signing) -> bytes:
    return NodeHome.load(signing.home.directory).keystore().identity_public


def said(caplog: pytest.LogCaptureFixture, words: str, level: str | None = None) -> int:
    """How often the serving node says it; the coordinator logs beside it."""
    return sum(
        words in one.message and level in (None, one.levelname)
        for one in caplog.records
        if one.name == presence.__name__
    )


def stop_at(signing: Signing, agreed: Agreement) -> None:
    """Have another partner stop the agreement, and wait until this node knows it."""
    node = signing.parties.nodes[0]
    stop = SignedStop.sign(agreed, node.keystore.identity, at=AT, reason="")
    take_stop(signing.parties.lab.store, stop)
    wait_for(lambda: stopped(signing.home) == [node.card.id], timeout_s=PATIENCE_S, what="the stop")


def agreement_at(signing: Signing) -> Agreement:
    return NodeHome.load(signing.home.directory).signed_agreement().agreement


def key(signing: Signing, *words: object) -> dict[str, Any]:
    return signing.shell.json("key", *words, "--dir", signing.home.directory)


def test_a_node_takes_up_what_its_partners_handed_over(signing: Signing) -> None:
    in_force(signing)
    other = signing.parties.nodes[0]
    one = made(other)
    assert sent(signing.parties, other, one) == ""
    assert exchanged(signing) == ""
    assert agreement_at(signing).keys.of(1) == one.new_key
    (known,) = key(signing, "show")["hand_overs"]  # type: ignore[misc]
    assert known["partner"] == other.card.id


def test_a_hand_over_that_the_coordinator_makes_up_is_not_taken(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreed = in_force(signing)
    other = signing.parties.nodes[0]
    thief = Ed25519PrivateKey.generate()
    anew = Ed25519PrivateKey.generate()
    strange = HandOver.make(thief, anew, partner=other.card.id, number=1, at=AT)
    wrong = made(other, partner=agreed.parties[2].id)
    honest = made(other)
    half = replace(honest.envelope, signatures=dict(list(honest.envelope.signatures.items())[:1]))
    for envelope, code in (
        (strange.to_bytes(), ""),
        (wrong.to_bytes(), "E-KEY-PARTY"),
        (half.to_bytes(), "E-HAND-OVER-SIGNATURE"),
    ):
        with monkeypatch.context() as patch:

            def tell(reply: v1.HandOversReply, envelope: bytes = envelope) -> None:
                reply.envelopes.append(envelope)

            lying(patch, HAND_OVERS, tell)
            assert exchanged(signing) == code
        assert agreement_at(signing).keys == agreed.keys


def test_a_node_sends_its_own_when_the_coordinator_is_back(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreed = in_force(signing)
    with monkeypatch.context() as patch:
        patch.setattr("partner_node.control.handing_over.open_channel", _away)
        found = key(signing, "rotate")
    assert found["sent"] is False
    store = signing.parties.lab.store
    assert store.agreement(agreed.hash).keys == agreed.keys
    assert exchanged(signing) == ""
    new = NodeHome.load(signing.home.directory).keystore().identity_public
    assert store.agreement(agreed.hash).keys.of(0) == new
    assert new != agreed.keys.of(0)


def _away(home: object) -> None:
    raise FedsegError("nobody there", code="E-CONTROL-AWAY")


def test_a_rotated_node_signs_the_next_version_with_its_new_key(signing: Signing) -> None:
    agreed = in_force(signing)
    found = key(signing, "rotate")
    assert found["sent"] is True and found["agreements"] == [agreed.id]
    signing.propose_next(id=f"{agreed.id}-b")
    named = signing.parties.draft.agreement.parties[0].public_key
    assert named == NodeHome.load(signing.home.directory).keystore().identity_public
    assert signing.call("sign", "--proposed", signing.digits)


def let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the coordinator publish what names keys that were handed over."""
    for place in ("coordinator.control.proposals", "coordinator.store.coordinator_store"):
        monkeypatch.setattr(f"{place}.check_named_keys", lambda agreement, known: None)
    monkeypatch.setattr("coordinator.control.proposals.outdated_parties", lambda *_: ())
    monkeypatch.setattr("coordinator.control.proposals._check_parties", lambda *_: None)


def second_version(signing: Signing, agreed: Agreement) -> None:
    """Propose version 2 with the keys that version 1 names."""
    cards = [
        replace(card, public_key=party.public_key)
        for card, party in zip(cards_of(signing.parties), agreed.parties, strict=True)
    ]
    signing.parties.draft = drafted(
        signing.parties.lab, cards, id=agreed.id, version=2, supersedes=agreed.hash.hex()
    )
    signing.parties.propose()


def test_what_a_thief_signs_with_a_key_that_was_handed_over_is_not_taken_up(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreed, stolen = in_force(signing), signing.home.keystore().identity
    key(signing, "rotate")
    let_through(monkeypatch)
    second_version(signing, agreed)
    signing.sign_others()
    store, draft = signing.parties.lab.store, signing.parties.draft
    proposal = Proposals(store).with_hash(draft.agreement.hash)
    assert proposal is not None
    signed = draft.envelope.signed_by(stolen)
    by_thief = signed.signatures[key_id(public_bytes(stolen))]
    assert Proposals(store).sign(proposal, agreed.parties[0].id, by_thief, now=datetime.now(UTC))
    with pytest.raises(FedsegError, match="nobody here signed version 2") as caught:
        signing.take_up()
    assert caught.value.code == "E-KEY-ROTATED"
    file = signing.home.directory / "thief.json"
    found = Proposals(store).with_hash(draft.agreement.hash)
    assert found is not None
    file.write_bytes(found.signed().to_bytes())
    assert signing.refused("install", file, status=3) == "E-KEY-ROTATED"
    assert agreement_at(signing).version == 1


def test_what_was_signed_here_before_the_key_was_handed_over_is_taken_up(
    signing: Signing,
) -> None:
    agreed = in_force(signing)
    second_version(signing, agreed)
    signing.sign_others()
    assert signing.call("sign", "--proposed", signing.digits)["complete"]
    key(signing, "rotate")
    assert signing.take_up() == f"{agreed.id} 2"
    assert signing.take_up() is None


def test_nobody_signs_beside_a_key_that_was_handed_over(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreed = in_force(signing)
    other = signing.parties.nodes[0]
    assert sent(signing.parties, other, made(other)) == ""
    assert exchanged(signing) == ""
    let_through(monkeypatch)
    second_version(signing, agreed)
    refused = signing.refused("sign", "--proposed", signing.digits, status=3)
    assert refused == "E-KEY-ROTATED"


def test_the_coordinators_new_key_is_taken_up_by_nodes_that_joined(signing: Signing) -> None:
    config = signing.parties.lab.config
    agreed = in_force(signing)
    own = config.signing_key()
    one = HandOver.make(own, Ed25519PrivateKey.generate(), partner="", number=1, at=AT)
    store = signing.parties.lab.store
    assert keep_hand_over(store, one, own_key=public_bytes(own), now=datetime.now(UTC))
    try:
        assert exchanged(signing) == ""
        assert agreement_at(signing).keys.coordinator == one.new_key
        assert agreement_at(signing).keys.of_parties == agreed.keys.of_parties
    finally:  # the port serves other tests of this file
        store.ask("DELETE FROM hand_overs WHERE hand_over_hash = ?", one.hash)
    assert not KeptHandOvers(store).load().knows(one)


def test_a_short_code_is_found_after_the_coordinator_replaced_its_key(parties: Parties) -> None:
    lab, store = parties.lab, parties.lab.store
    own, new = lab.config.signing_key(), Ed25519PrivateKey.generate()
    waits = lab.join(f"{parties.nodes[0].card.id}-waits")
    at = time_text(datetime.now(UTC) + timedelta(seconds=1))
    one = HandOver.make(own, new, partner="", number=1, at=at)
    code = short_code(waits.card.to_bytes(), public_bytes(own))
    assert keep_hand_over(store, one, own_key=public_bytes(own), now=datetime.now(UTC))
    try:
        for key in (one.old_key, one.new_key):  # a console has the key of its start
            assert card_with_code(store, code, coordinator_key=key) == waits.card
            (line,) = [
                line for line in standings(store, coordinator_key=key, now=datetime.now(UTC))
                if line.partner == waits.card.id
            ]  # fmt: skip
            assert line.code == code
            (row,) = [row for row in EnrolledNodes(store).all() if row.partner == waits.card.id]
            later = replace(row, enrolled_at=stamp(datetime.now(UTC) + timedelta(seconds=9)))
            known = KeptHandOvers(store).load()
            after = shown_code(later, known, coordinator_key=key)
            assert after == short_code(row.card, one.new_key)
        (used,) = [
            one for one in Invitations(store).valid(datetime.now(UTC))
            if one.node_key == row.node_key
        ]  # fmt: skip
        again = datetime.now(UTC) + timedelta(seconds=9)  # the answer was lost: it asks once more
        EnrolledNodes(store).enrol(waits.card, row.card, invitation=used.id, now=again)
        key = one.new_key
        assert card_with_code(store, after, coordinator_key=key) == waits.card
        with pytest.raises(FedsegError, match="E-CONTROL-CODE"):
            card_with_code(store, code, coordinator_key=key)
    finally:  # the port serves other tests of this file
        store.ask("DELETE FROM hand_overs WHERE hand_over_hash = ?", one.hash)


def test_a_node_that_made_a_new_key_joins_again_and_is_in_the_next_version(
    signing: Signing,
) -> None:
    in_force(signing)
    lab, folder = signing.parties.lab, signing.home.directory
    id = signing.home.config.node.partner
    key(signing, "renew", "--yes")
    new = NodeHome.load(folder).keystore().identity_public
    assert cards_of(signing.parties)[0].public_key != new
    (folder / "membership.json").unlink()
    signing.shell.json(
        *join_words(
            invited(signing.shell, lab, id), folder, "--unit", "visits=units",
            "--consents", "consents.csv",
        )
    )  # fmt: skip
    assert cards_of(signing.parties)[0].public_key == new
    signing.propose_next(id=f"{id}-b")
    assert signing.call("sign", "--proposed", signing.digits)
