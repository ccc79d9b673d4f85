"""Due diligence where an agreement demands it: without it nothing is proposed, signed or run."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.control.proposals import Proposals
from coordinator.store.diligence import Diligence
from protocol.agreement.diligence import DiligenceRecord
from protocol.agreement.document import time_text
from protocol.agreement.parties import Party
from protocol.control.calls import DILIGENCE
from protocol.control.v1 import control_pb2 as v1
from protocol.errors import RuleError
from protocol.signed_agreement import SignedAgreement
from simulations.agreement import signed_with
from tests.control.commands import operator, shell
from tests.control.lab import drafted, lab, new_node
from tests.control.parties import Parties, Signing, code_of, lying, outcome, parties, signing
from tests.shell import Shell

__all__ = ["lab", "parties", "shell", "signing"]

NOW = datetime.now(UTC).replace(microsecond=0)


def record(
    parties: Parties,
    party: Party,
    *,
    days: int = 1,
    key: bytes | None = None,
    signer: Ed25519PrivateKey | None = None,
) -> DiligenceRecord:
    return DiligenceRecord.sign(
        {
            "partner": party.id, "public_key": (key or party.public_key).hex(),
            "checked": "commercial register", "by": "A. Auditor", "documents": [],
            "at": time_text(NOW - timedelta(days=9)),
            "expires": time_text(NOW + timedelta(days=days)),
        },
        signer or parties.lab.config.signing_key(),
    )  # fmt: skip


def add(parties: Parties, found: DiligenceRecord) -> None:
    Diligence(parties.lab.store).add(found, now=NOW)


def demand(parties: Parties) -> tuple[Party, ...]:
    """Have the draft demand it; its parties."""
    agreement = replace(parties.draft.agreement, diligence=True, min_segment_size=3)
    parties.draft = SignedAgreement.draft(agreement)
    return agreement.parties


def check(parties: Parties) -> str:
    with pytest.raises(RuleError) as caught:
        Diligence(parties.lab.store).check(parties.draft.agreement, NOW)
    return f"{caught.value.code} {caught.value.message}"


def test_each_party_without_a_record_that_holds_is_named(parties: Parties) -> None:
    first, second, third = demand(parties)
    add(parties, record(parties, second, days=-1))
    add(parties, record(parties, third, key=b"\x09" * 32))
    said = check(parties)
    assert said.startswith("E-DILIGENCE")
    assert f"{first.id} (no record)" in said
    assert f"{second.id} (holds " in said
    assert f"{third.id} (a record of another key)" in said
    for party in (first, second, third):
        add(parties, record(parties, party))
    Diligence(parties.lab.store).check(parties.draft.agreement, NOW)
    add(parties, record(parties, second, days=-1))
    assert second.id in check(parties), "the newest holds"
    add(parties, record(parties, second, signer=Ed25519PrivateKey.generate()))
    with pytest.raises(RuleError) as caught:
        Diligence(parties.lab.store).check(parties.draft.agreement, NOW)
    assert caught.value.code == "E-AGR-SIGNATURE"
    undemanding = replace(parties.draft.agreement, diligence=False)
    Diligence(parties.lab.store).check(undemanding, NOW)


def test_without_it_nothing_is_proposed_and_the_last_signature_is_not_taken(
    parties: Parties,
) -> None:
    all_of_them = demand(parties)
    assert code_of(parties.propose) == "E-DILIGENCE"
    for party in all_of_them:
        add(parties, record(parties, party))
    parties.propose()
    assert [parties.sign(node) for node in parties.nodes[:2]] == ["", ""]
    add(parties, record(parties, all_of_them[0], days=-1))
    assert parties.sign(parties.nodes[2]) == "E-DILIGENCE"
    found = Proposals(parties.lab.store).with_hash(parties.draft.agreement.hash)
    assert found is not None
    assert not found.complete
    add(parties, record(parties, all_of_them[0]))
    assert parties.sign(parties.nodes[2]) == "complete: true"


def test_records_are_told_to_parties_alone(parties: Parties) -> None:
    all_of_them = demand(parties)
    for party in all_of_them:
        add(parties, record(parties, party))
    parties.propose()
    asked = v1.DiligenceRequest(hash=parties.draft.agreement.hash)
    other = parties.lab.join(f"{parties.draft.agreement.id}-other")
    parties.lab.admit(other)
    assert outcome(parties.lab, other, DILIGENCE, asked, v1.DiligenceReply) == "E-PROPOSAL"
    with parties.lab.channel(parties.nodes[0].identity) as channel:
        reply = channel.call(DILIGENCE, asked, v1.DiligenceReply)
    told = [DiligenceRecord.from_bytes(envelope).partner for envelope in reply.envelopes]
    assert told == [party.id for party in all_of_them]


def test_the_operators_commands_and_what_a_partner_sees_of_it(
    signing: Signing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parties = signing.parties
    all_of_them = demand(parties)
    about = ("--dir", parties.lab.config.directory)
    paper = tmp_path / "extract.pdf"
    paper.write_bytes(b"a document")
    shell = operator(signing.shell)
    why = ("--checked", "commercial register", "--by", "A. Auditor")
    for party in all_of_them[:2]:
        made = shell.json("partner", "diligence", "add", party.id, *why, "--days", 30,
                          "--document", paper, *about)  # fmt: skip
        assert made["documents"] == [
            {"title": "extract.pdf", "sha256": hashlib.sha256(b"a document").hexdigest()}
        ]
    unknown = shell.refused("partner", "diligence", "add", "nobody", *why, *about, status=2)
    assert "'nobody'" in unknown["message"]
    agreed = signed_with(
        parties.draft.agreement,
        [signing.home.keystore().identity, *(n.keystore.identity for n in parties.nodes)],
    )
    file = tmp_path / "signed.json"
    file.write_bytes(agreed.to_bytes())
    publish = ("agreement", "publish", file, "--out", tmp_path / "all.json", *about)
    error = shell.refused(*publish, status=3)
    assert error["code"] == "E-DILIGENCE"
    assert f"{all_of_them[2].id} (no record)" in error["message"]
    assert "diligence add" in error["remedy"]
    shell.json("partner", "diligence", "add", all_of_them[2].id, *why, *about)
    shell.json(*publish)
    shell.json("partner", "diligence", "add", all_of_them[2].id, *why, *about)
    assert (
        len(shell.json("partner", "diligence", "show", all_of_them[2].id, *about)["records"]) == 2
    )
    records = shell.json("partner", "diligence", "list", *about)["records"]
    assert {row["holds"] for row in records} == {True}
    listed = shell.json("partner", "list", *about)["partners"]
    assert {row["partner"]: row["diligence_until"] for row in listed}[all_of_them[0].id] == next(
        row["expires"] for row in records if row["partner"] == all_of_them[0].id
    )
    signing.call("install", file)
    shown = signing.call("show")["diligence"]
    assert [(row["partner"], row["holds"]) for row in shown] == [(p.id, True) for p in all_of_them]
    add(parties, record(parties, all_of_them[1], days=-1))
    start = ("run", "start", "--agreement", parties.draft.agreement.id, *about)
    assert shell.refused(*start, status=3)["code"] == "E-DILIGENCE"
    assert [row["holds"] for row in signing.call("show")["diligence"]] == [True, False, True]
    forged = record(parties, all_of_them[1], signer=Ed25519PrivateKey.generate()).to_bytes()

    def tell(reply: v1.DiligenceReply) -> None:
        del reply.envelopes[:]
        reply.envelopes.append(forged)

    lying(monkeypatch, DILIGENCE, tell)
    assert signing.call("show")["diligence"] is None
    said = signing.shell("agreement", "show", "--dir", signing.home.directory).out
    assert "E-AGR-SIGNATURE" in said


def test_the_key_is_that_of_the_card_of_who_joined_or_that_was_agreed_last(
    parties: Parties, shell: Shell, tmp_path: Path
) -> None:
    """A partner that did not join is known by its card, and by agreements that were published."""
    called = operator(shell)
    about = ("--dir", parties.lab.config.directory)
    why = ("--checked", "commercial register", "--by", "A. Auditor")
    keystore, card = new_node(f"{parties.draft.agreement.id}-by-hand")
    add_words = ("partner", "diligence", "add", card.id, *why, *about)
    assert "--card FILE" in called.refused(*add_words, status=2)["remedy"]
    file, another = tmp_path / "card.json", tmp_path / "another.json"
    file.write_bytes(card.to_bytes())
    another.write_bytes(parties.nodes[0].card.to_bytes())
    assert parties.nodes[0].card.id in called.refused(
        *add_words, "--card", another, status=2
    )["message"]  # fmt: skip
    assert called.json(*add_words, "--card", file)["public_key"] == card.public_key.hex()

    old = new_node(card.id)
    cards = [node.card for node in parties.nodes[1:]]
    following: dict[str, Any] = {}
    for version, (keys, stated) in enumerate((old, (keystore, card)), start=1):
        draft = drafted(parties.lab, [*cards, stated], version=version, **following)
        following = {"supersedes": draft.agreement.hash.hex()}
        signed = signed_with(
            draft.agreement, [*(n.keystore.identity for n in parties.nodes[1:]), keys.identity]
        )
        parties.lab.store.add_agreement(signed)
    assert called.json(*add_words)["public_key"] == card.public_key.hex()
