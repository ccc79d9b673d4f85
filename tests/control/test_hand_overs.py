"""Hand-overs of keys online: sent by their own partner, told to whom they concern, checked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.control.announcements import HAND_OVER as ANNOUNCED
from coordinator.control.announcements import Announcements
from coordinator.control.joined import joined_cards
from coordinator.control.taking_hand_overs import keep_hand_over
from coordinator.control.taking_stops import take_stop
from coordinator.store.hand_overs import KeptHandOvers
from partner_node.control import presence
from partner_node.control.belonging import open_channel
from partner_node.control.handing_over import exchange_hand_overs
from partner_node.control.presence import present
from partner_node.home import NodeHome
from protocol.agreement.document import Agreement
from protocol.agreement.hand_over import HandOver
from protocol.agreement.stop import SignedStop
from protocol.control.calls import HAND_OVER, HAND_OVERS
from protocol.control.v1 import control_pb2 as v1
from protocol.errors import FedsegError
from protocol.signing import public_bytes
from simulations.agreement import signed_with
from tests.control.commands import invited, join_words, shell
from tests.control.lab import JoinedNode, lab, no_run
from tests.control.parties import (
    Parties,
    Signing,
    cards_of,
    in_force,
    lying,
    outcome,
    parties,
    signing,
    stopped,
)
from tests.end_to_end.transport_support import wait_for

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


def test_of_two_hand_overs_the_first_stays(published: Parties) -> None:
    first, second, _ = published.nodes
    one = made(first)
    assert sent(published, first, one) == ""
    assert sent(published, first, made(first)) == "E-KEY-FORK"
    assert [o.hash for o in told(published, second)] == [one.hash]
    later = HandOver.make(
        Ed25519PrivateKey.generate(), first.keystore.identity, partner=first.card.id,
        number=2, at=AT,
    )  # fmt: skip
    assert sent(published, first, later) == "E-KEY-REUSED"


def test_a_node_that_has_no_agreement_yet_hands_its_key_over(parties: Parties) -> None:
    alone = parties.lab.join(f"{parties.nodes[0].card.id}-alone")
    parties.lab.admit(alone)
    one = made(alone)
    assert sent(parties, alone, one) == ""
    cards = {card.id: card for card in joined_cards(parties.lab.store)}
    assert cards[alone.card.id].public_key == one.new_key


# --- at a node -----------------------------------------------------------------------------------


def exchanged(signing: Signing) -> str:
    home = NodeHome.load(signing.home.directory)
    try:
        with open_channel(home, retries=False) as channel:
            exchange_hand_overs(home, channel)
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
    assert key(signing, "rotate")["sent"] is False
    (own,) = home.hand_overs.load()
    with present(home, no_run, first_wait_s=600, most_wait_s=600):
        wait_for(lambda: said(caplog, "E-KEY-FORK"), timeout_s=PATIENCE_S, what="the refusal")
        assert own.words in caplog.text and stolen.words in caplog.text, "which two there are"
        stop_at(signing, agreed)
    assert said(caplog, "E-KEY-FORK") == 1, "it is said once"
    assert [one.hash for one in home.hand_overs.load()] == [own.hash], "the first one stays"


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
    assert exchanged(signing) == "E-KEY-REUSED", "the one of before, as the later one is there"
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


def said(caplog: pytest.LogCaptureFixture, words: str) -> int:
    """How often the serving node says it; the coordinator logs beside it."""
    return sum(words in one.message for one in caplog.records if one.name == presence.__name__)


def stop_at(signing: Signing, agreed: Agreement) -> None:
    """Have another partner stop the agreement, and wait until this node knows it."""
    node = signing.parties.nodes[0]
    stop = SignedStop.sign(agreed, node.keystore.identity, at=AT, reason="")
    take_stop(signing.parties.lab.store, stop)
    wait_for(lambda: stopped(signing.home) == [node.card.id], timeout_s=PATIENCE_S, what="the stop")


def agreement_at(signing: Signing) -> Agreement:
    return NodeHome.load(signing.home.directory).signed_agreement().agreement


def key(signing: Signing, *words: object) -> dict[str, object]:
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
