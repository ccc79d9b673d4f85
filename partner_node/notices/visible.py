"""The words that a reader sees in a notice, whatever carries them: a file, or a page of a site.

Whoever puts a notice on a site changes its markup, quotation marks and lines, and none of its
words. So a notice's mark has the hash of its words in order: letters, digits and a few signs. It is
a line of the text itself, which no editor of a site takes out as it does scripts and attributes.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Final

from protocol.errors import UsageError

#: More is no notice.
MAX_BYTES: Final = 1 << 20
_NAME: Final = "fedseg-notice"
_WORD: Final = re.compile(r"[^\W_]+|[%€$£+<>=]")
_INVISIBLE: Final = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_DIGITS: Final = 32
_MARK: Final = re.compile(
    rf"{_NAME}/1/(?P<version>[A-Za-z0-9][A-Za-z0-9._-]{{0,39}})/(?P<language>[A-Za-z0-9-]{{2,20}})"
    r"/(?P<agreement>[A-Za-z0-9._-]{1,100})/(?P<number>[0-9]{1,9})"
    rf"/(?P<facts>[0-9a-f]{{{_DIGITS}}})/(?P<count>[0-9]{{1,6}})/(?P<words>[0-9a-f]{{{_DIGITS}}})"
)
#: Elements that stand within a word or a line; all others part words.
_INLINE: Final = (
    "a", "abbr", "b", "bdi", "bdo", "cite", "code", "em", "font", "i", "ins", "kbd", "mark", "q",
    "s", "small", "span", "strong", "sub", "sup", "u", "var", "wbr",
)  # fmt: skip
_UNSEEN: Final = frozenset({"script", "style", "title", "template", "head", "noscript", "svg"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The line by which a notice is known.

    Attributes:
        facts: The first digits of the facts' hash.
        count: How many words stand before it.
        words: The first digits of those words' hash.
    """

    version: str
    language: str
    agreement: str
    number: int
    facts: str
    count: int
    words: str

    def __str__(self) -> str:
        return (
            f"{_NAME}/1/{self.version}/{self.language}/{self.agreement}/{self.number}/{self.facts}/"
            f"{self.count}/{self.words}"
        )


class _Seen(HTMLParser):
    """Collects the text of a page that a reader sees."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen: list[str] = []
        self._open: Counter[str] = Counter()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "body":  # a head need not be closed
            self._unseen.clear()
            self._open.clear()
        if tag in _UNSEEN:
            self._unseen.append(tag)
            self._open[tag] += 1
        if tag not in _INLINE:
            self.parts.append(" ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _INLINE:
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if self._open[tag]:
            last = ""
            while last != tag:
                last = self._unseen.pop()
                self._open[last] -= 1
        if tag not in _INLINE:
            self.parts.append(" ")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.parts.append(data)

    def end(self) -> None:
        """Take the text after the last tag, where the page ends in text.

        A tag or comment that nothing ends is not shown, nor what comes after it. `close` would try
        to read each character of it as the beginning of another, which takes hours.
        """
        if "<" not in self.rawdata:
            self.close()


def seen_in(data: bytes, *, name: str) -> str:
    """The text of a file that a reader sees; a file that ends in .md or .txt is all text.

    Raises:
        UsageError: It is too large, not in UTF-8, or cannot be read as a page (E-NOTICE-FILE).
    """
    if len(data) > MAX_BYTES:
        raise UsageError(
            f"{name} has more than {MAX_BYTES:,} bytes",
            code="E-NOTICE-FILE",
            remedy="name the notice itself: a page without pictures in it",
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{name} is not in UTF-8",
            code="E-NOTICE-FILE",
            remedy="save it in UTF-8",
        ) from error
    if name.endswith((".md", ".txt")):
        return text
    seen = _Seen()
    try:
        seen.feed(text)
        seen.end()
    except AssertionError as error:  # what html.parser says of some declarations
        raise UsageError(
            f"{name} has a declaration that no page has",
            code="E-NOTICE-FILE",
            remedy="save the page again; a notice has none",
        ) from error
    return "".join(seen.parts)


def words_of(text: str) -> list[str]:
    """The words of a text, as the mark counts them."""
    return _WORD.findall(_INVISIBLE.sub("", unicodedata.normalize("NFC", text)))


def words_hash(words: list[str]) -> str:
    """SHA-256 of words in order, in hexadecimal."""
    return hashlib.sha256(" ".join(words).encode("utf-8")).hexdigest()


def mark_for(
    text: str, *, version: str, language: str, agreement: str, number: int, facts: bytes
) -> Mark:
    """The mark of a notice whose visible text before the mark is `text`."""
    words = words_of(text)
    return Mark(
        version=version,
        language=language,
        agreement=agreement,
        number=number,
        facts=facts.hex()[:_DIGITS],
        count=len(words),
        words=words_hash(words)[:_DIGITS],
    )


def marked_in(text: str) -> tuple[Mark, list[str]] | None:
    """The last mark in a visible text, and the words that it is about; None without one."""
    plain = _INVISIBLE.sub("", text)
    marks = list(_MARK.finditer(plain))
    if not marks:
        return None
    found = marks[-1]
    mark = Mark(
        version=found["version"],
        language=found["language"],
        agreement=found["agreement"],
        number=int(found["number"]),
        facts=found["facts"],
        count=int(found["count"]),
        words=found["words"],
    )
    before = words_of(plain[: found.start()])
    return mark, before[len(before) - mark.count :] if mark.count <= len(before) else before


def is_whole(mark: Mark, words: list[str]) -> bool:
    """Whether the words before a mark are those that it was made for."""
    return len(words) == mark.count and words_hash(words)[:_DIGITS] == mark.words


def says(mark: Mark, facts: bytes) -> bool:
    """Whether a notice was rendered from these facts."""
    return facts.hex()[:_DIGITS] == mark.facts
