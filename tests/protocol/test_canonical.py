"""Framing, hashes and canonical JSON mean one thing only."""

from __future__ import annotations

import contextlib
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.canonical import (
    canonical_json,
    exactly,
    frame,
    label,
    parse_canonical_json,
    parse_json,
    parse_u32,
    tagged_hash,
    u32,
    unframe,
    unframe_labelled,
    unframe_list,
)
from protocol.errors import MalformedError


@given(st.lists(st.binary(max_size=20), max_size=6))
def test_what_was_framed_is_read_back(fields: list[bytes]) -> None:
    assert unframe(frame(*fields), len(fields)) == fields
    assert unframe_list(frame(*fields), max_count=6) == fields


@given(st.lists(st.binary(max_size=9), max_size=5), st.lists(st.binary(max_size=9), max_size=5))
def test_different_fields_never_frame_to_the_same_bytes(one: list[bytes], two: list[bytes]) -> None:
    assert (frame(*one) == frame(*two)) == (one == two)


@given(st.binary(max_size=40), st.integers(0, 4))
def test_bytes_that_unframe_frame_back_to_themselves(data: bytes, count: int) -> None:
    try:
        fields = unframe(data, count)
    except MalformedError:
        return
    assert frame(*fields) == data


@pytest.mark.parametrize("count", [0, 1, 3, 4])
def test_another_number_of_fields_is_refused(count: int) -> None:
    with pytest.raises(MalformedError):
        unframe(frame(b"a", b"b"), count)


@pytest.mark.parametrize(
    "data", [b"\0", b"\0\0\0\1", b"\0\0\0\2a", frame(b"a") + b"\0", b"\xff\xff\xff\xff" + b"a"]
)
def test_bytes_that_end_early_or_late_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        unframe(data, 1)
    with pytest.raises(MalformedError):
        unframe_list(data, max_count=1)


def test_a_list_longer_than_its_limit_is_refused() -> None:
    with pytest.raises(MalformedError, match="more than 2"):
        unframe_list(frame(b"", b"", b""), max_count=2)


def test_another_label_is_refused() -> None:
    data = frame(label("ready"), b"x")
    assert unframe_labelled(data, "ready", 1) == [b"x"]
    with pytest.raises(MalformedError, match="accept"):
        unframe_labelled(data, "accept", 1)


def test_numbers_take_four_bytes() -> None:
    assert parse_u32(u32(2**32 - 1)) == 2**32 - 1
    for data in (b"\0\0\0", b"\0\0\0\0\1"):
        with pytest.raises(MalformedError):
            parse_u32(data)
    with pytest.raises(OverflowError):
        u32(1 << 32)
    with pytest.raises(OverflowError):
        u32(-1)


def test_a_field_of_another_size_is_refused() -> None:
    assert exactly(b"ab", 2, "it") == b"ab"
    with pytest.raises(MalformedError, match="it takes 3 bytes, found 2"):
        exactly(b"ab", 3, "it")


def test_hashes_are_of_the_framed_label_and_fields() -> None:
    data = b"\0\0\0\x0efedseg/v1/test\0\0\0\1a\0\0\0\0"
    assert tagged_hash("test", b"a", b"") == hashlib.sha256(data).digest()
    assert tagged_hash("test", b"a") != tagged_hash("test", b"a", b"")
    assert tagged_hash("test", b"a") != tagged_hash("tes", b"ta")


def test_json_is_sorted_as_in_rfc_8785_section_3_2_3() -> None:
    value = {
        "\u20ac": "Euro Sign",
        "\r": "Carriage Return",
        "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\U0001f600": "Emoji: Grinning Face",
        "\u0080": "Control",
        "\u00f6": "Latin Small Letter O With Diaeresis",
    }
    order = ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    assert list(json.loads(canonical_json(value))) == order
    assert canonical_json({"b": 2, "a": [1, {"d": "\u20ac$\n", "c": None}]}) == (
        '{"a":[1,{"c":null,"d":"\u20ac$\\n"}],"b":2}'.encode()
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        '{"a":{"b":1,"b":2}}',
        '{"a":1.0}',
        '{"a":1e3}',
        '{"a":NaN}',
        '{"a":Infinity}',
        '{"a":-Infinity}',
        "[1]",
        '"a"',
        "1",
        "null",
        "",
        "{",
        '{"a":1}x',
        "{'a':1}",
        '\ufeff{"a":1}',
        '{"a":' + "[" * 5_000 + "]" * 5_000 + "}",
        '{"a":' + "9" * 5_000 + "}",
    ],
)
def test_json_that_could_be_read_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_json(text.encode(), max_bytes=1 << 20, what="it")


@pytest.mark.parametrize("data", [b"\xff\xfe", b'{"a":"\xff"}', b'{"a":"\xed\xa0\x80"}'])
def test_json_that_is_not_utf_8_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_json(data, max_bytes=100, what="it")


def test_json_above_its_limit_is_refused_unread() -> None:
    with pytest.raises(MalformedError, match="at most 5"):
        parse_json(b'{"a":1}', max_bytes=5, what="it")


@pytest.mark.parametrize(
    "text",
    [
        '{"b":1,"a":1}',
        '{"a": 1}',
        '{"a":1}\n',
        '{"a":"\\u0041"}',
        '{"a":-0}',
        '{"a":"\\/"}',
        '{"a":"\\ud800"}',
        '{"a":9007199254740993}',
    ],
)
def test_json_in_another_than_the_canonical_form_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_canonical_json(text.encode(), max_bytes=100, what="it")


def test_json_nested_at_every_depth_raises_only_our_errors() -> None:
    for depth in range(100, 1_200, 7):
        data = b'{"a":' + b"[" * depth + b"]" * depth + b"}"
        with contextlib.suppress(MalformedError):
            parse_canonical_json(data, max_bytes=1 << 20, what="it")


@given(
    st.dictionaries(
        st.text(max_size=5), st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=5), max_size=5
    )
)
def test_canonical_json_is_read_back(value: dict[str, int | str]) -> None:
    try:
        data = canonical_json(value)
    except UnicodeError:
        return
    assert parse_canonical_json(data, max_bytes=10_000, what="it") == value
