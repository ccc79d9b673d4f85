"""Partners that joined, and agreements that are proposed to them; fixtures are imported."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from coordinator.control.joined import joined_cards
from coordinator.control.proposals import Proposals
from partner_node.control.belonging import open_channel
from partner_node.control.channel import Channel
from partner_node.control.proposals import send_signature
from partner_node.control.taking_up import take_up
from partner_node.four_eyes import First
from partner_node.home import NodeHome
from partner_node.signing import sign_agreement
from protocol.agreement.document import Agreement
from protocol.agreement.partner_card import PartnerCard
from protocol.control.calls import DECLINE, PROPOSALS, SIGN
from protocol.control.v1 import control_pb2 as v1
from protocol.errors import FedsegError
from protocol.signed_agreement import SignedAgreement
from tests.control.commands import invited, join_words, operator
from tests.control.lab import JoinedNode, Lab, drafted, signature
from tests.shell import Shell


@dataclass
class Parties:
    """Three admitted partners, and an agreement that is proposed to them."""

    lab: Lab
    nodes: list[JoinedNode]
    draft: SignedAgreement

    def propose(self) -> None:
        Proposals(self.lab.store).propose(self.draft, now=datetime.now(UTC))

    def answer(self, node: JoinedNode, data: bytes) -> str:
        """Sign in a node's name; the code of the refusal, or whether it is complete."""
        asked = v1.SignRequest(hash=self.draft.agreement.hash, signature=data)
        return outcome(self.lab, node, SIGN, asked, v1.SignReply)

    def sign(self, node: JoinedNode) -> str:
        return self.answer(node, signature(node, self.draft))

    def decline(self, node: JoinedNode, comment: str) -> str:
        asked = v1.DeclineRequest(hash=self.draft.agreement.hash, comment=comment)
        return outcome(self.lab, node, DECLINE, asked, v1.DeclineReply)

    def told(self, node: JoinedNode) -> list[dict[str, Any]]:
        """What a node is told of this agreement's id: who answered what."""
        with self.lab.channel(node.identity) as channel:
            reply = channel.call(PROPOSALS, v1.ProposalsRequest(), v1.ProposalsReply)
        return [
            {a.partner: (v1.ProposalsReply.Answer.Kind.Name(a.kind), a.comment) for a in e.answers}
            for e in reply.entries
            if e.id == self.draft.agreement.id
        ]


def outcome(lab: Lab, node: JoinedNode, call: str, request: Any, reply: Any) -> str:
    with lab.channel(node.identity) as channel:
        try:
            return str(channel.call(call, request, reply)).strip()
        except FedsegError as error:
            return error.code


@pytest.fixture
def parties(lab: Lab, request: pytest.FixtureRequest) -> Parties:
    """Partners with names of their own in each test."""
    stem = f"p{abs(hash(request.node.name)) % 10**8}"
    nodes = [lab.join(f"{stem}-{letter}") for letter in "abc"]
    for node in nodes:
        lab.admit(node)
    found = Parties(lab, nodes, drafted(lab, [node.card for node in nodes], id=stem))
    found.propose()
    return found


def code_of(action: Any) -> str:
    with pytest.raises(FedsegError) as caught:
        action()
    assert caught.value.remedy
    return caught.value.code


@dataclass
class Signing:
    """A node with a folder, two others, and what is proposed to the three."""

    parties: Parties
    home: NodeHome
    shell: Shell

    @property
    def digits(self) -> str:
        return self.parties.draft.agreement.hash.hex()[:12]

    def call(self, *words: object) -> dict[str, Any]:
        return self.shell.json("agreement", *words, "--dir", self.home.directory)

    def refused(self, *words: object, status: int) -> str:
        words = ("agreement", *words, "--dir", self.home.directory)
        return str(self.shell.refused(*words, status=status)["code"])

    def sign_others(self) -> None:
        for node in self.parties.nodes:
            self.parties.sign(node)

    def agree(self) -> None:
        """Every party signs, this node too."""
        self.sign_others()
        draft, now = self.parties.draft, datetime.now(UTC)
        made = sign_agreement(self.home, draft, Path("proposal"), by="anna", now=now)
        assert not isinstance(made, First)
        send_signature(self.home, made.copy)

    def propose_next(self, **terms: Any) -> None:
        """Propose another agreement to the same parties."""
        self.parties.draft = drafted(self.parties.lab, cards_of(self.parties), **terms)
        self.parties.propose()

    def take_up(self) -> str | None:
        """What was put into force last, as the node is configured now; None when nothing was."""
        home = NodeHome.load(self.home.directory)
        with open_channel(home, retries=False) as channel:
            found = take_up(home, channel)
        return f"{found[-1].id} {found[-1].version}" if found else None


@pytest.fixture
def signing(parties: Parties, shell: Shell, tmp_path: Path) -> Signing:
    lab, id = parties.lab, f"{parties.draft.agreement.id}-home"
    words = join_words(
        invited(shell, lab, id), tmp_path / "home", "--unit", "visits=units",
        "--consents", "consents.csv",
    )  # fmt: skip
    data = shell.json(*words)
    operator(shell).json("partner", "admit", "--code", data["code"], "--dir", lab.config.directory)
    home = NodeHome.load(tmp_path / "home")
    (card,) = [card for card in joined_cards(lab.store) if card.id == id]
    parties.nodes = parties.nodes[:2]
    cards = [card, *(node.card for node in parties.nodes)]
    parties.draft = drafted(lab, cards, id=id)
    parties.propose()
    return Signing(parties, home, shell)


def cards_of(parties: Parties) -> list[PartnerCard]:
    """The parties' cards, in the agreement's order."""
    cards = {card.id: card for card in joined_cards(parties.lab.store)}
    return [cards[party.id] for party in parties.draft.agreement.parties]


def lying(monkeypatch: pytest.MonkeyPatch, call: str, change: Any) -> None:
    """Have the coordinator answer one call otherwise."""
    real = Channel.call

    def answered(self: Channel, name: str, request: Any, reply: Any) -> Any:
        found = real(self, name, request, reply)
        if name == call:
            change(found)
        return found

    monkeypatch.setattr(Channel, "call", answered)


def in_force(signing: Signing) -> Agreement:
    """Have the first agreement signed by all and taken up."""
    signing.agree()
    first = signing.parties.draft.agreement
    assert signing.take_up() == f"{first.id} 1"
    return first


def stopped(home: NodeHome) -> list[str]:
    """Who stopped the agreement in force, as a node knows it."""
    store = home.store(home.keystore())
    try:
        return [s.partner for s in store.stops_of(home.signed_agreement().agreement.hash)]
    finally:
        store.close()
