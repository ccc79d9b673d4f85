"""Signed objects are read strictly: named, typed, bounded, nothing left over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import MalformedError
from protocol.strict import Fields, parse_decimal

#: A reader of a signed text would not see what these hold.
HIDDEN = [*"\0\t\r\x7f\x85\x9f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"]
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
