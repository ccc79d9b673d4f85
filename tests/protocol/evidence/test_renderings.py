"""The same document as Markdown, HTML, JSON-LD, JSON, lines, and an entry for the registry."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser

import pytest

from machine.text import shown
from protocol.errors import RuleError, UsageError
from protocol.evidence import registry
from protocol.evidence.answers import (
    answers_template,
    check_complete,
    form_called,
    read_answers,
)
from protocol.evidence.document import NO_ADVICE, Answer, Document, Source, State
from protocol.evidence.forms import Form
from protocol.evidence.forms_of import AT_COORDINATOR, AT_NODE
from protocol.evidence.jsonld import CONTEXT
from protocol.evidence.looking import Materials
from protocol.evidence.plain import as_lines
from protocol.evidence.writing import rendered
from tests.protocol.evidence.materials import (
    FORMS,
    NOW,
    agreement_values,
    broken,
    check_is_an_agreement,
    materials,
)

EACH = pytest.mark.parametrize(
    ("side", "form"), FORMS, ids=[f"{side}-{form.kind}" for side, form in FORMS]
)
NASTY = "<script>alert(1)</script> | *x* [y](z) \u202eeltit"
#: Terms that documents use, as they stand in DPV 2.2 and its extension for the GDPR.
DPV_TERMS = {
    "Assessment", "ControllerProcessorAgreement", "DPIA", "JointDataControllersAgreement",
    "NotAvailable", "Process", "ROPA", "hasApplicability", "hasDataController",
    "hasDataProcessor", "hasDataProtectionOfficer", "hasDataSource", "hasDataSubject",
    "hasDuration", "hasIdentifier", "hasJointDataControllers", "hasJurisdiction",
    "hasJustification", "hasLegalBasis", "hasLegalMeasure", "hasNotice",
    "hasOrganisationalMeasure", "hasPersonalData", "hasProcess", "hasProcessing", "hasPurpose",
    "hasRecipient", "hasRecordOfActivity", "hasRight", "hasRisk", "hasStorageCondition",
    "hasTechnicalMeasure", "hasTechnicalOrganisationalMeasure",
}  # fmt: skip
GDPR_TERMS = {"A6-1-a", "A6-1-f"}
DCMI_TERMS = {
    "audience", "conformsTo", "contributor", "created", "date", "description", "identifier",
    "source", "title",
}  # fmt: skip


def with_blanks(side: str) -> Materials:
    """Materials of which some things are not there, and some are written to do harm."""
    values = agreement_values()
    values["purpose"]["text"] = NASTY
    values["results_use"]["recipients"] = []
    made = replace(materials(side), agreement=values)
    return broken(made, Source("measured", "backup", ""))


def answered(form: Form) -> Document:
    """A document with an answer to every question."""
    said = {
        one.key: Answer(text=NASTY, by="A. Officer", on=date(2026, 11, 30))
        for one in form.questions
    }
    side = "node" if form.kind in AT_NODE else "coordinator"
    return form.filled(materials(side), said)


class Page(HTMLParser):
    """What a page has in it, and whether its elements are closed in their order."""

    VOID = frozenset({"meta"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.texts: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_values_of_these_tests_are_an_agreement() -> None:
    check_is_an_agreement()


@EACH
def test_a_page_loads_nothing_has_no_script_and_shows_every_blank(side: str, form: Form) -> None:
    document = form.filled(with_blanks(side))
    text = rendered(document, "html", shown)
    page = Page(text)
    names = {name for _, name, _ in page.attributes}
    assert not {"src", "onclick", "onload", "action"} & names
    assert not re.search(r"<(script|img|link|iframe|object)\b", text)
    links = [value for tag, name, value in page.attributes if (tag, name) == ("a", "href")]
    ids = {value for _, name, value in page.attributes if name == "id"}
    assert {(link or "")[1:] for link in links} <= {str(one) for one in ids}
    said = "".join(page.texts)
    assert "url(" not in text and "@import" not in text and "\u202e" not in text
    assert said.count("MISSING: ") == sum(1 for field in document.fields if field.lacks)
    assert said.count("For a person:") == len(form.questions)
    assert said.count(NO_ADVICE) == 1
    assert document.audience_words in said and document.share_words in said


@EACH
def test_markdown_has_every_field_and_lets_no_text_mean_anything(side: str, form: Form) -> None:
    document = form.filled(with_blanks(side))
    text = rendered(document, "md", shown)
    heads = re.findall(r"^### ", text, re.MULTILINE)
    assert len(heads) == document.counts["fields"]
    assert "<script>" not in text and "[y](z)" not in text and "\u202e" not in text
    assert text.count("**MISSING: ") == sum(1 for field in document.fields if field.lacks)
    assert text.count(NO_ADVICE) == 1
    for line in re.findall(r"^\|.*$", text, re.MULTILINE):
        assert len(re.findall(r"(?<!\\)\|", line)) >= 3, line


@EACH
def test_linked_data_use_terms_that_there_are_and_a_context_of_their_own(
    side: str, form: Form
) -> None:
    for document in (form.filled(with_blanks(side)), answered(form)):
        found = json.loads(rendered(document, "jsonld", shown))
        assert found["@context"] == CONTEXT
        assert all(isinstance(value, str | dict) for value in CONTEXT.values())
        del found["@context"]
        named = set(_names(found))
        assert {n[4:] for n in named if n.startswith("dpv:")} <= DPV_TERMS
        assert {n[8:] for n in named if n.startswith("eu-gdpr:")} <= GDPR_TERMS
        assert {n[4:] for n in named if n.startswith("dct:")} <= DCMI_TERMS
        others = {n.split(":")[0] for n in named if ":" in n}
        assert others <= {"dpv", "eu-gdpr", "dct", "fedseg", "urn"}
        assert len(found["fedseg:field"]) == document.counts["fields"]
        blank = [f for f in found["fedseg:field"] if "dpv:hasApplicability" in f]
        assert len(blank) == sum(1 for field in document.fields if field.lacks)


def _names(value: object) -> list[str]:
    """Keys, types and references of linked data."""
    if isinstance(value, dict):
        names = [str(value[key]) for key in ("@id", "@type") if key in value]
        inner = [name for one in value.values() for name in _names(one)]
        return [*(str(k) for k in value if not str(k).startswith("@")), *names, *inner]
    if isinstance(value, list):
        return [name for one in value for name in _names(one)]
    return []


@EACH
def test_a_terminal_is_told_of_every_blank(side: str, form: Form) -> None:
    document = form.filled(with_blanks(side))
    lines = as_lines(document, shown)
    assert sum(line.startswith("    MISSING: ") for line in lines) == sum(
        1 for field in document.fields if field.lacks
    )
    assert "\u202e" not in "".join(lines)


@EACH
def test_json_has_every_field_with_its_state_and_its_sources(side: str, form: Form) -> None:
    document = form.filled(with_blanks(side))
    found = json.loads(rendered(document, "json", shown))
    fields = [field for section in found["sections"] for field in section["fields"]]
    assert [field["key"] for field in fields] == [one.key for one in form.asked]
    assert found["counts"]["fields"] == len(fields)
    for field in fields:
        assert (field["state"] == "fact") <= bool(field["sources"])


@EACH
def test_answers_stand_beside_facts_with_who_and_when(side: str, form: Form) -> None:
    document = answered(form)
    assert not document.of(State.JUDGEMENT)
    assert document.share == form.filled(materials(side)).share, "an answer is no fact"
    said = "".join(Page(rendered(document, "html", shown)).texts)
    assert said.count("said by A. Officer on 2026-11-30, 1 day ago") == len(form.questions)


def test_a_document_is_complete_when_nothing_is_missing_and_everything_answered() -> None:
    form = AT_NODE["dpia"]
    check_complete(answered(form))
    with pytest.raises(RuleError, match="14 blanks") as refused:
        check_complete(form.filled(materials("node")))
    assert refused.value.code == "E-EVIDENCE-BLANK"


@EACH
def test_the_file_of_answers_has_every_question_and_what_it_begins_is_read(
    side: str, form: Form
) -> None:
    import tomllib  # here alone

    begun = answers_template(form)
    assert read_answers(tomllib.loads(begun), form, NOW.date()) == {}
    filled = re.sub(r"^# (?=\[|text|by|on)", "", begun, flags=re.MULTILINE)
    filled = filled.replace('text = ""', 'text = "Yes."').replace('by = ""', 'by = "A"')
    found = read_answers(tomllib.loads(filled), form, NOW.date())
    assert found.keys() == {one.key for one in form.questions}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"representative": {"text": "x", "by": "A", "on": date(2027, 1, 1)}}, "ahead"),
        ({"representative": {"text": "x", "by": "A"}}, "needs text, by and on"),
        ({"representative": {"text": "", "by": "A", "on": date(2026, 1, 1)}}, "characters"),
        ({"representative": {"text": "x", "by": "A\nB", "on": date(2026, 1, 1)}}, "lines"),
        ({"representatve": {"text": "x", "by": "A", "on": date(2026, 1, 1)}}, "did you mean"),
        ({"controller": {"text": "x", "by": "A", "on": date(2026, 1, 1)}}, "asks no person"),
        ("x", "no table"),
    ],
)
def test_an_answer_that_is_not_right_is_refused(values: object, named: str) -> None:
    with pytest.raises(UsageError, match=named) as refused:
        read_answers({"record": values}, AT_NODE["record"], NOW.date())
    assert refused.value.code == "E-EVIDENCE-ANSWERS"


def test_answers_to_a_document_that_there_is_not_are_not_lost_in_silence() -> None:
    answer = {"necessity": {"text": "I object.", "by": "A", "on": date(2026, 1, 1)}}
    with pytest.raises(UsageError, match="did you mean 'dpia'") as refused:
        read_answers({"dpai": answer}, AT_NODE["dpia"], NOW.date())
    assert refused.value.code == "E-EVIDENCE-ANSWERS"
    assert read_answers({"ccpa": answer}, AT_NODE["dpia"], NOW.date()) == {}, "another document's"


def test_a_document_that_there_is_not_is_named() -> None:
    with pytest.raises(UsageError, match="did you mean 'registry'"):
        form_called("registy", AT_COORDINATOR)
    with pytest.raises(UsageError, match="not written as yaml"):
        rendered(AT_NODE["dpia"].filled(materials("node")), "yaml", shown)


# --- the registry's entry ----------------------------------------------------------------------

#: What the registry's schema demands, and which words and types it takes (2026).
NEEDED = {
    "name", "data_curator", "description", "intended_use", "data_product_type",
    "data_product_region", "publication_date",
}  # fmt: skip
ENUMERATED = {
    "data_product_type": {"Summary statistics", "Machine learning model", "Dataset"},
    "dp_flavor.name": {
        "Pure DP", "Approximate DP", "Zero-concentrated DP", "Renyi DP", "Custom",
    },
    "model.model_name": {"Local", "Central", "Shuffle", "Federated", "Varies"},
}  # fmt: skip
NEEDED_WITHIN = {
    "dp_flavor": {"name", "data_domain", "unprotected_quantities"},
    "privacy_loss": {"privacy_unit", "privacy_parameters"},
    "model": {"model_name"},
    "accounting": {"post_processing", "composition"},
    "implementation": {
        "pre_processing_eda_hyperparameter_tuning", "mechanisms", "justification",
    },
}  # fmt: skip


@pytest.mark.parametrize("side", ["node", "coordinator"])
def test_the_entry_has_what_the_registry_s_schema_asks(side: str) -> None:
    said = {
        one.key: Answer(text="Said.", by="A", on=date(2026, 11, 30))
        for one in registry.FORM.questions
    }
    document = registry.FORM.filled(materials(side), said)
    entry = json.loads(rendered(document, "yaml", shown))
    deployment = entry["deployment"]
    assert entry.keys() == {"status", "registry_authors", "tier", "deployment"}
    assert (entry["status"], entry["tier"], entry["registry_authors"]) == ("Draft", 3, ["Said."])
    assert deployment.keys() >= NEEDED
    for path, allowed in ENUMERATED.items():
        place = deployment
        for step in path.split("."):
            place = place[step]
        assert place in allowed
    for name, needed in NEEDED_WITHIN.items():
        assert needed <= deployment[name].keys()
    assert deployment["privacy_loss"]["privacy_parameters"] == {
        "epsilon": 1.0, "delta": 1e-6, "rho": 0.019,
    }  # fmt: skip
    flags = {name: v for name, v in deployment["model"].items() if isinstance(v, bool)}
    assert flags == {"is_many_release": True, "is_dynamic": True, "is_interactive": False}
    assert re.fullmatch(r"2026-11-\d\d", deployment["publication_date"])


def test_exact_totals_are_no_deployment_of_differential_privacy() -> None:
    exact = replace(materials("node"), agreement=agreement_values() | {"privacy": "none"})
    document = registry.FORM.filled(exact)
    missing = {field.key for field in document.of(State.MISSING)}
    assert "deployment.privacy_loss.privacy_parameters.epsilon" in missing
    assert "deployment.dp_flavor.name" in missing
    values = agreement_values() | {"privacy": "none"}
    values["plan"]["exact_totals"] = "rows of single customers can be computed"
    record = AT_NODE["record"].filled(replace(exact, agreement=values))
    (noise,) = [field for field in record.fields if field.key == "security.noise"]
    assert "single customers' values" in noise.value.paragraphs[0]
