"""The agreement in plain words, for the person who decides whether to sign."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from protocol.agreement.document import Agreement, SecureSumTerms
from protocol.agreement.duties import Exclusions
from protocol.agreement.features import Feature
from protocol.agreement.governance import (
    EGRESS,
    EXPORT,
    LEGITIMATE_INTEREST,
    SIGNING,
    LegalBasis,
)
from protocol.clustering.plan import most_cost
from protocol.percents import whole_percent_words
from protocol.privacy.accounting import epsilon_text
from protocol.privacy.words import counted, meaning, statement
from protocol.release.document import EXACT_WORDS

Visible = Callable[[str], str]
_FOUR_EYES_WORDS: Final = {
    SIGNING: "a version of this agreement is signed",
    EGRESS: "a message that the node holds for approval leaves",
    EXPORT: "a file of customers' segments is written",
}
#: Agreed moments beyond these are not counted.
_MOST_COUNTED: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOfWords:
    """A table of texts.

    Attributes:
        rows: As many cells each as there are headers.
    """

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def agreement_words(agreement: Agreement, shown: Visible) -> list[str | TableOfWords]:
    """Paragraphs and tables that say what the agreement means.

    Args:
        shown: Escapes invisible characters, such as those that change the direction of writing:
            whoever drafted the agreement cannot hide words from its reader.
    """
    return [
        *_exact_words(agreement),
        f"Agreement {agreement.id}, version {agreement.version}, "
        f"{agreement.effective:%Y-%m-%d} to {agreement.expires:%Y-%m-%d}; after "
        f"{agreement.review_by:%Y-%m-%d} no run begins until a new version is signed",
        "Purpose: " + shown(agreement.purpose.text).replace("\n", "\n    "),
        f"Consents and notices call it {agreement.purpose.term}; the notice that tells customers "
        f"of it has version {agreement.purpose.notice_version}.",
        _parties(agreement, shown),
        _officers(agreement, shown),
        f"The coordinator is run by {shown(agreement.coordinator.legal_name)} "
        f"({shown(agreement.coordinator.contact)}). It adds masked answers and learns totals only.",
        f"Whose data: {shown(agreement.population.subject)}; "
        f"{shown(agreement.population.inclusion)}. They are told apart by "
        f"{shown(agreement.population.dedupe_key)}; one row a customer.",
        _features(agreement, shown),
        _necessities(agreement, shown),
        _never(agreement.excluded),
        _bases(agreement, shown),
        "Before each question every node looks up anew who may be counted: on consent only "
        "customers whose latest consent covers this purpose and notice; on legitimate interest all "
        "but those who object or have withdrawn. It refuses when its records are older than "
        f"{counted(agreement.consent.max_age_hours, 'hour')}.",
        "No customer's row leaves a partner. Each partner sends sums over its own customers, "
        "hidden under masks that cancel only in the total of "
        f"at least {agreement.smallest_set} partners.",
        *_privacy_words(agreement, shown),
        f"Result: {_how_many(agreement)}; segments with fewer than "
        f"{agreement.min_segment_size} customers are withheld"
        + (", and those too small to tell under the noise." if agreement.privacy else "."),
        _start_words(agreement),
        _schedule_words(agreement),
        *_four_eyes_words(agreement),
        *_training_words(agreement),
        _set_words(agreement.secure_sum),
        _fewest(agreement),
        *_afterwards(agreement, shown),
        *_software_words(agreement),
        f"Agreement hash {agreement.hash.hex()}",
    ]


def _parties(agreement: Agreement, shown: Visible) -> TableOfWords:
    return TableOfWords(
        title="Who",
        headers=("partner", "legal name", "contact", "counts at most"),
        rows=tuple(
            (
                party.id,
                shown(party.legal_name),
                shown(party.contact),
                f"{party.max_customers:,} customers",
            )
            for party in agreement.parties
        ),
    )


def _officers(agreement: Agreement, shown: Visible) -> TableOfWords:
    return TableOfWords(
        title="Who answers",
        headers=("partner", "role", "data protection officer", "law"),
        rows=tuple(
            (
                party.id,
                party.role.replace("-", " "),
                shown(party.dpo),
                ", ".join(party.jurisdictions),
            )
            for party in agreement.parties
        ),
    )


def _bases(agreement: Agreement, shown: Visible) -> TableOfWords:
    return TableOfWords(
        title="On what legal basis",
        headers=("partner", "basis", "laid down in"),
        rows=tuple(
            (party.id, party.legal_basis.words, _reference(party.legal_basis, shown))
            for party in agreement.parties
        ),
    )


def _features(agreement: Agreement, shown: Visible) -> TableOfWords:
    return TableOfWords(
        title="What is computed on",
        headers=("feature", "unit", "values", "scale", "missing", "weight"),
        rows=tuple(
            (
                feature.name,
                shown(feature.unit),
                shown(feature.range_words),
                _scale_words(feature),
                "refused" if feature.missing is None else shown(feature.missing.words),
                str(feature.weight),
            )
            for feature in agreement.features
        ),
    )


def _necessities(agreement: Agreement, shown: Visible) -> TableOfWords:
    return TableOfWords(
        title="Why",
        headers=("feature", "why it is needed"),
        rows=tuple(
            (
                feature.name + (f" ({feature.category})" if feature.category else ""),
                shown(feature.necessity),
            )
            for feature in agreement.features
        ),
    )


def _never(excluded: Exclusions) -> str:
    special = ", ".join(name.replace("-", " ") for name in excluded.special)
    proxies = ", ".join(excluded.proxies)
    return (
        f"Never used: customers younger than {excluded.children_under}"
        + (f"; special categories of data: {special}" if special else "")
        + (f"; columns that stand for something excluded: {proxies}" if proxies else "")
        + "."
    )


def _software_words(agreement: Agreement) -> list[str]:
    """What every node runs, and who may add to that."""
    terms = agreement.software
    first, *others = (
        f"fedseg {build.version}, code {build.sha256.hex()}"
        for build in (terms.build, *terms.builds)
    )
    words = [f"Software: {first}" + "".join(f"; or {one}" for one in others) + "."]
    if terms.protocol is not None:
        words[0] += f" Protocol {terms.protocol}."
    if terms.added_by is not None:
        who = "every party" if not terms.added_by else f"each of {', '.join(terms.added_by)}"
        words.append(
            f"A later release of the same protocol may run beside it once {who} has signed its "
            "hash, without a new agreement; whoever does not install it keeps what it has."
        )
    return words


def _fewest(agreement: Agreement) -> str:
    least = agreement.min_customers_per_partner
    if not least:
        return "A partner takes part however few of its customers may be counted."
    if least == 1:
        return "A partner of whose customers none may be counted answers nothing."
    few = counted(least, "customer")
    return f"A partner with fewer than {few} who may be counted answers nothing."


def _afterwards(agreement: Agreement, shown: Visible) -> list[str | TableOfWords]:
    """Use and retention of the results, and the duties of parties."""
    use, kept, duties = agreement.results_use, agreement.retention, agreement.duties
    forbidden = ", ".join(use.forbidden) or "nothing is named"
    words: list[str | TableOfWords] = [
        f"Segments may be used for: {', '.join(use.allowed)}. Never for: {forbidden}. Who receives "
        f"them: {', '.join(shown(name) for name in use.recipients)}.",
        f"Kept for: files with customers' segments {counted(kept.assignments_days, 'day')}, "
        f"records of what left a node {counted(kept.records_days, 'day')}.",
        *(f"{name.capitalize()}: {shown(getattr(duties, name))}" for name in duties.__slots__),
    ]
    if agreement.documents:
        words.append(
            TableOfWords(
                title="Documents that belong to it",
                headers=("document", "SHA-256"),
                rows=tuple((shown(one.title), one.sha256.hex()) for one in agreement.documents),
            )
        )
    return words


def _reference(basis: LegalBasis, shown: Visible) -> str:
    if basis.basis == LEGITIMATE_INTEREST:
        return f"the assessment with SHA-256 {basis.reference}"
    return shown(basis.reference)


def _scale_words(feature: Feature) -> str:
    return feature.kind.words or ("logarithmic" if feature.transform == "log1p" else "linear")


def _how_many(agreement: Agreement) -> str:
    plan = agreement.plan
    if plan.n_clusters_min == plan.n_clusters:
        return f"{counted(plan.n_clusters, 'segment')} at most"
    agreed = plan.n_clusters_agreed or plan.n_clusters
    return (
        f"{plan.n_clusters_min} to {plan.n_clusters} segments, as many as there are groups with "
        f"gaps between them; {agreed} where there are none or the noise does not tell"
    )


def _start_words(agreement: Agreement) -> str:
    if agreement.plan.start:
        return "Every run starts anew: customers who did not change may come to other segments."
    words = (
        "A run starts from the last signed release under this agreement: customers who did not "
        "change keep their segments."
    )
    if agreement.privacy is None:
        return words
    part = most_cost(agreement, follows=True) / most_cost(agreement, follows=False)
    return (
        f"{words} Such a run costs {whole_percent_words(part)} of the budget for one; when "
        "customers changed beyond the noise the next run starts anew and costs the whole."
    )


def _schedule_words(agreement: Agreement) -> str:
    schedule = agreement.schedule
    if schedule is None:
        return "Runs begin when the operator starts them."
    moments = agreement.moments(agreement.effective, agreement.review_by)
    count = sum(1 for _ in islice(moments, _MOST_COUNTED))
    many = "more than " if count == _MOST_COUNTED else ""
    words = (
        f"A run begins by itself {schedule.words}: {many}{counted(count, 'moment')} until "
        f"{agreement.review_by:%Y-%m-%d}. One that is missed is said and not made up. The operator "
        "may start others."
    )
    if agreement.privacy is not None and count > agreement.privacy.runs:
        words += (
            f" The budget is for {counted(agreement.privacy.runs, 'run')}: when it is used up your "
            "node refuses, and what is due after that is missed."
        )
    return words


def _four_eyes_words(agreement: Agreement) -> list[str]:
    if not agreement.four_eyes:
        return []
    acts = "; ".join(_FOUR_EYES_WORDS[name] for name in agreement.four_eyes)
    return [f"Two different people at each node have to agree before: {acts}. One may refuse."]


def _training_words(agreement: Agreement) -> list[str]:
    if not agreement.training:
        return []
    return [
        "Whoever signs a version of this agreement at a node, approves a message or writes a file "
        f"of customers' segments there has been trained: {', '.join(agreement.training)}. Where "
        "nobody at a node has, it answers nothing."
    ]


def _set_words(terms: SecureSumTerms) -> str:
    """What stays hidden of one partner, and what a change of the set may tell of it."""
    told_apart = (
        "also by one partner alone, whose noised totals may then be inferred from the difference"
        if terms.min_atom == 1
        else f"and never so that fewer than {terms.min_atom} partners could be told apart"
    )
    return (
        "The numbers of one partner stay hidden although up to "
        f"{counted(terms.max_colluding, 'other partner')} may collude with the coordinator. "
        f"The set of partners may change {counted(terms.max_set_changes, 'time')}, {told_apart}."
    )


def _exact_words(agreement: Agreement) -> list[str]:
    """What stands before everything else where there is no noise."""
    if agreement.privacy is not None:
        return []
    return [
        f"READ THIS FIRST. {EXACT_WORDS[0].upper()}{EXACT_WORDS[1:]}. They see the totals of every "
        f"round ({agreement.plan.max_rounds} at most), without noise: where one customer alone "
        "changes cluster, the difference of two rounds is that customer's row. Nobody can tell "
        "beforehand whose customers that will be, and no budget bounds it. With noise, even at "
        "epsilon 10, differences show nobody's row."
    ]


def _privacy_words(agreement: Agreement, shown: Visible) -> list[str]:
    terms = agreement.privacy
    if terms is None:
        return []
    epsilon, delta = terms.epsilon_of(terms.run_cost), float(terms.delta)
    total = terms.epsilon_of(terms.budget)
    return [
        f"Privacy of one run: {statement(epsilon, delta, terms.unit)}. Every partner adds noise "
        "to its sums before anybody sees them. " + meaning(epsilon, delta, terms.unit),
        f"When partners drop out, questions may be asked again: a run then costs up to epsilon "
        f"{epsilon_text(terms.epsilon_of(terms.reserve))}.",
        f"Budget: {counted(terms.runs, 'run')} and {counted(terms.spare_rounds, 'spare question')} "
        f"for when partners drop out; all together epsilon {epsilon_text(total)} at delta "
        f"{delta:.0e}. After all of them: {meaning(total, delta, terms.unit)} Your node counts by "
        "itself and refuses beyond that.",
        *_profile_words(agreement),
        *_satisfaction_words(agreement, shown),
    ]


def _profile_words(agreement: Agreement) -> list[str]:
    if not agreement.plan.profile:
        return []
    return [
        "Profile: at the end of a run it is also asked how customers differ within each segment, "
        "feature by feature, with noise like all others."
    ]


def _satisfaction_words(agreement: Agreement, shown: Visible) -> list[str]:
    terms = agreement.plan.satisfaction
    if terms is None:
        return []
    return [
        f"Satisfaction: the last question of a run is what your customers answered to "
        f"“{shown(terms.question)}”, {terms.scale_words}: for each segment the sum of their "
        "newest scores and how many gave one, with noise like all others. Scores are those that "
        "you import (feedback import); nobody's own score leaves your node."
    ]
