"""A partner's card: public facts only, read strictly."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from protocol.agreement.partner_card import MAX_BYTES, PartnerCard
from protocol.errors import MalformedError

NODE_KEY = (
    ec.generate_private_key(ec.SECP384R1())
    .public_key()
    .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    .decode("ascii")
)
CARD = PartnerCard(
    id="north-shop",
    legal_name='Nord "Shop" GmbH & Søn',
    contact="office@north.example",
    dpo="dpo@north.example",
    jurisdictions=("DE", "US-CA"),
    public_key=bytes(range(32)),
    node_key=NODE_KEY,
    max_customers=1_000_000,
)


def refused(**changes: Any) -> str:
    values = CARD.to_dict() | changes
    text = json.dumps({k: v for k, v in values.items() if v is not ...}).encode()
    with pytest.raises(MalformedError) as caught:
        PartnerCard.from_bytes(text)
    return caught.value.message


def test_a_card_reads_back_as_it_was_written() -> None:
    assert PartnerCard.from_bytes(CARD.to_bytes()) == CARD


def test_a_person_may_reformat_a_card() -> None:
    assert PartnerCard.from_bytes(json.dumps(CARD.to_dict(), indent=4).encode()) == CARD


@pytest.mark.parametrize("field", sorted(CARD.to_dict()))
def test_every_field_is_needed_and_has_its_type(field: str) -> None:
    assert repr(field) in refused(**{field: ...})
    for wrong in (None, [], {}, True):
        assert f"card.{field}" in refused(**{field: wrong})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema", "fedseg/partner-card/v2"),
        ("id", "North"),
        ("id", "-x"),
        ("id", "a" * 41),
        ("id", "a\n"),
        ("legal_name", ""),
        ("legal_name", "x" * 201),
        ("legal_name", "a\x1b[2J"),
        ("legal_name", "North\n  public key  00ff"),
        ("contact", "a\nb"),
        ("dpo", "a\nb"),
        ("contact", "\ud800"),
        ("public_key", "00" * 31),
        ("public_key", "AB" * 32),
        ("node_key", "ssh-ed25519 AAAA"),
        ("node_key", NODE_KEY + "\nssh-rsa AAAA"),
        ("node_key", NODE_KEY.replace("A", "Ä", 1)),
        ("max_customers", 0),
        ("max_customers", (1 << 30) + 1),
        ("max_customers", "5"),
    ],
)
def test_a_value_out_of_form_is_refused_by_name(field: str, value: object) -> None:
    assert f"card.{field}" in refused(**{field: value})


def test_an_unknown_field_is_refused_with_the_nearest_known() -> None:
    assert "did you mean 'legal_name'?" in refused(legalname="x")


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"\xff\xfe", b"{" * 5_000, b'{"id":1,"id":2}', b"\xef\xbb\xbf{}",
     b" " * (MAX_BYTES + 1), b'{"a":1.5}', b'{"a":NaN}'],
)  # fmt: skip
def test_what_is_no_card_is_our_error(data: bytes) -> None:
    with pytest.raises(MalformedError, match="partner card"):
        PartnerCard.from_bytes(data)
