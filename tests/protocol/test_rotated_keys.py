"""Runs, releases, stops and builds under keys that were handed over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from protocol.agreement.added_build import AddedBuild
from protocol.agreement.document import Agreement
from protocol.agreement.hand_over import HandOver
from protocol.agreement.hand_overs import HandOvers
from protocol.agreement.software import PROTOCOL, Build
from protocol.agreement.stop import SignedStop
from protocol.canonical import frame
from protocol.errors import AgreementError, FedsegError, RemoteProtocolError, SignatureError
from protocol.messages import Hello, Open, open_request
from protocol.release.document import SignedRelease

AT = "2026-03-01T09:00:00Z"


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(FedsegError) as caught:
        action()
    return caught.value.code


class Handed:
    """A federation whose second partner hands its key over, and what knows of it."""

    def __init__(self, lab: ModuleType, **terms: Any) -> None:
        self.lab = lab
        self.federation = lab.Federation(3, **terms)
        self.agreed: Agreement = self.federation.agreement
        self.old, self.new = lab.key_of("p1"), lab.key_of("p1 anew")
        self.hand_over = HandOver.make(self.old, self.new, partner="p1", number=1, at=AT)
        self.known = HandOvers.of([self.hand_over])

    def take_up(self) -> None:
        """From now on everybody has it."""
        self.federation.agreement = self.agreed.with_hand_overs(self.known)
        self.federation.keys[1] = self.new


@pytest.fixture
def handed(lab: ModuleType) -> Handed:
    return Handed(lab)


def test_a_run_under_new_keys_ends_with_a_release_that_holds(handed: Handed) -> None:
    before = handed.federation.run("before").finish().coordinator
    handed.take_up()
    after = handed.federation.run(
        "after", chain=before.chain, last=before.release.to_bytes(),
        held=dict.fromkeys(range(3), before.release.release),
    ).finish().coordinator  # fmt: skip
    now: Agreement = handed.federation.agreement
    assert before.release.verify(now) == before.release.release, "signed under the key before"
    assert after.release.verify(now, in_force=True) == after.release.release
    assert code_of(lambda: after.release.verify(handed.agreed)) == "E-RELEASE"
    assert code_of(lambda: before.release.verify(now, in_force=True)) == "E-RELEASE"


def test_a_run_of_a_coordinator_that_handed_its_key_over(handed: Handed) -> None:
    fed = handed.federation
    new = handed.lab.key_of("coordinator anew")
    one = HandOver.make(fed.coordinator_key, new, partner="", number=1, at=AT)
    fed.agreement = fed.agreement.with_hand_overs(HandOvers.of([one]))
    run = fed.run()
    message = run.coordinator.open_request()
    with pytest.raises(SignatureError):
        open_request(message, coordinator_key=public(new))
    fed.coordinator_key = new
    opening = fed.run().coordinator.open_request()
    found = open_request(opening, coordinator_key=fed.agreement.keys.coordinator)
    assert isinstance(found, Open) and Open.unverified(opening) == found
    assert list(HandOvers.from_bytes(found.hand_overs)) == [one]
    assert Open.unverified(b"no message") is None


def public(key: Any) -> bytes:
    return key.public_key().public_bytes_raw()  # type: ignore[no-any-return]


def test_a_run_under_keys_that_are_over_is_refused(handed: Handed) -> None:
    run = handed.federation.run()
    opening = open_request(
        run.coordinator.open_request(), coordinator_key=handed.agreed.keys.coordinator
    )
    handed.take_up()
    node = handed.lab.Node(handed.federation, 0, "node", handed.federation.empty_chain)
    assert isinstance(opening, Open) and opening.hand_overs == b""
    assert code_of(lambda: node.state.open(opening, entropy=node.entropy)) == "E-KEY-BEHIND"


def test_a_run_is_not_opened_again_under_other_keys(handed: Handed) -> None:
    run = handed.federation.run()
    run.nodes[0].handle(run.coordinator.open_request())
    with pytest.raises(RemoteProtocolError) as caught:
        run.lie(0, hand_overs=handed.known.to_bytes())
    assert caught.value.code == "E-KEY-BEHIND"


def test_a_hand_over_that_a_coordinator_makes_up_swaps_no_key(handed: Handed) -> None:
    lab, fed = handed.lab, handed.federation
    thief = lab.key_of("thief")
    one = handed.hand_over.envelope
    by_thief = replace(one, signatures={}).signed_by(thief).signed_by(handed.new)
    with pytest.raises(AgreementError, match="E-HAND-OVER-SIGNATURE"):
        HandOver.from_bytes(by_thief.to_bytes())
    own = HandOver.make(thief, handed.new, partner="p1", number=1, at=AT)
    run = fed.run()
    for made in (by_thief.to_bytes(), own.to_bytes()):
        node = lab.Node(fed, 0, "node", fed.empty_chain)
        opening = Open(
            agreement_hash=handed.agreed.hash, run_id=run.run_id,
            hand_overs=frame(made),
        )  # fmt: skip
        try:
            node.state.open(opening, entropy=node.entropy)
        except RemoteProtocolError:
            continue
        assert node.state.agreement.keys == handed.agreed.keys, "it is of nobody's key"


def test_partners_that_are_told_of_different_keys_never_form_a_set(handed: Handed) -> None:
    fed, lab = handed.federation, handed.lab
    one = HandOver.make(
        fed.coordinator_key, lab.key_of("coordinator anew"), partner="", number=1, at=AT
    )
    told = HandOvers.of([one])
    run = fed.run()
    for i in (1, 2):
        run.coordinator.receive(run.nodes[i].handle(run.coordinator.request(i)))
    fed.agreement = handed.agreed.with_hand_overs(told)
    first = lab.Node(fed, 0, "run", fed.empty_chain)
    opening = Open(agreement_hash=handed.agreed.hash, run_id=run.run_id, hand_overs=told.to_bytes())
    run.coordinator.receive(first.state.open(opening, entropy=first.entropy))
    roster = run.open_request_for(1)
    run.nodes[1].state.roster(roster)
    with pytest.raises(RemoteProtocolError) as caught:  # no HELLO in it is under another key
        first.state.roster(roster)
    assert caught.value.code == "E-CHAIN-RUN"


def test_a_run_on_foot_ends_under_the_keys_with_which_it_began(handed: Handed) -> None:
    fed = handed.federation
    run = fed.run().until("answers", number=1)
    fed.agreement = handed.agreed.with_hand_overs(handed.known)  # taken up by all; p1 is asked last
    for node in (run.nodes[0], run.nodes[2]):
        node.restart()
        assert node.state.agreement.keys == handed.agreed.keys
        node.handle(run.coordinator.request(node.number))


def test_a_run_on_foot_is_refused_by_whoever_handed_its_key_over_since(handed: Handed) -> None:
    run = handed.federation.run().until("answers", number=1)
    handed.take_up()
    node = run.nodes[1]
    node.restart()
    assert code_of(lambda: node.handle(run.coordinator.request(1))) == "E-KEY-ROTATED"


def test_the_old_key_says_no_hello_any_more(handed: Handed) -> None:
    handed.take_up()
    fed = handed.federation
    run = fed.run()
    hello = run.nodes[1].handle(run.coordinator.request(1))
    by_old = Hello.parse(hello)[0].signed(handed.old)
    assert code_of(lambda: run.coordinator.receive(by_old)) == "E-SIGNATURE"
    fed.keys[1] = handed.old
    assert code_of(lambda: handed.lab.Node(fed, 1, "old", fed.empty_chain)) == "E-KEY-ROTATED"


def test_a_key_that_was_handed_over_signs_no_new_release(handed: Handed) -> None:
    handed.take_up()
    fed = handed.federation
    run = fed.run().until("acks")
    publish = run.open_request_for(0)
    release: SignedRelease = run.coordinator.release
    unsigned = SignedRelease.unsigned(release.release)
    envelope = unsigned.envelope
    for key in (fed.keys[0], handed.old, fed.keys[2]):
        envelope = envelope.signed_by(key)
    forged = replace(unsigned, envelope=envelope)
    with run.refused(0, "E-RELEASE"):
        run.send(0, replace(publish, release=forged.to_bytes()))


def test_a_stop_that_was_signed_before_a_hand_over_holds(handed: Handed) -> None:
    stop = SignedStop.sign(handed.agreed, handed.old, at=AT)
    handed.take_up()
    now: Agreement = handed.federation.agreement
    stop.verify(now)
    SignedStop.sign(now, handed.new, at=AT).verify(now)
    assert code_of(lambda: SignedStop.sign(now, handed.old, at=AT)) == "E-KEY-ROTATED"


def test_a_build_that_is_new_is_signed_with_the_key_in_force(handed: Handed) -> None:
    terms = replace(handed.agreed.software, protocol=PROTOCOL, added_by=("p1",))
    agreed = replace(handed.agreed, software=terms)
    now = agreed.with_hand_overs(handed.known)
    build = AddedBuild.draft(agreed, Build(version="0.1.1", sha256=b"\x11" * 32))
    by_old = build.signed_by(handed.old)
    assert by_old.missing(agreed) == () == by_old.missing(now, kept=True)
    assert [p.id for p in by_old.missing(now)] == ["p1"]
    assert code_of(lambda: by_old.verify(now)) == "E-BUILD-UNSIGNED"
    assert by_old.signed_by(handed.new).missing(now) == ()
