"""Invitations as texts: short, whole or refused, and a key that follows from their bits."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from machine.certificates import key_fingerprint
from protocol.control.invitation import (
    MAX_ADDRESS,
    MAX_CHARACTERS,
    PREFIX,
    Invitation,
    invitation_id,
    key_of,
)
from protocol.errors import MalformedError

OURS = Invitation(
    secret=bytes(range(16)),
    address="coordinator.example:9444",
    fingerprint=b"\x07" * 32,
    expires=1_800_000_000,
)


def refused(text: str) -> MalformedError:
    with pytest.raises(MalformedError) as caught:
        Invitation.from_text(text)
    assert caught.value.code == "E-INVITATION"
    assert caught.value.remedy
    return caught.value


def test_the_text_and_the_key_of_known_bits_are_known() -> None:
    assert OURS.to_text() == (
        "fedseg-1-AAECAwQFBgcICQoLDA0ODwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHAGtJ0gBjb29yZGluYXRv"
        "ci5leGFtcGxlOjk0NDSw4edw"
    )
    assert OURS.end == datetime(2027, 1, 15, 8, tzinfo=UTC)
    point = (
        OURS.key()
        .public_key()
        .public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    )
    assert point.hex() == ("03ab47424640b08f84aae903768bdc65d3838db9b1829c681528b36db84069ea20")
    assert invitation_id(OURS.key().public_key()) == "8f11bb0d650416a7c0a2e37e701e2e41"


@settings(max_examples=50, deadline=None)
@given(
    secret=st.binary(min_size=16, max_size=16),
    fingerprint=st.binary(min_size=32, max_size=32),
    expires=st.integers(0, 4_000_000_000),
    host=st.from_regex(r"[a-z0-9.-]{1,74}", fullmatch=True),
)
def test_every_invitation_is_read_as_it_was_written_and_fits_into_two_hundred_characters(
    secret: bytes, fingerprint: bytes, expires: int, host: str
) -> None:
    made = Invitation(
        secret=secret, fingerprint=fingerprint, expires=expires, address=f"{host}:9444"
    )
    text = made.to_text()
    assert len(text) <= MAX_CHARACTERS
    assert Invitation.from_text(text) == made


def test_the_longest_address_fits() -> None:
    longest = Invitation(
        secret=OURS.secret,
        fingerprint=OURS.fingerprint,
        expires=2**40 - 1 - 2**39,
        address="a" * (MAX_ADDRESS - 6) + ":65535",
    )
    assert len(longest.to_text()) <= MAX_CHARACTERS


def test_line_ends_and_blanks_of_mail_programs_are_left_out() -> None:
    text = OURS.to_text()
    assert Invitation.from_text(f"  {text[:70]}\r\n {text[70:]}\n") == OURS


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, len(OURS.to_text()) - 1), letter=st.sampled_from("Aa0_-Z9"))
def test_an_invitation_in_which_a_letter_changed_is_refused(at: int, letter: str) -> None:
    text = OURS.to_text()
    changed = text[:at] + letter + text[at + 1 :]
    if changed != text:
        assert text not in refused(changed).message


@pytest.mark.parametrize("end", [0, 1, 8, 9, 40, 90, -1])
def test_an_invitation_that_was_cut_is_refused(end: int) -> None:
    refused(OURS.to_text()[:end])


@pytest.mark.parametrize("text", ["", PREFIX, PREFIX + "====", "fedseg-2-AAAA", "x" * 300, "é"])
def test_what_is_no_invitation_is_refused(text: str) -> None:
    refused(text)


@pytest.mark.parametrize(
    "address",
    ["", "host", "host:0", "host:65536", "ho st:1", "höst:1", "::1:1", "a" * 90 + ":1", "a:1:2"],
)
def test_an_address_that_nobody_can_call_makes_no_invitation(address: str) -> None:
    with pytest.raises(MalformedError, match="address"):
        Invitation(secret=OURS.secret, fingerprint=OURS.fingerprint, expires=1, address=address)


def test_an_ipv6_address_is_one() -> None:
    made = Invitation(
        secret=OURS.secret, fingerprint=OURS.fingerprint, expires=1, address="[::1]:9444"
    )
    assert Invitation.from_text(made.to_text()) == made


def test_an_invitation_is_not_printed_with_its_secret() -> None:
    assert OURS.secret.hex() not in repr(OURS)
    assert repr(OURS.secret) not in repr(OURS)


def test_other_bits_are_another_key() -> None:
    keys = {key_fingerprint(key_of(bytes([i]) * 16).public_key()) for i in range(20)}
    assert len(keys) == 20
