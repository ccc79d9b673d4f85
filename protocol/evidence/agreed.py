"""Facts that the agreement says: who, what for, whose data, which, how long, who answers."""

from __future__ import annotations

from typing import Any, Final

from protocol.agreement.governance import BASIS_WORDS
from protocol.evidence.document import Grid, Value
from protocol.evidence.forms import by_program, text
from protocol.evidence.looking import Look
from protocol.privacy.words import counted

#: States of the European Economic Area (ISO 3166-1), and EU itself.
EEA: Final = frozenset({
    "EU", "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE",
    "IS", "IT", "LI", "LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK",
})  # fmt: skip


def own_path(look: Look) -> str:
    """The place of this node's party in the agreement; raises Missing."""
    return f"parties[{look.own}]"


def controller(look: Look) -> Value:
    """Name and contact of this node's party."""
    own = own_path(look)
    return text(
        str(look.clause(own + ".legal_name")),
        f"Contact: {look.clause(own + '.contact')}",
    )


def own_officer(look: Look) -> Value:
    """How this party's data protection officer is reached."""
    return text(str(look.clause(own_path(look) + ".dpo")))


def joint_controllers(look: Look) -> Value:
    """Everybody who decides, and how they are reached."""
    rows = tuple(
        (
            str(look.clause(f"{party}.legal_name")),
            str(look.clause(f"{party}.role")).replace("-", " "),
            str(look.clause(f"{party}.contact")),
            str(look.clause(f"{party}.dpo")),
        )
        for party in look.each("parties")
    )
    return Value(
        grid=Grid(headers=("Partner", "Role", "Contact", "Data protection officer"), rows=rows)
    )


def tasks_of_partners(look: Look) -> Value:
    """Who stands for what among the partners."""
    return text(str(look.clause("duties.responsibilities")))


def processor(look: Look) -> Value:
    """Who runs the coordinator."""
    name, contact = look.clause("coordinator.legal_name"), look.clause("coordinator.contact")
    return text(f"{name}. Contact: {contact}")


def tasks_of_processor(look: Look) -> Value:
    """What the coordinator does, and cannot."""
    partners = look.clause("secure_sum.min_partners")
    return by_program(
        look,
        "Invites partners, collects signatures, opens runs, adds masked answers, publishes the "
        f"release that the partners sign. It learns totals over at least {partners} partners, and "
        "no row and no single partner's sums.",
    )


def purpose(look: Look) -> Value:
    """What the segments are for."""
    term = str(look.clause("purpose.term"))
    return Value(
        paragraphs=(str(look.clause("purpose.text")), f"In consents and notices: {term}"),
        terms=(term,),
    )


def uses(look: Look) -> Value:
    """What results may be used for, and what never."""
    allowed = ", ".join(look.clause("results_use.allowed"))
    forbidden = look.maybe("results_use.forbidden") or ()
    return text(
        f"May be used for: {allowed}.",
        f"Never for: {', '.join(forbidden)}." if forbidden else "Nothing is named as forbidden.",
        "Each export of customers' segments names its use; one that is not agreed is refused.",
    )


def forbidden_uses(look: Look) -> Value:
    """What results are never used for."""
    return text(f"Never for: {', '.join(look.clause('results_use.forbidden'))}.")


def legal_basis(look: Look) -> Value:
    """On what basis this party uses its customers' data."""
    own = own_path(look)
    basis = str(look.clause(f"{own}.legal_basis.basis"))
    reference = look.clause(f"{own}.legal_basis.reference")
    return Value(
        paragraphs=(f"{BASIS_WORDS.get(basis, basis)} ({basis})", f"Laid down in: {reference}"),
        terms=(basis,),
    )


def legal_bases(look: Look) -> Value:
    """On what basis each partner does."""
    rows = []
    for party in look.each("parties"):
        basis = str(look.clause(f"{party}.legal_basis.basis"))
        reference = str(look.clause(f"{party}.legal_basis.reference"))
        name = str(look.clause(f"{party}.legal_name"))
        rows.append((name, f"{BASIS_WORDS.get(basis, basis)} ({basis})", reference))
    return Value(grid=Grid(headers=("Partner", "Basis", "Laid down in"), rows=tuple(rows)))


def subjects(look: Look) -> Value:
    """Whose data."""
    return text(
        f"{look.clause('population.subject')}: {look.clause('population.inclusion')}",
        f"Told apart by: {look.clause('population.dedupe_key')}",
    )


def features(look: Look) -> Value:
    """Which data, and between which bounds."""
    rows = [
        (
            str(look.clause(f"{one}.name")),
            str(look.maybe(f"{one}.category") or "not stated"),
            str(look.clause(f"{one}.unit")),
            _bounds(look, one),
        )
        for one in look.each("features")
    ]
    if look.maybe("plan.satisfaction"):
        asked = look.clause("plan.satisfaction.question")
        low, high = (look.clause(f"plan.satisfaction.{end}") for end in ("lowest", "highest"))
        rows.append((f"newest answer to “{asked}”", "not stated", "score", f"{low} to {high}"))
    return Value(grid=Grid(headers=("Data", "Category", "Unit", "Values used"), rows=tuple(rows)))


def necessities(look: Look) -> Value:
    """Why each is needed, as the partners agreed."""
    rows = tuple(
        (str(look.clause(f"{one}.name")), str(look.clause(f"{one}.necessity")))
        for one in look.each("features")
    )
    return Value(grid=Grid(headers=("Data", "Why it is needed"), rows=rows))


def quality(look: Look) -> Value:
    """What values must be like, checked before each question."""
    rows = tuple(
        (str(look.clause(f"{one}.name")), _bounds(look, one), _missing_words(look, one))
        for one in look.each("features")
    )
    return Value(
        paragraphs=("Values are clipped to the agreed bounds before anything is computed.",),
        grid=Grid(headers=("Data", "Values used", "Where there is none"), rows=rows),
    )


def special(look: Look) -> Value:
    """Special categories, which are never used."""
    names = ", ".join(name.replace("-", " ") for name in look.clause("excluded.special"))
    return text(
        f"None may be used. Excluded by name: {names}. A node refuses a column that is called so, "
        "or whose values look so."
    )


def excluded(look: Look) -> Value:
    """Children, and columns that stand for something excluded."""
    proxies = look.maybe("excluded.proxies")
    words = [f"Customers younger than {look.clause('excluded.children_under')} are never counted."]
    if proxies:
        words.append(f"Columns that stand for something excluded: {', '.join(proxies)}.")
    return text(*words)


def recipients(look: Look) -> Value:
    """Who receives results, and the coordinator beside them."""
    named = ", ".join(look.clause("results_use.recipients"))
    operator = look.clause("coordinator.legal_name")
    return text(
        f"Segments (totals, no customer's): {named}.",
        f"Masked sums: {operator}, which runs the coordinator.",
        "A customer's own segment is formed at its partner, and goes to nobody by this program.",
    )


def retention(look: Look) -> Value:
    """For how long what is kept."""
    files = look.clause("retention.assignments_days")
    records = look.clause("retention.records_days")
    return text(
        f"Files with customers' segments: {counted(files, 'day')}, then the node deletes them.",
        f"Records of what left, and of requests: {counted(records, 'day')}. What was spent of the "
        "privacy budget, and the audit log, which names no customer: for good.",
    )


def transfers(look: Look) -> Value:
    """Which partners' law is outside the European Economic Area."""
    rows, outside = [], []
    for party in look.each("parties"):
        name, places = look.clause(f"{party}.legal_name"), look.clause(f"{party}.jurisdictions")
        third = [place for place in places if str(place).split("-")[0] not in EEA]
        rows.append((str(name), ", ".join(places), ", ".join(third) or "none"))
        outside += third
    said = (
        f"Outside the European Economic Area: {', '.join(sorted(set(outside)))}. What crosses "
        "borders is masked sums and the release."
        if outside
        else "Every partner is in the European Economic Area."
    )
    return Value(
        paragraphs=(said,),
        grid=Grid(headers=("Partner", "Law", "Outside the EEA"), rows=tuple(rows)),
    )


def period(look: Look) -> Value:
    """From when until when."""
    stopped = look.record_if_any("stopped")
    return text(
        *([f"STOPPED on {stopped['on']} by {stopped['by']}."] if stopped else []),
        f"From {str(look.clause('effective'))[:10]} to {str(look.clause('expires'))[:10]}; after "
        f"{str(look.clause('review_by'))[:10]} no run begins until a new version is signed.",
    )


def launch(look: Look) -> Value:
    """From when."""
    return text(str(look.clause("effective"))[:10])


def end(look: Look) -> Value:
    """Until when, and what ends it before."""
    return text(
        f"{str(look.clause('expires'))[:10]}; before that when a party stops it: "
        f"{look.clause('duties.withdrawal')}"
    )


def review(look: Look) -> Value:
    """When it is looked at again."""
    return text(f"By {str(look.clause('review_by'))[:10]}; no run begins after that.")


def name_of_processing(look: Look) -> Value:
    """How the processing is called, and its versions."""
    before = look.maybe("supersedes")
    said = (
        "the first version" if before in (None, "none") else f"follows the one with hash {before}"
    )
    return text(f"{look.clause('id')}, version {look.clause('version')} ({said})")


def clause_words(path: str) -> Any:
    """A field that is one clause, word for word."""

    def facts(look: Look) -> Value:
        return text(str(look.clause(path)))

    return facts


def documents(look: Look) -> Value:
    """What else belongs to the agreement, by hash."""
    rows = tuple(
        (str(look.clause(f"{one}.title")), str(look.clause(f"{one}.sha256")))
        for one in look.each("documents")
    )
    return Value(grid=Grid(headers=("Document", "SHA-256"), rows=rows))


def notice(look: Look) -> Value:
    """Which notice tells customers."""
    version = look.clause("purpose.notice_version")
    return text(
        f"The notice of version {version} tells them of the purpose; a node whose customers were "
        "not told of it refuses every question."
    )


def consent_age(look: Look) -> Value:
    """How fresh customers' wishes must be."""
    hours = look.clause("consent.max_age_hours")
    return text(
        "Before each question every node looks up anew who may be counted, and refuses when its "
        f"records are older than {counted(hours, 'hour')}."
    )


def frequency(look: Look) -> Value:
    """How often."""
    rounds = look.clause("plan.max_rounds")
    every = look.maybe("schedule")
    said = "Runs begin by an agreed schedule." if every else "Runs begin when the operator asks."
    return text(f"{said} A run asks each customer's data at most {counted(rounds, 'time')}.")


def _bounds(look: Look, one: str) -> str:
    levels = look.maybe(f"{one}.levels")
    if levels:
        return ", ".join(str(level) for level in levels)
    low, high = look.maybe(f"{one}.min"), look.maybe(f"{one}.max")
    return f"{low} to {high}" if low is not None and high is not None else "as its kind says"


def _missing_words(look: Look, one: str) -> str:
    if look.maybe(f"{one}.missing") is None:
        return "the node refuses"
    value = look.maybe(f"{one}.missing.value")
    return "the customer is left out" if value is None else f"{value} stands for it"
