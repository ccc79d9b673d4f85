"""Releases for a node that was away at a run's end: the same path, and nobody else gets them."""

from __future__ import annotations

import secrets
from contextlib import closing
from dataclasses import dataclass, replace
from importlib import metadata, resources
from typing import Any

import numpy as np
import pytest

from coordinator.control.announcements import RELEASED, Announcements
from coordinator.control.proposals import Proposals
from coordinator.control.releases import announce_release
from coordinator.patience import Patience
from coordinator.runs.life import execute
from partner_node import client_app
from partner_node.consent.local_rules import NoRules
from partner_node.control.belonging import open_channel
from partner_node.control.presence import present
from partner_node.control.releases import take_releases
from partner_node.node import Node
from partner_node.store.node_store import NodeStore
from protocol.agreement.software import Software
from protocol.control.calls import ACKNOWLEDGE, RELEASE, RELEASES
from protocol.control.v1 import control_pb2 as v1
from protocol.messages import Ack, Publish, open_request, sign_request
from protocol.release.document import SignedRelease
from protocol.scaling import FeatureScale
from protocol.signed_agreement import SignedAgreement
from simulations.federation import EphemeralSealer, MemoryCustomers, MemoryExchange, SimulatedClock
from tests.control.commands import shell
from tests.control.lab import JoinedNode, lab
from tests.control.parties import Signing, in_force, lying, outcome, parties, signing
from tests.end_to_end.transport_support import wait_for

__all__ = ["lab", "parties", "shell", "signing"]

PATIENCE_S = 20.0


@dataclass
class Ended:
    """A run that ended with a release while the node with a folder was away."""

    signing: Signing
    run_id: bytes
    release: SignedRelease

    @property
    def agreement_hash(self) -> bytes:
        return self.release.release.agreement_hash

    @property
    def partner(self) -> str:
        return self.signing.home.config.node.partner

    def answer(self, message: bytes) -> tuple[bytes | None, str]:
        home = self.signing.home
        return client_app.answered(lambda: home.directory, lambda: message)

    def take(self) -> None:
        with open_channel(self.signing.home, retries=False) as channel:
            take_releases(self.signing.home, channel, self.answer)

    def kept(self) -> list[bytes]:
        """Releases at the node."""
        with closing(self.signing.home.store(self.signing.home.keystore())) as store:
            return [envelope for _, envelope in store.releases()]

    def is_known(self) -> bool:
        """Whether the coordinator knows that the node has it."""
        return self.signing.parties.lab.store.has_acknowledged(self.run_id, self.partner)

    def listed(self) -> list[bytes]:
        with open_channel(self.signing.home, retries=False) as channel:
            request = v1.ReleasesRequest(hash=self.agreement_hash)
            return list(channel.call(RELEASES, request, v1.ReleasesReply).runs)

    def asked(self, node: JoinedNode) -> tuple[str, str, str]:
        """With which codes a node's calls about the run are refused."""
        lab = self.signing.parties.lab
        return (
            outcome(lab, node, RELEASES, v1.ReleasesRequest(hash=self.agreement_hash),
                    v1.ReleasesReply),
            outcome(lab, node, RELEASE, v1.ReleaseRequest(run=self.run_id), v1.ReleaseReply),
            outcome(lab, node, ACKNOWLEDGE, v1.AcknowledgeRequest(run=self.run_id, code="E-RULE"),
                    v1.AcknowledgeReply),
        )  # fmt: skip


def in_memory(node: JoinedNode, signed: SignedAgreement) -> Node:
    """A partner's node without a folder, with one customer."""
    scale = FeatureScale.of(signed.agreement.coordinates)
    return Node(
        signed,
        node.keystore.identity,
        NodeStore(":memory:", EphemeralSealer()),
        MemoryCustomers(values=np.ones((1, 1)), scale=scale),
        NoRules(),
        software=Software.installed(metadata.version, resources.files),
    )


def run_without(signing: Signing, *, from_phase: str) -> Ended:
    """Run to the end; the node with a folder is away from a phase on."""
    agreement = in_force(signing)
    lab = signing.parties.lab
    proposal = Proposals(lab.store).with_hash(agreement.hash)
    assert proposal is not None
    signed = proposal.signed()
    nodes = dict(enumerate(in_memory(node, signed) for node in signing.parties.nodes))
    exchange = MemoryExchange(nodes_by_id={**nodes, 9: client_app.nodes_of(signing.home.directory)})

    def leave(progress: dict[str, Any]) -> None:
        if progress["phase"] == from_phase:
            exchange.down = {9}

    run_id, clock = secrets.token_bytes(16), SimulatedClock()
    lab.store.request_run(run_id, agreement)
    release = execute(
        run_id,
        store=lab.store,
        key=lab.config.signing_key(),
        exchange=exchange,
        patience=Patience(grace_s=20, farewell_s=1, poll_s=0.5),
        on_progress=leave,
        clock=clock.clock,
        sleep=clock.sleep,
    )
    return Ended(signing, run_id, release)


@pytest.fixture
def ended(signing: Signing) -> Ended:
    found = run_without(signing, from_phase="acks")
    assert found.kept() == []
    assert not found.is_known()
    return found


def test_a_node_that_was_away_takes_the_release_and_says_so_as_in_a_run(ended: Ended) -> None:
    assert ended.listed() == [ended.run_id]
    ended.take()
    assert ended.kept() == [ended.release.to_bytes()]
    assert ended.is_known()
    assert ended.listed() == []
    with closing(ended.signing.home.store(ended.signing.home.keystore())) as store:
        (run,) = store.runs()
        assert (run.run_id, run.phase) == (ended.run_id, "done")
        left = store.egress()[-1]
    assert (left.run_id, left.what[:3], left.manifest is not None) == (ended.run_id, "ACK", True)


def test_a_serving_node_is_woken_by_the_release_that_it_lacks(ended: Ended) -> None:
    store = ended.signing.parties.lab.store
    before = Announcements(store).last()
    announce_release(store, ended.run_id)
    (line,) = Announcements(store).after(before, ended.partner)
    assert (line.kind, line.agreement_hash) == (RELEASED, ended.agreement_hash)
    for node in ended.signing.parties.nodes:  # they have it
        assert Announcements(store).after(before, node.card.id) == []


def test_an_announcement_has_a_serving_node_fetch_its_release(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends while the node listens, and its farewell is lost."""
    took: list[Ended] = []

    def answer(message: bytes) -> tuple[bytes | None, str]:
        # The node may ask by itself as soon as the run has ended.
        wait_for(lambda: bool(took), timeout_s=PATIENCE_S, what="the run")
        return took[0].answer(message)

    signing.agree()
    with present(signing.home, answer, first_wait_s=600, most_wait_s=600):
        monkeypatch.setattr("tests.control.test_releases.in_force", lambda _: taken_up(signing))
        found = run_without(signing, from_phase="acks")
        took.append(found)
        announce_release(signing.parties.lab.store, found.run_id)
        wait_for(found.is_known, timeout_s=PATIENCE_S, what="the acknowledgement")
    assert found.kept() == [found.release.to_bytes()]


def taken_up(signing: Signing) -> Any:
    agreement = signing.parties.draft.agreement
    wait_for(
        lambda: signing.home.installed_agreement() == agreement,
        timeout_s=PATIENCE_S,
        what="the agreement",
    )
    return agreement


def test_a_release_is_for_its_participants_alone(ended: Ended) -> None:
    lab, (first, _) = ended.signing.parties.lab, ended.signing.parties.nodes
    stranger = lab.join(f"{ended.partner}-stranger")
    lab.admit(stranger)
    assert ended.asked(stranger) == ("E-PROPOSAL", "E-NO-RELEASE", "E-NO-RELEASE")
    assert ended.asked(first)[0] == ""  # it has the release: none is listed
    assert not ended.is_known()
    store, release = lab.store, ended.release.release
    others = tuple(name for name in release.participants if name != first.card.id)
    without = SignedRelease.unsigned(replace(release, participants=others)).to_bytes()
    with store.transaction():  # as if it had not been in the run
        store.ask("UPDATE releases SET envelope = ? WHERE run_id = ?", without, ended.run_id)
        store.ask("DELETE FROM farewells WHERE run_id = ?", ended.run_id)
    assert ended.asked(first) == ("", "E-NO-RELEASE", "E-NO-RELEASE")


def test_a_release_that_lacks_a_signature_is_not_kept(
    ended: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the coordinator's over the request nor a participant's over the release."""

    def forge(reply: Any) -> None:
        reply.message = reply.message[:-1] + bytes([reply.message[-1] ^ 1])

    with monkeypatch.context() as patch:
        lying(patch, RELEASE, forge)
        ended.take()
    assert ended.kept() == []
    store = ended.signing.parties.lab.store
    with store.transaction():  # offered again
        store.ask("DELETE FROM farewells WHERE run_id = ?", ended.run_id)
    key = ended.signing.parties.lab.config.signing_key()

    def strip(reply: Any) -> None:
        request = open_request(reply.message, coordinator_key=key.public_key().public_bytes_raw())
        assert isinstance(request, Publish)
        signed = SignedRelease.from_bytes(request.release)
        signatures = dict(list(signed.envelope.signatures.items())[1:])
        envelope = replace(signed.envelope, signatures=signatures).to_bytes()
        reply.message = sign_request(replace(request, release=envelope), key)

    lying(monkeypatch, RELEASE, strip)
    ended.take()
    assert ended.kept() == []
    with closing(ended.signing.home.store(ended.signing.home.keystore())) as opened:
        assert opened.runs()[0].reason == "E-RELEASE"


def test_what_is_no_answer_of_the_partner_leaves_the_release_open(ended: Ended) -> None:
    """Until it is refused for good: then it is not offered again."""
    passing = (b"", "E-STORE")
    with open_channel(ended.signing.home, retries=False) as channel:
        for reply, code in ((Ack(partner=1).to_bytes(), ""), (b"any", ""), passing, (b"", "")):
            request = v1.AcknowledgeRequest(run=ended.run_id, reply=reply, code=code)
            channel.call(ACKNOWLEDGE, request, v1.AcknowledgeReply)
            assert not ended.is_known()
        assert ended.listed() == [ended.run_id]
        request = v1.AcknowledgeRequest(run=ended.run_id, code="E-RUN-ABORTED")
        channel.call(ACKNOWLEDGE, request, v1.AcknowledgeReply)
    assert ended.is_known()
    assert ended.listed() == []
