"""What an agreement says about law: purpose, legal bases, how fresh consents must be, four eyes.

Terms are prefixed names of the W3C Data Privacy Vocabulary where it has one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

from protocol.errors import MalformedError
from protocol.schema import Part
from protocol.strict import Fields

#: There is no such purpose in the vocabulary.
SEGMENTATION: Final = "fedseg:CustomerSegmentation"
CONSENT: Final = "eu-gdpr:A6-1-a"
LEGITIMATE_INTEREST: Final = "eu-gdpr:A6-1-f"
#: How legal bases are called in plain words.
BASIS_WORDS: Final = {CONSENT: "consent", LEGITIMATE_INTEREST: "legitimate interest"}
MAX_CONSENT_AGE_HOURS: Final = 24 * 366

#: What may need two people at every node: signing a version, letting a held message leave, writing
#: a file of customers' segments.
SIGNING: Final = "agreement"
EGRESS: Final = "egress"
EXPORT: Final = "export"
FOUR_EYES: Final = (SIGNING, EGRESS, EXPORT)

TERM: Final = r"[a-z][a-z0-9-]{0,19}:[A-Za-z][A-Za-z0-9-]{0,79}"
VERSION: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}"

#: The name of a course, such as ``fedseg-basics``.
COURSE: Final = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
MAX_COURSES: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose(Part):
    """What the segments may be used for.

    Attributes:
        term: The purpose as a prefixed name; every consent and every notice must name the same.
        text: The same in plain words.
        notice_version: Version of the notice that tells customers of it.
    """

    term: str
    text: str
    notice_version: str

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        return cls(
            term=fields.text("term", max_length=100, pattern=TERM),
            text=fields.text("text", max_length=4_000),
            notice_version=fields.text("notice_version", max_length=40, pattern=VERSION),
        )

    def to_dict(self) -> dict[str, Any]:
        return {"term": self.term, "text": self.text, "notice_version": self.notice_version}


@dataclass(frozen=True, slots=True, kw_only=True)
class LegalBasis(Part):
    """On what basis a party uses its customers' data.

    Attributes:
        basis: Consent or legitimate interest, as a prefixed name.
        reference: Where that is laid down; for legitimate interest the SHA-256 of the assessment,
            64 hex digits, whose file the node has.
    """

    basis: str
    reference: str

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        basis = fields.one_of("basis", (CONSENT, LEGITIMATE_INTEREST))
        reference = fields.text(
            "reference",
            max_length=400,
            pattern=r"[0-9a-f]{64}" if basis == LEGITIMATE_INTEREST else None,
        )
        return cls(basis=basis, reference=reference)

    def to_dict(self) -> dict[str, Any]:
        return {"basis": self.basis, "reference": self.reference}

    @property
    def words(self) -> str:
        """The basis in plain words."""
        return BASIS_WORDS[self.basis]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentTerms(Part):
    """How every node must know its customers' wishes.

    Attributes:
        max_age_hours: How old a consent or objection source may be when a question is answered.
    """

    max_age_hours: int

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        return cls(
            max_age_hours=fields.integer("max_age_hours", at_least=1, at_most=MAX_CONSENT_AGE_HOURS)
        )

    def to_dict(self) -> dict[str, Any]:
        return {"max_age_hours": self.max_age_hours}


def training_in(fields: Fields, name: str) -> tuple[str, ...]:
    """The courses that people at every node have to have; raises MalformedError."""
    if not fields.has(name):
        return ()
    return fields.texts(name, at_least=1, at_most=MAX_COURSES, max_length=60, pattern=COURSE)


def four_eyes_in(fields: Fields, name: str) -> tuple[str, ...]:
    """What needs two people: some of `FOUR_EYES`, in their order; raises MalformedError."""
    if not fields.has(name):
        return ()
    found = fields.texts_of(name, FOUR_EYES)
    if not found or list(found) != sorted(found):
        raise MalformedError(
            f"{fields.path(name)} is {list(found)}, expected at least one of "
            f"{', '.join(FOUR_EYES)}, in this order",
            remedy="leave the field out where nothing needs two people",
        )
    return found
