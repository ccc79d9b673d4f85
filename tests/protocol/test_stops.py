"""A partner's signed stop: read strictly, and of its own agreement by its own key alone."""

from __future__ import annotations

import json
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.agreement.stop import MAX_BYTES, PAYLOAD_TYPE, WITHDRAWN, SignedStop
from protocol.canonical import canonical_json
from protocol.errors import AgreementError
from protocol.signing import Envelope

AT = "2026-05-01T10:00:00Z"


@pytest.fixture
def fed(lab: ModuleType) -> Any:
    return lab.Federation(3)


def stop_of(fed: Any, partner: int = 1, **changes: Any) -> SignedStop:
    return SignedStop.sign(fed.agreement, fed.keys[partner], at=AT, **changes)


def refusal(stop: SignedStop, agreement: Any) -> AgreementError:
    with pytest.raises(AgreementError) as caught:
        stop.verify(agreement)
    return caught.value


def test_a_stop_holds_for_its_agreement_and_says_who_and_why(fed: Any) -> None:
    stop = SignedStop.from_bytes(stop_of(fed, reason="a breach").to_bytes())
    stop.verify(fed.agreement)
    assert (stop.partner, stop.at, stop.reason) == (fed.agreement.parties[1].id, AT, "a breach")
    refused = stop.refusal(fed.agreement)
    assert (refused.code, refused.exit_code) == (WITHDRAWN, 3)
    assert "on 2026-05-01: a breach" in refused.message
    assert "new version" in refused.remedy
    silent = stop_of(fed)
    assert silent.refusal(fed.agreement).message.endswith("on 2026-05-01")


def test_a_stop_of_another_version_holds_for_none_but_that(fed: Any) -> None:
    later = replace(fed.agreement, version=2, supersedes=fed.agreement.hash)
    error = refusal(stop_of(fed), later)
    assert error.code == "E-AGR-PARTY"
    assert "version 2" in error.message


def test_nobody_stops_for_another(fed: Any) -> None:
    with pytest.raises(AgreementError, match="belongs to no party"):
        SignedStop.sign(fed.agreement, Ed25519PrivateKey.generate(), at=AT)
    stop = stop_of(fed)
    unsigned = replace(stop.envelope, signatures={})
    for envelope in (
        unsigned,
        unsigned.signed_by(fed.keys[0]),
        unsigned.signed_by(Ed25519PrivateKey.generate()),
        stop.envelope.signed_by(fed.keys[0]),
        replace(stop.envelope, signatures=dict.fromkeys(stop.envelope.signatures, bytes(64))),
    ):
        forged = SignedStop.from_bytes(envelope.to_bytes())
        assert refusal(forged, fed.agreement).code == "E-AGR-SIGNATURE"
    values = json.loads(stop.envelope.payload) | {"partner": "nobody"}
    other = Envelope(
        payload_type=PAYLOAD_TYPE, payload=canonical_json(values), signatures={}
    ).signed_by(fed.keys[1])
    assert refusal(SignedStop.from_bytes(other.to_bytes()), fed.agreement).code == "E-AGR-PARTY"


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("schema", "fedseg/stop/v2"),
        ("agreement", "ab"),
        ("agreement", None),
        ("partner", ""),
        ("at", "yesterday"),
        ("at", "2026-05-01 10:00:00Z"),
        ("reason", "x" * 1_001),
        ("reason", "hidden\u202e"),
        ("reason", None),
        ("more", "x"),
    ],
)
def test_a_malformed_stop_is_refused_whoever_signed_it(fed: Any, field: str, wrong: Any) -> None:
    values = json.loads(stop_of(fed).envelope.payload) | {field: wrong}
    envelope = Envelope(
        payload_type=PAYLOAD_TYPE, payload=canonical_json(values), signatures={}
    ).signed_by(fed.keys[1])
    with pytest.raises(AgreementError, match=field):
        SignedStop.from_bytes(envelope.to_bytes())


def test_what_is_no_stop_is_refused(fed: Any) -> None:
    agreement = Envelope(payload_type="text/plain", payload=b"{}", signatures={}).to_bytes()
    for data in (b"", b"{}", b"\xff", agreement, b" " * (2 * MAX_BYTES + 1)):
        with pytest.raises(AgreementError) as caught:
            SignedStop.from_bytes(data)
        assert caught.value.code == "E-AGR-SCHEMA"
