"""A document: sections of fields, each filled from facts, left to a person, or missing.

A filled field names where each fact comes from. What no fact fills is said to be missing, with
what would fill it; what a person has to judge is never filled from facts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, Final

SCHEMA: Final = "fedseg/evidence/v1"
#: Once in every document.
NO_ADVICE: Final = "Legal terms are pointers for counsel, not advice."


class State(StrEnum):
    """What stands in a field."""

    FACT = "fact"
    MISSING = "missing"
    JUDGEMENT = "judgement"
    ANSWERED = "answered"


class Audience(StrEnum):
    """For whom a document is: counts of a partner's customers stay at home."""

    HOME = "home"
    PARTIES = "parties"
    PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a fact comes from.

    Attributes:
        kind: ``agreement``, ``log``, ``setting``, ``record``, ``measured`` or ``program``.
        where: The place in it, such as ``purpose.text`` or the kind of an entry.
        words: It for people.
        check: The command that shows it; empty where the document itself is enough.
        fills: What would put something there, said where nothing is.
    """

    kind: str
    where: str
    words: str
    check: str = ""
    fills: str = ""

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {"kind": self.kind, "where": self.where, "words": self.words, "check": self.check}


def source_lines(sources: Sequence[Source]) -> list[tuple[str, str]]:
    """Sources for a reader: those that one command shows in one line, with the command.

    >>> one, two = (Source("agreement", w, f"agreement a v1, {w}", "see") for w in ("x", "y"))
    >>> source_lines([one, two])
    [('agreement a v1, x, y', 'see')]
    """
    lines: dict[tuple[str, str], list[str]] = {}
    for source in sources:
        named = source.words.removesuffix(f", {source.where}")
        places = lines.setdefault((named, source.check), [])
        if named != source.words:
            places.append(source.where)
    return [(", ".join([named, *places]), check) for (named, check), places in lines.items()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table of texts; as many cells a row as there are headers."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {"headers": list(self.headers), "rows": [list(row) for row in self.rows]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """What facts say: paragraphs, and a table behind them.

    Attributes:
        terms: The same as prefixed names of a vocabulary, where it has any.
    """

    paragraphs: tuple[str, ...] = ()
    grid: Grid | None = None
    terms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a person said to a question of a document; never a fact of this program.

    Attributes:
        by: Who.
        on: On which day.
        outdated: Whether that was before this version of the agreement took effect.
    """

    text: str
    by: str
    on: date
    outdated: bool = False

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            "text": self.text,
            "by": self.by,
            "on": self.on.isoformat(),
            "before_this_version": self.outdated,
        }

    def words(self, today: date) -> str:
        """By whom and when, and how long ago.

        >>> Answer(text="", by="A. Officer", on=date(2026, 11, 30)).words(date(2026, 12, 2))
        'said by A. Officer on 2026-11-30, 2 days ago'
        """
        days = (today - self.on).days
        ago = "today" if days == 0 else f"{days} day{'' if days == 1 else 's'} ago"
        words = f"said by {self.by} on {self.on.isoformat()}, {ago}"
        if self.outdated:
            words += ", before this version of the agreement took effect: look at it again"
        return words


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field.

    Attributes:
        key: Its name in the document; answers are kept by it.
        hook: What demands it, such as ``GDPR 30(1)(b)``.
        term: The property of a vocabulary that it is a value of; empty where there is none.
        value: What facts say: the field itself, or what bears on a judgement.
        sources: Where that comes from, each place once.
        lacks: What would fill it, where it is missing; of a judgement, facts that are not there.
        asks: What a person has to judge; empty where none has to.
        answer: What a person said.
    """

    key: str
    label: str
    hook: str
    state: State
    term: str = ""
    value: Value = Value()
    sources: tuple[Source, ...] = ()
    lacks: tuple[str, ...] = ()
    asks: str = ""
    answer: Answer | None = None

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            "key": self.key,
            "label": self.label,
            "hook": self.hook,
            "state": str(self.state),
            "term": self.term or None,
            "values": list(self.value.paragraphs),
            "table": None if self.value.grid is None else self.value.grid.to_dict(),
            "sources": [source.to_dict() for source in self.sources],
            "lacks": list(self.lacks),
            "asks": self.asks or None,
            "answer": None if self.answer is None else self.answer.to_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a document."""

    key: str
    title: str
    fields: tuple[Field, ...]

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            "key": self.key,
            "title": self.title,
            "fields": [field.to_dict() for field in self.fields],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document.

    Attributes:
        kind: Its name in commands, such as ``record``.
        term: What it is, in a vocabulary.
        audience: For whom it is.
        audience_words: The same in a sentence, with what is to be left out for others.
        follows: Which texts its fields follow.
        about: Of which agreement it is: id, version and hash; of attacks, the build and seed.
        made_at: When it was made; UTC.
    """

    kind: str
    title: str
    term: str
    audience: Audience
    audience_words: str
    follows: str
    about: Mapping[str, Any]
    made_at: datetime
    program: str
    sections: tuple[Section, ...]

    @property
    def fields(self) -> Iterator[Field]:
        """Every field, in order."""
        for section in self.sections:
            yield from section.fields

    def source_lines(self, field: Field) -> list[tuple[str, str]]:
        """A field's sources, each with the command that shows it where a reader may have it."""
        public = self.audience is Audience.PUBLIC
        return [(words, "" if public else check) for words, check in source_lines(field.sources)]

    def of(self, state: State) -> list[Field]:
        """The fields in one state."""
        return [field for field in self.fields if field.state is state]

    @property
    def counts(self) -> dict[str, int]:
        """How many fields are in each state, and how many there are."""
        return {
            "fields": sum(1 for _ in self.fields),
            **{str(state): len(self.of(state)) for state in State},
        }

    @property
    def share(self) -> float:
        """The part of all fields that facts fill, from 0 to 1."""
        return len(self.of(State.FACT)) / max(1, self.counts["fields"])

    @property
    def share_words(self) -> str:
        """How much is filled, and by whom."""
        found = self.counts
        left = f"{found['judgement']} left to people"
        if found["answered"]:
            left += f" and {found['answered']} answered by them"
        return (
            f"{found['fact']} of {found['fields']} fields are filled from facts "
            f"({100 * self.share:.1f} %), {left}, {found['missing']} missing."
        )

    @property
    def about_words(self) -> str:
        """Of which agreement, when and by which program it was made."""
        made = self.made_at.astimezone(UTC)
        if "agreement" not in self.about:
            return f"Made {made:%Y-%m-%d %H:%M} UTC by {self.program}, of no agreement."
        return (
            f"Agreement {self.about['agreement']}, version {self.about['version']}, hash "
            f"{self.about['agreement_hash']}. Made {made:%Y-%m-%d %H:%M} UTC by {self.program}."
        )

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values (docs/json.md)."""
        return {
            "schema": SCHEMA,
            "document": self.kind,
            "title": self.title,
            "audience": str(self.audience),
            "audience_words": self.audience_words,
            "follows": self.follows,
            "note": NO_ADVICE,
            **self.about,
            "made_at": self.made_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "program": self.program,
            "counts": self.counts,
            "share": round(self.share, 4),
            "sections": [section.to_dict() for section in self.sections],
        }
