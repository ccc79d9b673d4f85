"""The essence of the arrangement between joint controllers, for data subjects (GDPR 26(2))."""

from __future__ import annotations

from typing import Final

from protocol.evidence import acts, agreed, measures, sums
from protocol.evidence.document import Audience, Grid, Value
from protocol.evidence.forms import Asked, Form, Part, text
from protocol.evidence.looking import Look


def _contacts(look: Look) -> Value:
    rows = tuple(
        (str(look.clause(f"{party}.legal_name")), str(look.clause(f"{party}.contact")))
        for party in look.each("parties")
    )
    return Value(grid=Grid(headers=("Partner", "Where it is reached"), rows=rows))


def _officers(look: Look) -> Value:
    rows = tuple(
        (str(look.clause(f"{party}.legal_name")), str(look.clause(f"{party}.dpo")))
        for party in look.each("parties")
    )
    return Value(grid=Grid(headers=("Partner", "Data protection officer"), rows=rows))


def _against_each(look: Look) -> Value:
    names = ", ".join(str(look.clause(f"{party}.legal_name")) for party in look.each("parties"))
    return text(f"You may exercise your rights against each of them: {names}.")


def _rights(look: Look) -> Value:
    return text(
        "Access, an explanation of the segment, rectification, erasure, restriction, portability "
        "and objection; each partner answers for its own customers, within a month. An objection "
        "holds from the next question on.",
        str(look.clause("duties.responsibilities")),
    )


FORM: Final = Form(
    kind="arrangement",
    title="Essence of the arrangement between the joint controllers",
    term="dpv:JointDataControllersAgreement",
    audience=Audience.PUBLIC,
    audience_words="For customers of every partner, to be made available (GDPR 26(2)). It holds no "
    "count of customers.",
    follows="GDPR 26, and EDPB Guidelines 07/2020 on the concepts of controller and processor, "
    "version 2.1, part II, section 2 (what an arrangement should cover, and its essence).",
    parts=(
        Part(key="who", title="Who decides together", asked=(
            Asked(key="controllers", label="Joint controllers", hook="GDPR 26(1)",
                  facts=_contacts, term="dpv:hasJointDataControllers"),
            Asked(key="officers", label="Data protection officers", hook="GDPR 13(1)(b)",
                  facts=_officers, term="dpv:hasDataProtectionOfficer"),
            Asked(key="contact", label="Contact point", hook="GDPR 26(1), third sentence",
                  facts=_contacts,
                  judge="Is one contact point for all customers designated? Which?"),
            Asked(key="arrangement", label="The arrangement", hook="GDPR 26(1)",
                  facts=agreed.name_of_processing, term="dpv:hasIdentifier"),
            Asked(key="signatures", label="Signed", hook="GDPR 5(2)", facts=acts.signatures,
                  term="dpv:hasLegalMeasure"),
            Asked(key="period", label="From when until when", hook="GDPR 26(1)",
                  facts=agreed.period, term="dpv:hasDuration"),
        )),
        Part(key="what", title="What is done, and why", asked=(
            Asked(key="purpose", label="Purpose", hook="GDPR 13(1)(c)", facts=agreed.purpose,
                  term="dpv:hasPurpose"),
            Asked(key="bases", label="Legal bases", hook="GDPR 13(1)(c), 6(1)",
                  facts=agreed.legal_bases, term="dpv:hasLegalBasis"),
            Asked(key="subjects", label="Whose data", hook="Guidelines 07/2020",
                  facts=agreed.subjects, term="dpv:hasDataSubject"),
            Asked(key="data", label="Which data", hook="Guidelines 07/2020",
                  facts=agreed.features, term="dpv:hasPersonalData"),
            Asked(key="never", label="Never used", hook="GDPR 9, 8", facts=agreed.special),
            Asked(key="uses", label="What results may be used for", hook="GDPR 5(1)(b)",
                  facts=agreed.uses),
            Asked(key="recipients", label="Recipients", hook="GDPR 13(1)(e)",
                  facts=agreed.recipients, term="dpv:hasRecipient"),
            Asked(key="retention", label="For how long", hook="GDPR 13(2)(a)",
                  facts=agreed.retention, term="dpv:hasStorageCondition"),
        )),
        Part(key="tasks", title="Who does what", asked=(
            Asked(key="information", label="Informing customers", hook="GDPR 13, 14",
                  facts=agreed.notice, term="dpv:hasNotice"),
            Asked(key="rights", label="Answering customers", hook="GDPR 15 to 22",
                  facts=_rights, term="dpv:hasRight"),
            Asked(key="each", label="Against whom", hook="GDPR 26(3)", facts=_against_each),
            Asked(key="wishes", label="Consent and objections", hook="GDPR 7(3), 21",
                  facts=agreed.consent_age),
            Asked(key="security", label="Security", hook="GDPR 32", facts=measures.masks,
                  term="dpv:hasTechnicalMeasure"),
            Asked(key="noise", label="What can be learned of one customer", hook="GDPR 25",
                  facts=sums.noise, term="dpv:hasTechnicalMeasure"),
            Asked(key="breach", label="Breaches", hook="GDPR 33, 34",
                  facts=agreed.clause_words("duties.breach")),
            Asked(key="assessment", label="Impact assessment", hook="GDPR 35",
                  judge="Which partner keeps the assessment, and is a summary published?"),
            Asked(key="processor", label="Processor used", hook="GDPR 28", facts=agreed.processor,
                  term="dpv:hasDataProcessor"),
            Asked(key="transfers", label="Third countries", hook="GDPR 44 to 49",
                  facts=agreed.transfers, term="dpv:hasJurisdiction"),
            Asked(key="audit", label="Who may check", hook="GDPR 5(2)",
                  facts=agreed.clause_words("duties.audit")),
            Asked(key="leaving", label="How a partner leaves", hook="GDPR 26(1)",
                  facts=agreed.clause_words("duties.withdrawal")),
        )),
    ),
)  # fmt: skip
