"""Builds online: told to parties alone, signed by their own keys, accepted when all have signed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.control.announcements import BUILD, Announcements
from coordinator.control.taking_builds import keep_build
from coordinator.store.added_builds import AddedBuilds
from coordinator.store.hand_overs import KeptHandOvers
from partner_node.adding_builds import accepted
from partner_node.control.adding_builds import accept_builds
from partner_node.control.belonging import open_channel
from partner_node.home import NodeHome
from protocol.agreement.added_build import AddedBuild
from protocol.agreement.document import Agreement
from protocol.agreement.hand_over import HandOver
from protocol.agreement.software import PROTOCOL, Build
from protocol.control.calls import BUILDS, SIGN_BUILD
from protocol.control.v1 import control_pb2 as v1
from protocol.errors import FedsegError
from protocol.signed_agreement import SignedAgreement
from protocol.signing import key_id
from simulations.agreement import signed_with
from tests.control.commands import operator, shell
from tests.control.lab import JoinedNode, lab
from tests.control.parties import (
    Parties,
    Signing,
    code_of,
    in_force,
    lying,
    outcome,
    parties,
    signing,
)

__all__ = ["lab", "parties", "shell", "signing"]

NEW = Build(version="0.1.1", sha256=b"\x11" * 32)


@pytest.fixture
def agreement(parties: Parties) -> Agreement:
    """A published agreement to which every party adds builds."""
    draft = parties.draft.agreement
    terms = replace(draft.software, protocol=PROTOCOL, added_by=())
    found = replace(draft, software=terms)
    keys = [node.keystore.identity for node in parties.nodes]
    parties.lab.store.add_agreement(signed_with(found, keys))
    return found


def told(parties: Parties, node: JoinedNode, agreement: Agreement) -> list[bytes]:
    with parties.lab.channel(node.identity) as channel:
        reply = channel.call(BUILDS, v1.BuildsRequest(hash=agreement.hash), v1.BuildsReply)
    return list(reply.envelopes)


def sign(parties: Parties, node: JoinedNode, agreement: Agreement, signer: JoinedNode) -> str:
    draft = AddedBuild.draft(agreement, NEW)
    made = draft.signed_by(signer.keystore.identity)
    signature = made.envelope.signatures[key_id(signer.keystore.identity_public)]
    asked = v1.SignBuildRequest(hash=agreement.hash, build=draft.hash, signature=signature)
    return outcome(parties.lab, node, SIGN_BUILD, asked, v1.SignBuildReply)


def test_a_build_is_complete_when_the_parties_signed_it_online(
    parties: Parties, agreement: Agreement
) -> None:
    store = parties.lab.store
    first = parties.nodes[0]
    assert sign(parties, first, agreement, first) == "E-PROPOSAL", "before it is proposed"
    before = Announcements(store).last()
    keep_build(store, AddedBuild.draft(agreement, NEW), agreement, now=datetime.now(UTC))
    assert AddedBuilds(store).allowed(agreement) == frozenset()
    said = [sign(parties, node, agreement, node) for node in parties.nodes]
    assert said == ["", "", "complete: true"]
    assert AddedBuilds(store).allowed(agreement) == {NEW}
    for node in parties.nodes:
        (envelope,) = told(parties, node, agreement)
        assert AddedBuild.from_bytes(envelope).verify(agreement) == NEW
        kinds = [line.kind for line in Announcements(store).after(before, node.card.id)]
        assert kinds == [BUILD] * 4


def test_builds_are_told_to_parties_alone_and_nobody_signs_for_another(
    parties: Parties, agreement: Agreement
) -> None:
    store = parties.lab.store
    keep_build(store, AddedBuild.draft(agreement, NEW), agreement, now=datetime.now(UTC))
    other = parties.lab.join(f"{agreement.id}-other")
    parties.lab.admit(other)
    asked = v1.BuildsRequest(hash=agreement.hash)
    assert outcome(parties.lab, other, BUILDS, asked, v1.BuildsReply) == "E-PROPOSAL"
    assert sign(parties, other, agreement, other) == "E-PROPOSAL"
    first, second, _ = parties.nodes
    assert sign(parties, first, agreement, second) == "E-SIGNATURE"
    (found,) = AddedBuilds(store).of(agreement)
    assert len(found.missing(agreement)) == 3


@pytest.fixture
def signed_online(signing: Signing) -> tuple[Signing, Agreement]:
    """A node with a folder, and an agreement in force to which every party adds builds."""
    draft = signing.parties.draft.agreement
    terms = replace(draft.software, protocol=PROTOCOL, added_by=())
    signing.parties.draft = SignedAgreement.draft(replace(draft, software=terms))
    signing.parties.propose()
    return signing, in_force(signing)


def accepted_at(signing: Signing) -> list[str]:
    home = NodeHome.load(signing.home.directory)
    with open_channel(home, retries=False) as channel:
        accept_builds(home, channel)
    return [b["state"] for b in signing.call("builds", "list")["builds"]]


def test_a_node_signs_by_the_hash_and_accepts_by_itself_what_all_signed(
    signed_online: tuple[Signing, Agreement],
) -> None:
    signing, agreement = signed_online
    store = signing.parties.lab.store
    assert accepted_at(signing) == ["agreed"]
    keep_build(store, AddedBuild.draft(agreement, NEW), agreement, now=datetime.now(UTC))
    assert accepted_at(signing) == ["agreed", "proposed"]
    assert signing.refused("builds", "sign", "22" * 32, status=2) == "E-USAGE"
    assert signing.refused("builds", "sign", "11", status=2) == "E-USAGE"
    assert not signing.call("builds", "sign", NEW.sha256.hex()[:8])["complete"]
    for node in signing.parties.nodes:
        assert accepted_at(signing) == ["agreed", "proposed"]
        sign(signing.parties, node, agreement, node)
    assert accepted_at(signing) == ["agreed", "added"]


def test_the_coordinators_word_that_a_build_is_complete_is_not_believed(
    signed_online: tuple[Signing, Agreement], monkeypatch: pytest.MonkeyPatch
) -> None:
    signing, agreement = signed_online
    forged = AddedBuild.draft(agreement, NEW)
    for node in signing.parties.nodes:
        forged = forged.signed_by(node.keystore.identity)
    strange = forged.signed_by(Ed25519PrivateKey.generate())
    for lie, code in ((forged, ""), (strange, "E-AGR-SIGNATURE")):
        envelope = lie.to_bytes()

        def tell(reply: v1.BuildsReply, envelope: bytes = envelope) -> None:
            del reply.envelopes[:]
            reply.envelopes.append(envelope)

        with monkeypatch.context() as patch:
            lying(patch, BUILDS, tell)
            if code:
                assert code_of(lambda: accepted_at(signing)) == code
            else:
                assert accepted_at(signing) == ["agreed", "proposed"]
    assert accepted(signing.home, agreement) == []


def test_a_build_that_is_refused_keeps_no_other_of_its_agreement_away(
    signed_online: tuple[Signing, Agreement], monkeypatch: pytest.MonkeyPatch
) -> None:
    signing, agreement = signed_online
    right = AddedBuild.draft(agreement, NEW).signed_by(signing.home.keystore().identity)
    for node in signing.parties.nodes:
        right = right.signed_by(node.keystore.identity)
    strange = right.signed_by(Ed25519PrivateKey.generate())

    def tell(reply: v1.BuildsReply) -> None:
        reply.envelopes[:] = [b"{}", strange.to_bytes(), right.to_bytes()]

    with monkeypatch.context() as patch:
        lying(patch, BUILDS, tell)
        home = NodeHome.load(signing.home.directory)
        with open_channel(home, retries=False) as channel:
            assert code_of(lambda: accept_builds(home, channel)) == "E-AGR-SCHEMA"
    assert [kept.build for kept in accepted(signing.home, agreement)] == [NEW]


def test_the_operator_proposes_and_takes_in_copies_that_came_by_hand(
    signed_online: tuple[Signing, Agreement], tmp_path: Path
) -> None:
    signing, agreement = signed_online
    store, directory = signing.parties.lab.store, signing.parties.lab.config.directory
    about = ("--agreement", agreement.id, "--dir", directory)
    named = ("--version", NEW.version, "--sha256", NEW.sha256.hex())
    shell = operator(signing.shell)
    out = tmp_path / "build.json"
    done = shell.json("agreement", "builds", "propose", *named, "--out", out, *about)
    assert len(done["missing"]) == 3
    one_sided = shell.refused("agreement", "builds", "propose", *named[:2], *about, status=2)
    assert "go together" in one_sided["message"]
    files = []
    for number, node in enumerate(signing.parties.nodes):
        copy = AddedBuild.from_bytes(out.read_bytes()).signed_by(node.keystore.identity)
        files.append(tmp_path / f"copy-{number}.json")
        files[-1].write_bytes(copy.to_bytes())
    (row,) = shell.json("agreement", "builds", "status", *files, *about)["builds"]
    assert (row["missing"], row["complete"]) == ([signing.home.config.node.partner], False)
    mine = tmp_path / "mine.json"
    mine.write_bytes(
        AddedBuild.from_bytes(out.read_bytes())
        .signed_by(signing.home.keystore().identity)
        .to_bytes()
    )
    whole = tmp_path / "all.json"
    (row,) = shell.json("agreement", "builds", "status", mine, "--out", whole, *about)["builds"]
    assert row["complete"]
    assert AddedBuild.from_bytes(whole.read_bytes()).verify(agreement) == NEW
    assert AddedBuilds(store).allowed(agreement) == {NEW}


def test_a_build_by_a_key_that_was_handed_over_before_a_node_took_it_is_signed_again(
    signing: Signing,
) -> None:
    draft = signing.parties.draft.agreement
    terms = replace(draft.software, protocol=PROTOCOL, added_by=())
    signing.parties.draft = SignedAgreement.draft(replace(draft, software=terms))
    signing.parties.propose()
    agreement = in_force(signing)
    store, other = signing.parties.lab.store, signing.parties.nodes[0]
    own = signing.home.keystore().identity
    added = AddedBuild.draft(agreement, NEW).signed_by(own)
    for node in signing.parties.nodes:
        added = added.signed_by(node.keystore.identity)
    keep_build(store, added, agreement, now=datetime.now(UTC))
    new = Ed25519PrivateKey.generate()
    one = HandOver.make(
        other.keystore.identity, new, partner=other.card.id, number=1, at="2026-03-01T09:00:00Z"
    )
    with store.transaction():
        KeptHandOvers(store).take([one], now=datetime.now(UTC))
    signing.home.hand_overs.take([one])
    home = NodeHome.load(signing.home.directory)
    with open_channel(home, retries=False) as channel:
        with pytest.raises(FedsegError, match=f"{other.card.id} handed over") as caught:
            accept_builds(home, channel)
        assert (caught.value.code, "builds sign" in caught.value.remedy) == (
            "E-BUILD-UNSIGNED", True,
        )  # fmt: skip
        assert accepted(home, agreement) == []
        now = store.agreement(agreement.hash)
        keep_build(store, added.signed_by(new), now, now=datetime.now(UTC))
        accept_builds(home, channel)
    (kept,) = accepted(home, home.signed_agreement().agreement)
    assert kept.build == NEW
