"""Seals, their proofs, and what travels beside messages: made, read, and altered."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from protocol.canonical import canonical_json
from protocol.errors import FedsegError
from protocol.log.beside import MAX_BESIDE_BYTES, Cosigned, Passed, Shown, Told, passed_to
from protocol.log.names import key_of_log, key_of_seals, key_of_witness, party_of
from protocol.log.notes import VerifierKey
from protocol.log.proofs import LogProof
from protocol.log.seals import Opened, check_sealed, is_sealed, seal
from protocol.log.witness import Proof
from tests.vectors.make_seals import FILE, Sealing, vectors

VECTORS = json.loads(Path(FILE).read_text("utf-8"))
MADE = Sealing()


def code_of(act: Callable[[], object]) -> str:
    with pytest.raises(FedsegError) as refused:
        act()
    return refused.value.code


def test_the_vectors_are_those_of_the_code() -> None:
    assert vectors() == VECTORS


def test_a_seal_tells_nothing_and_is_bound_to_nonce_and_text() -> None:
    text = MADE.checkpoint.to_text()
    made = seal(bytes(32), text)
    assert made != seal(bytes(31) + b"\1", text)
    assert made != seal(bytes(32), MADE.later.to_text())
    assert code_of(lambda: seal(bytes(31), text)) == "E-LOG-FORMAT"
    assert code_of(lambda: seal(bytes(32), "no checkpoint\n")) == "E-LOG-FORMAT"


def test_names_are_of_party_key_and_agreement() -> None:
    log, seals = key_of_log("north", bytes(32)), key_of_seals("north", bytes(32), "pilot")
    assert seals.name == f"{log.name}/pilot"
    assert key_of_witness("north", bytes(32)).key_id != log.key_id, "another type of signature"
    assert [party_of(one) for one in (log.name, seals.name, "a/b/c", "fedseg/north")] == [
        "north", "north", "", "",
    ]  # fmt: skip


@pytest.mark.parametrize("one", VECTORS["proofs"], ids=lambda one: str(one["comment"]))
def test_proofs_by_a_seal(one: dict[str, Any]) -> None:
    proof = LogProof.parse(one["proof"].encode())
    assert is_sealed(proof)
    key = VerifierKey.parse(one["key"])
    witnesses = [VerifierKey.parse(text) for text in one["witnesses"]]

    def check() -> object:
        return check_sealed(proof, key, witnesses, one["quorum"])

    if one["code"]:
        assert code_of(check) == one["code"]
        return
    found = check_sealed(proof, key, witnesses, one["quorum"])
    assert found.cosigned == one["cosigned"]
    assert found.entry.decode() == one["entry"]


def test_what_opens_a_seal_has_one_form() -> None:
    opened = MADE.opened
    data = opened.to_bytes()
    assert Opened.from_bytes(data) == opened
    values = json.loads(data)
    for changed in (
        {**values, "schema": "fedseg/opened-seal/2"},
        {**values, "nonce": "00" * 31},
        {**values, "more": 1},
        {**values, "hashes": ["00" * 31]},
        {**values, "hashes": ["00" * 32] * 64},
        {**values, "hashes": "00"},
        {**values, "entry": "=="},
        {**values, "index": -1},
    ):
        assert code_of(lambda: Opened.from_bytes(canonical_json(changed))) == "E-LOG-FORMAT"  # noqa: B023
    assert code_of(lambda: Opened.from_bytes(data + b" ")) == "E-LOG-FORMAT"
    assert code_of(lambda: check_sealed(replace(MADE.proof, extra=None), MADE.key)) == (
        "E-LOG-FORMAT"
    )
    assert not is_sealed(replace(MADE.proof, extra=b"entry"))


COSIGNED = Cosigned(party="south", size=3, root=bytes(32), time=7, signature=bytes(64))
TOLD = Told(note="note", proofs=(Proof(2, (bytes(32),)), Proof(0)), cosigned=(COSIGNED,))
PASSED = Passed(
    shown=(
        Shown(party="south", note="note", proof=Proof(2)),
        Shown(party="x", note="n", proof=None),
    ),
    cosigned=(COSIGNED,),
)


def test_what_is_told_and_passed_comes_back_and_nothing_else_is_read() -> None:
    assert Told.from_bytes(TOLD.to_bytes()) == TOLD
    assert Told.from_bytes(Told().to_bytes()) == Told()
    assert Passed.from_bytes(PASSED.to_bytes()) == PASSED
    told, passed = json.loads(TOLD.to_bytes()), json.loads(PASSED.to_bytes())
    for read, values in (
        (Told.from_bytes, {**told, "more": 1}),
        (Told.from_bytes, {**told, "note": "n" * 1025}),
        (Told.from_bytes, {**told, "cosigned": told["cosigned"] * 2}),
        (Told.from_bytes, {**told, "cosigned": [{**told["cosigned"][0], "size": 0}]}),
        (Told.from_bytes, {**told, "cosigned": [{**told["cosigned"][0], "more": 0}]}),
        (Told.from_bytes, {**told, "proofs": [{**told["proofs"][0], "more": 0}]}),
        (Told.from_bytes, {**told, "proofs": told["proofs"] * 26}),
        (Told.from_bytes, {**told, "note": 1}),
        (Passed.from_bytes, {**passed, "more": 1}),
        (Passed.from_bytes, {**passed, "notes": passed["notes"] + passed["notes"]}),
        (Passed.from_bytes, {**passed, "notes": [{**passed["notes"][0], "more": 1}]}),
        (Passed.from_bytes, {**passed, "notes": [{**passed["notes"][0], "party": "North"}]}),
    ):  # fmt: skip
        with pytest.raises(FedsegError):
            read(canonical_json(values))
    for data in (b"", b"{}", TOLD.to_bytes() + b"}", b" " * (MAX_BESIDE_BYTES + 1)):
        with pytest.raises(FedsegError):
            Told.from_bytes(data)


def test_everybody_is_passed_what_the_others_told_with_the_proof_that_it_can_use() -> None:
    def of(party: str, size: int) -> Cosigned:
        return replace(COSIGNED, party=party, size=size)

    told = {
        "north": Told(note="n", proofs=(Proof(4), Proof(2)), cosigned=(of("south", 1),)),
        "south": Told(note="s", proofs=(Proof(1),), cosigned=(of("north", 2), of("west", 9))),
        "west": Told(cosigned=(of("north", 4),)),
    }
    north = passed_to("north", list(told.items()))
    assert [(one.party, one.note, one.proof) for one in north.shown] == [("south", "s", Proof(1))]
    assert [(one.party, one.size) for one in north.cosigned] == [("south", 2), ("west", 4)]
    west = passed_to("west", list(told.items()))
    assert [(one.party, one.proof) for one in west.shown] == [("north", Proof(4)), ("south", None)]
    assert [(one.party, one.size) for one in west.cosigned] == [("south", 9)]
    new = passed_to("east", list(told.items()))
    assert [one.proof for one in new.shown] == [None, None]
    assert new.cosigned == ()
