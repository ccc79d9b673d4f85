"""An entry for the public registry of differential-privacy deployments (OpenDP, NIST)."""

from __future__ import annotations

import json
from typing import Any, Final

from protocol.evidence import acts, agreed, measures, scenarios, sums
from protocol.evidence.document import Audience, Document, State, Value
from protocol.evidence.forms import Asked, Form, Part, by_program, text
from protocol.evidence.looking import Look
from protocol.privacy.accounting import epsilon_text
from protocol.privacy.words import counted

_HOOK: Final = "registry: "
_NUMBERS: Final = ("epsilon", "delta", "rho")
_YES_OR_NO: Final = ("is_many_release", "is_dynamic", "is_interactive")


def _name(look: Look) -> Value:
    return text(f"Shared customer segments, agreement {look.clause('id')}")


def _curator(look: Look) -> Value:
    names = (str(look.clause(f"{party}.legal_name")) for party in look.each("parties"))
    return text(", ".join(names))


def _use(look: Look) -> Value:
    return text(str(look.clause("purpose.text")))


def _description(look: Look) -> Value:
    segments = look.clause("plan.n_clusters")
    return text(
        f"At most {counted(segments, 'segment')} of the customers of {len(look.clause('parties'))} "
        "partners: sizes and centres, formed from noised sums that partners add under masks."
    )


def _region(look: Look) -> Value:
    found: list[str] = []
    for party in look.each("parties"):
        found += look.clause(f"{party}.jurisdictions")
    return text(", ".join(sorted(set(found))))


def _kind(look: Look) -> Value:
    return by_program(look, "Summary statistics")


def _flavour(look: Look) -> Value:
    look.clause("privacy.rho")
    return text("Zero-concentrated DP")


def _domain(look: Look) -> Value:
    names = ", ".join(str(look.clause(f"{one}.name")) for one in look.each("features"))
    return text(
        f"Rows of {look.clause('population.subject')}, one a customer at each partner, with the "
        f"values {names}, each clipped to agreed bounds."
    )


def _unprotected(look: Look) -> Value:
    return by_program(
        look,
        "Which partners take part, whether a partner answers at all, and the agreement's own "
        "terms; no statistic of customers is released without noise.",
    )


def _unit(look: Look) -> Value:
    return text(sums.privacy_terms(look).unit)


def _adjacent(look: Look) -> Value:
    return text(
        "Two sets of data are adjacent when one has the row of one customer more "
        f"({sums.privacy_terms(look).unit}); whether the other set has it is what is protected."
    )


def _parameter(name: str) -> Any:
    def facts(look: Look) -> Value:
        return text(str(look.clause(f"privacy.{name}")))

    return facts


def _parameters(look: Look) -> Value:
    terms = sums.privacy_terms(look)
    total = epsilon_text(terms.epsilon_of(terms.budget))
    return text(
        f"Of one run. A customer's budget is {counted(terms.runs, 'run')} and "
        f"{counted(terms.spare_rounds, 'spare question')}: epsilon {total} in all. Every node "
        "counts by itself and refuses beyond that.",
        f"Somebody who guesses whether a customer is among the data is right in "
        f"{scenarios.guess(look).paragraphs[0]}",
    )


def _model(look: Look) -> Value:
    return by_program(look, "Federated")


def _model_words(look: Look) -> Value:
    return text(
        sums.NO_ROW,
        "Each partner adds its share of the noise before anybody sees a sum.",
        *sums.small_groups(look).paragraphs,
    )


def _actors(look: Look) -> Value:
    named = ", ".join(look.clause("results_use.recipients"))
    return text(
        f"The partners, who see noised totals and segments; {look.clause('coordinator.legal_name')}"
        f", which adds masked sums and sees totals; recipients of results: {named}.",
        *scenarios.collusion(look).paragraphs,
    )


def _many(look: Look) -> Value:
    return text("yes" if int(look.clause("privacy.runs")) > 1 else "no")


def _many_words(look: Look) -> Value:
    return text(*agreed.frequency(look).paragraphs, *agreed.period(look).paragraphs)


def _dynamic(look: Look) -> Value:
    return by_program(look, "yes")


def _dynamic_words(look: Look) -> Value:
    return by_program(
        look, "Each question reads the partners' customers as they are then, after their wishes."
    )


def _interactive(look: Look) -> Value:
    return by_program(look, "no")


def _interactive_words(look: Look) -> Value:
    name, rounds = look.clause("plan.name"), look.clause("plan.max_rounds")
    return text(
        f"Nobody asks freely: the plan {name} makes at most {rounds} questions a run from the "
        "totals before."
    )


def _post(look: Look) -> Value:
    size = look.clause("min_segment_size")
    return text(
        "Segments are named, ordered and matched to the release before; those of fewer than "
        f"{counted(size, 'customer')}, or too small to tell under the noise, are withheld."
    )


def _composition(look: Look) -> Value:
    look.clause("privacy.rho")
    return by_program(
        look,
        "Sequential: costs of all questions are added as rho (zCDP) in each node's ledger, before "
        "a row is read, and converted to epsilon at the agreed delta.",
    )


def _before(look: Look) -> Value:
    names = ", ".join(str(look.clause(f"{one}.name")) for one in look.each("features"))
    return text(
        "None on customers' data: bounds, number of segments and budget are agreed beforehand.",
        f"Values of {names} are clipped to agreed bounds before anything is computed.",
    )


def _mechanisms(look: Look) -> Value:
    return by_program(
        look,
        "Discrete Gaussian noise, added by each partner over the integers, so that no floating-"
        "point error shows; sums modulo 2^64 under masks. Customers' rows stay in the partner's "
        "own source.",
    )


def _asked(key: str, label: str, facts: Any, term: str = "", judge: str = "") -> Asked:
    path = f"deployment.{key}"
    return Asked(key=path, label=label, hook=_HOOK + key, facts=facts, term=term, judge=judge)


FORM: Final = Form(
    kind="registry",
    title="Entry for the registry of differential-privacy deployments",
    term="fedseg:DeploymentRegistryEntry",
    audience=Audience.PUBLIC,
    audience_words="For the public, once the parties want it. No count of customers is in it.",
    follows="The fields of the Differential Privacy Deployments Registry (OpenDP; NIST has "
    "proposed to host it), tiers 1 to 3, as its schema had them in 2026.",
    parts=(
        Part(key="1", title="What is published", asked=(
            _asked("name", "Name", _name),
            _asked("data_curator", "Data curator", _curator, "dpv:hasDataController"),
            _asked("description", "Description", _description),
            _asked("intended_use", "Intended use", _use, "dpv:hasPurpose"),
            _asked("data_product_type", "Type of data product", _kind),
            _asked("data_product_region", "Region", _region, "dpv:hasJurisdiction"),
            _asked("data_product_sector", "Sector", None, judge="Which sector, in the words of the "
                   "registry?"),
            _asked("publication_date", "First publication", acts.first_release),
        )),
        Part(key="2", title="Flavour and loss", asked=(
            _asked("dp_flavor.name", "Flavour", _flavour),
            _asked("dp_flavor.data_domain", "Data domain", _domain, "dpv:hasPersonalData"),
            _asked("dp_flavor.unprotected_quantities", "Unprotected quantities", _unprotected),
            _asked("privacy_loss.privacy_unit", "Privacy unit", _unit),
            _asked("privacy_loss.privacy_unit_description", "Adjacent data", _adjacent),
            _asked("privacy_loss.privacy_parameters.epsilon", "Epsilon", _parameter("epsilon")),
            _asked("privacy_loss.privacy_parameters.delta", "Delta", _parameter("delta")),
            _asked("privacy_loss.privacy_parameters.rho", "Rho", _parameter("rho")),
            _asked("privacy_loss.privacy_parameters_description", "Parameters", _parameters),
        )),
        Part(key="3", title="Model", asked=(
            _asked("model.model_name", "Model", _model),
            _asked("model.model_name_description", "What it means", _model_words,
                   "dpv:hasTechnicalMeasure"),
            _asked("model.actors", "Actors and trust", _actors, "dpv:hasRecipient"),
            _asked("model.is_many_release", "Many releases", _many),
            _asked("model.is_many_release_description", "How often", _many_words,
                   "dpv:hasDuration"),
            _asked("model.is_dynamic", "Data change", _dynamic),
            _asked("model.is_dynamic_description", "How they change", _dynamic_words),
            _asked("model.is_interactive", "Interactive", _interactive),
            _asked("model.is_interactive_description", "Who asks", _interactive_words),
        )),
        Part(key="4", title="Accounting and implementation", asked=(
            _asked("accounting.post_processing", "Post-processing", _post),
            _asked("accounting.composition", "Composition", _composition),
            _asked("implementation.pre_processing_eda_hyperparameter_tuning",
                   "Pre-processing and tuning", _before),
            _asked("implementation.mechanisms", "Mechanisms", _mechanisms,
                   "dpv:hasTechnicalMeasure"),
            _asked("implementation.justification", "Justification", measures.masks,
                   judge="How were epsilon, the unit and the budget chosen, and why?"),
            _asked("additional_information", "More", None,
                   judge="Is there a public page or document to point to?"),
            Asked(key="registry_authors", label="Who fills in the entry",
                  hook=_HOOK + "registry_authors", judge="Whose names stand as authors of it?"),
        )),
    ),
)  # fmt: skip


def as_entry(document: Document) -> str:
    """The entry itself, to be handed in: JSON, which every reader of YAML takes."""
    values: dict[str, Any] = {"status": "Draft", "registry_authors": [], "tier": 3}
    for field in document.fields:
        if field.state is State.FACT:
            said = "\n\n".join(field.value.paragraphs)
        elif field.answer is not None:
            said = field.answer.text
        else:
            continue
        *path, name = field.key.split(".")
        place = values
        for step in path:
            place = place.setdefault(step, {})
        place[name] = _typed(name, said)
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def _typed(name: str, said: str) -> Any:
    if name in _NUMBERS:
        return float(said)
    if name in _YES_OR_NO:
        return said == "yes"
    return [said] if name == "registry_authors" else said
