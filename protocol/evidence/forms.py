"""Forms: which fields a document has, said once; and how one is filled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from protocol.evidence.document import (
    Answer,
    Audience,
    Document,
    Field,
    Section,
    State,
    Value,
)
from protocol.evidence.looking import Look, Materials, Missing, told

#: Says what facts there are; raises Missing through what it reads.
Facts = Callable[[Look], Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A field of a form.

    Attributes:
        facts: What fills it; of a judgement, what bears on it.
        judge: What a person has to judge; empty where facts alone fill it.
        term: The property of a vocabulary that it is a value of.
    """

    key: str
    label: str
    hook: str
    facts: Facts | None = None
    judge: str = ""
    term: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A section of a form."""

    key: str
    title: str
    asked: tuple[Asked, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A document before it is filled; `Document` has its attributes explained."""

    kind: str
    title: str
    term: str
    audience: Audience
    audience_words: str
    follows: str
    parts: tuple[Part, ...]

    @property
    def asked(self) -> tuple[Asked, ...]:
        """Every field, in order."""
        return tuple(one for part in self.parts for one in part.asked)

    @property
    def questions(self) -> tuple[Asked, ...]:
        """The fields that people have to judge."""
        return tuple(one for one in self.asked if one.judge)

    def filled(self, materials: Materials, answers: Mapping[str, Answer] | None = None) -> Document:
        """The document.

        Args:
            answers: What people said, by the keys of the fields that ask them.
        """
        effective = str(materials.agreement.get("effective", ""))[:10]
        said = {
            key: replace(answer, outdated=answer.on.isoformat() < effective)
            for key, answer in (answers or {}).items()
        }
        return Document(
            kind=self.kind,
            title=self.title,
            term=self.term,
            audience=self.audience,
            audience_words=self.audience_words,
            follows=self.follows,
            about=materials.about,
            made_at=materials.now,
            program=materials.program_name,
            sections=tuple(
                Section(
                    key=part.key,
                    title=part.title,
                    fields=tuple(
                        self._field(one, materials, said.get(one.key)) for one in part.asked
                    ),
                )
                for part in self.parts
            ),
        )

    def looked(self, asked: Asked, materials: Materials) -> tuple[Value, Look, tuple[str, ...]]:
        """What facts say of one field, what was read for it, and what is lacking."""
        look = Look(materials, self.audience)
        if asked.facts is None:
            return Value(), look, ()
        try:
            return asked.facts(look), look, ()
        except Missing as missing:
            return Value(), Look(materials, self.audience), (missing.source.fills,)

    def _field(self, asked: Asked, materials: Materials, answer: Answer | None) -> Field:
        value, look, lacks = self.looked(asked, materials)
        if asked.judge:
            state = State.JUDGEMENT if answer is None else State.ANSWERED
        else:
            state = State.MISSING if lacks else State.FACT
        return Field(
            key=asked.key,
            label=asked.label,
            hook=asked.hook,
            state=state,
            term=asked.term,
            value=value,
            sources=told(look.sources),
            lacks=lacks,
            asks=asked.judge,
            answer=answer if asked.judge else None,
        )


def by_program(look: Look, *paragraphs: str) -> Value:
    """A value of texts on what the program does; raises Missing where it is not known which."""
    look.program()
    return text(*paragraphs)


def text(*paragraphs: str) -> Value:
    """A value of texts alone."""
    return Value(paragraphs=paragraphs)
