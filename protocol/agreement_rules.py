"""The rules that an agreement must keep before anybody signs it. SPEC.md, section 6."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from math import log1p
from typing import Final

from protocol import limits
from protocol.agreement.document import EXACT_TOTALS, Agreement
from protocol.agreement.duties import Duties, Population
from protocol.agreement.features import Feature
from protocol.agreement.plan_names import EXACT_PLAN
from protocol.clustering.plan import (
    NOISED_PLANS,
    largest_total,
    last_questions,
    least_rounds,
    longest_vector,
)
from protocol.errors import AgreementError
from protocol.privacy.accounting import rho_for
from protocol.privacy.terms import (
    LARGEST_DELTA,
    LARGEST_RHO,
    SMALLEST_DELTA,
    SMALLEST_RHO,
    PrivacyTerms,
)
from protocol.ring import MAX_TOTAL, WORD_BYTES

#: Placeholders that nobody has replaced with real text yet.
_PLACEHOLDER: Final = re.compile(
    r"(?i)(to ?do|t\.?b\.?[acd]\.?|to be (done|decided|defined|added|filled in)|fix ?me|x{3,}"
    r"|lorem ipsum.*|<.*>|\[.*\]|[\s.?…_*-]+)[.!:]?"
)
#: What names somebody or something; longer texts may have paragraphs.
_ON_ONE_LINE: Final = ("legal_name", "contact", "dpo", "unit", "recipients", "title")
#: Narrower features would be finer than the noised sums resolve.
_SMALLEST_WEIGHT: Final = Decimal("0.01")
#: Every node tries every number of clusters of a range, more than once.
_MOST_CLUSTERS_WITH_NOISE: Final = 200
_MOST_CLUSTERS_TO_CHOOSE: Final = 50
_LONGEST_RANGE: Final = 20
#: The epsilon that rho amounts to must be at least this part of the stated one.
_LEAST_OF_EPSILON: Final = 0.98


def problems_of(agreement: Agreement, *, kept: bool = False) -> list[AgreementError]:
    """All problems that keep an agreement from being signed, each with its way out.

    Args:
        kept: It is on record here, maybe since a version that asked for less: what was added since
            is not asked of it. A run under it is refused for its software (E-CODE).
    """
    return [*_problems(agreement), *(() if kept else _unsaid_problems(agreement))]


def _problems(a: Agreement) -> Iterator[AgreementError]:
    yield from _identity_problems(a)
    yield from _wording_problems(a)
    yield from _feature_problems(a)
    yield from _secure_sum_problems(a)
    yield from _plan_problems(a)
    yield from _size_problems(a)
    yield from _schedule_problems(a)
    yield from _software_problems(a)


def _software_problems(a: Agreement) -> Iterator[AgreementError]:
    strangers = sorted({*(a.software.added_by or ())} - {party.id for party in a.parties})
    if strangers:
        yield AgreementError(
            f"agreement: software.added_by names {', '.join(strangers)}, no party of it",
            code="E-AGR-PARTY",
            remedy="name parties, or write added_by: parties",
        )


def _schedule_problems(a: Agreement) -> Iterator[AgreementError]:
    if a.schedule is not None and next(a.moments(a.effective, a.review_by), None) is None:
        yield AgreementError(
            f"agreement: schedule has no moment from effective to review_by: {a.schedule.words}",
            code="E-SCHEDULE",
            remedy="choose another first_day or a shorter interval, or leave schedule out",
        )


def _identity_problems(a: Agreement) -> Iterator[AgreementError]:
    if a.expires <= a.effective:
        yield AgreementError("agreement: expires is not after effective", code="E-AGR-EXPIRED")
    if not a.effective < a.review_by <= a.expires:
        yield AgreementError(
            "agreement: review_by is not after effective and at most expires",
            code="E-AGR-REVIEW",
            remedy="choose the day by which the parties look at the agreement again",
        )
    if (a.supersedes is None) != (a.version == 1):
        yield AgreementError(
            f"agreement: version {a.version} and supersedes "
            + ("none" if a.supersedes is None else "the hash of an earlier one")
            + " do not go together",
            code="E-AGR-ROLLBACK",
            remedy="a first version supersedes none, every later one the hash of the one before",
        )
    keys = [p.public_key for p in a.parties] + [a.coordinator.public_key]
    if len(set(keys)) != len(keys):
        yield AgreementError(
            "agreement: two parties (or a party and the coordinator) have the same public key",
            code="E-AGR-DUPKEY",
            remedy="every organisation makes its own key with `fedseg-node init`",
        )
    if len({p.id for p in a.parties}) != len(a.parties):
        yield AgreementError("agreement: two parties have the same id", code="E-AGR-PARTY")


def unsaid_in(agreement: Agreement) -> Iterator[tuple[str, str]]:
    """The path and the text of every field for people that says nothing yet, such as TODO."""
    for place, text in _wordings(agreement):
        if _PLACEHOLDER.fullmatch(text.strip()):
            yield place, text.strip()


def _wording_problems(a: Agreement) -> Iterator[AgreementError]:
    for place, text in unsaid_in(a):
        yield AgreementError(
            f"agreement: {place} is {text!r}, which says nothing yet",
            code="E-LINT",
            remedy="write what the parties mean; whoever signs must be able to read it",
        )
    for use in sorted({*a.results_use.allowed} & {*a.results_use.forbidden}):
        yield AgreementError(
            f"agreement: results_use allows and forbids {use!r}",
            code="E-USE",
            remedy="keep it in one of the two lists",
        )
    for name in sorted({f.name for f in a.features} & {*a.excluded.proxies}):
        yield AgreementError(
            f"agreement: {name!r} is a feature and in excluded.proxies",
            code="E-SPECIAL",
            remedy="leave the feature out, or take it off that list",
        )


def _wordings(a: Agreement) -> Iterator[tuple[str, str]]:
    """The path and the text of every field that is meant for people to read."""
    yield "purpose.text", a.purpose.text
    for party in a.parties:
        place = f"parties.{party.id}"
        yield f"{place}.legal_name", party.legal_name
        yield f"{place}.contact", party.contact
        yield f"{place}.dpo", party.dpo
        yield f"{place}.legal_basis.reference", party.legal_basis.reference
    yield "coordinator.legal_name", a.coordinator.legal_name
    yield "coordinator.contact", a.coordinator.contact
    for name in Population.__slots__:
        yield f"population.{name}", getattr(a.population, name)
    for feature in a.features:
        yield f"features.{feature.name}.unit", feature.unit
        yield f"features.{feature.name}.necessity", feature.necessity
    for recipient in a.results_use.recipients:
        yield "results_use.recipients", recipient
    for name in Duties.__slots__:
        yield f"duties.{name}", getattr(a.duties, name)
    for document in a.documents:
        yield "documents.title", document.title
    if a.plan.satisfaction is not None:
        yield "plan.satisfaction.question", a.plan.satisfaction.question


def _feature_problems(a: Agreement) -> Iterator[AgreementError]:
    if a.n_coordinates > limits.MAX_FEATURES:
        yield AgreementError(
            f"the features have {a.n_coordinates} coordinates, a level of a categorical feature "
            f"counted as one; at most {limits.MAX_FEATURES} are allowed",
            code="E-AGR-SIZE",
            remedy="agree on fewer levels: one for all that are rare, named by other",
        )
    names = [f.name for f in a.features]
    for name in sorted({n for n in names if names.count(n) > 1}):
        yield AgreementError(f"feature {name!r} is listed twice", code="E-FEATURE-BOUNDS")
    folded = [name.lower() for name in dict.fromkeys(names)]
    for name in sorted({n for n in folded if folded.count(n) > 1}):
        both = ", ".join(repr(n) for n in dict.fromkeys(names) if n.lower() == name)
        yield AgreementError(
            f"features {both} differ in capital letters alone, which databases do not tell apart",
            code="E-FEATURE-BOUNDS",
            remedy="name one of them otherwise",
        )
    for f in a.features:
        own = f.coordinates[0].weight
        if a.privacy is not None and 0 < own < _SMALLEST_WEIGHT:
            each = f", {own} for each of its {len(f.levels)} levels," if own < f.weight else ""
            yield AgreementError(
                f"feature {f.name!r}: weight {f.weight}{each} is below {_SMALLEST_WEIGHT}, the "
                "least with noise",
                code="E-FEATURE-BOUNDS",
                remedy="give it more weight, or leave the feature out",
            )
        if f.min >= f.max:
            yield AgreementError(
                f"feature {f.name!r}: min {f.min} is not below max {f.max}",
                code="E-FEATURE-BOUNDS",
            )
        elif not _apart(f):
            yield AgreementError(
                f"feature {f.name!r}: min {f.min} and max {f.max} are one number to a computer",
                code="E-FEATURE-BOUNDS",
                remedy="choose a unit in which the bounds differ more",
            )
        if f.transform == "log1p" and f.min < 0:
            yield AgreementError(
                f"feature {f.name!r}: log1p needs min >= 0, found {f.min}",
                code="E-FEATURE-BOUNDS",
            )
        if not Decimal(0) < f.weight <= 1:
            yield AgreementError(
                f"feature {f.name!r}: weight {f.weight} is not above 0 and at most 1",
                code="E-FEATURE-BOUNDS",
            )


def _apart(feature: Feature) -> bool:
    """Whether the bounds, transformed, still differ as floating-point numbers."""
    low, high = float(feature.min), float(feature.max)
    if feature.transform == "log1p" and low >= 0:
        low, high = log1p(low), log1p(high)
    return low < high


def _secure_sum_problems(a: Agreement) -> Iterator[AgreementError]:
    terms = a.secure_sum
    exact = a.privacy is None
    totals = "exact totals" if exact else "totals with noise"
    remedy = (
        "with two partners each could subtract its own numbers and see the other's; with noise "
        "two partners are enough"
        if exact
        else "max_colluding partners may leave out their noise; somebody else must add it"
    )
    fewest = max(3, terms.max_colluding + 2) if exact else max(2, terms.max_colluding + 1)
    if terms.min_partners < fewest or a.n_partners < terms.min_partners:
        yield AgreementError(
            f"{totals} need at least {fewest} partners: {a.n_partners} parties, "
            f"min_partners {terms.min_partners}, max_colluding {terms.max_colluding}",
            code="E-PARTNERS",
            remedy=remedy,
        )
    if exact and terms.min_atom < fewest:
        yield AgreementError(
            f"secure_sum.min_atom is {terms.min_atom}; exact totals need at least {fewest} "
            f"with max_colluding {terms.max_colluding}",
            code="E-PARTNERS",
            remedy="of two partners each could subtract its own numbers and see the other's",
        )
    if not exact and terms.max_colluding < 1:
        yield AgreementError(
            "secure_sum.max_colluding is 0; with noise at least 1 is needed",
            code="E-DP-NOISE",
            remedy="a partner knows its own share of the noise: the others' shares must be wide "
            "enough without it",
        )
    if terms.min_atom > a.n_partners:
        yield AgreementError(
            f"secure_sum.min_atom is {terms.min_atom}, there are {a.n_partners} parties: no set "
            "could ever be opened",
            code="E-PARTNERS",
        )
    if a.n_partners < a.smallest_set:
        yield AgreementError(
            f"{a.n_partners} {'party is' if a.n_partners == 1 else 'parties are'} fewer than the "
            f"smallest set of {a.smallest_set}",
            code="E-PARTNERS",
            remedy="take more partners into the agreement, or lower secure_sum.min_partners or "
            "max_colluding as far as they make it so large",
        )


def _plan_problems(a: Agreement) -> Iterator[AgreementError]:
    if (a.plan.name == EXACT_PLAN) != (a.privacy is None):
        needs = "privacy: none" if a.plan.name == EXACT_PLAN else "an epsilon under privacy"
        noised = " and ".join(NOISED_PLANS)
        yield AgreementError(
            f"plan {a.plan.name!r} needs {needs}",
            code="E-PLAN",
            remedy=f"with noise the plans are {noised}, without it {EXACT_PLAN}",
        )
    for name, asked in (("profile", a.plan.profile), ("satisfaction", a.plan.satisfaction)):
        if a.plan.name == EXACT_PLAN and asked:
            yield AgreementError(
                f"plan.{name} needs noise, which {EXACT_PLAN} does without",
                code="E-PLAN",
                remedy=f"leave plan.{name} out, or agree on an epsilon under privacy",
            )
    if a.plan.exact_totals and a.privacy is not None:
        yield AgreementError(
            f"plan.exact_totals says that {EXACT_TOTALS}, which noise prevents",
            code="E-PLAN",
            remedy="leave plan.exact_totals out, or agree on privacy: none",
        )
    yield from _cluster_problems(a)
    if a.privacy is not None:
        yield from _privacy_problems(a, a.privacy)


def _unsaid_problems(a: Agreement) -> Iterator[AgreementError]:
    if a.plan.name in NOISED_PLANS and a.plan.max_rounds < least_rounds(a.plan):
        least = least_rounds(a.plan)
        yield AgreementError(
            f"plan.max_rounds is {a.plan.max_rounds}; {a.plan.name} needs at least {least}, the "
            f"last {last_questions(a.plan)} questions included",
            code="E-PLAN",
            remedy=f"write max_rounds: {least}",
        )
    for place, text in _wordings(a):
        if place.rpartition(".")[2] in _ON_ONE_LINE and "\n" in text:
            yield AgreementError(
                f"agreement: {place} goes over several lines: {text!r}",
                code="E-AGR-SCHEMA",
                remedy="write it on one line: a name must not look like other lines of the "
                "agreement",
            )
    if a.plan.name == EXACT_PLAN and a.privacy is None and not a.plan.exact_totals:
        yield AgreementError(
            "plan.exact_totals is missing: whoever signs exact totals has to read that the "
            "coordinator and every partner can compute single customers' values",
            code="E-PLAN",
            remedy="agree on an epsilon under privacy, 8 to 10 if accuracy is what matters; or "
            f"write under plan, exact_totals: {EXACT_TOTALS}",
        )


def _cluster_problems(a: Agreement) -> Iterator[AgreementError]:
    plan = a.plan
    if plan.name != EXACT_PLAN and plan.n_clusters > _MOST_CLUSTERS_WITH_NOISE:
        yield AgreementError(
            f"plan.n_clusters is {plan.n_clusters}, at most {_MOST_CLUSTERS_WITH_NOISE} with noise",
            code="E-PLAN",
        )
    to_choose = plan.n_clusters - plan.n_clusters_min
    if to_choose and (to_choose > _LONGEST_RANGE or plan.n_clusters > _MOST_CLUSTERS_TO_CHOOSE):
        yield AgreementError(
            f"the plan would choose among {plan.n_clusters_min} to {plan.n_clusters} clusters; a "
            f"range of {_LONGEST_RANGE} up to {_MOST_CLUSTERS_TO_CHOOSE} is the most",
            code="E-PLAN",
            remedy="raise plan.n_clusters_min or lower plan.n_clusters",
        )


def _privacy_problems(a: Agreement, terms: PrivacyTerms) -> Iterator[AgreementError]:
    if not Decimal(0) < terms.delta <= LARGEST_DELTA:
        yield AgreementError(
            f"privacy.delta is {terms.delta}, above 0 and at most {LARGEST_DELTA} are allowed",
            code="E-BUDGET",
            remedy="delta is the chance that the promise fails: choose it well below one in the "
            "number of customers",
        )
        return
    if not SMALLEST_RHO <= terms.rho <= LARGEST_RHO:
        yield AgreementError(
            f"privacy.rho is {terms.rho}, {SMALLEST_RHO} to {LARGEST_RHO} are allowed",
            code="E-BUDGET",
        )
        return
    customers = a.most_customers(range(a.n_partners))
    if terms.delta * customers >= 1 and terms.delta > SMALLEST_DELTA:
        yield AgreementError(
            f"privacy.delta is {terms.delta}, with row caps of {customers} customers in all; it "
            "must be below one in that many",
            code="E-DP-NOISE",
            remedy="lower max_customers to what each party really has, or lower delta",
        )
    spent = terms.epsilon_of(terms.run_cost)
    if terms.epsilon > 0 and spent < _LEAST_OF_EPSILON * float(terms.epsilon):
        yield AgreementError(
            f"privacy.rho {terms.rho} is an epsilon of {spent:.4g} at delta {terms.delta} only, "
            f"stated is {terms.epsilon}",
            code="E-DP-NOISE",
            remedy=_way_to_epsilon(terms) + f', or state epsilon: "{spent:.3g}"',
        )
    if spent > float(terms.epsilon):
        yield AgreementError(
            f"privacy.rho {terms.rho} is an epsilon of {spent:.4g} at delta {terms.delta}, "
            f"agreed is {terms.epsilon}",
            code="E-BUDGET",
            remedy=_way_to_epsilon(terms),
        )
    if terms.max_partners_per_customer > a.n_partners:
        yield AgreementError(
            f"privacy.max_partners_per_customer is {terms.max_partners_per_customer}, there are "
            f"{a.n_partners} parties",
            code="E-BUDGET",
        )


def _way_to_epsilon(terms: PrivacyTerms) -> str:
    rho = rho_for(float(terms.epsilon), float(terms.delta))
    if rho < SMALLEST_RHO:
        return "agree on a larger epsilon: with this one hardly anything could be asked"
    return f'write rho: "{rho:f}"'


def _size_problems(a: Agreement) -> Iterator[AgreementError]:
    length = longest_vector(a)
    transcript = a.n_partners * (WORD_BYTES * length + limits.MASKED_OVERHEAD_BYTES)
    if transcript > limits.MAX_TRANSCRIPT_BYTES:
        yield AgreementError(
            f"a round's transcript would have {transcript} bytes, at most "
            f"{limits.MAX_TRANSCRIPT_BYTES} are sent",
            code="E-AGR-SIZE",
            remedy="agree on fewer clusters, features or partners",
        )
    customers = a.most_customers(range(a.n_partners))
    if largest_total(a) > MAX_TOTAL:
        yield AgreementError(
            f"the parties' row caps add up to {customers} customers with {a.n_coordinates} "
            "coordinates: totals could overflow 63 bits",
            code="E-AGR-SIZE",
            remedy="lower max_customers to what each party really has",
        )
