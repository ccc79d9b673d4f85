"""What a notice has to tell of an agreement: the facts, their hash, and which of them it lacks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

from protocol.agreement.document import Agreement
from protocol.agreement.governance import BASIS_WORDS, CONSENT, LEGITIMATE_INTEREST
from protocol.agreement.parties import Party
from protocol.agreement_rules import unsaid_in
from protocol.canonical import canonical_json
from protocol.errors import RuleError
from protocol.schema import Part
from protocol.strict import Fields

NOISED: Final = "noised"
EXACT: Final = "exact"
_MOST_LISTED: Final = 1_000
_LONGEST: Final = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeFacts(Part):
    """The facts of one partner's notice under an agreement.

    Attributes:
        purpose: The purpose as a prefixed name; `purpose_text` is the same in words.
        features: Their names.
        uses: What segments may be used for.
        recipients: Everybody who receives sums or segments, by name.
        totals: Whether what leaves carries noise: `NOISED` or `EXACT`.
    """

    purpose: str
    purpose_text: str
    basis: str
    controller: str
    contact: str
    officer: str
    features: tuple[str, ...]
    uses: tuple[str, ...]
    recipients: tuple[str, ...]
    assignments_days: int
    records_days: int
    totals: str

    @classmethod
    def of(cls, agreement: Agreement, party: Party) -> Self:
        """The facts as an agreement and this partner in it say them."""
        others = [p.legal_name for p in agreement.parties if p.id != party.id]
        named = (*agreement.results_use.recipients, *others, agreement.coordinator.legal_name)
        return cls(
            purpose=agreement.purpose.term,
            purpose_text=agreement.purpose.text,
            basis=party.legal_basis.basis,
            controller=party.legal_name,
            contact=party.contact,
            officer=party.dpo,
            features=tuple(f.name for f in agreement.features),
            uses=agreement.results_use.allowed,
            recipients=tuple(dict.fromkeys(named)),
            assignments_days=agreement.retention.assignments_days,
            records_days=agreement.retention.records_days,
            totals=EXACT if agreement.privacy is None else NOISED,
        )

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        def listed(name: str) -> tuple[str, ...]:
            return fields.texts(name, at_most=_MOST_LISTED, max_length=_LONGEST)

        return cls(
            purpose=fields.text("purpose", max_length=_LONGEST),
            purpose_text=fields.text("purpose_text", max_length=_LONGEST),
            basis=fields.one_of("basis", (CONSENT, LEGITIMATE_INTEREST)),
            controller=fields.text("controller", max_length=_LONGEST),
            contact=fields.text("contact", max_length=_LONGEST),
            officer=fields.text("officer", max_length=_LONGEST),
            features=listed("features"),
            uses=listed("uses"),
            recipients=listed("recipients"),
            assignments_days=fields.integer("assignments_days", at_least=1, at_most=1 << 20),
            records_days=fields.integer("records_days", at_least=1, at_most=1 << 20),
            totals=fields.one_of("totals", (NOISED, EXACT)),
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "purpose": self.purpose,
            "purpose_text": self.purpose_text,
            "basis": self.basis,
            "controller": self.controller,
            "contact": self.contact,
            "officer": self.officer,
            "features": list(self.features),
            "uses": list(self.uses),
            "recipients": list(self.recipients),
            "assignments_days": self.assignments_days,
            "records_days": self.records_days,
            "totals": self.totals,
        }

    @property
    def hash(self) -> bytes:
        """SHA-256 of the facts as canonical JSON."""
        return hashlib.sha256(canonical_json(self.to_dict())).digest()

    def untold_by(self, told: NoticeFacts) -> list[str]:
        """What of these facts a notice with the facts `told` does not tell, in words."""
        return list(self._untold(told))

    def _untold(self, told: NoticeFacts) -> Iterator[str]:
        if self.purpose != told.purpose:
            yield f"the purpose {self.purpose} (told: {told.purpose})"
        if self.purpose_text != told.purpose_text:
            yield "the purpose in the words of the agreement"
        if self.basis != told.basis:
            yield f"the legal basis {BASIS_WORDS[self.basis]} (told: {BASIS_WORDS[told.basis]})"
        for what, own, others in (
            ("the feature", self.features, told.features),
            ("the use", self.uses, told.uses),
            ("the recipient", self.recipients, told.recipients),
        ):
            yield from (f"{what} {one!r}" for one in own if one not in others)
        for what, days, said in (
            ("files of segments", self.assignments_days, told.assignments_days),
            ("records", self.records_days, told.records_days),
        ):
            if days > said:
                yield f"that {what} are kept {days} days (told: {said})"
        for what, name, said_name in (
            ("this partner's name", self.controller, told.controller),
            ("the contact", self.contact, told.contact),
            ("the data protection officer", self.officer, told.officer),
        ):
            if name != said_name:
                yield f"{what} {name!r} (told: {said_name!r})"
        if told.totals == NOISED and self.totals == EXACT:
            yield "that totals leave without noise"


def facts_to_tell(agreement: Agreement, party: Party) -> NoticeFacts:
    """The facts that a notice has to tell.

    Raises:
        RuleError: A clause of the agreement says nothing yet (E-NOTICE-FACTS); it is named.
    """
    unsaid = list(dict.fromkeys(place for place, _ in unsaid_in(agreement)))
    if unsaid:
        raise RuleError(
            f"agreement {agreement.id}, version {agreement.version}, does not say what customers "
            f"have to be told: {', '.join(unsaid)}",
            code="E-NOTICE-FACTS",
            remedy="have the next version of the agreement say it; a notice without it tells less "
            "than the law asks for, so none is rendered",
        )
    return NoticeFacts.of(agreement, party)
