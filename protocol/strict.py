"""Reading signed objects strictly: every field named, typed and bounded, nothing left over."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from protocol.errors import MalformedError

_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,9})?\Z")
#: What a reader does not see: Default_Ignorable_Code_Point of the Unicode Character Database
#: (DerivedCoreProperties.txt of version 15), the marks of interlinear annotation, U+FFF9 to
#: U+FFFB, and the blank of braille, U+2800. Words of Persian and of Indic languages and many emoji
#: are written with joiners and selectors among these (U+200C, U+200D, U+FE0F); they are refused all
#: the same: two texts that only a computer tells apart must not both be signed, and such words stay
#: legible.
#: Before them control characters but line feeds, lone surrogates, and what breaks lines: Unicode's
#: categories Cc, Cs, Zl and Zp, whose members never change.
_HIDDEN: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029"
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_HEX: Final = re.compile(r"([0-9a-f]{2})*\Z")


def parse_decimal(text: str, where: str) -> Decimal:
    """A decimal number written as a string: up to 15 digits, then up to 9 after the point."""
    if not isinstance(text, str) or not _DECIMAL.match(text):
        raise MalformedError(
            f"{where}: {text!r} is not a decimal number in quotes",
            remedy='write it like "12.5": a sign, at most 15 digits, at most 9 after the point',
        )
    return Decimal(text)


class Fields:
    """The fields of one object; `finish` refuses what was not asked for.

    Args:
        values: The parsed object.
        where: Its place in the document, for messages.
    """

    def __init__(self, values: object, where: str) -> None:
        if not isinstance(values, Mapping):
            raise MalformedError(f"{where} must be an object, found {type(values).__name__}")
        self._values: Mapping[str, Any] = values
        self._where = where
        self._asked: set[str] = set()

    @property
    def where(self) -> str:
        """The object's place in the document."""
        return self._where

    @property
    def values(self) -> Mapping[str, Any]:
        """The object, as it was parsed."""
        return self._values

    def path(self, name: str) -> str:
        """The place of field `name`."""
        return f"{self._where}.{name}"

    def has(self, name: str) -> bool:
        """Whether the object has the field; counts as having asked for it."""
        self._asked.add(name)
        return name in self._values

    def is_text(self, name: str) -> bool:
        """Whether the field is there and holds text; counts as having asked for it."""
        return self.has(name) and isinstance(self._values[name], str)

    def is_list(self, name: str) -> bool:
        """Whether the field is there and holds a list; counts as having asked for it."""
        return self.has(name) and isinstance(self._values[name], list)

    def text(self, name: str, *, max_length: int, pattern: str | None = None) -> str:
        """A non-empty string that shows a reader all that it holds.

        Control characters but line feeds are refused, and so are separators that break lines
        (Unicode categories Cc, Cs, Zl, Zp), and whatever is ignored where it is shown: characters
        without width, fillers, selectors, marks that turn the direction of writing.
        """
        value: str = self._take(name, str, "text")
        if not 1 <= len(value) <= max_length:
            raise MalformedError(
                f"{self.path(name)} has {len(value)} characters, 1 to {max_length} are allowed"
            )
        found = _HIDDEN.search(value)
        if found is not None:
            hidden = found.group()
            raise MalformedError(
                f"{self.path(name)} contains the hidden character U+{ord(hidden):04X}"
                f"{_known_as(hidden)}",
                remedy="write the text without it: what is signed must show all that it holds",
            )
        if pattern is not None and not re.fullmatch(pattern, value):
            raise MalformedError(f"{self.path(name)} is {value!r}, expected the form {pattern}")
        return value

    def line(self, name: str, *, max_length: int) -> str:
        """As `text`, on one line."""
        value = self.text(name, max_length=max_length)
        if "\n" in value:
            raise MalformedError(
                f"{self.path(name)} goes over several lines: {value!r}",
                remedy="write it on one line",
            )
        return value

    def text_or_nothing(self, name: str, *, max_length: int) -> str:
        """As `text`, but it may be empty."""
        return (
            ""
            if self.has(name) and self._values[name] == ""
            else self.text(name, max_length=max_length)
        )

    def one_of(self, name: str, allowed: tuple[str, ...]) -> str:
        """One of the given strings."""
        value: str = self._take(name, str, "text")
        if value not in allowed:
            choice = ", ".join(allowed)
            raise MalformedError(
                f"{self.path(name)} is {value!r}, allowed: {choice}{near(value, allowed)}"
            )
        return value

    def integer(self, name: str, *, at_least: int, at_most: int) -> int:
        """An integer in a range, both ends included."""
        value: int = self._take(name, int, "a whole number")
        if not at_least <= value <= at_most:
            found = value if abs(value) < 1 << 63 else "a number beyond 64 bits"
            raise MalformedError(f"{self.path(name)} is {found}, allowed: {at_least} to {at_most}")
        return value

    def decimal(self, name: str) -> Decimal:
        """A decimal number written as a string."""
        return parse_decimal(self._take(name, str, "a decimal number in quotes"), self.path(name))

    def hex(self, name: str, *, size: int) -> bytes:
        """`size` bytes in lower-case hex."""
        value = self._take(name, str, "hex text")
        if not _HEX.match(value) or len(value) != 2 * size:
            raise MalformedError(f"{self.path(name)} must be {size} bytes in lower-case hex")
        return bytes.fromhex(value)

    def object(self, name: str) -> Fields:
        """A nested object."""
        return Fields(self._take(name, Mapping, "an object"), self.path(name))

    def objects(self, name: str, *, at_most: int, at_least: int = 1) -> list[Fields]:
        """A list of objects."""
        return [
            Fields(v, f"{self.path(name)}[{i}]") for i, v in self._list(name, at_least, at_most)
        ]

    def integers(self, name: str, *, at_most: int, lowest: int, highest: int) -> list[int]:
        """A list of at most `at_most` integers from `lowest` to `highest`."""
        found: list[int] = []
        for i, value in self._list(name, 0, at_most):
            if type(value) is not int or not lowest <= value <= highest:
                raise MalformedError(
                    f"{self.path(name)}[{i}] must be a whole number from {lowest} to {highest}"
                )
            found.append(value)
        return found

    def texts(
        self,
        name: str,
        *,
        at_most: int,
        max_length: int,
        at_least: int = 1,
        pattern: str | None = None,
    ) -> tuple[str, ...]:
        """A list of strings, each as `text` takes it, no two of which look the same."""
        entries = self._list(name, at_least, at_most)
        listed = Fields({f"{name}[{i}]": value for i, value in entries}, self._where)
        found = tuple(
            listed.text(f"{name}[{i}]", max_length=max_length, pattern=pattern) for i, _ in entries
        )
        seen: dict[str, str] = {}
        for value in found:
            other = seen.setdefault(as_read(value), value)
            if found.count(value) > 1:
                raise MalformedError(f"{self.path(name)} lists {value!r} twice")
            if other != value:
                raise MalformedError(
                    f"{self.path(name)} lists {other!a} and {value!a}, which look the same",
                    remedy="keep one of the two; where both occur in the data, write one of them "
                    "there too",
                )
        return found

    def texts_of(self, name: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
        """A list of different ones of the given strings; may be empty."""
        found = self.texts(name, at_least=0, at_most=len(allowed), max_length=200)
        for value in found:
            if value not in allowed:
                raise MalformedError(
                    f"{self.path(name)} lists {value!r}, allowed: {', '.join(allowed)}"
                    f"{near(value, allowed)}"
                )
        return found

    def finish(self) -> None:
        """Refuse fields that nobody asked for."""
        for name in self._values:
            if name not in self._asked:
                raise MalformedError(
                    f"{self._where}: unknown field {name!r}{near(name, sorted(self._asked))}"
                )

    def _list(self, name: str, at_least: int, at_most: int) -> list[tuple[int, Any]]:
        value = self._take(name, list, "a list")
        if not at_least <= len(value) <= at_most:
            raise MalformedError(
                f"{self.path(name)} has {len(value)} entries, {at_least} to {at_most} are allowed"
            )
        return list(enumerate(value))

    def _take(self, name: str, kind: type, kind_name: str) -> Any:
        self._asked.add(name)
        if name not in self._values:
            raise MalformedError(f"{self._where}: field {name!r} is missing")
        value = self._values[name]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            scalar = not isinstance(value, Mapping | list) and value is not None
            raise MalformedError(
                f"{self.path(name)} must be {kind_name}, found {type(value).__name__}",
                remedy="write it in quotes" if kind is str and scalar else "",
            )
        return value


def as_read(text: str) -> str:
    """What a reader takes a text for: forms of one character (NFKC) and spaces are not told apart.

    >>> as_read("caf\\u00e9  \\uff11") == as_read("cafe\\u0301 1")
    True
    >>> as_read("Gold") == as_read("gold")
    False
    """
    return " ".join(unicodedata.normalize("NFKC", text).split())


def _known_as(character: str) -> str:
    """The character's name in the standard, where it has one."""
    name = unicodedata.name(character, "")
    return f" ({name})" if name else ""


def near(name: object, known: Sequence[str]) -> str:
    """A hint at the nearest of `known` names, to end a message with; empty when none is near.

    >>> near("weigth", ["name", "weight"])
    "; did you mean 'weight'?"
    """
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
