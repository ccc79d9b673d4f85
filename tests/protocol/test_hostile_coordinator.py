"""A coordinator that holds its key and lies, against partners that do not.

Each test names an attack, and has to fail when the guard against it is removed
(`test_mutations.py` removes them one by one).
"""

from __future__ import annotations

import dataclasses
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from protocol import limits, messages
from protocol.clustering.plan import step_hash
from protocol.coordinator_round import Phase as phases
from protocol.errors import FedsegError, LocalProtocolError, RemoteProtocolError, RuleError
from protocol.messages import Accept, Announce, Certificate, Hello, Masked, Payload, Ready
from protocol.participants import Chain, Link
from protocol.partner_state import ended_from_outside
from protocol.queries import ClusterSumsQuery
from protocol.release.document import SignedRelease


@pytest.fixture
def fed(lab: ModuleType) -> Any:
    """Three partners: the smallest federation."""
    return lab.Federation(3)


@pytest.fixture
def nine(lab: ModuleType) -> Any:
    """Nine partners: three may leave together."""
    return lab.Federation(9, rows=6)


def refusal(code: str) -> Any:
    """Expect an error of ours with a code."""
    return pytest.raises(FedsegError, match=f"^{code}:")


# --- requests as bytes ---


def test_an_honest_run_ends_with_the_same_release_everywhere(fed: Any) -> None:
    run = fed.run().finish()
    release = run.coordinator.release.verify(fed.agreement)
    assert sum(s.size for s in release.segments) == 90
    assert {node.state.phase for node in run.nodes} == {"done"}


def test_a_request_that_nobody_signed_is_refused(fed: Any) -> None:
    run = fed.run()
    body = run.open_request_for(0).body()
    with refusal("E-SIGNATURE"):
        run.nodes[0].handle(messages.frame(body, bytes(64)))


def test_a_request_signed_by_a_partner_instead_of_the_coordinator_is_refused(fed: Any) -> None:
    run = fed.run()
    with refusal("E-SIGNATURE"):
        run.nodes[0].handle(messages.sign_request(run.open_request_for(0), fed.keys[1]))


def test_a_request_altered_after_signing_is_refused(fed: Any) -> None:
    run = fed.run().until(phases.ANSWERS)
    signed = bytearray(run.coordinator.request(0))
    signed[60] ^= 1
    with refusal("E-SIGNATURE"):
        run.nodes[0].handle(bytes(signed))


def test_a_request_signed_for_another_purpose_is_refused(fed: Any) -> None:
    run = fed.run()
    body = run.open_request_for(0).body()
    signature = messages.sign(fed.coordinator_key, "hello", body)
    with refusal("E-SIGNATURE"):
        run.nodes[0].handle(messages.frame(body, signature))


def test_an_oversize_request_is_refused_unread(fed: Any) -> None:
    run = fed.run()
    with refusal("E-SIZE"):
        run.nodes[0].handle(bytes(limits.MAX_REQUEST_BYTES + 1))


def test_an_unknown_kind_of_request_is_refused_though_signed(fed: Any) -> None:
    body = messages.frame(messages.label("reveal"), b"x")
    signature = messages.sign(fed.coordinator_key, "request", body)
    with refusal("E-MALFORMED"):
        fed.run().nodes[0].handle(messages.frame(body, signature))


def test_an_open_under_another_agreement_is_refused(fed: Any) -> None:
    run = fed.run()
    with refusal("E-AGR-OTHER"):
        run.lie(0, agreement_hash=bytes(32))
    run.step()
    with refusal("E-AGR-OTHER"):
        run.send(0, messages.Open(agreement_hash=bytes(32), run_id=run.run_id))


def test_an_open_for_another_run_does_not_get_this_runs_hello(fed: Any) -> None:
    run = fed.run().until(phases.READYS)
    with refusal("E-RUN-OTHER"):
        run.send(0, messages.Open(agreement_hash=fed.agreement.hash, run_id=bytes(16)))


def test_a_repeated_open_gives_the_same_hello(fed: Any) -> None:
    run = fed.run()
    request = run.coordinator.request(0)
    assert run.nodes[0].handle(request) == run.nodes[0].handle(request)


# --- roster ---


def hello_of(fed: Any, run: Any, place: int) -> Hello:
    message = run.open_request_for(place).hellos[place]
    return Hello.parse(message)[0]


def with_hello(run: Any, place: int, message: bytes) -> tuple[bytes, ...]:
    hellos = list(run.open_request_for(0).hellos)
    hellos[place] = message
    return tuple(hellos)


@pytest.mark.parametrize("field", ["x25519", "kem"])
@pytest.mark.parametrize("signer", ["nobody", "coordinator", "another partner"])
def test_a_key_swapped_in_a_hello_is_refused(fed: Any, field: str, signer: str) -> None:
    run = fed.run().until(phases.READYS)
    hello = hello_of(fed, run, 1)
    swapped = dataclasses.replace(hello, **{field: bytes(len(getattr(hello, field)))})
    key = fed.keys[2] if signer == "another partner" else fed.coordinator_key
    message = swapped.signed(key)
    if signer == "nobody":
        body = messages.unframe(message, 2)[0]
        old_signature = messages.unframe(run.open_request_for(0).hellos[1], 2)[1]
        message = messages.frame(body, old_signature)
    with run.refused(0, "E-SIGNATURE"):
        run.lie(0, hellos=with_hello(run, 1, message))


def test_a_hello_replayed_from_another_run_is_refused(fed: Any) -> None:
    earlier = fed.run("earlier").until(phases.READYS)
    old = earlier.open_request_for(0).hellos[1]
    run = fed.run().until(phases.READYS)
    with run.refused(0, "E-HELLO-REPLAYED"):
        run.lie(0, hellos=with_hello(run, 1, old))


def test_a_hello_replayed_from_another_agreement_is_refused(fed: Any) -> None:
    run = fed.run().until(phases.READYS)
    other = dataclasses.replace(hello_of(fed, run, 1), agreement_hash=bytes(32))
    with run.refused(0, "E-HELLO-REPLAYED"):
        run.lie(0, hellos=with_hello(run, 1, other.signed(fed.keys[1])))


def test_a_hello_in_another_partners_place_is_refused(fed: Any) -> None:
    run = fed.run().until(phases.READYS)
    other = dataclasses.replace(hello_of(fed, run, 1), partner=2)
    with run.refused(0, "E-HELLO-REPLAYED"):
        run.lie(0, hellos=with_hello(run, 1, other.signed(fed.keys[1])))


def test_a_partner_whose_own_hello_was_changed_refuses(fed: Any) -> None:
    run = fed.run().until(phases.READYS)
    other = dataclasses.replace(hello_of(fed, run, 0), nonce=bytes(16)).signed(fed.keys[0])
    with run.refused(0, "E-ROSTER"):
        run.lie(0, hellos=with_hello(run, 0, other))


def test_a_roster_without_the_partner_itself_is_refused(nine: Any) -> None:
    run = nine.run().until(phases.READYS)
    hellos = with_hello(run, 0, b"")
    run_hash = messages.run_hash(nine.agreement.hash, run.run_id, hellos)
    chain = nine.empty_chain.extended(nine.link(run_hash, *range(1, 9))).to_bytes()
    with run.refused(0, "E-ROSTER"):
        run.lie(0, hellos=hellos, chain=chain)


@pytest.mark.parametrize("places", [2, 4])
def test_a_roster_with_another_number_of_places_is_refused(fed: Any, places: int) -> None:
    run = fed.run().until(phases.READYS)
    hellos = (*run.open_request_for(0).hellos, b"")[:places]
    with run.refused(0, "E-ROSTER"):
        run.lie(0, hellos=hellos)


def test_a_roster_of_another_run_is_refused(fed: Any) -> None:
    run = fed.run().until(phases.READYS)
    with run.refused(0, "E-RUN-OTHER"):
        run.lie(0, run_id=bytes(16))


def test_a_second_roster_for_the_same_run_is_refused(fed: Any) -> None:
    run = fed.run().until(phases.READYS)
    first = run.nodes[0].handle(run.coordinator.request(0))
    assert run.nodes[0].handle(run.coordinator.request(0)) == first
    other = dataclasses.replace(hello_of(fed, run, 2), nonce=bytes(16)).signed(fed.keys[2])
    with run.refused(0, "E-ROSTER-CHANGED"):
        run.lie(0, hellos=with_hello(run, 2, other))


def test_a_first_set_that_is_not_the_roster_is_refused(nine: Any) -> None:
    run = nine.run().until(phases.READYS)
    request = run.open_request_for(0)
    run_hash = run.coordinator.run_hash
    chain = nine.empty_chain.extended(nine.link(run_hash, *range(6))).to_bytes()
    with run.refused(0, "E-ROSTER"):
        run.lie(0, chain=chain)
    assert len([h for h in request.hellos if h]) == 9


def test_a_roster_that_brings_a_later_set_along_is_refused(nine: Any) -> None:
    run = nine.run(absent=frozenset({6, 7, 8})).until(phases.READYS)
    chain = nine.empty_chain
    for members in (range(9), range(6)):
        chain = chain.extended(nine.link(run.coordinator.run_hash, *members))
    with run.refused(0, "E-CHAIN-RUN"):
        run.lie(0, chain=chain.to_bytes())


def test_two_partners_with_different_rosters_never_form_a_set(fed: Any) -> None:
    """A colluding partner signs two HELLOs; the coordinator shows each to one side."""
    run = fed.run().until(phases.READYS)
    other = dataclasses.replace(hello_of(fed, run, 2), nonce=bytes(16)).signed(fed.keys[2])
    hellos = with_hello(run, 2, other)
    run_hash = messages.run_hash(fed.agreement.hash, run.run_id, hellos)
    chain = fed.empty_chain.extended(fed.link(run_hash, 0, 1, 2)).to_bytes()
    ready_0 = run.nodes[0].handle(run.coordinator.request(0))
    ready_1 = run.lie(1, hellos=hellos, chain=chain)
    ready_2 = Ready.parse(ready_0)[0]
    ready_2 = dataclasses.replace(ready_2, partner=2, ciphertexts=()).signed(fed.keys[2])
    announce = Announce(
        run_hash=run.coordinator.run_hash,
        head=run.coordinator.chain.head,
        round=0,
        payload=run.coordinator._payload(),
        certificate=Certificate(readys=(ready_0, ready_1, ready_2), accepts=()),
    )
    with run.refused(0, "E-CERTIFICATE"):
        run.send(0, announce)


# --- participant sets ---


def proposed(run: Any, *members: int) -> bytes:
    link = Link(run_hash=run.coordinator.run_hash, members=frozenset(members))
    return bytes(run.chain_with(link))


def propose(run: Any, partner: int, chain: bytes) -> bytes:
    request = messages.Propose(run_hash=run.coordinator.run_hash, chain=chain)
    return bytes(run.send(partner, request))


def test_a_set_that_leaves_out_one_partner_is_refused(nine: Any) -> None:
    run = nine.run().until(phases.ANSWERS)
    with run.refused(0, "E-SET-ISOLATES"):
        propose(run, 0, proposed(run, *range(8)))


def test_a_set_that_leaves_out_a_group_below_min_atom_is_refused(nine: Any) -> None:
    run = nine.run().until(phases.ANSWERS)
    with run.refused(0, "E-SET-ISOLATES"):
        propose(run, 0, proposed(run, *range(7)))


def test_a_set_below_the_quorum_is_refused(nine: Any) -> None:
    run = nine.run().until(phases.ANSWERS)
    with run.refused(0, "E-SET-QUORUM"):
        propose(run, 0, proposed(run, *range(5)))


def test_a_set_below_the_quorum_hidden_inside_the_chain_is_refused(nine: Any) -> None:
    run = nine.run().until(phases.READYS)
    hidden = nine.empty_chain.extended(nine.link(bytes(32), 0, 1, 2))
    chain = hidden.extended(run.coordinator.chain.last).to_bytes()
    with run.refused(0, "E-SET-QUORUM"):
        run.lie(0, chain=chain)


def test_a_set_that_grows_in_a_run_is_refused(nine: Any) -> None:
    run = nine.run().until(phases.ANSWERS)
    small = nine.link(run.coordinator.run_hash, *range(6))
    full = nine.link(run.coordinator.run_hash, *range(9))
    with run.refused(0, "E-SET-GROWS"):
        propose(run, 0, run.chain_with(small, full))


def test_a_set_without_the_partner_that_should_sign_it_is_refused(nine: Any) -> None:
    run = nine.run().until(phases.ANSWERS)
    with run.refused(8, "E-SET-MEMBER"):
        propose(run, 8, proposed(run, *range(6)))


def test_more_set_changes_than_agreed_are_refused(lab: ModuleType) -> None:
    fed = lab.Federation(15, rows=3, changes=1)
    run = fed.run().until(phases.ANSWERS)
    run_hash = run.coordinator.run_hash
    first, second = fed.link(run_hash, *range(12)), fed.link(run_hash, *range(9))
    propose(run, 0, run.chain_with(first))
    with run.refused(0, "E-SET-CHANGES"):
        propose(run, 0, run.chain_with(first, second))


def test_a_forked_chain_is_refused_within_a_run(lab: ModuleType) -> None:
    fed = lab.Federation(15, rows=3)
    run = fed.run().until(phases.ANSWERS)
    run_hash = run.coordinator.run_hash
    propose(run, 0, run.chain_with(fed.link(run_hash, *range(12))))
    with run.refused(0, "E-CHAIN-FORK"):
        propose(run, 0, run.chain_with(fed.link(run_hash, *range(9))))


def test_a_chain_cut_back_is_refused(nine: Any) -> None:
    run = nine.run().until(phases.ANSWERS)
    before = run.coordinator.chain.to_bytes()
    propose(run, 0, proposed(run, *range(6)))
    with run.refused(0, "E-CHAIN-FORK"):
        propose(run, 0, before)


def test_a_forked_chain_is_refused_across_runs(nine: Any) -> None:
    """The second run pretends that the first never happened."""
    first = nine.run("first").until(phases.ANSWERS)
    chains = {node.number: node.state.chain for node in first.nodes}
    second = nine.run("second", chain=nine.empty_chain, chains=chains).until(phases.READYS)
    with second.refused(0, "E-CHAIN-FORK"):
        second.step()


def test_a_second_run_cannot_isolate_by_another_set_than_the_first(nine: Any) -> None:
    """All nine in the first run, all but one in the second: the difference is one partner."""
    first = nine.run("first").until(phases.ANSWERS)
    chain = first.coordinator.chain
    second = nine.run("second", chain=chain).until(phases.READYS)
    hellos = with_hello(second, 8, b"")
    run_hash = messages.run_hash(nine.agreement.hash, second.run_id, hellos)
    longer = chain.extended(nine.link(run_hash, *range(8)))
    with second.refused(0, "E-SET-ISOLATES"):
        second.lie(0, hellos=hellos, chain=longer.to_bytes())


def test_a_set_of_another_run_is_refused(nine: Any) -> None:
    run = nine.run().until(phases.ANSWERS)
    other = Link(run_hash=bytes(32), members=frozenset(range(9)))
    with run.refused(0, "E-CHAIN-RUN"):
        propose(run, 0, run.chain_with(other))


def test_a_run_taken_up_again_behind_a_later_one_is_refused(nine: Any) -> None:
    run = nine.run().until(phases.ANSWERS)
    other = Link(run_hash=bytes(32), members=frozenset(range(9)))
    with run.refused(0, "E-SET-GROWS"):
        propose(run, 0, run.chain_with(other, nine.link(run.coordinator.run_hash, *range(6))))


def test_a_proposal_for_another_run_is_refused(nine: Any) -> None:
    run = nine.run().until(phases.ANSWERS)
    with run.refused(0, "E-RUN-OTHER"):
        run.send(0, messages.Propose(run_hash=bytes(32), chain=b""))


def test_a_proposal_before_the_roster_is_refused(nine: Any) -> None:
    run = nine.run().until(phases.READYS)
    with run.refused(0, "E-RUN-OTHER"):
        run.send(0, messages.Propose(run_hash=run.coordinator.run_hash, chain=b""))


def test_a_proposal_with_no_set_at_all_is_refused(nine: Any) -> None:
    run = nine.run().until(phases.ANSWERS)
    with run.refused(0, "E-CHAIN-RUN"):
        propose(run, 0, b"")


# --- certificates ---


def test_a_set_without_a_certificate_is_not_answered(fed: Any) -> None:
    run = fed.run().until(phases.ANSWERS)
    with run.refused(0, "E-SET-OPEN"):
        run.lie(0, certificate=None)


def test_a_certificate_without_one_members_ready_is_refused(fed: Any) -> None:
    run = fed.run().until(phases.ANSWERS)
    certificate = run.open_request_for(0).certificate
    with run.refused(0, "E-CERTIFICATE"):
        run.lie(0, certificate=dataclasses.replace(certificate, readys=certificate.readys[:2]))


def forged_ready(fed: Any, run: Any, signer: int) -> tuple[bytes, ...]:
    readys = list(run.open_request_for(0).certificate.readys)
    readys[1] = Ready.parse(readys[1])[0].signed(fed.keys[signer])
    return tuple(readys)


def test_a_ready_signed_by_somebody_else_is_refused(fed: Any) -> None:
    run = fed.run().until(phases.ANSWERS)
    with run.refused(0, "E-SIGNATURE"):
        run.lie(0, certificate=Certificate(readys=forged_ready(fed, run, 2), accepts=()))


@pytest.mark.parametrize("field", ["run_hash", "head"])
def test_a_ready_for_another_run_or_set_is_refused(fed: Any, field: str) -> None:
    run = fed.run().until(phases.ANSWERS)
    readys = list(run.open_request_for(0).certificate.readys)
    ready = dataclasses.replace(Ready.parse(readys[1])[0], **{field: bytes(32)})
    readys[1] = ready.signed(fed.keys[1])
    with run.refused(0, "E-CERTIFICATE"):
        run.lie(0, certificate=Certificate(readys=tuple(readys), accepts=()))


def test_a_ready_of_a_partner_that_does_not_exist_is_refused(fed: Any) -> None:
    run = fed.run().until(phases.ANSWERS)
    readys = list(run.open_request_for(0).certificate.readys)
    readys[1] = dataclasses.replace(Ready.parse(readys[1])[0], partner=3).signed(fed.keys[1])
    with run.refused(0, "E-CERTIFICATE"):
        run.lie(0, certificate=Certificate(readys=tuple(readys), accepts=()))


def test_a_ready_that_lacks_ciphertexts_is_refused(fed: Any) -> None:
    run = fed.run().until(phases.ANSWERS)
    readys = list(run.open_request_for(0).certificate.readys)
    readys[0] = dataclasses.replace(Ready.parse(readys[0])[0], ciphertexts=()).signed(fed.keys[0])
    with run.refused(1, "E-CERTIFICATE"):
        run.lie(1, certificate=Certificate(readys=tuple(readys), accepts=()))


def test_an_unusable_x25519_key_is_refused(fed: Any) -> None:
    """A colluding partner sends a key of low order, so that the secret would be known."""
    run = fed.run().until(phases.READYS)
    weak = dataclasses.replace(hello_of(fed, run, 2), x25519=bytes(32)).signed(fed.keys[2])
    hellos = with_hello(run, 2, weak)
    run_hash = messages.run_hash(fed.agreement.hash, run.run_id, hellos)
    chain = fed.empty_chain.extended(fed.link(run_hash, 0, 1, 2))
    readys = [run.lie(i, hellos=hellos, chain=chain.to_bytes()) for i in (0, 1)]
    ready = Ready(run_hash=run_hash, partner=2, head=chain.head, ciphertexts=())
    announce = Announce(
        run_hash=run_hash,
        head=chain.head,
        round=0,
        payload=run.coordinator._payload(),
        certificate=Certificate(readys=(*readys, ready.signed(fed.keys[2])), accepts=()),
    )
    with run.refused(0, "E-KEY-WEAK"):
        run.send(0, announce)


def smaller(nine: Any) -> Any:
    """A run in which three partners were dropped and everyone left has signed."""
    run = nine.run().until(phases.ANSWERS)
    run.coordinator.drop(frozenset({6, 7, 8}))
    return run.until(phases.ANSWERS)


def test_a_smaller_set_works_when_everyone_left_signs_it(nine: Any) -> None:
    run = smaller(nine).finish()
    assert run.coordinator.release.release.participants == tuple(f"p{i}" for i in range(6))


def test_a_round_asked_again_is_not_answered_when_the_customers_changed(nine: Any) -> None:
    """The two totals would differ by the change alone: one new customer, in the clear."""
    run = nine.run().until(phases.ANSWERS)
    run.nodes[0].handle(run.coordinator.request(0))
    run.coordinator.drop(frozenset({6, 7, 8}))
    run.until(phases.ANSWERS)
    vectors = run.nodes[0].vectors
    run.nodes[0].vectors = vectors[1:]
    with pytest.raises(RuleError, match="E-DATA-CHANGED"):
        run.nodes[0].handle(run.coordinator.request(0))
    run.nodes[0].vectors = vectors
    run.finish()


def test_a_smaller_set_without_one_members_accept_is_not_answered(nine: Any) -> None:
    run = smaller(nine)
    certificate = run.open_request_for(0).certificate
    with run.refused(0, "E-CERTIFICATE"):
        run.lie(0, certificate=dataclasses.replace(certificate, accepts=certificate.accepts[1:]))


def test_an_accept_signed_by_somebody_else_is_refused(nine: Any) -> None:
    run = smaller(nine)
    certificate = run.open_request_for(0).certificate
    forged = Accept.parse(certificate.accepts[1])[0].signed(nine.keys[2])
    accepts = (certificate.accepts[0], forged, *certificate.accepts[2:])
    with run.refused(0, "E-SIGNATURE"):
        run.lie(0, certificate=dataclasses.replace(certificate, accepts=accepts))


@pytest.mark.parametrize("field", ["run_hash", "head"])
def test_an_accept_for_another_run_or_set_is_refused(nine: Any, field: str) -> None:
    run = smaller(nine)
    certificate = run.open_request_for(0).certificate
    other = dataclasses.replace(Accept.parse(certificate.accepts[1])[0], **{field: bytes(32)})
    accepts = (certificate.accepts[0], other.signed(nine.keys[1]), *certificate.accepts[2:])
    with run.refused(0, "E-CERTIFICATE"):
        run.lie(0, certificate=dataclasses.replace(certificate, accepts=accepts))


def test_a_round_under_a_set_that_is_not_the_newest_is_refused(nine: Any) -> None:
    run = nine.run().until(phases.ANSWERS)
    under_nine = run.open_request_for(0)
    propose(run, 0, proposed(run, *range(6)))
    with run.refused(0, "E-SET-OPEN"):
        run.send(0, under_nine)


def test_a_set_of_a_later_run_is_not_opened_in_an_earlier_one(nine: Any) -> None:
    """The chain went on in another run: the earlier one asks nothing under its sets."""
    run = nine.run().until(phases.ANSWERS)
    later = run.coordinator.chain.extended(Link(run_hash=bytes(32), members=frozenset(range(9))))
    node = run.nodes[0]
    node.state.chain = later
    with run.refused(0, "E-CHAIN-RUN"):
        propose(run, 0, later.to_bytes())
    other = run.nodes[1]
    other.state.chain = later
    with run.refused(1, "E-CHAIN-RUN"):
        run.lie(1, head=later.head)


# --- rounds ---


def shifted_query(run: Any) -> bytes:
    """The hash of the query that is due, with one centroid moved by the smallest step."""
    query = run.coordinator._plan.query
    centroids = query.centroids.copy()
    centroids[0, 0] += 1
    return ClusterSumsQuery(centroids=centroids, limit=query.limit).hash


def test_a_query_that_does_not_follow_from_the_seed_is_refused(fed: Any) -> None:
    run = fed.run().until(phases.ANSWERS)
    payload = Payload(step_hash=shifted_query(run), transcript=()).to_bytes()
    with run.refused(0, "E-QUERY"):
        run.lie(0, payload=payload)


def test_a_query_that_does_not_follow_from_the_transcript_is_refused(fed: Any) -> None:
    run = fed.run().until(phases.ANSWERS, number=1)
    honest = Payload.from_bytes(run.open_request_for(0).payload)
    payload = dataclasses.replace(honest, step_hash=shifted_query(run)).to_bytes()
    with run.refused(0, "E-QUERY"):
        run.lie(0, payload=payload)


def second_message_of(fed: Any, run: Any, partner: int) -> tuple[bytes, bytes]:
    """A colluding partner signs another answer for a round: payloads with the first, the second."""
    request = run.open_request_for(0)
    honest = Payload.from_bytes(request.payload)
    plan = run.coordinator._plan
    length = plan.query.length
    first = Masked.parse(honest.transcript[partner], length=length)[0]
    words = np.frombuffer(first.vector, dtype="<u8").copy()
    words[0] += np.uint64(1 << 20)
    second = dataclasses.replace(first, vector=words.tobytes()).signed(fed.keys[partner])
    transcript = (*honest.transcript[:partner], second, *honest.transcript[partner + 1 :])
    before = run.nodes[0].state.plan
    total = sum(
        np.frombuffer(Masked.parse(m, length=length)[0].vector, dtype="<u8") for m in transcript
    ).view(np.int64)
    step = step_hash(before.advance(total, customers=10**6))
    return request.payload, Payload(step_hash=step, transcript=transcript).to_bytes()


def test_another_centroid_for_one_partner_turns_the_total_into_noise(fed: Any) -> None:
    """A colluding partner signs two answers, so that both queries follow from a transcript."""
    run = fed.run().until(phases.ANSWERS, number=1)
    one, other = second_message_of(fed, run, 2)
    assert one != other
    head, run_hash = run.coordinator.chain.head, run.coordinator.run_hash
    length = run.coordinator._plan.query.length
    total = np.zeros(length, dtype=np.uint64)
    for partner, payload in ((0, one), (1, other), (2, one)):
        reply = run.lie(partner, payload=payload)
        masked = Masked.parse(reply, length=length)[0]
        assert masked.context == messages.round_context(run_hash, head, 1, payload)
        total += np.frombuffer(masked.vector, dtype="<u8")
    with refusal("E-TOTAL-RANGE"):
        run.coordinator._plan.advance(total.view(np.int64), customers=30_000)


def test_a_second_payload_for_a_round_is_refused(fed: Any) -> None:
    run = fed.run().until(phases.ANSWERS, number=1)
    one, other = second_message_of(fed, run, 2)
    run.lie(0, payload=one)
    with run.refused(0, "E-SECOND-PAYLOAD"):
        run.lie(0, payload=other)


def test_a_second_payload_for_a_round_is_refused_under_another_set_too(nine: Any) -> None:
    run = nine.run().until(phases.ANSWERS, number=1)
    one, other = second_message_of(nine, run, 2)
    run.lie(0, payload=one)
    run.coordinator.drop(frozenset({6, 7, 8}))
    run.until(phases.ANSWERS, number=1)
    with run.refused(0, "E-SECOND-PAYLOAD"):
        run.lie(0, payload=other)


def test_an_altered_vector_in_the_transcript_is_refused(fed: Any) -> None:
    run = fed.run().until(phases.ANSWERS, number=1)
    honest = Payload.from_bytes(run.open_request_for(0).payload)
    altered = bytearray(honest.transcript[1])
    altered[-1] ^= 1
    transcript = (honest.transcript[0], bytes(altered), honest.transcript[2])
    with run.refused(0, "E-TRANSCRIPT"):
        run.lie(0, payload=dataclasses.replace(honest, transcript=transcript).to_bytes())


def test_a_partners_own_message_altered_in_the_transcript_is_refused(fed: Any) -> None:
    """Even when it is signed with the partner's key, as after a theft of the key."""
    run = fed.run().until(phases.ANSWERS, number=1)
    _, other = second_message_of(fed, run, 0)
    with run.refused(0, "E-TRANSCRIPT"):
        run.lie(0, payload=other)


@pytest.mark.parametrize("order", [(0, 1), (0, 2, 1), (0, 1, 2, 2), (0, 1, 1), ()])
def test_a_transcript_with_other_partners_or_order_is_refused(
    fed: Any, order: tuple[int, ...]
) -> None:
    run = fed.run().until(phases.ANSWERS, number=1)
    honest = Payload.from_bytes(run.open_request_for(0).payload)
    transcript = tuple(honest.transcript[i] for i in order)
    with run.refused(0, "E-TRANSCRIPT"):
        run.lie(0, payload=dataclasses.replace(honest, transcript=transcript).to_bytes())


def test_a_message_under_another_partners_number_in_the_transcript_is_refused(fed: Any) -> None:
    run = fed.run().until(phases.ANSWERS, number=1)
    honest = Payload.from_bytes(run.open_request_for(0).payload)
    length = run.coordinator._plan.query.length
    one = Masked.parse(honest.transcript[1], length=length)[0]
    posing = dataclasses.replace(one, partner=2).signed(fed.keys[1])
    transcript = (honest.transcript[0], honest.transcript[1], posing)
    with run.refused(0, "E-TRANSCRIPT"):
        run.lie(0, payload=dataclasses.replace(honest, transcript=transcript).to_bytes())


def test_a_transcript_of_the_round_before_the_last_is_refused(fed: Any) -> None:
    run = fed.run().until(phases.ANSWERS, number=1)
    old = Payload.from_bytes(run.open_request_for(0).payload)
    run.until(phases.ANSWERS, number=2)
    honest = Payload.from_bytes(run.open_request_for(0).payload)
    with run.refused(0, "E-TRANSCRIPT"):
        run.lie(0, payload=dataclasses.replace(honest, transcript=old.transcript).to_bytes())


def test_a_transcript_in_round_0_is_refused(fed: Any) -> None:
    run = fed.run().until(phases.ANSWERS)
    honest = Payload.from_bytes(run.open_request_for(0).payload)
    with run.refused(0, "E-TRANSCRIPT"):
        run.lie(0, payload=dataclasses.replace(honest, transcript=(b"x",)).to_bytes())


def test_a_skipped_round_is_refused(fed: Any) -> None:
    run = fed.run().until(phases.ANSWERS)
    with run.refused(0, "E-ROUND-ORDER"):
        run.lie(0, round=1)


def test_a_round_that_is_over_is_refused(fed: Any) -> None:
    run = fed.run().until(phases.ANSWERS, number=1)
    old = run.open_request_for(0)
    run.until(phases.ANSWERS, number=2)
    run.nodes[0].handle(run.coordinator.request(0))
    with run.refused(0, "E-ROUND-ORDER"):
        run.send(0, old)


def test_a_round_of_another_run_is_refused(fed: Any) -> None:
    run = fed.run().until(phases.ANSWERS)
    with run.refused(0, "E-RUN-OTHER"):
        run.lie(0, run_hash=bytes(32))


def test_a_round_after_the_plan_has_ended_is_refused(fed: Any) -> None:
    run = fed.run().until(phases.ACKS)
    release_round = run.coordinator.round
    honest = Announce(
        run_hash=run.coordinator.run_hash,
        head=run.coordinator.chain.head,
        round=release_round + 1,
        payload=run.coordinator._payload(),
        certificate=None,
    )
    with run.refused(0, "E-ROUND-ORDER"):
        run.send(0, honest)


@pytest.mark.parametrize("word", [1 << 63, (1 << 62), (1 << 64) - (1 << 40)])
@pytest.mark.parametrize("entry", [0, 1, 2, 3])
def test_a_total_out_of_range_voids_the_round(fed: Any, word: int, entry: int) -> None:
    """A colluding partner adds a huge number: to coordinates, squares or counts."""
    run = fed.run().until(phases.ANSWERS)
    length = run.coordinator._plan.query.length
    replies = [run.nodes[i].handle(run.coordinator.request(i)) for i in range(3)]
    honest = Masked.parse(replies[2], length=length)[0]
    words = np.frombuffer(honest.vector, dtype="<u8").copy()
    true = sum(
        np.frombuffer(Masked.parse(m, length=length)[0].vector, dtype="<u8") for m in replies
    )
    words[entry] = (int(words[entry]) + word - int(true[entry])) % (1 << 64)
    replies[2] = dataclasses.replace(honest, vector=words.tobytes()).signed(fed.keys[2])
    run.coordinator.receive(replies[0])
    run.coordinator.receive(replies[1])
    with refusal("E-TOTAL-RANGE"):
        run.coordinator.receive(replies[2])
    payload = Payload(step_hash=bytes(32), transcript=tuple(replies)).to_bytes()
    with run.refused(0, "E-TOTAL-RANGE"):
        run.lie(0, round=1, payload=payload, certificate=None)


def test_a_repeated_announcement_gets_the_same_bytes_though_the_customers_changed(fed: Any) -> None:
    run = fed.run().until(phases.ANSWERS)
    request = run.coordinator.request(0)
    first = run.nodes[0].handle(request)
    run.nodes[0].vectors = run.nodes[0].vectors[:5]
    assert run.nodes[0].handle(request) == first


def test_one_mask_never_covers_two_answers(fed: Any) -> None:
    """The same announcement twice at once: the second answer must not meet the first's mask."""
    run = fed.run().until(phases.ANSWERS)
    state = run.nodes[0].state
    request = run.open_request_for(0)
    one, two = state.announce(request), state.announce(request)
    answer = np.zeros(one.query.length, dtype=np.int64)
    first = state.masked(one, answer)
    assert state.masked(two, answer + 1) == first


def test_an_answer_that_comes_after_its_round_is_not_masked(fed: Any) -> None:
    """Otherwise the round would go backwards and could be asked again with another payload."""
    run = fed.run().until(phases.ANSWERS)
    state = run.nodes[0].state
    old = state.announce(run.open_request_for(0))
    run.until(phases.ANSWERS, number=2)
    run.nodes[0].handle(run.coordinator.request(0))
    state = run.nodes[0].state
    with pytest.raises(LocalProtocolError):
        state.masked(old, np.zeros(old.query.length, dtype=np.int64))
    assert state.round == 2


# --- release ---


def published(run: Any, **changes: Any) -> bytes:
    signed = run.coordinator.release
    envelope = dataclasses.replace(signed.envelope, **changes)
    return SignedRelease(release=signed.release, envelope=envelope).to_bytes()


def test_a_release_with_a_missing_signature_is_refused(fed: Any) -> None:
    run = fed.run().until(phases.ACKS)
    signatures = dict(list(run.coordinator.release.envelope.signatures.items())[:2])
    with run.refused(0, "E-RELEASE"):
        run.lie(0, release=published(run, signatures=signatures))


def test_a_release_with_a_wrong_signature_is_refused(fed: Any) -> None:
    run = fed.run().until(phases.ACKS)
    signatures = dict(run.coordinator.release.envelope.signatures)
    names = sorted(signatures)
    signatures[names[0]] = signatures[names[1]]
    with run.refused(0, "E-RELEASE"):
        run.lie(0, release=published(run, signatures=signatures))


def resigned(fed: Any, run: Any, **changes: Any) -> bytes:
    release = dataclasses.replace(run.coordinator.release.release, **changes)
    signed = SignedRelease.unsigned(release)
    envelope = signed.envelope
    for key in fed.keys:
        envelope = envelope.signed_by(key)
    return SignedRelease(release=release, envelope=envelope).to_bytes()


@pytest.mark.parametrize(
    "changes",
    [
        {"run_hash": bytes(32)},
        {"agreement_hash": bytes(32)},
        {"participants": ("p0", "p1")},
        {"participants": ("p0", "p0", "p1")},
        {"participants": ("p0", "p1", "stranger")},
    ],
)
def test_a_release_of_something_else_is_refused(fed: Any, changes: dict[str, Any]) -> None:
    run = fed.run().until(phases.ACKS)
    with run.refused(0, "E-RELEASE"):
        run.lie(0, release=resigned(fed, run, **changes))


def test_a_malformed_release_is_refused(fed: Any) -> None:
    run = fed.run().until(phases.ACKS)
    with run.refused(0, "E-MALFORMED"):
        run.lie(0, release=b"{}")


def test_a_release_of_another_run_is_refused_before_it_is_read(fed: Any) -> None:
    run = fed.run().until(phases.ACKS)
    with run.refused(0, "E-RUN-OTHER"):
        run.lie(0, run_hash=bytes(32))


def test_a_result_that_does_not_follow_from_the_transcript_is_not_signed(fed: Any) -> None:
    run = fed.run().until(phases.APPROVALS)
    honest = Payload.from_bytes(run.open_request_for(0).payload)
    with run.refused(0, "E-QUERY"):
        run.lie(0, payload=dataclasses.replace(honest, step_hash=bytes(32)).to_bytes())


def test_partners_can_leave_between_the_last_total_and_the_release(nine: Any) -> None:
    """Also when some have approved already, and every node was restarted in between."""
    run = nine.run().until(phases.APPROVALS)
    for i in range(4):
        run.coordinator.receive(run.nodes[i].handle(run.coordinator.request(i)))
    run.coordinator.drop(frozenset({6, 7, 8}))
    run.finish()
    release = run.coordinator.release.verify(nine.agreement)
    assert release.participants == tuple(f"p{i}" for i in range(6))


def test_a_finished_run_masks_nothing_more(nine: Any) -> None:
    run = nine.run().finish()
    with pytest.raises(RemoteProtocolError, match="E-RUN-ENDED"):
        propose(run, 0, proposed(run, *range(6)))


@pytest.mark.parametrize("end", ["done", "aborted", "superseded"])
def test_the_secrets_of_a_run_are_forgotten_at_its_end(fed: Any, end: str) -> None:
    """So that a node broken into later does not open the messages that were recorded."""
    run = fed.run().until(phases.ANSWERS, number=1)
    before = run.nodes[0].state.to_dict()
    if end == "done":
        run.finish()
    else:
        run.nodes[0].state.abort("E-RUN-SUPERSEDED")
    after = run.nodes[0].state.to_dict()
    if end == "superseded":
        assert ended_from_outside(before) == after
    for name in ("x_private", "kem_seed", "pair_keys", "kem_secrets"):
        assert before[name]
        assert not after[name]


# --- a partner that lies to the coordinator ---


def test_the_coordinator_refuses_a_hello_by_a_stranger(fed: Any) -> None:
    run = fed.run()
    hello = Hello.parse(run.nodes[0].handle(run.coordinator.request(0)))[0]
    with refusal("E-SIGNATURE"):
        run.coordinator.receive(hello.signed(fed.keys[1]))
    assert 0 in run.coordinator.waiting_for


@pytest.mark.parametrize("changes", [{"run_id": bytes(16)}, {"agreement_hash": bytes(32)}])
def test_the_coordinator_refuses_a_hello_for_another_run(fed: Any, changes: Any) -> None:
    run = fed.run()
    hello = Hello.parse(run.nodes[0].handle(run.coordinator.request(0)))[0]
    with refusal("E-HELLO-REPLAYED"):
        run.coordinator.receive(dataclasses.replace(hello, **changes).signed(fed.keys[0]))


@pytest.mark.parametrize("changes", [{"x25519": bytes(32)}, {"kem": b"\xff" * 1184}])
def test_the_coordinator_refuses_a_hello_with_unusable_keys(fed: Any, changes: Any) -> None:
    """So that one partner's bad key keeps that partner out, not everyone from a release."""
    run = fed.run()
    hello = Hello.parse(run.nodes[0].handle(run.coordinator.request(0)))[0]
    with refusal("E-KEY-WEAK"):
        run.coordinator.receive(dataclasses.replace(hello, **changes).signed(fed.keys[0]))
    assert 0 in run.coordinator.waiting_for


def test_the_coordinator_refuses_a_second_different_reply(fed: Any) -> None:
    run = fed.run()
    message = run.nodes[0].handle(run.coordinator.request(0))
    assert run.coordinator.receive(message) == 0
    assert run.coordinator.receive(message) is None
    other = dataclasses.replace(Hello.parse(message)[0], nonce=bytes(16)).signed(fed.keys[0])
    with refusal("E-SECOND-REPLY"):
        run.coordinator.receive(other)


@pytest.mark.parametrize(
    "changes", [{"run_hash": bytes(32)}, {"head": bytes(32)}, {"ciphertexts": ()}]
)
def test_the_coordinator_refuses_a_ready_for_another_set(fed: Any, changes: Any) -> None:
    run = fed.run().until(phases.READYS)
    ready = Ready.parse(run.nodes[0].handle(run.coordinator.request(0)))[0]
    with refusal("E-CERTIFICATE"):
        run.coordinator.receive(dataclasses.replace(ready, **changes).signed(fed.keys[0]))


@pytest.mark.parametrize("changes", [{"run_hash": bytes(32)}, {"head": bytes(32)}])
def test_the_coordinator_refuses_an_accept_for_another_set(nine: Any, changes: Any) -> None:
    run = nine.run().until(phases.ANSWERS)
    run.coordinator.drop(frozenset({6, 7, 8}))
    accept = Accept.parse(run.nodes[0].handle(run.coordinator.request(0)))[0]
    with refusal("E-CERTIFICATE"):
        run.coordinator.receive(dataclasses.replace(accept, **changes).signed(nine.keys[0]))


def test_the_coordinator_refuses_an_accept_of_a_dropped_partner(nine: Any) -> None:
    run = nine.run().until(phases.ANSWERS)
    run.coordinator.drop(frozenset({6, 7, 8}))
    accept = Accept.parse(run.nodes[0].handle(run.coordinator.request(0)))[0]
    with refusal("E-MALFORMED"):
        run.coordinator.receive(dataclasses.replace(accept, partner=8).signed(nine.keys[8]))


def test_the_coordinator_refuses_whatever_comes_after_the_end(fed: Any) -> None:
    run = fed.run().until(phases.READYS)
    ready = run.nodes[0].handle(run.coordinator.request(0))
    run.until(phases.ENDED)
    for ask in (run.coordinator.check, run.coordinator.receive):
        with refusal("E-ENDED"):
            ask(ready)


def test_the_coordinator_refuses_an_answer_for_another_round(fed: Any) -> None:
    run = fed.run().until(phases.ANSWERS)
    old = run.nodes[0].handle(run.coordinator.request(0))
    run.until(phases.ANSWERS, number=1)
    with refusal("E-ROUND-ORDER"):
        run.coordinator.receive(old)


def test_the_coordinator_refuses_an_answer_signed_by_somebody_else(fed: Any) -> None:
    run = fed.run().until(phases.ANSWERS)
    length = run.coordinator._plan.query.length
    masked = Masked.parse(run.nodes[0].handle(run.coordinator.request(0)), length=length)[0]
    with refusal("E-SIGNATURE"):
        run.coordinator.receive(masked.signed(fed.keys[1]))


def test_the_coordinator_refuses_an_approval_of_another_release(fed: Any) -> None:
    run = fed.run().until(phases.APPROVALS)
    other = dataclasses.replace(run.coordinator._unsigned_release().release, rounds=99)
    signed = SignedRelease.unsigned(other).envelope.signed_by(fed.keys[0])
    (signature,) = signed.signatures.values()
    approval = messages.Approval(run_hash=run.coordinator.run_hash, partner=0, signature=signature)
    with refusal("E-SIGNATURE"):
        run.coordinator.receive(approval.to_bytes())


def test_the_coordinator_never_proposes_a_set_that_the_rules_forbid(fed: Any, nine: Any) -> None:
    run = fed.run().until(phases.ANSWERS)
    with refusal("E-SET-QUORUM"):
        run.coordinator.drop(frozenset({2}))
    run = nine.run().until(phases.ANSWERS)
    with refusal("E-SET-ISOLATES"):
        run.coordinator.drop(frozenset({8}))
    assert run.coordinator.chain.last.members == frozenset(range(9))


def test_the_chain_of_every_node_is_the_coordinators(nine: Any) -> None:
    run = smaller(nine)
    chains = {node.state.chain for node in run.nodes[:6]}
    assert chains == {run.coordinator.chain}
    assert Chain.from_bytes(run.coordinator.chain.to_bytes(), nine.agreement) in chains
