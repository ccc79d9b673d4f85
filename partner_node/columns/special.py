"""Detection of columns that must not become features: identifiers, special categories, children.

Only a column's name and the shape of its values are looked at. A name is split into words, so
``wealth`` does not match ``health``; a meaningless name can hide anything, so finding nothing is
no proof.
"""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from partner_node.columns.special_words import CHILD, IDENTIFIER, KEYS, NEUTRAL, SPECIAL
from partner_node.columns.value_shapes import as_number, shape_of_numbers, shape_of_texts
from protocol.percents import whole_percent_words

Kind = Literal["identifier", "special category", "child"]

_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD: Final = re.compile(r"[a-z]+|[0-9]+")
_UMLAUTS: Final = (("ae", "a"), ("oe", "o"), ("ue", "u"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A reason why a column must not be a feature.

    Attributes:
        kind: Identifier, special category or child.
        what: Content of the column: a special category by its name in
            `protocol.agreement.duties.SPECIAL_CATEGORIES`, else words, such as ``e-mail address``.
        why: The evidence, in words; never a value.
    """

    kind: Kind
    what: str
    why: str

    @property
    def words(self) -> str:
        """The column's content, in words."""
        return self.what.replace("-", " ") if self.kind == "special category" else self.what


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One entry of the lists of words.

    Attributes:
        words: The words, next to each other.
        stem: Whether the last one is only the beginning of a word.
        alone: Whether it matches only if all other words of the name are `NEUTRAL`.
    """

    words: tuple[str, ...]
    stem: bool
    alone: bool

    def place_in(self, words: Sequence[str]) -> range | None:
        """The positions at which the entry matches in a name's words; None when it does not."""
        size = len(self.words)
        for start in range(len(words)):
            found = (
                range(start, start + size)
                if self._are(words[start : start + size])
                else range(start, start + 1)
                if size > 1 and words[start] == "".join(self.words)
                else None
            )
            if found and (
                not self.alone or all(i in found or word in NEUTRAL for i, word in enumerate(words))
            ):
                return found
        return None

    def _are(self, words: Sequence[str]) -> bool:
        if len(words) != len(self.words) or tuple(words[:-1]) != self.words[:-1]:
            return False
        last = self.words[-1]
        return words[-1].startswith(last) if self.stem else words[-1] == last


@functools.lru_cache(maxsize=4_096)
def of_name(name: str) -> Finding | None:
    """Why a column of this name must not be a feature; None when the name does not tell.

    Special categories come before children, and both before identifiers.

    >>> of_name("health_score").what, of_name("wealth_score")
    ('health', None)
    >>> of_name("GeburtsDatum").kind, of_name("accountAgeDays")
    ('child', None)
    """
    words = words_of(name)
    for kind, what, entries in _entries():
        for spelling in _spellings(name):
            for entry in entries:
                place = entry.place_in(spelling)
                if place is not None and not _marks_device(what, spelling):
                    told = " ".join(spelling[i] for i in place)
                    return Finding(kind=kind, what=what, why=f"its name has the word {told!r}")
    if words and words[-1] in KEYS:
        return Finding(
            kind="identifier",
            what="key of a record",
            why=f"its name ends with the word {words[-1]!r}",
        )
    return None


def of_values(sample: Sequence[object]) -> Finding | None:
    """Why a column with these values must not be a feature; None when they do not tell.

    Args:
        sample: Texts or numbers in the order of the source; None and NaN are skipped. At least 100
            numbers are needed; a few hundred give more evidence.

    >>> of_values(["ada@example.org", None, "grace@example.org"]).what
    'e-mail address'
    >>> of_values([12.5, 80.0, 3.25] * 100)
    """
    texts, numbers = [], []
    for value in sample:
        if isinstance(value, str):
            number = as_number(value.strip())
            if number is not None:
                numbers.append(number)
            if value.strip():
                texts.append(value)
        elif isinstance(value, int | float | np.integer | np.floating) and math.isfinite(value):
            numbers.append(float(value))
    if texts and (found := shape_of_texts(texts)) is not None:
        shape, share = found
        return _shaped(
            shape,
            f"{whole_percent_words(share)} of {len(texts):,} values looked at have this shape",
        )
    if len(numbers) >= len(texts):
        shape = shape_of_numbers(np.array(numbers, dtype=np.float64)) or ""
        if shape:
            return _shaped(
                shape,
                f"nearly all of {len(numbers):,} values looked at differ and have this shape",
            )
    return None


def words_of(name: str) -> tuple[str, ...]:
    """The words of a column's name, in lower case, without accents.

    >>> words_of("Numéro_deClient2")
    ('numero', 'de', 'client', '2')
    """
    return _plain_words(_CAMEL.sub(" ", unicodedata.normalize("NFC", name)))


def _plain_words(name: str) -> tuple[str, ...]:
    plain = unicodedata.normalize("NFKD", name.casefold())
    return tuple(_WORD.findall("".join(c for c in plain if not unicodedata.combining(c))))


def _shaped(shape: str, why: str) -> Finding:
    return Finding(kind="identifier", what=shape, why=why)


def _spellings(name: str) -> Iterator[tuple[str, ...]]:
    """A name's words, split at capitals or not, with umlauts transcribed or not."""
    seen = set()
    for words in (words_of(name), _plain_words(name)):
        for written in (words, tuple(_with_umlauts(word) for word in words)):
            if written not in seen:
                seen.add(written)
                yield written


def _with_umlauts(word: str) -> str:
    for written, umlaut in _UMLAUTS:
        word = word.replace(written, umlaut)
    return word


def _marks_device(what: str, words: Sequence[str]) -> bool:
    """Whether a fingerprint is a browser's and so not biometric."""
    return what == "biometric-data" and bool({"browser", "device"} & set(words))


@functools.cache
def _entries() -> tuple[tuple[Kind, str, tuple[_Entry, ...]], ...]:
    lists: list[tuple[Kind, str, str]] = [
        *(("special category", what, text) for what, text in SPECIAL.items()),
        ("child", "age or date of birth", CHILD),
        *(("identifier", what, text) for what, text in IDENTIFIER.items()),
    ]
    return tuple(
        (kind, what, tuple(_entry(line) for line in text.split(",") if line.strip()))
        for kind, what, text in lists
    )


def _entry(line: str) -> _Entry:
    text = line.strip()
    return _Entry(
        words=tuple(text.strip("=*").split()), stem=text.endswith("*"), alone=text.startswith("=")
    )
