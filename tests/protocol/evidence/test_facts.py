"""Every field of every document: what fills it, and that it is blank when that is not there."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest

from protocol.evidence.document import Answer, Audience, Field, Source, State
from protocol.evidence.forms import Form
from protocol.evidence.forms_of import AT_NODE
from protocol.evidence.looking import Look, Missing
from tests.protocol.evidence.materials import (
    FORMS,
    NOW,
    agreement_values,
    broken,
    materials,
)

SHARED = {"record", "dpia", "arrangement", "ccpa", "registry"}
EACH = pytest.mark.parametrize(
    ("side", "form"), FORMS, ids=[f"{side}-{form.kind}" for side, form in FORMS]
)


def reads_of(side: str, form: Form) -> dict[str, tuple[list[Source], list[Source]]]:
    """What each field reads: all, and those that it does without."""
    found = {}
    for asked in form.asked:
        _, look, lacks = form.looked(asked, materials(side))
        assert not lacks, (asked.key, lacks)
        found[asked.key] = (look.sources, look.optional)
    return found


def told(field: Field) -> tuple[object, ...]:
    """What a field says, without where it is from."""
    return field.state, field.value, field.lacks


@EACH
def test_every_fact_that_is_broken_blanks_exactly_the_fields_that_rest_on_it(
    side: str, form: Form
) -> None:
    whole = {field.key: told(field) for field in form.filled(materials(side)).fields}
    reads = reads_of(side, form)
    resting: dict[Source, dict[str, bool]] = defaultdict(dict)
    for key, (sources, optional) in reads.items():
        for source in sources:
            resting[source][key] = source in optional
    for source, fields in resting.items():
        after = {f.key: f for f in form.filled(broken(materials(side), source)).fields}
        for key, before in whole.items():
            if key not in fields:
                assert told(after[key]) == before, (source, key)
            elif fields[key]:
                assert told(after[key]) != before, (source, key)
            else:
                assert after[key].lacks, (source, key)
                assert not after[key].value.paragraphs and after[key].value.grid is None
                assert after[key].state is not State.FACT


@EACH
def test_every_field_rests_on_something_or_asks_a_person(side: str, form: Form) -> None:
    for asked, (sources, optional) in zip(form.asked, reads_of(side, form).values(), strict=True):
        assert asked.judge or [s for s in sources if s not in optional], asked.key


@EACH
def test_most_fields_are_filled_from_facts(side: str, form: Form) -> None:
    document = form.filled(materials(side))
    assert not document.of(State.MISSING)
    if form.kind in SHARED:
        assert document.share >= 0.8, document.share_words


@EACH
def test_every_filled_field_names_its_sources(side: str, form: Form) -> None:
    for field in form.filled(materials(side)).fields:
        if field.state is State.FACT:
            assert field.sources, field.key
            assert field.value.paragraphs or field.value.grid, field.key


@EACH
def test_keys_are_unique_and_every_field_says_what_demands_it(side: str, form: Form) -> None:
    keys = [asked.key for asked in form.asked]
    assert len({*keys}) == len(keys)
    assert all(asked.hook and asked.label for asked in form.asked)


@EACH
def test_documents_for_others_hold_no_count_of_customers(side: str, form: Form) -> None:
    reads = [s.kind for sources, _ in reads_of(side, form).values() for s in sources]
    assert form.audience is Audience.HOME or "home" not in reads


@EACH
def test_nothing_is_called_anonymous(side: str, form: Form) -> None:
    assert "anonym" not in str(form.filled(materials(side)).to_dict()).lower()


@pytest.mark.parametrize("audience", [Audience.PARTIES, Audience.PUBLIC])
def test_a_document_for_others_cannot_read_a_count_of_customers(audience: Audience) -> None:
    assert Look(materials("node"), Audience.HOME).home("customers") == "1,250 – 1,299"
    with pytest.raises(ValueError, match="for others"):
        Look(materials("node"), audience).home("customers")


def test_what_is_there_and_empty_is_missing() -> None:
    values = agreement_values()
    values["results_use"]["recipients"] = []
    values["duties"]["breach"] = ""
    look = Look(replace(materials("node"), agreement=values), Audience.PUBLIC)
    for path in ("results_use.recipients", "duties.breach", "parties[7].dpo", "no.such.clause"):
        with pytest.raises(Missing):
            look.clause(path)
    assert not look.sources


def test_a_node_that_is_no_party_has_no_controller_to_name() -> None:
    stranger = replace(materials("node"), party="nobody")
    fields = {f.key: f for f in AT_NODE["record"].filled(stranger).fields}
    assert fields["controller"].state is fields["officer"].state is State.MISSING
    assert fields["joint-controllers"].state is State.FACT


def test_a_person_s_answer_fills_no_fact() -> None:
    said = Answer(text="x", by="A", on=NOW.date())
    form = AT_NODE["record"]
    everywhere = {one.key: said for one in form.asked}
    filled = form.filled(broken(materials("node"), Source("measured", "backup", "")), everywhere)
    fields = {f.key: f for f in filled.fields}
    assert fields["security.backup"].state is State.MISSING
    assert fields["security.backup"].answer is fields["controller"].answer is None
