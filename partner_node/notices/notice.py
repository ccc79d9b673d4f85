"""A customers' notice: what one screen says, then every detail, in the words of one language."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from partner_node.notices.catalogue import Catalogue
from partner_node.notices.facts import NoticeFacts, facts_to_tell
from partner_node.notices.phrases import Phrases, ended
from partner_node.notices.readability import Readability, measured
from partner_node.notices.sections import Section, sections
from partner_node.notices.visible import Mark, mark_for
from partner_node.notices.words import NodeTexts, OwnWords
from protocol.agreement.document import Agreement
from protocol.agreement.governance import CONSENT
from protocol.agreement.parties import Party


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A rendered notice.

    Attributes:
        first: Questions with their answers, which come before all detail.
        closing: What stands before the mark: version and day.
        mark: The line by which the notice is known wherever it stands.
        as_they_stand: Places of the agreement's texts that nobody said again for customers.
        not_stated: What neither agreement nor settings say; the notice says so too.
    """

    language: str
    direction: str
    version: str
    facts: NoticeFacts
    title: str
    first_title: str
    first: tuple[tuple[str, str], ...]
    detail_title: str
    sections: tuple[Section, ...]
    closing: str
    mark: Mark
    as_they_stand: tuple[str, ...]
    not_stated: tuple[str, ...]
    of_first: Readability
    of_all: Readability


def render(
    agreement: Agreement,
    party: Party,
    texts: Catalogue,
    *,
    node: NodeTexts,
    own: OwnWords,
    day: datetime,
) -> Notice:
    """The notice of an agreement for one partner's customers.

    Args:
        day: The day that it bears.

    Raises:
        RuleError: The agreement does not say what has to be told (E-NOTICE-FACTS).
    """
    facts = facts_to_tell(agreement, party)
    phrases = Phrases(agreement, party, texts, own, node)
    version = agreement.purpose.notice_version
    title, first_title = texts.text("page", "title"), texts.text("page", "first_title")
    detail_title = texts.text("page", "detail_title")
    first = tuple(_first(phrases))
    details = tuple(sections(phrases))
    closing = texts.text("page", "mark", version=version, date=texts.date(day))
    told = [
        title, first_title, *(line for pair in first for line in pair), detail_title,
        *(line for section in details for line in section.lines), closing,
    ]  # fmt: skip
    formula = texts.text("form", "readability")
    return Notice(
        language=texts.language,
        direction=texts.text("form", "direction"),
        version=version,
        facts=facts,
        title=title,
        first_title=first_title,
        first=first,
        detail_title=detail_title,
        sections=details,
        closing=closing,
        mark=mark_for(
            "\n".join(told),
            version=version,
            language=texts.language,
            agreement=agreement.id,
            number=agreement.version,
            facts=facts.hash,
        ),
        as_they_stand=phrases.as_they_stand(),
        not_stated=phrases.not_stated(),
        of_first=measured("\n".join(answer for _, answer in first), formula),
        of_all=measured("\n".join(told), formula),
    )


def _first(phrases: Phrases) -> Iterator[tuple[str, str]]:
    """What the first screen says: a question and its answer."""
    texts, party = phrases.texts, phrases.party

    def said(key: str, answer: str, **values: object) -> tuple[str, str]:
        return texts.text("first", key), texts.text("first", answer, **values)

    joint = party.role == "joint-controller"
    others = texts.listed([one.legal_name for one in phrases.others])
    yield said(
        "who", "who_joint" if joint else "who_alone", partner=party.legal_name, others=others
    )
    yield said("why", "why_text", purpose=ended(phrases.purpose))
    consent = party.legal_basis.basis == CONSENT
    yield said("basis", "basis_consent" if consent else "basis_interest")
    names = [phrases.feature_name(one) for one in phrases.agreement.features]
    yield said("used", "used_text", features=texts.listed(names))
    exact = phrases.agreement.privacy is None
    yield said("leaves", "leaves_exact" if exact else "leaves_noise")
    yield said("object", "object_text", contact=party.contact)
    yield said("contact", "contact_text", officer=party.dpo)
