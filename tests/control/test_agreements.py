"""Agreements online: proposed to parties alone, signed by their own keys, in force when all are."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.control.proposals import Proposals
from partner_node import serving
from partner_node.control.belonging import open_channel
from partner_node.control.channel import Channel
from partner_node.control.presence import _Presence, present
from partner_node.home import NodeHome
from partner_node.link.settings import Bell
from partner_node.segments.retention import Purged
from protocol.control.calls import PROPOSAL, PROPOSALS
from protocol.control.v1 import control_pb2 as v1
from protocol.signed_agreement import SignedAgreement
from protocol.signing import public_bytes
from tests.control.commands import operator, shell
from tests.control.lab import drafted, lab, no_run, signature
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
)
from tests.end_to_end.transport_support import wait_for
from tests.shell import Shell

__all__ = ["lab", "parties", "shell", "signing"]

PATIENCE_S = 20.0


# --- at the port -----------------------------------------------------------------------------


def test_with_the_last_signature_an_agreement_is_published(parties: Parties) -> None:
    published = [s.agreement.hash for s in parties.lab.store.agreements()]
    assert parties.draft.agreement.hash not in published
    said = [parties.sign(node) for node in parties.nodes]
    assert said == ["", "", "complete: true"]
    (found,) = [
        s for s in parties.lab.store.agreements() if s.agreement.id == parties.draft.agreement.id
    ]
    assert found.verify() == parties.draft.agreement
    assert parties.sign(parties.nodes[0]) == "complete: true", "signing twice changes nothing"


def test_a_proposal_that_a_party_declined_is_not_called_open(
    parties: Parties, shell: Shell
) -> None:
    op, words = operator(shell), ("agreement", "status", "--dir", parties.lab.config.directory)
    name = f"{parties.draft.agreement.hash.hex()[:16]}…"
    assert f"{name}: open" in " ".join(op(*words).out.split())
    parties.decline(parties.nodes[0], "no")
    partner = parties.nodes[0].card.id
    assert f"{name}: declined by {partner}" in " ".join(op(*words).out.split())


def test_the_next_version_of_partners_that_joined_is_proposed(
    parties: Parties, shell: Shell
) -> None:
    for node in parties.nodes:
        parties.sign(node)
    folder, id = parties.lab.config.directory, parties.draft.agreement.id
    words = ("agreement", "draft", "--next", "--id", id, "--out", "next.yaml", "--dir", folder)
    out = " ".join(operator(shell)(*words).out.split())
    assert "agreement propose next.yaml" in out
    assert "agreement lint next.yaml --dir" in out


def test_an_agreement_is_shown_to_its_parties_alone(parties: Parties) -> None:
    other = parties.lab.join(f"{parties.draft.agreement.id}-other")
    parties.lab.admit(other)
    assert parties.told(other) == []
    assert len(parties.told(parties.nodes[0])) == 1
    hash = parties.draft.agreement.hash
    asked = v1.ProposalRequest(hash=hash)
    assert outcome(parties.lab, other, PROPOSAL, asked, v1.ProposalReply) == "E-PROPOSAL"
    assert parties.answer(other, signature(other, parties.draft)) == "E-PROPOSAL"
    assert parties.decline(other, "no") == "E-PROPOSAL"


def test_nobody_signs_in_another_partners_name(parties: Parties) -> None:
    first, second, _ = parties.nodes
    assert parties.answer(first, signature(second, parties.draft)) == "E-SIGNATURE"
    changed = drafted(parties.lab, [n.card for n in parties.nodes], id="something-else")
    assert parties.answer(first, signature(first, changed)) == "E-SIGNATURE"
    for wrong in (bytes(64), b"", bytes(65)):
        assert parties.answer(first, wrong) in ("E-SIGNATURE", "E-MALFORMED")
    assert {kind for kind, _ in parties.told(first)[0].values()} == {"OPEN"}


def test_a_partner_declines_with_a_comment_that_all_read_and_may_sign_later(
    parties: Parties,
) -> None:
    first, second, _ = parties.nodes
    assert parties.decline(first, "Our notice is version 2.") == ""
    assert parties.told(second)[0][first.card.id] == ("DECLINED", "Our notice is version 2.")
    assert parties.sign(first) == ""
    assert parties.told(second)[0][first.card.id] == ("SIGNED", "")
    assert parties.decline(first, "too late") == "E-AGR-SIGNED"
    assert parties.told(second)[0][first.card.id] == ("SIGNED", "")


@pytest.mark.parametrize("comment", ["", "x" * 501, "a\x1b[31m", "a\u202eb"], ids=len)
def test_a_comment_shows_all_that_it_holds(parties: Parties, comment: str) -> None:
    assert parties.decline(parties.nodes[0], comment) == "E-MALFORMED"


def test_a_new_proposal_takes_the_place_of_an_open_one_and_of_no_signed_one(
    parties: Parties,
) -> None:
    cards = [node.card for node in parties.nodes]
    first = parties.draft
    second = drafted(parties.lab, cards, id=first.agreement.id, min_segment_size=2)
    parties.sign(parties.nodes[0])
    now = datetime.now(UTC)
    (replaced,) = Proposals(parties.lab.store).propose(second, now=now)
    assert replaced.hash == first.agreement.hash
    assert parties.sign(parties.nodes[1]) == "E-PROPOSAL"
    parties.draft = second
    assert [parties.sign(node) for node in parties.nodes][-1] == "complete: true"
    third = drafted(
        parties.lab, cards, id=first.agreement.id, version=2,
        supersedes=second.agreement.hash.hex(),
    )  # fmt: skip
    assert Proposals(parties.lab.store).propose(third, now=now) == []
    assert len(parties.told(parties.nodes[0])) == 2


def test_only_admitted_partners_that_joined_with_these_keys_are_proposed_to(
    parties: Parties,
) -> None:
    proposals, now = Proposals(parties.lab.store), datetime.now(UTC)
    cards = [node.card for node in parties.nodes]
    away = replace(cards[0], id="nobody-here")
    for wrong in (
        [away, *cards[1:]],
        [replace(cards[0], public_key=public_bytes(Ed25519PrivateKey.generate())), *cards[1:]],
    ):
        draft = drafted(parties.lab, wrong, id="not-proposed")
        assert code_of(lambda draft=draft: proposals.propose(draft, now=now)) == "E-AGR-PARTY"
    assert code_of(lambda: proposals.propose(parties.draft, now=now)) == "E-PROPOSED"
    assert not any(p.draft.agreement.id == "not-proposed" for p in proposals.all())


def test_an_operator_proposes_a_file_and_sees_who_answered(
    parties: Parties, shell: Shell, tmp_path: Path
) -> None:
    at, op = ("--dir", parties.lab.config.directory), operator(shell)
    cards, id = [node.card for node in parties.nodes], f"{parties.draft.agreement.id}-file"
    parties.draft = drafted(parties.lab, cards, id=id)
    (tmp_path / "draft.json").write_bytes(parties.draft.to_bytes())
    done = op.json("agreement", "propose", "draft.json", *at)
    assert (done["agreement"], done["replaced"]) == (id, [])
    assert "not anonymous" in " ".join(done["warnings"])
    assert op.refused("agreement", "propose", "draft.json", *at, status=2)["code"] == "E-PROPOSED"
    parties.decline(parties.nodes[1], "Not yet.")
    text = " ".join(op("agreement", "status", *at).out.split())
    assert "declined" in text
    assert "Not yet." in text
    for node in parties.nodes:
        parties.sign(node)
    (one,) = [p for p in op.json("agreement", "status", *at)["proposals"] if p["agreement"] == id]
    assert one["complete"]


def test_an_operator_proposes_no_agreement_of_another_coordinator(
    parties: Parties, shell: Shell, tmp_path: Path
) -> None:
    cards = [node.card for node in parties.nodes]
    other = drafted(
        parties.lab, cards, id="elsewhere",
        coordinator_key=public_bytes(Ed25519PrivateKey.generate()),
    )  # fmt: skip
    (tmp_path / "draft.json").write_bytes(other.to_bytes())
    words = ("agreement", "propose", "draft.json", "--dir", parties.lab.config.directory)
    assert operator(shell).refused(*words, status=3)["code"] == "E-AGR-PARTY"


# --- at a node -------------------------------------------------------------------------------


def test_a_proposal_is_listed_shown_and_signed_by_its_digits(signing: Signing) -> None:
    (listed,) = signing.call("proposals")["proposals"]
    assert listed["agreement_hash"].startswith(signing.digits)
    assert not listed["complete"]
    shown = signing.call("show", "--proposed", signing.digits)
    assert shown["agreement_hash"] == listed["agreement_hash"]
    assert len(shown["missing_signatures"]) == 3
    done = signing.call("sign", "--proposed", signing.digits)
    assert (done["complete"], done["warnings"]) == (False, [])
    assert done["signed_before"] is None
    again = signing.shell("agreement", "sign", "--proposed", done["agreement_hash"][:12],
                          "--dir", signing.home.directory)  # fmt: skip
    assert "It was signed here before, at " in again.out
    (listed,) = signing.call("proposals")["proposals"]
    assert [a["answer"] for a in listed["answers"]] == ["signed", "open", "open"]
    kept = signing.home.config.node.state / "proposals"
    assert len(list(kept.glob("*.json"))) == 1
    own = signing.home.config.node.partner
    again = signing.call("show", "--proposed", signing.digits)
    assert [s["signed_at"] is not None for s in again["signatures"] if s["party"] == own] == [True]


def test_declining_says_why(signing: Signing) -> None:
    signing.call("decline", signing.digits, "--comment", "Ten customers are too few.")
    data = operator(signing.shell).json(
        "agreement", "status", "--dir", signing.parties.lab.config.directory
    )
    (one,) = [p for p in data["proposals"] if p["agreement_hash"].startswith(signing.digits)]
    assert one["answers"][0] | {"at": ""} == {
        "partner": signing.home.config.node.partner, "answer": "declined",
        "comment": "Ten customers are too few.", "at": "",
    }  # fmt: skip


def test_what_is_named_wrongly_is_not_signed(signing: Signing) -> None:
    assert signing.refused("sign", "--proposed", "12ab", status=2) == "E-USAGE"
    assert signing.refused("sign", "--proposed", "0" * 12, status=2) == "E-USAGE"
    assert signing.refused("sign", status=2) == "E-USAGE"
    assert signing.refused("sign", "x.json", status=2) == "E-USAGE"
    assert signing.refused("sign", "x.json", "--proposed", signing.digits, status=2) == "E-USAGE"
    (listed,) = signing.call("proposals")["proposals"]
    assert {a["answer"] for a in listed["answers"]} == {"open"}


def test_another_agreement_than_the_one_that_was_named_is_not_signed(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    parties = signing.parties
    other = drafted(
        parties.lab, cards_of(parties), id=parties.draft.agreement.id, min_segment_size=7
    )

    def change(reply: v1.ProposalReply) -> None:
        reply.envelope = other.to_bytes()

    lying(monkeypatch, PROPOSAL, change)
    assert signing.refused("sign", "--proposed", signing.digits, status=3) == "E-AGR-OTHER"


def test_an_agreement_of_another_coordinator_is_not_signed(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreement = signing.parties.draft.agreement
    values = json.loads(agreement.to_bytes())
    values["coordinator"]["public_key"] = public_bytes(Ed25519PrivateKey.generate()).hex()
    other = SignedAgreement.draft(type(agreement).from_dict(values))

    def name_it(reply: v1.ProposalsReply) -> None:
        reply.entries[0].hash = other.agreement.hash

    def send_it(self: Channel, name: str, request: Any, reply: Any) -> Any:
        if name == PROPOSAL:
            return v1.ProposalReply(envelope=other.to_bytes())
        found = real(self, name, request, reply)
        if name == PROPOSALS:
            name_it(found)
        return found

    real = Channel.call
    monkeypatch.setattr(Channel, "call", send_it)
    digits = other.agreement.hash.hex()[:12]
    assert signing.refused("sign", "--proposed", digits, status=3) == "E-AGR-PARTY"


def test_the_first_agreement_is_taken_up_when_every_party_has_signed(signing: Signing) -> None:
    signing.sign_others()
    assert signing.take_up() is None
    assert not signing.home.config.node.agreement.exists()
    signing.call("sign", "--proposed", signing.digits)
    id = signing.parties.draft.agreement.id
    assert signing.take_up() == f"{id} 1"
    assert signing.home.signed_agreement().verify() == signing.parties.draft.agreement
    assert signing.take_up() is None, "it is in force"


def test_a_later_version_that_supersedes_the_one_in_force_is_taken_up(signing: Signing) -> None:
    first = in_force(signing)
    signing.propose_next(id=first.id, version=2, supersedes=first.hash.hex())
    assert signing.take_up() is None
    signing.agree()
    assert signing.take_up() == f"{first.id} 2"


def test_a_node_that_was_away_takes_up_every_version_one_after_the_other(
    signing: Signing,
) -> None:
    """Also where another agreement was signed since."""
    first = in_force(signing)
    signing.propose_next(id=first.id, version=2, supersedes=first.hash.hex())
    signing.agree()
    second = signing.parties.draft.agreement
    signing.propose_next(id=first.id, version=3, supersedes=second.hash.hex())
    signing.agree()
    signing.propose_next(id="another-purpose")
    signing.agree()
    assert signing.take_up() == f"{first.id} 3"
    assert signing.take_up() is None


def test_another_agreement_is_not_put_in_the_place_of_the_one_in_force(signing: Signing) -> None:
    first = in_force(signing)
    signing.propose_next(id="another-purpose", version=2, supersedes=first.hash.hex())
    signing.agree()
    assert signing.take_up() is None
    assert signing.home.signed_agreement().agreement.hash == first.hash


def test_another_agreement_with_a_section_of_its_own_is_taken_up_beside(signing: Signing) -> None:
    first = in_force(signing)
    for id in ("another-purpose", "unknown"):
        signing.propose_next(id=id)
        signing.agree()
    with (signing.home.directory / "node.toml").open("a") as file:
        file.write("[agreements.another-purpose]\n")
    assert signing.take_up() == "another-purpose 1"
    home = NodeHome.load(signing.home.directory)
    agreements = [place.signed_agreement().verify() for place in home.in_force()]
    assert [one.id for one in agreements] == [first.id, "another-purpose"]
    second = agreements[1]
    signing.propose_next(id=second.id, version=2, supersedes=second.hash.hex())
    signing.agree()
    assert signing.take_up() == "another-purpose 2"


SECTION = "[agreements.another-purpose]\n"


def test_a_serving_node_takes_up_where_its_configuration_says_by_then(
    signing: Signing, caplog: pytest.LogCaptureFixture
) -> None:
    first, settings = in_force(signing), signing.home.directory / "node.toml"
    caplog.set_level("INFO")
    with present(signing.home, no_run, first_wait_s=600, most_wait_s=600):
        wait_for(lambda: "admitted" in caplog.text, timeout_s=PATIENCE_S, what="the node")
        settings.write_text(settings.read_text() + SECTION)
        signing.propose_next(id="another-purpose")
        signing.agree()
        wait_for(
            lambda: "another-purpose, version 1, is in force" in caplog.text,
            timeout_s=PATIENCE_S,
            what="the second agreement",
        )
    agreements = NodeHome.load(signing.home.directory).agreements_in_force()
    assert [one.id for one in agreements] == [first.id, "another-purpose"]


def test_while_its_configuration_cannot_be_read_nothing_is_put_into_force(
    signing: Signing, caplog: pytest.LogCaptureFixture
) -> None:
    settings = signing.home.directory / "node.toml"
    text, wanted = settings.read_text(), SimpleNamespace(want=lambda: None, reached=lambda: None)
    presence = _Presence(signing.home, no_run, wanted, Bell(), 1.0, 1.0)  # type: ignore[arg-type]
    signing.agree()
    with open_channel(signing.home, retries=False) as channel:
        settings.write_text(text + "[")
        presence._attend(channel)
        assert not signing.home.is_filled and "node.toml" in caplog.text
        settings.write_text(text)
        presence._attend(channel)
    assert signing.home.is_filled


def test_a_node_that_waits_sees_an_agreement_in_a_section_that_came_meanwhile(
    signing: Signing,
) -> None:
    with (signing.home.directory / "node.toml").open("a") as file:
        file.write(SECTION)
    place = NodeHome.load(signing.home.directory).under("another-purpose")
    place.config.node.agreement.parent.mkdir(exist_ok=True)
    place.config.node.agreement.write_text("{}")
    ended = threading.Event()
    ended.set()
    assert serving._agreement_is_there(signing.home, ended) is True


def test_records_are_kept_as_the_sections_say_that_there_are_now(
    signing: Signing, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings, found = signing.home.directory / "node.toml", []

    def apply(home: NodeHome, _: datetime) -> Purged:
        found.append(list(home.config.agreements))
        return Purged()

    monkeypatch.setattr(serving, "apply_retention", apply)
    settings.write_text(settings.read_text() + SECTION)
    serving._daily(signing.home)
    assert found == [["another-purpose"]]
    settings.write_text("[")
    serving._daily(signing.home)
    assert len(found) == 1 and "retention: E-CONFIG" in caplog.text


def test_a_version_that_does_not_follow_keeps_none_of_another_agreement_away(
    signing: Signing,
) -> None:
    first = in_force(signing)
    with (signing.home.directory / "node.toml").open("a") as file:
        file.write("[agreements.another-purpose]\n")
    signing.propose_next(id=first.id, version=3, supersedes="00" * 32)
    signing.agree()
    signing.propose_next(id="another-purpose")
    signing.agree()
    assert code_of(signing.take_up) == "E-AGR-ROLLBACK"
    agreements = NodeHome.load(signing.home.directory).agreements_in_force()
    assert [(one.id, one.version) for one in agreements] == [(first.id, 1), ("another-purpose", 1)]


def test_a_version_that_does_not_follow_the_one_in_force_is_refused(signing: Signing) -> None:
    first = in_force(signing)
    signing.propose_next(id=first.id, version=3, supersedes="00" * 32)
    signing.agree()
    assert code_of(signing.take_up) == "E-AGR-ROLLBACK"
    assert signing.home.signed_agreement().agreement.hash == first.hash


def test_the_coordinators_word_that_all_signed_is_not_believed(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def all_signed(reply: v1.ProposalsReply) -> None:
        for answer in reply.entries[0].answers:
            answer.kind = v1.ProposalsReply.Answer.SIGNED

    lying(monkeypatch, PROPOSALS, all_signed)
    assert code_of(signing.take_up) == "E-AGR-UNSIGNED"
    assert not signing.home.config.node.agreement.exists()


def listed_as(
    signing: Signing, monkeypatch: pytest.MonkeyPatch, of: str, **told: str | int
) -> list[bytes]:
    """Have the coordinator tell otherwise of an agreement; the hashes that are fetched."""
    fetched: list[bytes] = []
    real = Channel.call

    def call(self: Channel, name: str, request: Any, reply: Any) -> Any:
        if name == PROPOSAL:
            fetched.append(request.hash)
            assert len(fetched) < 10, "without end"
        found = real(self, name, request, reply)
        if name == PROPOSALS:
            for entry in found.entries:
                if entry.id == of:
                    for field, value in told.items():
                        setattr(entry, field, value)
        return found

    monkeypatch.setattr(Channel, "call", call)
    return fetched


def test_another_agreement_that_is_told_of_as_the_next_version_is_not_taken_up(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = in_force(signing)
    signing.propose_next(id="another-purpose", version=2, supersedes=first.hash.hex())
    signing.agree()
    fetched = listed_as(signing, monkeypatch, "another-purpose", id=first.id)
    assert code_of(signing.take_up) == "E-AGR-OTHER"
    assert signing.home.signed_agreement().agreement.hash == first.hash
    assert len(fetched) == 1
    digits = signing.parties.draft.agreement.hash.hex()[:12]
    assert signing.refused("show", "--proposed", digits, status=3) == "E-AGR-OTHER"


def test_the_agreement_in_force_that_is_told_of_as_a_later_version_is_not_taken_up_again(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = in_force(signing)
    fetched = listed_as(signing, monkeypatch, first.id, version=9)
    assert code_of(signing.take_up) == "E-AGR-OTHER"
    assert fetched == [], "what has every signature is fetched once"
    assert signing.home.signed_agreement().agreement.hash == first.hash


def test_a_serving_node_waits_for_its_first_agreement_and_takes_it_up(signing: Signing) -> None:
    stop = threading.Event()
    found: list[bool] = []
    waiting = threading.Thread(
        target=lambda: found.append(serving._agreement_is_there(signing.home, stop))
    )
    waiting.start()
    signing.sign_others()
    signing.call("sign", "--proposed", signing.digits)
    assert waiting.is_alive()
    with present(signing.home, no_run):
        wait_for(lambda: bool(found), timeout_s=PATIENCE_S, what="the agreement")
    waiting.join()
    assert found == [True]


def test_a_node_that_waits_ends_when_it_is_told_to(signing: Signing) -> None:
    stop = threading.Event()
    stop.set()
    assert serving._agreement_is_there(signing.home, stop) is False
    by_hand = replace(
        signing.home,
        config=replace(
            signing.home.config,
            coordinator=replace(signing.home.config.coordinator, control=None),
        ),
    )
    assert serving._agreement_is_there(by_hand, threading.Event()) is True


def test_versions_that_lie_ahead_are_taken_up_to_wait_and_end_nothing(signing: Signing) -> None:
    first = in_force(signing)
    before, now = first, datetime.now(UTC)
    for version in (2, 3):
        signing.propose_next(
            id=first.id, version=version, supersedes=before.hash.hex(),
            effective=f"{now + timedelta(hours=version):%Y-%m-%dT%H:%M:%SZ}",
        )  # fmt: skip
        signing.agree()
        before = signing.parties.draft.agreement
    assert signing.take_up() == f"{first.id} 3"
    assert signing.take_up() is None, "once each"
    home = NodeHome.load(signing.home.directory)
    assert home.signed_agreement().agreement == first
    status = signing.shell.json("status", "--dir", home.directory)
    assert [one["version"] for one in status["waiting_versions"]] == [2, 3]
