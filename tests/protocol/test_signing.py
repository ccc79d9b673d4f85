"""Ed25519 with domain separation, and DSSE envelopes."""

from __future__ import annotations

import base64
import dataclasses
import json
from types import ModuleType
from typing import Any

import pytest

from protocol.errors import MalformedError, SignatureError
from protocol.signing import (
    Envelope,
    key_id,
    pre_authentication_encoding,
    public_bytes,
    sign,
    sign_document,
    verify,
)

TYPE = "http://example.com/HelloWorld"


def test_the_encoding_before_signing_is_that_of_the_dsse_specification() -> None:
    expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pre_authentication_encoding(TYPE, b"hello world") == expected
    assert pre_authentication_encoding("", b"") == b"DSSEv1 0  0 "


def test_a_signature_holds_for_one_key_purpose_and_body_only(lab: ModuleType) -> None:
    key, other = lab.key_of("a"), lab.key_of("b")
    signature = sign(key, "hello", b"body")
    verify(public_bytes(key), "hello", b"body", signature, who="a")
    for public, name, body, found in (
        (public_bytes(other), "hello", b"body", signature),
        (public_bytes(key), "ready", b"body", signature),
        (public_bytes(key), "hello", b"bodY", signature),
        (public_bytes(key), "hello", b"body", bytes(64)),
        (public_bytes(key), "hello", b"body", sign_document(key, "hello", b"body")),
        (b"\xff" * 32, "hello", b"body", signature),
    ):
        with pytest.raises(SignatureError, match="not signed by a"):
            verify(public, name, body, found, who="a")


@pytest.mark.parametrize("size", [0, 63, 65])
def test_a_signature_of_another_size_is_refused(lab: ModuleType, size: int) -> None:
    with pytest.raises(MalformedError):
        verify(public_bytes(lab.key_of("a")), "hello", b"", bytes(size), who="a")


@pytest.fixture
def envelope(lab: ModuleType) -> Any:
    """A document signed by a and b."""
    empty = Envelope(payload_type=TYPE, payload=b"hello world", signatures={})
    return empty.signed_by(lab.key_of("a")).signed_by(lab.key_of("b"))


def test_an_envelope_is_read_back_and_says_who_signed(lab: ModuleType, envelope: Any) -> None:
    again = Envelope.from_bytes(envelope.to_bytes(), payload_type=TYPE, max_bytes=1_000)
    assert again == envelope
    keys = [public_bytes(lab.key_of(name)) for name in "abc"]
    assert again.signers(keys) == frozenset(keys[:2])


def test_an_envelope_with_a_wrong_signature_is_refused(lab: ModuleType, envelope: Any) -> None:
    keys = [public_bytes(lab.key_of(name)) for name in "ab"]
    swapped = {
        key_id(keys[0]): envelope.signatures[key_id(keys[1])],
        key_id(keys[1]): envelope.signatures[key_id(keys[0])],
    }
    for changes in ({"payload": b"hello worlD"}, {"payload_type": "x"}, {"signatures": swapped}):
        with pytest.raises(SignatureError):
            dataclasses.replace(envelope, **changes).signers(keys)
    with pytest.raises(SignatureError):
        envelope.with_signature(keys[0], envelope.signatures[key_id(keys[1])])


def changed(envelope: Any, **changes: Any) -> bytes:
    values = json.loads(envelope.to_bytes())
    values.update(changes)
    return json.dumps(values).encode()


def test_an_envelope_that_is_not_exactly_one_is_refused(envelope: Any) -> None:
    values = json.loads(envelope.to_bytes())
    one = values["signatures"][0]
    long = base64.b64encode(bytes(1_001)).decode()
    for changes in (
        {"payloadType": "text/plain"},
        {"payload": "aGVsbG8"},
        {"payload": "aGVsbG8gd29ybGR="},
        {"payload": "!"},
        {"payload": long},
        {"extra": 1},
        {"signatures": [one, one]},
        {"signatures": [{**one, "sig": "AA=="}]},
        {"signatures": [{**one, "extra": 1}]},
        {"signatures": [one] * 65},
        {"signatures": {}},
    ):
        with pytest.raises(MalformedError):
            Envelope.from_bytes(changed(envelope, **changes), payload_type=TYPE, max_bytes=1_000)
