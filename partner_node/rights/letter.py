"""The answer to a request for access in words that a customer may read: as text, and as HTML.

It says what GDPR 15(1) and (2) ask for, from the agreement and the node's settings alone. What
these do not say is said to be missing, never made up.
"""

from __future__ import annotations

from collections.abc import Iterator

from machine.text import number_words, shown
from partner_node.rights import letter_form
from partner_node.rights.holdings import Cell, Holdings
from partner_node.rights.letter_form import Section
from protocol.agreement.governance import BASIS_WORDS, CONSENT, LEGITIMATE_INTEREST
from protocol.agreement.satisfaction import SatisfactionTerms


def as_text(found: Holdings) -> str:
    """The letter as plain text."""
    return letter_form.as_text(_title(found), _sections(found))


def as_html(found: Holdings) -> str:
    """The letter as one page that loads nothing and has no script."""
    return letter_form.as_html(_title(found), _sections(found))


def _title(found: Holdings) -> str:
    return f"What {found.party.legal_name} holds of customer {shown(found.subject)}"


def _sections(found: Holdings) -> Iterator[Section]:
    yield _responsible(found)
    yield _purpose(found)
    yield _values(found)
    yield _segment(found)
    yield _wishes(found)
    yield _recipients(found)
    yield _retention(found)
    yield _origin(found)
    yield _rights(found)
    if found.not_stated:
        yield Section(
            title="What is not stated here",
            paragraphs=("The systems that made this answer do not know the following; ask "
                        f"{found.party.contact}.",),
            items=found.not_stated,
        )  # fmt: skip


def _responsible(found: Holdings) -> Section:
    party, agreement = found.party, found.agreement
    paragraphs = [
        f"{party.legal_name}, reached at {party.contact}. Its data protection officer is reached "
        f"at {party.dpo}."
    ]
    items: tuple[str, ...] = ()
    if party.role == "joint-controller":
        paragraphs.append(
            "It decides together with others for what and how the data are used. Among them is "
            f"agreed: {agreement.duties.responsibilities}"
        )
        others = [p for p in agreement.parties if p.id != party.id]
        items = tuple(f"{p.legal_name}, {p.contact}" for p in others)
    return Section(title="Who is responsible", paragraphs=tuple(paragraphs), items=items)


def _purpose(found: Holdings) -> Section:
    agreement, basis = found.agreement, found.party.legal_basis
    uses = agreement.results_use
    reference = (
        "the assessment whose SHA-256 is " if basis.basis == LEGITIMATE_INTEREST else ""
    ) + basis.reference
    return Section(
        title="What the data are used for, and why that is allowed",
        paragraphs=(
            agreement.purpose.text,
            f"The legal basis is {BASIS_WORDS[basis.basis]}, laid down in {reference}. The privacy "
            f"notice that tells of it is version {agreement.purpose.notice_version}.",
            f"Segments are used for: {', '.join(uses.allowed)}."
            + (f" They are never used for: {', '.join(uses.forbidden)}." if uses.forbidden else ""),
        ),
    )


def _values(found: Holdings) -> Section:
    if not found.in_data:
        return Section(
            title="Your data", paragraphs=("The data that segments are formed of hold no such "
                                           "customer.",)
        )  # fmt: skip
    items = []
    for feature in found.features:
        text = f"{feature.name}: {_cell(feature.value)}"
        text += f" {feature.unit}" if feature.value is not None else ""
        if feature.used != feature.value:
            text += f", counted as {_cell(feature.used)}"
        items.append(f"{text}. {feature.needed_because}")
    return Section(
        title="Your data",
        paragraphs=("These values are used to form segments, each for the reason beside it.",),
        items=tuple(items),
    )


def _segment(found: Holdings) -> Section:
    title = "Your segment, and how it came about"
    logic = (
        "Segments are groups of customers with similar values. A customer belongs to the segment "
        "whose centre is nearest to its values."
    )
    if found.segment is None:
        why = found.kept_out_by or (
            "a value is missing" if found.release and found.in_data else "none was formed yet"
        )
        return Section(title=title, paragraphs=(logic, f"You have no segment: {why}."))
    first, *rest = found.segment.words
    return Section(title=title, paragraphs=(logic, first), items=tuple(rest))


def _wishes(found: Holdings) -> Section:
    items = [f"{wish}, since {at[:10]}" for wish, at in sorted(found.wishes.items())]
    for entry in found.consents:
        for row in entry.rows:
            values = ", ".join(
                f"{name}: {value}" for name, value in row.items() if value and name != "subject"
            )
            items.append(f"{entry.table}: {values or 'listed'}")
    for said in found.feedback:
        score = "" if said.score is None else f", score {number_words(said.score)}"
        asked = said.asked.question if isinstance(said.asked, SatisfactionTerms) else said.asked
        what = f" ({asked})" if asked else ""
        then = f", as a customer of segment {said.segment_then}" if said.segment_then else ""
        items.append(f"{said.kind} of {said.at[:10]}{score}{what}{then}")
    counted = (
        "Your data may be counted now."
        if found.kept_out_by is None
        else f"Your data are not counted now: {found.kept_out_by}."
    )
    return Section(
        title="What you consented to, objected to and told us",
        paragraphs=(counted, "On record is:" if items else "Nothing else is on record."),
        items=tuple(items),
    )


def _recipients(found: Holdings) -> Section:
    operator, agreement = found.agreement.coordinator, found.agreement
    noise = " and with noise" if agreement.privacy is not None else ""
    runs = len(found.runs)
    return Section(
        title="Who receives what",
        paragraphs=(
            "No row about a single customer leaves the machine that made this answer. Sums over "
            f"all customers who may be counted leave it, under masks{noise}; in "
            f"{runs} {'run' if runs == 1 else 'runs'} so far. "
            + (
                "In which of them you were counted, and in which not, a receipt shows and proves: "
                f"ask {found.party.contact} for it."
                if found.gives_receipts
                else "Which customers were in them is not recorded."
            ),
        ),
        items=(
            f"{operator.legal_name} ({operator.contact}), which runs the coordinator: sums and "
            "the segments formed of them",
            *(f"results: {recipient}" for recipient in agreement.results_use.recipients),
            *_file_items(found),
        ),
    )


def _file_items(found: Holdings) -> Iterator[str]:
    files = found.segment_files
    told = "files of segments that were written here"
    if files.listing:
        yield f"you are in {len(files.listing)} {told}"
    if not files.all_known:
        unknown = len(files.gone) + len(files.changed)
        yield f"whether you are in {unknown} more {told} and moved or changed is not known"


def _retention(found: Holdings) -> Section:
    kept = found.agreement.retention
    return Section(
        title="How long it is kept",
        paragraphs=(
            f"Files with customers' segments: {kept.assignments_days} days. Records of what left "
            f"the machine and of requests: {kept.records_days} days after they were answered. An "
            "objection: for as long as it holds.",
        ),
    )


def _origin(found: Holdings) -> Section:
    return Section(
        title="Where the data come from",
        paragraphs=(found.stated.data_from or "Not stated here.",),
    )


def _rights(found: Holdings) -> Section:
    by_consent = found.party.legal_basis.basis == CONSENT
    authority = found.stated.authority
    return Section(
        title="Your rights",
        paragraphs=(f"You may ask {found.party.contact} at any time",),
        items=(
            "for access to your data, and for a copy that machines read",
            "to have wrong data corrected, or data erased",
            "to have the use of your data restricted",
            "not to be counted any more, by objecting"
            + (", and to withdraw your consent, which leaves what was done before lawful"
               if by_consent else ""),
            "You may complain to a supervisory authority"
            + (f": {authority}" if authority else ", such as that of the place where you live or "
               "work"),
        ),
    )  # fmt: skip


def _cell(value: Cell) -> str:
    if value is None:
        return "no value"
    return number_words(value) if isinstance(value, float) else shown(str(value))
