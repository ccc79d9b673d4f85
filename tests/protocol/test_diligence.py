"""Records of due diligence: signed by the operator alone, of one key, for a time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.agreement.diligence import DiligenceRecord
from protocol.agreement.document import Agreement
from protocol.canonical import canonical_json
from protocol.errors import AgreementError
from protocol.signing import Envelope, public_bytes

OPERATOR = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
GOOD: dict[str, Any] = {
    "partner": "north", "public_key": "11" * 32, "checked": "register, sanctions list",
    "by": "A. Auditor", "documents": [{"title": "extract.pdf", "sha256": "22" * 32}],
    "at": "2026-01-01T00:00:00Z", "expires": "2027-01-01T00:00:00Z",
}  # fmt: skip
END = datetime(2027, 1, 1, tzinfo=UTC)


def code_of(action: Any) -> str:
    with pytest.raises(AgreementError) as caught:
        action()
    return caught.value.code


def test_a_record_is_read_back_and_is_signed_by_the_operator_alone() -> None:
    record = DiligenceRecord.sign(GOOD, OPERATOR)
    assert DiligenceRecord.from_bytes(record.to_bytes()) == record
    assert record.to_dict() == GOOD
    record.verify(public_bytes(OPERATOR))
    other = Ed25519PrivateKey.generate()
    assert code_of(lambda: record.verify(public_bytes(other))) == "E-AGR-SIGNATURE"
    both = DiligenceRecord.from_bytes(record.envelope.signed_by(other).to_bytes())
    assert code_of(lambda: both.verify(public_bytes(OPERATOR))) == "E-AGR-SIGNATURE"


def test_a_record_with_other_words_is_not_that_which_was_signed() -> None:
    record = DiligenceRecord.sign(GOOD, OPERATOR)
    values = json.loads(record.envelope.payload) | {"expires": "2099-01-01T00:00:00Z"}
    forged = Envelope(
        payload_type=record.envelope.payload_type, payload=canonical_json(values),
        signatures=record.envelope.signatures,
    )  # fmt: skip
    lie = DiligenceRecord.from_bytes(forged.to_bytes())
    assert code_of(lambda: lie.verify(public_bytes(OPERATOR))) == "E-AGR-SIGNATURE"


def test_a_record_holds_for_its_key_and_its_time() -> None:
    record, key = DiligenceRecord.sign(GOOD, OPERATOR), b"\x11" * 32
    assert record.holds_for(key, record.at)
    assert record.holds_for(key, END - timedelta(seconds=1))
    assert not record.holds_for(key, END)
    assert not record.holds_for(key, record.at - timedelta(seconds=1))
    assert not record.holds_for(b"\x12" * 32, record.at)


@pytest.mark.parametrize(
    "wrong",
    [
        {"partner": ""}, {"public_key": "11"}, {"checked": ""}, {"by": "two\nlines"},
        {"documents": [{"title": "x"}]}, {"documents": GOOD["documents"] * 21}, {"at": "2026"},
        {"expires": GOOD["at"]}, {"extra": 1}, {"schema": "x"}, {"checked": "a\u200bb"},
    ],
)  # fmt: skip
def test_a_record_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    assert code_of(lambda: DiligenceRecord.sign(GOOD | wrong, OPERATOR)) == "E-AGR-SCHEMA"


def test_an_agreement_may_demand_it_and_keeps_its_hash_where_it_does_not(lab: ModuleType) -> None:
    values = lab.agreement_values(3)
    assert "diligence" not in Agreement.from_dict(values).to_dict()
    demands = Agreement.from_dict(values | {"diligence": "required"})
    assert demands.diligence
    assert Agreement.from_bytes(demands.to_bytes()) == demands
    for wrong in (True, "optional", "", None):
        assert code_of(lambda w=wrong: Agreement.from_dict(values | {"diligence": w})) == (
            "E-AGR-SCHEMA"
        )
