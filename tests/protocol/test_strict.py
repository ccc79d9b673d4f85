"""Signed objects are read strictly: named, typed, bounded, nothing left over."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import MalformedError
from protocol.strict import Fields, parse_decimal

#: A reader of a signed text would not see what these hold.
HIDDEN = [
    *"\0\t\r\x7f\x85\x9f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2800"
]
#: First and last of each range that Unicode says is ignored where it is shown.
IGNORED = [
    "\u00ad\u00ad", "\u034f\u034f", "\u061c\u061c", "\u115f\u1160", "\u17b4\u17b5", "\u180b\u180f",
    "\u200b\u200f", "\u202a\u202e", "\u2060\u206f", "\u3164\u3164", "\ufe00\ufe0f", "\ufeff\ufeff",
    "\uffa0\uffa0", "\ufff0\ufff8", "\U0001bca0\U0001bca3", "\U0001d173\U0001d17a",
    "\U000e0000\U000e0fff",
]  # fmt: skip
#: Of the formatting characters those that are drawn: signs about numbers, words and hieroglyphs.
DRAWN = ("ARABIC ", "SYRIAC ", "KAITHI ", "EGYPTIAN ")
TEXTS = ["", "abcd", "a\0", "\ud800", 1, None, [], *HIDDEN]

READERS: list[tuple[Callable[[Fields], Any], Any, list[Any]]] = [
    (lambda f: f.text("x", max_length=3), "abc", TEXTS),
    (lambda f: f.text("x", max_length=3, pattern="[a-z]+"), "abc", ["ab1", "A", "a\n"]),
    (lambda f: f.one_of("x", ("one", "two")), "two", ["three", "On", 1, None, ""]),
    (lambda f: f.integer("x", at_least=1, at_most=3), 3, [0, 4, "1", True, 1.0, None]),
    (lambda f: f.decimal("x"), "1.5", [1.5, 1, "1,5", "1e3", "+1", ".5", "1.", "01", "NaN", ""]),
    (lambda f: f.hex("x", size=2), "00ff", ["00", "00fF", "00fg", "0x00", "00ff\n", 1]),
    (lambda f: f.object("x"), {}, [[], "a", None, 1]),
    (lambda f: f.objects("x", at_most=1), [{}], [[], [{}, {}], [1], {}, None]),
    (
        lambda f: f.integers("x", at_most=2, lowest=0, highest=1),
        [0, 1],
        [[2], [-1], [True], [0, 0, 0], ["0"], [0.0], 0],
    ),
]
CASES = [(read, good, bad) for read, good, bads in READERS for bad in bads]


@pytest.mark.parametrize(("read", "good", "bad"), CASES)
def test_a_value_of_another_kind_or_range_is_refused(
    read: Callable[[Fields], Any], good: Any, bad: Any
) -> None:
    read(Fields({"x": good}, "it"))
    with pytest.raises(MalformedError, match=r"it\.x"):
        read(Fields({"x": bad}, "it"))


@pytest.mark.parametrize("value", [1, 1.5, True])
@pytest.mark.parametrize("read", [lambda f: f.decimal("x"), lambda f: f.text("x", max_length=3)])
def test_what_should_be_text_is_to_be_written_in_quotes(
    read: Callable[[Fields], Any], value: Any
) -> None:
    with pytest.raises(MalformedError) as caught:
        read(Fields({"x": value}, "it"))
    assert caught.value.remedy == "write it in quotes"


def test_a_list_in_place_of_text_is_not_to_be_written_in_quotes() -> None:
    with pytest.raises(MalformedError) as caught:
        Fields({"x": ["a"]}, "it").text("x", max_length=3)
    assert caught.value.remedy == ""


@pytest.mark.parametrize("read", [r[0] for r in READERS])
def test_a_missing_field_is_named(read: Callable[[Fields], Any]) -> None:
    with pytest.raises(MalformedError, match="it: field 'x' is missing"):
        read(Fields({}, "it"))


def test_an_unknown_field_is_named_with_the_nearest_known_one() -> None:
    fields = Fields({"purpose": "a", "purposes": "b"}, "it")
    fields.text("purpose", max_length=9)
    with pytest.raises(MalformedError, match="unknown field 'purposes'; did you mean 'purpose'"):
        fields.finish()


def test_something_else_than_an_object_is_refused() -> None:
    with pytest.raises(MalformedError, match="must be an object, found list"):
        Fields([], "it")


@given(st.decimals(-(10**14), 10**14, places=9) | st.integers(-(10**14), 10**14))
def test_decimals_keep_their_value_and_text(value: Any) -> None:
    text = format(value, "f") if not isinstance(value, int) else str(value)
    assert parse_decimal(text, "it") == value
    assert format(parse_decimal(text, "it"), "f") == text


def test_a_huge_number_is_refused_without_being_written_out() -> None:
    fields = Fields({"x": 10**5000}, "it")
    with pytest.raises(MalformedError, match=r"it\.x is a number beyond 64 bits, allowed: 1 to 3"):
        fields.integer("x", at_least=1, at_most=3)


@pytest.mark.parametrize("ends", IGNORED, ids=ascii)
def test_what_is_ignored_where_it_is_shown_is_refused_and_named_with_its_place(ends: str) -> None:
    for code in range(ord(ends[0]), ord(ends[1]) + 1):
        fields = Fields({"x": f"a{chr(code)}b"}, "it")
        with pytest.raises(MalformedError, match=rf"it\.x .* hidden character U\+{code:04X}") as e:
            fields.text("x", max_length=3)
        assert "write the text without it" in e.value.diagnostics()


def test_every_formatting_character_is_refused_but_those_that_are_drawn() -> None:
    passed = []
    for character in map(chr, range(sys.maxunicode + 1)):
        if unicodedata.category(character) == "Cf":
            try:
                Fields({"x": character}, "it").text("x", max_length=1)
            except MalformedError:
                continue
            passed.append(unicodedata.name(character))
    assert passed
    assert [name for name in passed if not name.startswith(DRAWN)] == []


@pytest.mark.parametrize(
    "text", ["Zażółć\nÉté", "سگ", "한국", "हिन्दी", "日本 株式会社", "Ωmega ™ ½"]
)
def test_words_of_any_language_are_taken_as_they_are(text: str) -> None:
    assert Fields({"x": text}, "it").text("x", max_length=40) == text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("caf\u00e9", "cafe\u0301"),
        ("A1", "\uff21\uff11"),
        ("fine", "\ufb01ne"),
        ("10 kg", "10\u00a0kg"),
        ("10 kg", "10  kg"),
        ("\u212b", "\u00c5"),
    ],
)
def test_two_entries_that_look_the_same_are_refused(one: str, other: str) -> None:
    fields = Fields({"x": ["else", one, other]}, "it")
    with pytest.raises(MalformedError) as caught:
        fields.texts("x", at_most=3, max_length=9)
    message = str(caught.value)
    assert "it.x" in message and "look the same" in message
    assert ascii(one) in message and ascii(other) in message


def test_entries_that_a_reader_tells_apart_are_taken() -> None:
    found = Fields({"x": ["gold", "Gold", "e", "é"]}, "it").texts("x", at_most=4, max_length=9)
    assert found == ("gold", "Gold", "e", "é")


def test_whatever_controls_or_breaks_a_line_is_hidden() -> None:
    found = [
        chr(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in ("Cc", "Cs", "Zl", "Zp") and chr(code) != "\n"
    ]
    assert len(found) == 64 + 2048 + 2
    for character in found:
        with pytest.raises(MalformedError, match="hidden character"):
            Fields({"x": f"a{character}b"}, "it").text("x", max_length=3)
