"""How easily a text is read: reading ease after Flesch, and after Amstad for German.

English: Flesch, R. (1948), A new readability yardstick, Journal of Applied Psychology 32:
206.835 - 1.015 words/sentences - 84.6 syllables/words. German: Amstad, T. (1978), Wie verständlich
sind unsere Zeitungen?: 180 - words/sentences - 58.5 syllables/words. 60 and more is plain, below 30
is for scholars. Syllables are approximated by groups of vowels, which no dictionary corrects.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

_VOWELS: Final = {
    "flesch": re.compile(r"[aeiouy]+"),
    # Diphthongs are one syllable, other vowels side by side are one each, as in "Theater".
    "amstad": re.compile(r"aa|ee|oo|ie|ei|ai|au|eu|äu|ey|ay|ou|[aeiouyäöüàâéèêëîïôûœ]"),
}
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
#: A full stop behind a number or a single letter ends nothing: "1. Dezember", "U.S.".
_END: Final = re.compile(r"(?<![\d])(?<!\b[^\W\d_])[.!?]+(?=\s|$)|\n+|(?<=[^\W\d_]{2}):(?=\s)")
#: Addresses are no words that anybody reads.
_ADDRESS: Final = re.compile(r"\S+@\S+|\bhttps?://\S+|\bwww\.\S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Readability:
    """What was measured of a text.

    Attributes:
        formula: ``flesch`` or ``amstad``.
        ease: Reading ease; more is easier, 0 to 100 for most texts.
        longest: Words of the longest sentence.
    """

    formula: str
    ease: float
    words: int
    sentences: int
    longest: int

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            "formula": self.formula,
            "ease": self.ease,
            "words": self.words,
            "sentences": self.sentences,
            "longest_sentence": self.longest,
        }

    @property
    def text(self) -> str:
        """It for people."""
        return (
            f"reading ease {self.ease:.0f} ({_NAMES[self.formula]}; 60 and more is plain), "
            f"{self.words:,} words, the longest sentence has {self.longest}"
        )


_NAMES: Final = {"flesch": "Flesch 1948", "amstad": "Flesch after Amstad 1978"}
_EASE: Final[Mapping[str, Callable[[float, float], float]]] = {
    "flesch": lambda length, syllables: 206.835 - 1.015 * length - 84.6 * syllables,
    "amstad": lambda length, syllables: 180.0 - length - 58.5 * syllables,
}


def measured(text: str, formula: str) -> Readability:
    """Measure a text; one line break or more ends a sentence, as a colon between words does.

    >>> measured("The cat sat on the mat.", "flesch").ease
    116.1
    >>> measured("Die Katze sitzt auf der Matte.", "amstad").ease
    96.0
    """
    lengths, syllables = [], 0
    for sentence in _END.split(_ADDRESS.sub(" ", text)):
        words = _WORD.findall(sentence)
        if words:
            lengths.append(len(words))
            syllables += sum(syllables_of(word, formula) for word in words)
    count = sum(lengths)
    ease = _EASE[formula](count / len(lengths), syllables / count) if count else 0.0
    return Readability(
        formula=formula,
        ease=round(ease, 1),
        words=count,
        sentences=len(lengths),
        longest=max(lengths, default=0),
    )


def syllables_of(word: str, formula: str) -> int:
    """About how many syllables a word has, at least one.

    >>> [syllables_of(w, "flesch") for w in ("cat", "customer", "made", "table", "agreed", "sums")]
    [1, 3, 1, 2, 2, 1]
    >>> [syllables_of(w, "amstad") for w in ("Haus", "Kunden", "Einwilligung", "Theater", "wir")]
    [1, 2, 4, 3, 1]
    """
    low = word.lower()
    groups = len(_VOWELS[formula].findall(low))
    if formula == "flesch" and re.search(r"[^aeiouyl]e$|[^aeiouydt]ed$|[^aeiouyscxzgh]es$", low):
        groups -= 1  # a silent e, but that of "table"
    return max(1, groups)
