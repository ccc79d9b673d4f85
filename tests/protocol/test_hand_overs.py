"""Signed hand-overs: what holds, what is refused, and which key is in force then."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.agreement import hand_overs
from protocol.agreement.document import Agreement
from protocol.agreement.hand_over import MAX_BYTES, MAX_NUMBER, PAYLOAD_TYPE, HandOver
from protocol.agreement.hand_overs import MAX_COUNT, MAX_LIST_BYTES, HandOvers
from protocol.canonical import canonical_json
from protocol.errors import AgreementError, MalformedError
from protocol.limits import MAX_PARTNERS
from protocol.signing import Envelope, key_id, public_bytes

AT = "2026-03-01T09:00:00Z"


@pytest.fixture
def key(lab: ModuleType) -> Callable[[str], Ed25519PrivateKey]:
    return lab.key_of  # type: ignore[no-any-return]


@pytest.fixture
def agreement(lab: ModuleType) -> Agreement:
    return Agreement.from_dict(lab.agreement_values(3))


Make = Callable[..., HandOver]


@pytest.fixture
def make(key: Callable[[str], Ed25519PrivateKey]) -> Make:
    """A hand-over between keys by their names; of p0 and number 1 unless it is said."""

    def made(old: str, new: str, partner: str = "p0", number: int = 1) -> HandOver:
        return HandOver.make(key(old), key(new), partner=partner, number=number, at=AT)

    return made


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(AgreementError) as caught:
        action()
    return caught.value.code


def test_a_hand_over_is_read_as_it_was_written(make: Make) -> None:
    for partner in ("p0", ""):
        made = make("p0", "new", partner)
        read = HandOver.from_bytes(made.to_bytes())
        assert read == made
        assert (read.partner, read.number, read.at) == (partner, 1, AT)
        assert partner in read.words and key_id(made.new_key)[:16] in read.words
    several = HandOvers.of([make("p0", "a"), make("a", "b", number=2), make("p1", "c", "p1")])
    assert list(HandOvers.from_bytes(several.to_bytes())) == list(several)
    assert HandOvers().to_bytes() == b"" and not HandOvers.from_bytes(b"")
    with pytest.raises(MalformedError):
        HandOvers.from_bytes(several.to_bytes()[:-1])


def test_both_keys_have_to_sign_and_nobody_else(
    make: Make, key: Callable[[str], Ed25519PrivateKey]
) -> None:
    payload = make("p0", "new").envelope.payload

    def signed(*names: str) -> bytes:
        envelope = Envelope(payload_type=PAYLOAD_TYPE, payload=payload, signatures={})
        for name in names:
            envelope = envelope.signed_by(key(name))
        return envelope.to_bytes()

    assert HandOver.from_bytes(signed("p0", "new")).number == 1
    for names in ((), ("p0",), ("new",), ("p0", "other"), ("p0", "new", "other")):
        data = signed(*names)
        code = code_of(lambda data=data: HandOver.from_bytes(data))  # type: ignore[misc]
        assert code == "E-HAND-OVER-SIGNATURE", names


def test_a_signature_over_another_text_is_refused(make: Make) -> None:
    honest, other = make("p0", "new").envelope, make("p0", "new", number=2).envelope
    swapped = Envelope(
        payload_type=PAYLOAD_TYPE, payload=other.payload, signatures=honest.signatures
    )
    assert code_of(lambda: HandOver.from_bytes(swapped.to_bytes())) == "E-HAND-OVER-SIGNATURE"


def test_a_key_is_not_handed_over_to_itself(make: Make) -> None:
    assert code_of(lambda: make("p0", "p0")) == "E-HAND-OVER"


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "fedseg/hand-over/v2"},
        {"role": "partner", "partner": None},
        {"role": "coordinator"},
        {"role": "auditor"},
        {"partner": "P0"},
        {"number": 0},
        {"number": 81},
        {"old_key": "00" * 31},
        {"new_key": "zz" * 32},
        {"at": "yesterday"},
        {"more": 1},
    ],
)
def test_whatever_is_not_of_the_form_is_refused(make: Make, change: dict[str, Any]) -> None:
    envelope = make("p0", "new").envelope
    values = json.loads(envelope.payload) | change
    payload = canonical_json({k: v for k, v in values.items() if v is not None})
    changed = Envelope(payload_type=PAYLOAD_TYPE, payload=payload, signatures=envelope.signatures)
    assert code_of(lambda: HandOver.from_bytes(changed.to_bytes())) == "E-HAND-OVER"


def test_the_key_in_force_is_the_last_of_the_chain(
    agreement: Agreement, make: Make, key: Callable[[str], Ed25519PrivateKey]
) -> None:
    known = HandOvers.of(
        [
            make("p1", "a", "p1"),
            make("elsewhere", "x", "p9"),
            make("a", "b", "p1", 2),
            make("coordinator", "c", ""),
        ]
    )
    found = agreement.with_hand_overs(known)
    assert found.keys.of(1) == public_bytes(key("b"))
    assert found.keys.of(0) == agreement.parties[0].public_key
    assert found.keys.coordinator == public_bytes(key("c"))
    assert [one.new_key for one in found.hand_overs] == [
        public_bytes(key(name)) for name in ("a", "b", "c")
    ], "what is of no key of the agreement is left out"
    assert found.index_of_key(public_bytes(key("b"))) == 1
    assert (found.hash, found.to_bytes()) == (agreement.hash, agreement.to_bytes())
    assert agreement.keys.hash == b"" and len(found.keys.hash) == 32
    assert found.with_hand_overs(HandOvers()).keys == agreement.keys


def test_a_key_that_was_handed_over_is_no_partys_any_more(
    agreement: Agreement, make: Make, key: Callable[[str], Ed25519PrivateKey]
) -> None:
    found = agreement.with_hand_overs(HandOvers.of([make("p1", "a", "p1")]))
    assert code_of(lambda: found.index_of_key(public_bytes(key("p1")))) == "E-KEY-ROTATED"
    assert code_of(lambda: found.index_of_key(public_bytes(key("b")))) == "E-AGR-PARTY"


def test_a_second_hand_over_from_one_key_is_refused_and_both_are_shown(make: Make) -> None:
    first, second = make("p0", "a"), make("p0", "b")
    known = HandOvers.of([first])
    assert known.with_one(HandOver.from_bytes(first.to_bytes())) is known, "again is nothing new"
    with pytest.raises(AgreementError) as caught:
        known.with_one(second)
    assert caught.value.code == "E-KEY-FORK"
    for one in (first, second):
        assert one.words in caught.value.message
    assert caught.value.remedy
    later = make("a", "c", number=2)
    assert code_of(lambda: HandOvers.of([first, later]).with_one(second)) == "E-KEY-FORK"


def test_a_key_that_was_handed_over_does_not_come_back(make: Make) -> None:
    known = HandOvers.of([make("p0", "a"), make("a", "b", number=2)])
    assert code_of(lambda: known.with_one(make("b", "a", number=3))) == "E-KEY-REUSED"
    assert code_of(lambda: known.with_one(make("b", "p0", number=3))) == "E-KEY-REUSED"


def test_one_that_comes_after_the_one_that_follows_it_is_put_before_it(make: Make) -> None:
    """An agreement may name a key whose own hand-over comes later, for an agreement of before."""
    first, second, third = make("p0", "a"), make("a", "b", number=2), make("b", "c", number=3)
    other = make("p1", "d", "p1")
    for order in itertools.permutations([first, second, third, other]):
        known = HandOvers.of(order)
        assert known.from_key(first.old_key, partner="p0") == (first, second, third)
        assert known.to_key(third.new_key) == (first, second, third)
        assert HandOvers.from_bytes(known.to_bytes()).all == known.all
    for wrong in (make("p0", "a", "p1"), make("p0", "a", number=2), make("p0", "a", number=3)):
        refused = HandOvers.of([second])
        assert code_of(lambda k=refused, one=wrong: k.with_one(one)) == "E-KEY-REUSED"  # type: ignore[misc]


def test_no_key_becomes_that_of_another_party(agreement: Agreement, make: Make) -> None:
    for new, partner in (("p1", "p0"), ("coordinator", "p0")):
        known = HandOvers.of([make("p0", new, partner)])
        assert code_of(lambda k=known: agreement.with_hand_overs(k)) == "E-KEY-REUSED"  # type: ignore[misc]


def test_a_chain_stays_with_one_partner(make: Make) -> None:
    known = HandOvers.of([make("p0", "a")])
    assert code_of(lambda: known.with_one(make("a", "b", "p1", 2))) == "E-KEY-PARTY"
    assert code_of(lambda: known.with_one(make("a", "b", "", 2))) == "E-KEY-PARTY"


def test_numbers_follow_each_other(make: Make) -> None:
    known = HandOvers.of([make("p0", "a", number=3)])
    for number in (1, 3, 5):
        with_it = make("a", "b", number=number)
        assert code_of(lambda one=with_it: known.with_one(one)) == "E-KEY-NUMBER"  # type: ignore[misc]
    assert len(known.with_one(make("a", "b", number=4))) == 2
    assert known.number_after(make("p0", "a").new_key) == 4
    assert known.number_after(make("p1", "x").old_key) == 1


def test_no_more_are_known_than_a_list_takes(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hand_overs, "MAX_COUNT", 2)
    known = HandOvers.of([make("p0", "a"), make("a", "b", number=2)])
    assert code_of(lambda: known.with_one(make("p1", "c", "p1"))) == "E-KEY-FULL"
    assert known.with_one(make("p0", "a")) is known, "one that is known is no more"
    assert list(HandOvers.from_bytes(known.to_bytes())) == list(known)


def test_those_of_an_agreement_fit_into_a_list() -> None:
    assert (MAX_PARTNERS + 1) * MAX_NUMBER <= MAX_COUNT
    assert 2 * MAX_BYTES * MAX_COUNT <= MAX_LIST_BYTES


def test_no_key_is_handed_over_for_ever(make: Make) -> None:
    last = make("p0", "a", number=MAX_NUMBER)
    known = HandOvers.of([make("p1", "b", "p1", MAX_NUMBER - 1), last])
    assert known.number_after(make("p1", "b", "p1").new_key) == MAX_NUMBER
    assert code_of(lambda: known.number_after(last.new_key)) == "E-KEY-FULL"


def test_a_hand_over_is_of_the_party_that_has_the_key(agreement: Agreement, make: Make) -> None:
    for old, partner in (("p0", "p1"), ("p0", ""), ("coordinator", "p0")):
        known = HandOvers.of([make(old, "a", partner)])
        assert code_of(lambda k=known: agreement.with_hand_overs(k)) == "E-KEY-PARTY"  # type: ignore[misc]
