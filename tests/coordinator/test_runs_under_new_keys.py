"""Runs of a whole federation while keys are handed over: nodes and the coordinator's driver."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.patience import Patience
from coordinator.shown.runs import run_shown, runs_shown
from coordinator.store.hand_overs import KeptHandOvers
from partner_node.hand_overs import KnownHandOvers
from partner_node.node import Node
from partner_node.store.node_store import NodeStore
from partner_node.store.seals import Seals
from partner_node.store.witnessed import Witnessed
from protocol.agreement.hand_over import HandOver
from protocol.canonical import frame
from protocol.errors import AgreementError, RunFailedError
from protocol.log.names import key_of_seals
from protocol.messages import Open, Stop, sign_request
from protocol.signing import public_bytes
from simulations.federation import (
    SOFTWARE,
    EphemeralSealer,
    FeatureTerms,
    Federation,
    GridCustomers,
    NoRules,
)

AT = "2026-01-15T00:00:00Z"
NOW = datetime(2026, 1, 15, tzinfo=UTC)
NEW = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
THIEFS = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


class Rotating:
    """Four partners, the second of which hands its key over."""

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        self.federation = Federation(
            [rng.uniform(0, 10, (30, 1)) for _ in range(4)],
            [FeatureTerms(name="visits", min="0", max="10")],
            n_clusters=2, max_rounds=3, min_customers=1,
            patience=Patience(grace_s=20, resend_s=1),
        )  # fmt: skip
        self.old = self.federation.partner_keys[1]
        self.id = self.federation.agreement.parties[1].id
        self.hand_over = HandOver.make(self.old, NEW, partner=self.id, number=1, at=AT)

    def node(self, index: int, key: Ed25519PrivateKey, known: KnownHandOvers) -> Node:
        """A node like that of a partner, with another key and what it knows of keys."""
        before = self.federation.nodes[index]
        customers = before._customers
        assert isinstance(customers, GridCustomers)
        made = Node(
            self.federation.signed, key, NodeStore(":memory:", EphemeralSealer()), customers,
            NoRules(), software=SOFTWARE, clock=lambda: NOW, hand_overs=known,
            seed_of=self.federation.seed_of,
        )  # fmt: skip
        made.store.close()
        made.store = before.store
        return made

    def rotate(self) -> None:
        """The second partner has a new key, and nobody else knows."""
        known = KnownHandOvers()
        known.take([self.hand_over])
        self.federation.nodes[1] = self.node(1, NEW, known)

    def tell(self, one: HandOver | None = None) -> None:
        """The coordinator knows."""
        store = self.federation.store
        with store.transaction():
            KeptHandOvers(store).take([one or self.hand_over], now=NOW)

    def keys_at(self, index: int) -> bytes:
        return self.federation.nodes[index].agreement.keys.of(1)


@pytest.fixture
def rotating() -> Rotating:
    return Rotating()


def test_the_others_take_a_new_key_up_with_the_next_run(
    rotating: Rotating, caplog: pytest.LogCaptureFixture
) -> None:
    fed = rotating.federation
    before = fed.run().release
    rotating.rotate()
    rotating.tell()
    caplog.set_level("INFO")
    after = fed.run().release
    assert rotating.id in after.release.participants
    assert rotating.keys_at(0) == rotating.keys_at(3) == public_bytes(NEW)
    assert rotating.hand_over.words in caplog.text
    now = fed.store.agreement(fed.agreement.hash)
    for release in (before, after):
        assert release.verify(now) == release.release
    with pytest.raises(Exception, match="E-RELEASE"):
        after.verify(fed.agreement)
    assert after.release.start is not None, "it follows the release that the old key signed"


def test_logs_are_cosigned_on_under_a_new_key(rotating: Rotating) -> None:
    fed = rotating.federation
    fed.exchange.cosigned = True
    fed.run()
    before = Seals(fed.nodes[1].store, fed.agreement.id).size
    rotating.rotate()
    rotating.tell()
    fed.run()
    seals = Seals(fed.nodes[1].store, fed.agreement.id)
    origins = {one.state.origin for one in seals.since(0)}
    assert origins == {
        key_of_seals(rotating.id, public_bytes(key), fed.agreement.id).name
        for key in (rotating.old, NEW)
    }
    for index, node in fed.nodes.items():
        room = Witnessed(node.store, fed.agreement.id)
        assert room.forks() == []
        if index != 1:
            cosigned = room.newest(rotating.id)
            assert cosigned is not None and cosigned.size >= seals.size - 1 > before
            assert room.best()[rotating.id][0] >= before + 2, "and it cosigns with the new key"
    found = Witnessed(fed.nodes[1].store, fed.agreement.id).best()
    assert min(size for size, _ in found.values()) >= seals.size - 2


def test_a_run_does_not_begin_with_a_partner_whose_new_key_the_coordinator_lacks(
    rotating: Rotating,
) -> None:
    rotating.rotate()
    with pytest.raises(RunFailedError) as caught:
        rotating.federation.run()
    assert rotating.id in str(caught.value) and "E-KEY-BEHIND" in str(caught.value)
    rotating.tell()
    assert rotating.federation.run().release


def test_whoever_has_the_old_key_is_in_no_run_any_more(rotating: Rotating) -> None:
    rotating.tell()
    with pytest.raises(RunFailedError) as caught:
        rotating.federation.run()
    assert "E-KEY-ROTATED" in str(caught.value)
    with pytest.raises(AgreementError, match="E-KEY-ROTATED"):
        known = KnownHandOvers()
        known.take([rotating.hand_over])
        rotating.node(1, rotating.old, known)


def test_a_run_that_was_requested_before_a_key_was_handed_over_is_under_the_new_one(
    rotating: Rotating,
) -> None:
    fed = rotating.federation
    fed.store.request_run(bytes(16), fed.agreement)
    rotating.rotate()
    rotating.tell()
    assert rotating.id in fed.drive(bytes(16)).release.participants
    assert fed.store.agreement_of_run(bytes(16)).keys.of(1) == public_bytes(NEW)


def test_a_run_whose_agreement_does_not_go_with_the_hand_overs_ends_with_that_reason(
    rotating: Rotating,
) -> None:
    """Not by the loss of one process after the other, as none of them begins."""
    fed = rotating.federation
    other = fed.agreement.parties[2].id
    fed.store.request_run(bytes(16), fed.agreement)
    rotating.tell(HandOver.make(rotating.old, NEW, partner=other, number=1, at=AT))
    with pytest.raises(RunFailedError) as caught:
        fed.drive(bytes(16))
    row = fed.store.run(bytes(16))
    assert (row.ended, row.code) == (True, "E-KEY-PARTY") and caught.value.code == row.code
    assert other in row.reason and row.remedy
    for shown in (
        runs_shown(fed.store, [row], NOW), run_shown(fed.store, row, served=True, now=NOW),
    ):  # fmt: skip
        assert "E-KEY-PARTY" in json.dumps(shown.values), "it can be read why"


def test_a_run_that_was_begun_keeps_its_keys(rotating: Rotating) -> None:
    fed = rotating.federation
    run_id = bytes(16)
    fed.store.request_run(run_id, fed.agreement)
    assert fed.store.begin_attempt(run_id) == 1
    rotating.tell()
    assert fed.store.agreement_of_run(run_id).keys == fed.agreement.keys
    assert fed.store.agreement(fed.agreement.hash).keys.of(1) == public_bytes(NEW)
    assert fed.drive(run_id)  # nobody has handed over yet, as far as nodes know


def test_a_node_refuses_a_second_hand_over_and_shows_both(
    rotating: Rotating, caplog: pytest.LogCaptureFixture
) -> None:
    fed = rotating.federation
    rotating.rotate()
    rotating.tell()
    fed.run()
    second = HandOver.make(rotating.old, THIEFS, partner=rotating.id, number=1, at=AT)
    with pytest.raises(AgreementError) as caught:
        rotating.tell(second)
    assert caught.value.code == "E-KEY-FORK"
    made = second.to_bytes()
    lie = Open(
        agreement_hash=fed.agreement.hash, run_id=bytes(16),
        hand_overs=frame(made),
    )  # fmt: skip
    with pytest.raises(AgreementError) as caught:
        fed.nodes[0].handle(sign_request(lie, fed.coordinator_key))
    assert caught.value.code == "E-KEY-FORK"
    assert rotating.hand_over.words in caught.value.message
    assert second.words in caught.value.message
    assert rotating.keys_at(0) == public_bytes(NEW)


def test_the_coordinators_new_key_is_taken_up_with_the_first_run_that_it_signs(
    rotating: Rotating,
) -> None:
    fed = rotating.federation
    fed.run()
    old = fed.coordinator_key
    rotating.tell(HandOver.make(old, NEW, partner="", number=1, at=AT))
    fed.coordinator_key = NEW
    release = fed.run().release
    assert fed.nodes[2].agreement.keys.coordinator == public_bytes(NEW)
    assert release.verify(fed.agreement) == release.release, "partners sign it, not the coordinator"
    stop = Stop(run_id=bytes(16), reason="E-GRACE")
    with pytest.raises(Exception, match="E-SIGNATURE"):
        fed.nodes[0].handle(sign_request(stop, old))


def test_a_coordinator_that_signs_with_a_key_of_its_own_is_not_followed(
    rotating: Rotating,
) -> None:
    fed = rotating.federation
    for old, partner in ((THIEFS, ""), (rotating.old, ""), (rotating.old, rotating.id)):
        made = HandOver.make(old, NEW, partner=partner, number=1, at=AT).to_bytes()
        lie = Open(
            agreement_hash=fed.agreement.hash, run_id=bytes(16),
            hand_overs=frame(made),
        )  # fmt: skip
        message = sign_request(lie, NEW)
        assert not fed.nodes[0].is_asked(message)
        with pytest.raises(Exception, match=r"E-SIGNATURE|E-KEY-PARTY"):
            fed.nodes[0].handle(message)
        assert fed.nodes[0].agreement.keys.coordinator == public_bytes(fed.coordinator_key)
