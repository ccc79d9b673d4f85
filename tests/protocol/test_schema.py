"""A part of a signed object has the fields of its dataclass; what does not fit is named at once."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from protocol.agreement.document import Agreement, PlanTerms
from protocol.agreement.duties import Duties
from protocol.agreement.features import Feature
from protocol.agreement.partner_card import PartnerCard
from protocol.errors import MalformedError
from protocol.schema import Part
from protocol.strict import Fields

NUMBER = {"name": "f", "type": "numeric", "unit": "u", "min": "0", "max": "9", "transform": "none"}
FEATURE: dict[str, Any] = {**NUMBER, "weight": "1", "necessity": "n"}
CHOOSING = {"name": "hybrid-dp", "n_clusters": 3, "n_clusters_min": 2, "max_rounds": 8}


def refusal(part: type[Part], values: dict[str, Any]) -> str:
    with pytest.raises(MalformedError) as caught:
        part.read(Fields(values, "it"))
    return caught.value.message


def test_all_that_is_missing_and_all_that_is_unknown_is_named_in_one_error() -> None:
    duties = {"withdrawal": "w", "audits": "a", "breech": "b", "also": "c"}
    assert refusal(Duties, duties) == (
        "it: unknown field 'audits'; did you mean 'audit'? unknown field 'breech'; did you mean "
        "'breach'? unknown field 'also', fields 'audit', 'breach', 'responsibilities' are missing"
    )
    assert refusal(Duties, dict.fromkeys(("withdrawal", "audit", "breach"), "x")) == (
        "it: field 'responsibilities' is missing"
    )


@pytest.mark.parametrize(
    ("part", "values", "says"),
    [
        (PlanTerms, CHOOSING | {"name": "hybrid"}, "it.name is 'hybrid', allowed: "),
        (PlanTerms, CHOOSING | {"name": "lloyd-dp"}, "it: unknown field 'n_clusters_min'"),
        (Feature, FEATURE | {"type": "numerical"}, "it.type is 'numerical', allowed: "),
        (Feature, FEATURE | {"type": []}, "it.type must be text"),
        (
            Feature,
            FEATURE | {"missing": {"rule": "replaced", "value": "1"}},
            "it.missing.rule is 'replaced', allowed: ",
        ),
    ],
)
def test_a_misspelt_kind_is_named_and_not_the_fields_that_it_brings(
    part: type[Part], values: dict[str, Any], says: str
) -> None:
    assert refusal(part, values).startswith(says)


def test_what_a_kind_brings_is_needed() -> None:
    for name in ("n_clusters", "n_clusters_min", "max_rounds"):
        lacking = {k: v for k, v in CHOOSING.items() if k != name}
        assert refusal(PlanTerms, lacking) == f"it: field {name!r} is missing"
    levels = {k: v for k, v in FEATURE.items() if k not in ("min", "max", "transform")}
    assert refusal(Feature, levels) == "it: fields 'max', 'min', 'transform' are missing"
    assert refusal(Feature, levels | {"type": "ordinal"}) == "it: field 'levels' is missing"
    assert PlanTerms.read(Fields(CHOOSING, "it")).to_dict() == CHOOSING
    assert Feature.read(Fields(FEATURE, "it")).to_dict() == FEATURE


def test_what_does_not_fit_is_found_in_every_part_with_its_place(lab: ModuleType) -> None:
    values = lab.agreement_values(3)
    assert list(Agreement.misfits(values, "agreement")) == []
    del values["min_segment_size"]
    del values["parties"][1]["legal_basis"]["reference"]
    values["features"][0] |= {"missing": {"rule": "replace", "valeu": "1"}}
    values["plan"] |= {"satisfaction": {"question": "?", "lowest": 1, "highest": 5, "x": 1}}
    values["software"]["package"] = 1
    assert [misfit.words for misfit in Agreement.misfits(values, "agreement")] == [
        "agreement: field 'min_segment_size' is missing",
        "agreement.parties[1].legal_basis: field 'reference' is missing",
        "agreement.features[0].missing: unknown field 'valeu'; did you mean 'value'? "
        "field 'value' is missing",
        "agreement.plan.satisfaction: unknown field 'x'",
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgetful(Part):
    """A part whose `_read` was not told of its newest field."""

    old: int
    new: int = 0

    @classmethod
    def _read(cls, fields: Fields) -> Forgetful:
        return cls(old=fields.integer("old", at_least=0, at_most=9))

    def to_dict(self) -> dict[str, Any]:
        return {"old": self.old}


def test_a_field_that_a_part_forgets_to_read_is_not_passed_over() -> None:
    assert Forgetful.read(Fields({"old": 1}, "it")) == Forgetful(old=1)
    assert refusal(Forgetful, {"old": 1, "new": 2}) == "it: unknown field 'new'"


@pytest.mark.parametrize("values", [None, [], "text", 1, {"parties": None, "plan": [1]}])
def test_what_is_no_object_has_no_fields_to_name(values: Any) -> None:
    found = [misfit.where for misfit in Agreement.misfits(values, "agreement")]
    assert found == (["agreement"] if isinstance(values, dict) else [])


def test_a_card_says_all_that_it_lacks() -> None:
    message = refusal(PartnerCard, {"schema": "x", "id": "north", "contacts": "c"})
    assert "unknown field 'contacts'; did you mean 'contact'?" in message
    assert "'contact', 'dpo', 'jurisdictions', 'legal_name'" in message
