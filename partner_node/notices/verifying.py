"""Whether what stands on a site is what was published, and what differs."""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from partner_node.notices import visible
from partner_node.notices.published import Publication
from protocol.errors import UsageError

#: Differences that are told, and words of each.
_MOST_TOLD: Final = 10
_MOST_WORDS: Final = 12
#: Texts with more pairs of equal words are compared by their hash alone: comparing takes as long.
_MOST_PAIRS: Final = 250_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A place where a page differs: words that were published, and those that stand there."""

    published: str
    found: str

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {"published": self.published, "found": self.found}

    @property
    def words(self) -> str:
        """It for people."""
        if not self.found:
            return f"missing: “{self.published}”"
        if not self.published:
            return f"added: “{self.found}”"
        return f"“{self.published}” reads “{self.found}”"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What was found of a published notice in a page.

    Attributes:
        same_bytes: Whether the file is the published one, byte by byte.
        same_words: Whether a reader sees the same words in the same order.
    """

    published: Publication
    same_bytes: bool
    same_words: bool
    differences: tuple[Difference, ...]


def compared(
    data: bytes,
    name: str,
    published: Sequence[Publication],
    content: Callable[[int], bytes],
) -> Comparison:
    """Compare a saved page with the published notice that it should be.

    A rendered notice is found by its mark, whatever stands around it; one that people wrote has to
    be the text of the page, from its first word to its last.

    Args:
        published: The newest of each version and language.
        content: The bytes of one of them, by its number.

    Raises:
        UsageError: The file is none, or it does not show which notice it is (E-NOTICE-MARK).
    """
    text = visible.seen_in(data, name=name)
    marked = visible.marked_in(text)
    if marked is not None:
        mark, words = marked
        key = (mark.version, mark.language, False)
        ours = [one for one in published if (one.version, one.language, one.own_text) == key]
    else:
        words = visible.words_of(text)
        ours = [one for one in published if one.own_text]
    if not ours:
        raise UsageError(
            f"{name} shows no notice that was published here",
            code="E-NOTICE-MARK",
            remedy="`fedseg-node notice list` lists them; save the whole page, with the line at "
            "the notice's end",
        )
    best, own_words = _nearest(ours, words, content)
    if best.own_text:
        words = _within(own_words, words)
    same = visible.words_hash(words) == best.words_sha256
    return Comparison(
        published=best,
        same_bytes=hashlib.sha256(data).hexdigest() == best.sha256,
        same_words=same,
        differences=() if same else tuple(_differences(own_words, words)),
    )


def _nearest(
    published: Sequence[Publication], words: list[str], content: Callable[[int], bytes]
) -> tuple[Publication, list[str]]:
    """Of several the one whose words the page has most of."""
    there = set(words)

    def told(one: Publication) -> list[str]:
        data = content(one.number)
        name = "notice.html" if data.lstrip().startswith(b"<") else "notice.md"
        text = visible.seen_in(data, name=name)
        marked = visible.marked_in(text)
        return visible.words_of(text) if one.own_text or marked is None else marked[1]

    pairs = [(one, told(one)) for one in published]
    return max(pairs, key=lambda p: sum(word in there for word in p[1]) / max(1, len(p[1])))


def _within(own: list[str], words: list[str]) -> list[str]:
    """The part of a page between the first and the last place that is like a text of ours."""
    if not _is_compared(own, words):
        return words
    blocks = [
        block
        for block in difflib.SequenceMatcher(None, own, words, autojunk=False).get_matching_blocks()
        if block.size
    ]
    if not blocks:
        return words
    first, last = blocks[0], blocks[-1]
    start = max(0, first.b - first.a)
    return words[start : last.b + last.size + len(own) - last.a - last.size]


def _differences(own: list[str], words: list[str]) -> list[Difference]:
    if not _is_compared(own, words):
        return []
    matcher = difflib.SequenceMatcher(None, own, words, autojunk=False)
    found = (
        Difference(published=_some(own[a:b]), found=_some(words[c:d]))
        for kind, a, b, c, d in matcher.get_opcodes()
        if kind != "equal"
    )
    return list(dict.fromkeys(found))[:_MOST_TOLD]


def _is_compared(own: list[str], words: list[str]) -> bool:
    there = Counter(words)
    return sum(there[word] for word in own) <= _MOST_PAIRS


def _some(words: list[str]) -> str:
    more = " …" if len(words) > _MOST_WORDS else ""
    return " ".join(words[:_MOST_WORDS]) + more
