"""What a contract with the processor has to say (GDPR 28(3), (2) and (4)), and where it says it."""

from __future__ import annotations

from typing import Final

from protocol.evidence import acts, agreed, measures
from protocol.evidence.document import Audience, Value
from protocol.evidence.forms import Asked, Form, Part, by_program, text
from protocol.evidence.looking import Look


def _instructions(look: Look) -> Value:
    name, rounds = look.clause("plan.name"), look.clause("plan.max_rounds")
    return by_program(
        look,
        f"The agreement is the instruction: the plan {name}, at most {rounds} questions a run, on "
        "the agreed data alone. Every node checks each question against it and refuses any other; "
        "the coordinator has no free input.",
    )


def _rights(look: Look) -> Value:
    return text(
        "The processor holds nothing of one customer, so requests are answered by the partners: "
        f"{look.clause('duties.responsibilities')}"
    )


def _deletion(look: Look) -> Value:
    return text(
        "The processor holds masked sums, totals and releases, no customer's row. It ends: "
        f"{look.clause('duties.withdrawal')}"
    )


FORM: Final = Form(
    kind="processor",
    title="Processor's duties: what the contract says, and where",
    term="dpv:ControllerProcessorAgreement",
    audience=Audience.PARTIES,
    audience_words="For the partners and the operator of the coordinator, and for whoever audits "
    "them. It holds no count of customers.",
    follows="GDPR 28(3), first sentence and (a) to (h), 28(1), (2), (4) and (9).",
    parts=(
        Part(key="subject", title="What it is about", asked=(
            Asked(key="processor", label="Processor", hook="GDPR 28(1)", facts=agreed.processor,
                  term="dpv:hasDataProcessor"),
            Asked(key="controllers", label="Controllers", hook="GDPR 28(3)",
                  facts=agreed.joint_controllers, term="dpv:hasJointDataControllers"),
            Asked(key="matter", label="Subject matter and nature", hook="GDPR 28(3)",
                  facts=agreed.tasks_of_processor, term="dpv:hasProcessing"),
            Asked(key="duration", label="Duration", hook="GDPR 28(3)", facts=agreed.period,
                  term="dpv:hasDuration"),
            Asked(key="purpose", label="Purpose", hook="GDPR 28(3)", facts=agreed.purpose,
                  term="dpv:hasPurpose"),
            Asked(key="data", label="Type of personal data", hook="GDPR 28(3)",
                  facts=agreed.features, term="dpv:hasPersonalData"),
            Asked(key="subjects", label="Categories of data subjects", hook="GDPR 28(3)",
                  facts=agreed.subjects, term="dpv:hasDataSubject"),
            Asked(key="form", label="In writing, signed", hook="GDPR 28(9)", facts=acts.signatures,
                  term="dpv:hasLegalMeasure"),
            Asked(key="documents", label="Documents that belong to it", hook="GDPR 28(3)",
                  facts=agreed.documents, term="dpv:hasLegalMeasure"),
        )),
        Part(key="duties", title="What the processor owes", asked=(
            Asked(key="a", label="Documented instructions", hook="GDPR 28(3)(a)",
                  facts=_instructions),
            Asked(key="a.transfers", label="Transfers to third countries", hook="GDPR 28(3)(a)",
                  judge="In which country does the coordinator run, and do the instructions allow "
                  "any transfer?"),
            Asked(key="b", label="Confidentiality", hook="GDPR 28(3)(b)", facts=agreed.documents,
                  judge="Which document commits the operator's people to confidentiality?"),
            Asked(key="c", label="Security", hook="GDPR 28(3)(c), 32", facts=measures.masks,
                  term="dpv:hasTechnicalMeasure"),
            Asked(key="c.transit", label="Encryption in transit", hook="GDPR 28(3)(c), 32(1)(a)",
                  facts=measures.in_transit, term="dpv:hasTechnicalMeasure"),
            Asked(key="d", label="Other processors", hook="GDPR 28(3)(d), (2), (4)",
                  facts=agreed.documents,
                  judge="Does the operator use others, such as a host? Who authorised them, and "
                  "are they bound by the same duties?"),
            Asked(key="e", label="Help with requests", hook="GDPR 28(3)(e)", facts=_rights),
            Asked(key="f", label="Help with breaches and assessments", hook="GDPR 28(3)(f)",
                  facts=agreed.clause_words("duties.breach")),
            Asked(key="g", label="Deletion or return", hook="GDPR 28(3)(g)", facts=_deletion,
                  judge="Are totals and releases deleted or returned at the end, as the "
                  "controllers choose?"),
            Asked(key="h", label="Audits", hook="GDPR 28(3)(h)",
                  facts=agreed.clause_words("duties.audit")),
            Asked(key="h.program", label="Which program runs", hook="GDPR 28(3)(h)",
                  facts=measures.refuses_code),
            Asked(key="guarantees", label="Sufficient guarantees", hook="GDPR 28(1)",
                  judge="On what does the choice of this operator rest?"),
        )),
    ),
)  # fmt: skip
