"""The details of a notice, section by section (GDPR 13 and 14, CCPA 1798.100)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from partner_node.notices.phrases import Phrases, ended, unended
from protocol.agreement.governance import CONSENT
from protocol.agreement.parties import Party
from protocol.privacy.words import guessed_right

#: Uses that may weigh heavily on a person (GDPR 22).
_HEAVY: Final = ("credit-decisions", "insurance-decisions", "employment-decisions",
                 "personal-prices")  # fmt: skip
#: The European Economic Area, as jurisdictions name it.
_EEA: Final = (
    "EU", "AT", "BE", "BG", "HR", "CY", "CZ", "DK", "EE", "FI", "FR", "DE", "GR", "HU", "IS", "IE",
    "IT", "LV", "LI", "LT", "LU", "MT", "NL", "NO", "PL", "PT", "RO", "SK", "SI", "ES", "SE",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section.

    Attributes:
        key: Its name in every language, for links.
        before: Paragraphs before the list.
        items: The list.
        after: Paragraphs behind it.
    """

    key: str
    title: str
    before: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """All of it, in order."""
        return (self.title, *self.before, *self.items, *self.after)


def sections(phrases: Phrases) -> Iterator[Section]:
    """The sections of a notice, in order."""
    yield _who(phrases)
    yield _why(phrases)
    yield _used(phrases)
    yield _logic(phrases)
    yield _receivers(phrases)
    yield _noise(phrases)
    yield _kept(phrases)
    yield _countries(phrases)
    yield rights(phrases)
    if in_united_states(phrases.party):
        yield _california(phrases)
    yield _changes(phrases)


def in_united_states(party: Party) -> bool:
    """Whether the law of the United States, or of a state of them, holds for its customers."""
    return any(code.split("-")[0] == "US" for code in party.jurisdictions)


def _who(phrases: Phrases) -> Section:
    texts, party, agreement = phrases.texts, phrases.party, phrases.agreement
    joint = party.role == "joint-controller"
    decided = (
        texts.text("who", "joint", responsibilities=ended(phrases.said("responsibilities")))
        if joint
        else texts.text("who", "alone")
    )
    operator = agreement.coordinator
    return Section(
        key="who",
        title=texts.text("who", "title"),
        before=(
            texts.text(
                "who", "partner",
                partner=party.legal_name, contact=party.contact, officer=party.dpo,
            ),
            decided,
        ),
        items=(
            *(
                texts.text("who", "other", name=one.legal_name, contact=one.contact)
                for one in phrases.others
            ),
            texts.text(
                "who", "coordinator", name=operator.legal_name, contact=operator.contact
            ),
        ),
    )  # fmt: skip


def _why(phrases: Phrases) -> Section:
    texts, uses = phrases.texts, phrases.agreement.results_use
    consent = phrases.party.legal_basis.basis == CONSENT
    basis = (
        texts.text("why", "consent", reference=unended(phrases.said("legal_basis.reference")))
        if consent
        else texts.text("why", "interest")
    )
    return Section(
        key="why",
        title=texts.text("why", "title"),
        before=(
            texts.text("why", "purpose", purpose=ended(phrases.purpose)),
            texts.text("why", "uses", uses=phrases.uses(uses.allowed)),
            *(
                [texts.text("why", "never", uses=phrases.uses(uses.forbidden))]
                if uses.forbidden
                else []
            ),
            basis,
            texts.text("why", "duty"),
        ),
    )


def _used(phrases: Phrases) -> Section:
    texts, agreement = phrases.texts, phrases.agreement
    special = [texts.known("special", name) or name for name in agreement.excluded.special]
    source = phrases.node.data_from
    return Section(
        key="used",
        title=texts.text("used", "title"),
        before=(texts.text("used", "intro"),),
        items=tuple(
            texts.text(
                "used", "feature",
                name=phrases.feature_name(one),
                unit=phrases.said(f"features.{one.name}.unit"),
                why=ended(phrases.said(f"features.{one.name}.necessity")),
            )
            for one in agreement.features
        ),
        after=(
            texts.text(
                "used", "customers",
                subject=unended(phrases.said("population.subject")),
                inclusion=unended(phrases.said("population.inclusion")),
            ),
            texts.text("used", "young", age=texts.number(agreement.excluded.children_under)),
            *([texts.text("used", "special", special=texts.listed(special))] if special else []),
            texts.text("used", "source_unknown")
            if source is None
            else texts.text("used", "source", source=unended(phrases.said("rights.data_from"))),
            texts.text("used", "stays"),
        ),
    )  # fmt: skip


def _logic(phrases: Phrases) -> Section:
    texts, agreement = phrases.texts, phrases.agreement
    least = agreement.min_segment_size
    heavy = [use for use in agreement.results_use.allowed if use in _HEAVY]
    return Section(
        key="logic",
        title=texts.text("logic", "title"),
        before=(
            texts.text("logic", "sums"),
            texts.text("logic", "profiling"),
            texts.text("logic", "effect"),
            *([texts.text("logic", "effect_heavy", uses=phrases.uses(heavy))] if heavy else []),
            texts.text("logic", "person"),
            *([texts.text("logic", "small", least=texts.number(least))] if least > 1 else []),
        ),
    )


def _receivers(phrases: Phrases) -> Section:
    texts, agreement = phrases.texts, phrases.agreement
    least = texts.number(agreement.smallest_set)
    recipients = agreement.results_use.recipients
    return Section(
        key="receivers",
        title=texts.text("receivers", "title"),
        before=(texts.text("receivers", "intro"),),
        items=(
            texts.text(
                "receivers", "coordinator",
                name=agreement.coordinator.legal_name, partners=least,
            ),
            *(
                texts.text("receivers", "partner", name=one.legal_name)
                for one in phrases.others
            ),
            *(
                texts.text(
                    "receivers", "result", name=phrases.said(f"results_use.recipients.{number}")
                )
                for number in range(len(recipients))
            ),
        ),
    )  # fmt: skip


def _noise(phrases: Phrases) -> Section:
    texts, agreement, terms = phrases.texts, phrases.agreement, phrases.agreement.privacy
    masked = texts.text(
        "noise", "masked", colluding=texts.number(agreement.secure_sum.max_colluding)
    )
    title = texts.text("noise", "title")
    if terms is None:
        exact = texts.text("noise", "exact")
        return Section(key="noise", title=title, before=(masked, exact))
    delta = float(terms.delta)
    partners = terms.max_partners_per_customer
    return Section(
        key="noise",
        title=title,
        before=(
            masked,
            texts.text(
                "noise", "noised",
                run=guessed_right(terms.epsilon_of(terms.reserve), delta),
                runs=texts.number(terms.runs),
                all=guessed_right(terms.epsilon_of(terms.budget), delta),
                delta=texts.chance(delta),
            ),
            texts.text("noise", "still"),
            texts.text("noise", "together")
            if partners == 1
            else texts.text("noise", "together_many", partners=texts.number(partners)),
        ),
    )  # fmt: skip


def _kept(phrases: Phrases) -> Section:
    texts, kept = phrases.texts, phrases.agreement.retention
    return Section(
        key="kept",
        title=texts.text("kept", "title"),
        items=(
            texts.text("kept", "files", days=texts.days(kept.assignments_days)),
            texts.text("kept", "records", days=texts.days(kept.records_days)),
            texts.text("kept", "wish"),
        ),
        after=(texts.text("kept", "results"),),
    )


def _countries(phrases: Phrases) -> Section:
    texts, agreement = phrases.texts, phrases.agreement
    codes = sorted({code for one in agreement.parties for code in one.jurisdictions})
    outside = [code for code in codes if code.split("-")[0] not in _EEA]
    named = texts.listed([phrases.country(code) for code in codes])
    return Section(
        key="countries",
        title=texts.text("countries_part", "title"),
        before=(
            texts.text(
                "countries_part", "outside",
                countries=named, outside=texts.listed([phrases.country(c) for c in outside]),
            )
            if outside
            else texts.text("countries_part", "inside", countries=named),
            texts.text("countries_part", "coordinator", name=agreement.coordinator.legal_name),
        ),
    )  # fmt: skip


def rights(phrases: Phrases) -> Section:
    """Each right, and how it is used."""
    texts, party, authority = phrases.texts, phrases.party, phrases.node.authority
    names = ["object", "access", "correct", "erase", "restrict", "portable"]
    if party.legal_basis.basis == CONSENT:
        names.insert(1, "withdraw")
    return Section(
        key="rights",
        title=texts.text("rights", "title"),
        before=(texts.text("rights", "how", contact=party.contact),),
        items=(
            *(texts.text("rights", name) for name in names),
            texts.text("rights", "decision"),
            texts.text("rights", "complain_any")
            if authority is None
            else texts.text(
                "rights", "complain", authority=unended(phrases.said("rights.authority"))
            ),
        ),
    )


def _california(phrases: Phrases) -> Section:
    texts, agreement = phrases.texts, phrases.agreement
    keys = {one.category.rpartition(".")[2] for one in agreement.features if one.category}
    categories = sorted(key.replace("_", " ") for key in keys)
    return Section(
        key="united-states",
        title=texts.text("california", "title"),
        before=(
            texts.text("california", "collected"),
            *(
                [texts.text("california", "categories", categories=texts.listed(categories))]
                if categories
                else []
            ),
            texts.text("california", "sold" if agreement.privacy else "sold_exact"),
            texts.text("california", "optout", contact=phrases.party.contact),
            texts.text("california", "rights"),
        ),
    )


def _changes(phrases: Phrases) -> Section:
    texts, agreement = phrases.texts, phrases.agreement
    return Section(
        key="changes",
        title=texts.text("changes", "title"),
        before=(
            texts.text(
                "changes", "until",
                start=texts.date(agreement.effective),
                end=texts.date(agreement.expires),
                review=texts.date(agreement.review_by),
            ),
            texts.text("changes", "text"),
        ),
    )  # fmt: skip
