"""The risk assessment of California (11 CCR § 7152), and opt-out signals (§ 7025)."""

from __future__ import annotations

from typing import Final

from protocol.evidence import acts, agreed, measures, scenarios
from protocol.evidence.document import Audience, Value
from protocol.evidence.forms import Asked, Form, Part, text
from protocol.evidence.looking import Look

_SAFEGUARD: Final = "dpv:hasTechnicalOrganisationalMeasure"


def _recipients(look: Look) -> Value:
    operator = look.clause("coordinator.legal_name")
    named = ", ".join(look.clause("results_use.recipients"))
    return text(
        f"{operator}, which runs the coordinator, receives masked sums, no consumer's row; the "
        "purpose is to add them.",
        f"Totals and segments: {named}. No consumer's personal information is made available to "
        "another partner.",
    )


def _logic(look: Look) -> Value:
    return text(
        f"Plan {look.clause('plan.name')}: consumers with similar values form a segment; the "
        "output is the nearest segment.",
        *agreed.forbidden_uses(look).paragraphs,
    )


def _disclosures(look: Look) -> Value:
    return text(
        f"Notice of version {look.clause('purpose.notice_version')}; this node's consumers were "
        f"told by: {', '.join(look.setting('consent.notices'))}."
    )


def _discrimination(look: Look) -> Value:
    return text(*agreed.special(look).paragraphs, *agreed.excluded(look).paragraphs)


FORM: Final = Form(
    kind="ccpa",
    title="Risk assessment under the California Consumer Privacy Act",
    term="dpv:Assessment",
    audience=Audience.HOME,
    audience_words="For this business; the Agency or the Attorney General may ask for it, to be "
    "had within 30 days (11 CCR § 7157). It is not published.",
    follows="11 CCR § 7152(a)(1) to (9), in force since 2026-01-01, with § 7150(b), § 7155 and, "
    "for opt-out preference signals, § 7025.",
    parts=(
        Part(key="why", title="Why it is made", asked=(
            Asked(key="trigger", label="What makes it necessary", hook="§ 7150(b)",
                  facts=scenarios.reasons,
                  judge="Which activity of § 7150(b) is this, if any: selling or sharing, "
                  "sensitive information, automated decisions, profiling, training?"),
            Asked(key="business", label="Business", hook="§ 7152(a)", facts=agreed.controller,
                  term="dpv:hasDataController"),
            Asked(key="1", label="Purpose", hook="§ 7152(a)(1)", facts=agreed.purpose,
                  term="dpv:hasPurpose"),
        )),
        Part(key="2", title="Which personal information", asked=(
            Asked(key="2.categories", label="Categories", hook="§ 7152(a)(2)",
                  facts=agreed.features, term="dpv:hasPersonalData"),
            Asked(key="2.sensitive", label="Sensitive personal information", hook="§ 7152(a)(2)",
                  facts=agreed.special),
            Asked(key="2.minimum", label="The minimum that is necessary", hook="§ 7152(a)(2)",
                  facts=agreed.necessities),
        )),
        Part(key="3", title="How it is processed", asked=(
            Asked(key="3.A.method", label="Method", hook="§ 7152(a)(3)(A)",
                  facts=scenarios.nature, term="dpv:hasProcessing"),
            Asked(key="3.A.sources", label="Sources", hook="§ 7152(a)(3)(A)",
                  facts=scenarios.collection, term="dpv:hasDataSource"),
            Asked(key="3.B", label="How long each category is retained", hook="§ 7152(a)(3)(B)",
                  facts=agreed.retention, term="dpv:hasStorageCondition"),
            Asked(key="3.C", label="How the business interacts with consumers",
                  hook="§ 7152(a)(3)(C)", facts=scenarios.collection),
            Asked(key="3.D", label="Approximate number of consumers", hook="§ 7152(a)(3)(D)",
                  facts=scenarios.how_many),
            Asked(key="3.E", label="Disclosures to consumers", hook="§ 7152(a)(3)(E)",
                  facts=_disclosures, term="dpv:hasNotice"),
            Asked(key="3.F", label="Service providers, contractors, third parties",
                  hook="§ 7152(a)(3)(F)", facts=_recipients, term="dpv:hasRecipient"),
            Asked(key="3.G", label="Logic and output", hook="§ 7152(a)(3)(G)", facts=_logic),
        )),
        Part(key="4", title="Benefits", asked=(
            Asked(key="4", label="To business, consumers, others and the public",
                  hook="§ 7152(a)(4)",
                  judge="Which benefits, specifically, to each of them?"),
        )),
        Part(key="5", title="Negative impacts on consumers' privacy", asked=(
            Asked(key="5.A", label="Unauthorized access and the like", hook="§ 7152(a)(5)(A)",
                  facts=scenarios.intruder, term="dpv:hasRisk"),
            Asked(key="5.B", label="Discrimination", hook="§ 7152(a)(5)(B)",
                  facts=_discrimination, term="dpv:hasRisk"),
            Asked(key="5.C", label="Impaired control", hook="§ 7152(a)(5)(C)",
                  facts=scenarios.no_say, term="dpv:hasRisk"),
            Asked(key="5.D", label="Coercion", hook="§ 7152(a)(5)(D)",
                  facts=measures.gate, term="dpv:hasRisk"),
            Asked(key="5.E", label="Economic harms", hook="§ 7152(a)(5)(E)",
                  facts=scenarios.treated, term="dpv:hasRisk"),
            Asked(key="5.F", label="Physical, reputational and psychological harms",
                  hook="§ 7152(a)(5)(F) to (H)", facts=scenarios.recognised,
                  judge="Can any of these follow, and how likely and grave is it?"),
        )),
        Part(key="6", title="Safeguards", asked=(
            Asked(key="6.technical", label="Technical safeguards", hook="§ 7152(a)(6)",
                  facts=measures.in_transit, term=_SAFEGUARD),
            Asked(key="6.rest", label="Encryption at rest", hook="§ 7152(a)(6)",
                  facts=measures.at_rest, term=_SAFEGUARD),
            Asked(key="6.masks", label="Privacy-enhancing technologies: sums under masks",
                  hook="§ 7152(a)(6)", facts=measures.masks, term=_SAFEGUARD),
            Asked(key="6.noise", label="Privacy-enhancing technologies: noise",
                  hook="§ 7152(a)(6)", facts=measures.added_noise, term=_SAFEGUARD),
            Asked(key="6.pseudonyms", label="Pseudonymisation", hook="§ 7152(a)(6)",
                  facts=measures.pseudonyms, term=_SAFEGUARD),
            Asked(key="6.approval", label="What people approve", hook="§ 7152(a)(6)",
                  facts=measures.approval, term=_SAFEGUARD),
            Asked(key="6.log", label="Audit log", hook="§ 7152(a)(6)", facts=measures.kept_log,
                  term=_SAFEGUARD),
        )),
        Part(key="optout", title="Opt-outs", asked=(
            Asked(key="7025", label="Opt-out preference signals", hook="§ 7025(b), (c)(1)",
                  facts=measures.signals),
            Asked(key="7025.shown", label="Whether the site shows that a signal was processed",
                  hook="§ 7025(c)(6)", facts=measures.signals,
                  judge="Does the website display it? The node cannot see that."),
            Asked(key="7026", label="Effect of an opt-out", hook="Civ. Code § 1798.120, .135",
                  facts=measures.opt_outs),
            Asked(key="requests", label="Requests so far", hook="§ 7101", facts=acts.requests),
        )),
        Part(key="decision", title="Decision and review", asked=(
            Asked(key="review", label="Next review", hook="§ 7155(a)", facts=agreed.review),
            Asked(key="signed", label="What was agreed and signed", hook="§ 7152(a)(7)",
                  facts=acts.signed, term="dpv:hasLegalMeasure"),
            Asked(key="7", label="Whether the processing is begun or goes on",
                  hook="§ 7152(a)(7)", facts=acts.budget,
                  judge="Do the benefits outweigh the risks? Is it begun; who informed the "
                  "assessment ((a)(8)), who reviewed and approved it, and when ((a)(9))?"),
        )),
    ),
)  # fmt: skip
