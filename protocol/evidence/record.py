"""The record of processing activities: a controller's (GDPR 30(1)) and a processor's (30(2))."""

from __future__ import annotations

from typing import Final

from protocol.evidence import acts, agreed, measures
from protocol.evidence.document import Audience, Grid, Value
from protocol.evidence.forms import Asked, Form, Part
from protocol.evidence.looking import Look

_REPRESENTATIVE: Final = "Is there a representative in the Union (GDPR 27)? Name and contact."

_SECURITY: Final = (
    Asked(key="security.masks", label="Sums under masks", hook="GDPR 32(1)(a)",
          facts=measures.masks, term="dpv:hasTechnicalMeasure"),
    Asked(key="security.noise", label="Noise", hook="GDPR 32(1)(a)",
          facts=measures.added_noise, term="dpv:hasTechnicalMeasure"),
    Asked(key="security.in-transit", label="Encryption in transit", hook="GDPR 32(1)(a)",
          facts=measures.in_transit, term="dpv:hasTechnicalMeasure"),
    Asked(key="security.at-rest", label="Encryption at rest", hook="GDPR 32(1)(a)",
          facts=measures.at_rest, term="dpv:hasTechnicalMeasure"),
    Asked(key="security.modes", label="Who may read the files", hook="GDPR 32(1)(b)",
          facts=measures.file_modes, term="dpv:hasTechnicalMeasure"),
    Asked(key="security.backup", label="Getting back after an incident", hook="GDPR 32(1)(c)",
          facts=measures.backups, term="dpv:hasTechnicalMeasure"),
)  # fmt: skip

CONTROLLER: Final = Form(
    kind="record",
    title="Record of processing activities of a controller",
    term="dpv:ROPA",
    audience=Audience.HOME,
    audience_words="For this controller, and for the supervisory authority on request (GDPR "
    "30(4)). It is not published.",
    follows="GDPR 30(1)(a) to (g), with what supervisory authorities' templates ask besides.",
    parts=(
        Part(key="a", title="Who is responsible", asked=(
            Asked(key="controller", label="Controller", hook="GDPR 30(1)(a)",
                  facts=agreed.controller, term="dpv:hasDataController"),
            Asked(key="joint-controllers", label="Joint controllers", hook="GDPR 30(1)(a), 26",
                  facts=agreed.joint_controllers, term="dpv:hasJointDataControllers"),
            Asked(key="representative", label="Representative", hook="GDPR 30(1)(a), 27",
                  judge=_REPRESENTATIVE),
            Asked(key="officer", label="Data protection officer", hook="GDPR 30(1)(a), 37",
                  facts=agreed.own_officer, term="dpv:hasDataProtectionOfficer"),
        )),
        Part(key="b", title="What for", asked=(
            Asked(key="name", label="Name of the processing", hook="GDPR 30(1)",
                  facts=agreed.name_of_processing, term="dpv:hasIdentifier"),
            Asked(key="purpose", label="Purposes", hook="GDPR 30(1)(b)",
                  facts=agreed.purpose, term="dpv:hasPurpose"),
            Asked(key="basis", label="Legal basis", hook="GDPR 6(1)",
                  facts=agreed.legal_basis, term="dpv:hasLegalBasis"),
            Asked(key="period", label="From when until when", hook="GDPR 30(1)",
                  facts=agreed.period, term="dpv:hasDuration"),
            Asked(key="signed", label="Agreed and signed", hook="GDPR 26(1), 5(2)",
                  facts=acts.signed, term="dpv:hasLegalMeasure"),
        )),
        Part(key="c", title="Whose data, and which", asked=(
            Asked(key="subjects", label="Categories of data subjects", hook="GDPR 30(1)(c)",
                  facts=agreed.subjects, term="dpv:hasDataSubject"),
            Asked(key="data", label="Categories of personal data", hook="GDPR 30(1)(c)",
                  facts=agreed.features, term="dpv:hasPersonalData"),
            Asked(key="special", label="Special categories", hook="GDPR 30(1)(c), 9, 10",
                  facts=agreed.special),
            Asked(key="excluded", label="Never counted", hook="GDPR 8, 25", facts=agreed.excluded),
            Asked(key="source", label="Where the data come from", hook="GDPR 14(2)(f)",
                  facts=lambda look: _setting(look, "rights.data_from"), term="dpv:hasDataSource"),
        )),
        Part(key="d", title="Who receives what", asked=(
            Asked(key="recipients", label="Categories of recipients", hook="GDPR 30(1)(d)",
                  facts=agreed.recipients, term="dpv:hasRecipient"),
            Asked(key="processor", label="Processor", hook="GDPR 30(1)(d), 28",
                  facts=agreed.processor, term="dpv:hasDataProcessor"),
            Asked(key="left", label="What left this node so far", hook="GDPR 5(2)",
                  facts=acts.left, term="dpv:hasRecordOfActivity"),
        )),
        Part(key="e", title="Third countries", asked=(
            Asked(key="transfers", label="Transfers to third countries", hook="GDPR 30(1)(e)",
                  facts=agreed.transfers, term="dpv:hasJurisdiction"),
            Asked(key="safeguards", label="Suitable safeguards", hook="GDPR 30(1)(e), 44 to 49",
                  facts=agreed.transfers,
                  judge="Is anything transferred to a third country, by the processor too, and "
                  "under which adequacy decision or safeguards?"),
        )),
        Part(key="f", title="For how long", asked=(
            Asked(key="retention", label="Time limits for erasure", hook="GDPR 30(1)(f)",
                  facts=agreed.retention, term="dpv:hasStorageCondition"),
            Asked(key="deletions", label="Deleted so far", hook="GDPR 5(1)(e)",
                  facts=acts.deletions, term="dpv:hasRecordOfActivity"),
        )),
        Part(key="g", title="Security", asked=(
            *_SECURITY,
            Asked(key="security.pseudonyms", label="Pseudonymisation", hook="GDPR 32(1)(a)",
                  facts=measures.pseudonyms, term="dpv:hasTechnicalMeasure"),
            Asked(key="security.approval", label="What people approve", hook="GDPR 32(4)",
                  facts=measures.approval, term="dpv:hasOrganisationalMeasure"),
            Asked(key="security.log", label="Audit log", hook="GDPR 5(2), 32(1)(d)",
                  facts=measures.kept_log, term="dpv:hasTechnicalMeasure"),
        )),
        Part(key="more", title="Asked of most records", asked=(
            Asked(key="gate", label="Who may be counted", hook="GDPR 6, 7, 21",
                  facts=measures.gate, term="dpv:hasTechnicalMeasure"),
            Asked(key="questions", label="Questions answered so far", hook="GDPR 5(2)",
                  facts=acts.questions, term="dpv:hasRecordOfActivity"),
            Asked(key="releases", label="Releases so far", hook="GDPR 5(2)",
                  facts=acts.releases, term="dpv:hasRecordOfActivity"),
            Asked(key="requests", label="Customers' requests", hook="GDPR 12(3)",
                  facts=acts.requests, term="dpv:hasRecordOfActivity"),
            Asked(key="refusals", label="What was refused", hook="GDPR 5(2)",
                  facts=acts.refusals, term="dpv:hasRecordOfActivity"),
        )),
    ),
)  # fmt: skip


def _controllers(look: Look) -> Value:
    rows = tuple(
        (
            str(look.clause(f"{party}.legal_name")),
            str(look.clause(f"{party}.contact")),
            str(look.clause(f"{party}.dpo")),
        )
        for party in look.each("parties")
    )
    headers = ("Controller", "Contact", "Data protection officer")
    return Value(grid=Grid(headers=headers, rows=rows))


def _setting(look: Look, key: str) -> Value:
    return Value(paragraphs=(str(look.setting(key)),))


PROCESSOR: Final = Form(
    kind="record",
    title="Record of processing activities of a processor",
    term="dpv:ROPA",
    audience=Audience.HOME,
    audience_words="For this processor, and for the supervisory authority on request (GDPR 30(4)). "
    "It is not published.",
    follows="GDPR 30(2)(a) to (d).",
    parts=(
        Part(key="a", title="Who processes for whom", asked=(
            Asked(key="processor", label="Processor", hook="GDPR 30(2)(a)",
                  facts=agreed.processor, term="dpv:hasDataProcessor"),
            Asked(key="controllers", label="Controllers", hook="GDPR 30(2)(a)",
                  facts=_controllers, term="dpv:hasJointDataControllers"),
            Asked(key="representative", label="Representative", hook="GDPR 30(2)(a), 27",
                  judge=_REPRESENTATIVE),
            Asked(key="officer", label="The processor's data protection officer",
                  hook="GDPR 30(2)(a), 37",
                  judge="Has the processor designated one? Name and contact.",
                  term="dpv:hasDataProtectionOfficer"),
        )),
        Part(key="b", title="What is done for them", asked=(
            Asked(key="categories", label="Categories of processing", hook="GDPR 30(2)(b)",
                  facts=agreed.tasks_of_processor, term="dpv:hasProcessing"),
            Asked(key="purpose", label="Purpose of the controllers", hook="GDPR 28(3)",
                  facts=agreed.purpose, term="dpv:hasPurpose"),
            Asked(key="period", label="From when until when", hook="GDPR 28(3)",
                  facts=agreed.period, term="dpv:hasDuration"),
            Asked(key="signatures", label="Agreed and signed", hook="GDPR 28(9)",
                  facts=acts.signatures, term="dpv:hasLegalMeasure"),
            Asked(key="runs", label="Done so far", hook="GDPR 5(2)",
                  facts=acts.runs, term="dpv:hasRecordOfActivity"),
        )),
        Part(key="c", title="Third countries", asked=(
            Asked(key="transfers", label="Controllers' law", hook="GDPR 30(2)(c)",
                  facts=agreed.transfers, term="dpv:hasJurisdiction"),
            Asked(key="place", label="Transfers by the processor", hook="GDPR 30(2)(c), 44 to 49",
                  judge="In which country does the coordinator run, with which sub-processors, and "
                  "under which safeguards if that is a third country?"),
        )),
        Part(key="d", title="Security", asked=_SECURITY),
    ),
)  # fmt: skip
