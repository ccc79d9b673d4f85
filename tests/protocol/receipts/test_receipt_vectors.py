"""The vectors that verifiers in other languages are held against."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from protocol.canonical import canonical_json
from protocol.errors import FedsegError
from protocol.log.notes import VerifierKey
from protocol.receipts.checking import check_receipt
from tests.vectors import make_receipts

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "receipts.json").read_text(encoding="utf-8")
)


def test_the_vectors_are_those_that_are_made() -> None:
    assert make_receipts.text() == make_receipts.FILE.read_text(encoding="utf-8")


@pytest.mark.parametrize("case", VECTORS["receipts"], ids=lambda case: case["why"])
def test_a_receipt_of_the_vectors_holds(case: dict[str, Any]) -> None:
    checked = check_receipt(
        canonical_json(case["receipt"]),
        log=VerifierKey.parse(case["vkey"]),
        witnesses=[VerifierKey.parse(case["witness"])],
    )
    assert checked.cosigned == case["cosigned"]
    assert case["told"] == [
        {"run": one.run.hex(), "round": one.round, "state": one.state}
        for run in checked.runs
        for one in run.told
    ]


@pytest.mark.parametrize("case", VECTORS["bad_receipts"], ids=lambda case: case["why"])
def test_a_bad_receipt_of_the_vectors_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(FedsegError) as refused:
        check_receipt(canonical_json(case["receipt"]), log=VerifierKey.parse(case["vkey"]))
    assert refused.value.code == case["code"]
