"""What an agreement says about privacy holds together, or is refused by name."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from protocol.agreement.document import EXACT_TOTALS, Agreement
from protocol.agreement_rules import problems_of
from protocol.errors import AgreementError, RuleError
from protocol.signed_agreement import PAYLOAD_TYPE, SignedAgreement
from protocol.signing import Envelope
from simulations.agreement import changed

PRIVACY = {
    "epsilon": "1",
    "delta": "0.00001",
    "rho": "0.0305",
    "runs": 5,
    "spare_rounds": 1,
    "max_partners_per_customer": 1,
}


def agreement_values(lab: ModuleType, **changes: Any) -> dict[str, Any]:
    values = lab.agreement_values(4, plan="hybrid-dp", privacy=dict(PRIVACY), rounds=12)
    values["privacy"] |= changes.pop("privacy", {})
    values["secure_sum"] |= changes.pop("secure_sum", {})
    values["plan"] |= changes.pop("plan", {})
    if values["plan"]["name"] != "hybrid-dp":
        del values["plan"]["n_clusters_min"]
    return values | changes


SATISFACTION: dict[str, Any] = {"question": "Happy?", "lowest": 1, "highest": 5}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"privacy": {"rho": "0.5"}}, "E-BUDGET"),
        ({"privacy": {"epsilon": "0.1"}}, "E-BUDGET"),
        ({"privacy": {"delta": "0.0000000001"}}, "E-AGR-SCHEMA"),
        ({"privacy": {"delta": "0.1"}}, "E-BUDGET"),
        ({"privacy": {"delta": "0"}}, "E-BUDGET"),
        ({"privacy": {"rho": "0.0000001"}}, "E-BUDGET"),
        ({"privacy": {"rho": "5000", "epsilon": "99999"}}, "E-BUDGET"),
        ({"privacy": {"max_partners_per_customer": 5}}, "E-BUDGET"),
        ({"privacy": {"runs": 0}}, "E-AGR-SCHEMA"),
        ({"privacy": {"spare": 1}}, "E-AGR-SCHEMA"),
        ({"privacy": {"spare_rounds": -1}}, "E-AGR-SCHEMA"),
        ({"plan": {"name": "lloyd-exact"}}, "E-PLAN"),
        ({"plan": {"max_rounds": 10}}, "E-PLAN"),
        ({"plan": {"max_rounds": 11}}, ""),
        ({"plan": {"max_rounds": 11, "n_clusters_min": 2}}, "E-PLAN"),
        ({"plan": {"max_rounds": 12, "n_clusters_min": 2}}, ""),
        ({"plan": {"n_clusters_min": 2, "n_clusters_agreed": 2}}, ""),
        ({"plan": {"n_clusters_min": 2, "n_clusters_agreed": 3}}, ""),
        ({"plan": {"n_clusters_min": 2, "n_clusters_agreed": 1}}, "E-AGR-SCHEMA"),
        ({"plan": {"n_clusters_min": 2, "n_clusters_agreed": 4}}, "E-AGR-SCHEMA"),
        ({"plan": {"n_clusters": 201, "n_clusters_min": 201}}, "E-PLAN"),
        ({"plan": {"n_clusters": 200, "n_clusters_min": 200}}, ""),
        ({"plan": {"n_clusters": 51, "n_clusters_min": 50}}, "E-PLAN"),
        ({"plan": {"n_clusters": 24, "n_clusters_min": 3}}, "E-PLAN"),
        ({"plan": {"n_clusters": 23, "n_clusters_min": 3}}, ""),
        ({"plan": {"n_clusters_min": 4}}, "E-AGR-SCHEMA"),
        ({"plan": {"n_clusters_min": 0}}, "E-AGR-SCHEMA"),
        ({"plan": {"n_clusters_min": 1}}, ""),
        ({"plan": {"name": "lloyd-dp", "max_rounds": 3}}, "E-PLAN"),
        ({"plan": {"profile": "spread"}}, ""),
        ({"plan": {"max_rounds": 9}}, "E-PLAN"),
        ({"plan": {"profile": "none"}}, "E-AGR-SCHEMA"),
        ({"plan": {"profile": 1}}, "E-AGR-SCHEMA"),
        ({"plan": {"name": "lloyd-dp", "max_rounds": 3, "profile": "spread"}}, "E-PLAN"),
        ({"plan": {"name": "lloyd-dp", "max_rounds": 4, "profile": "spread"}}, ""),
        ({"plan": {"max_rounds": 11, "satisfaction": SATISFACTION}}, "E-PLAN"),
        ({"plan": {"max_rounds": 12, "satisfaction": SATISFACTION}}, ""),
        (
            {"plan": {"max_rounds": 12, "satisfaction": SATISFACTION | {"question": "TODO"}}},
            "E-LINT",
        ),
        ({"plan": {"name": "lloyd-dp", "max_rounds": 4, "satisfaction": SATISFACTION}}, "E-PLAN"),
        ({"plan": {"name": "lloyd-dp", "max_rounds": 5, "satisfaction": SATISFACTION}}, ""),
        ({"plan": {"max_rounds": 11, "satisfaction": {}}}, "E-AGR-SCHEMA"),
        ({"plan": {"max_rounds": 11, "satisfaction": "yes"}}, "E-AGR-SCHEMA"),
        (
            {"plan": {"max_rounds": 11, "satisfaction": SATISFACTION | {"highest": 1}}},
            "E-AGR-SCHEMA",
        ),
        (
            {"plan": {"max_rounds": 11, "satisfaction": SATISFACTION | {"lowest": "1"}}},
            "E-AGR-SCHEMA",
        ),
        (
            {"plan": {"max_rounds": 11, "satisfaction": SATISFACTION | {"highest": 1_001}}},
            "E-AGR-SCHEMA",
        ),
        (
            {"plan": {"max_rounds": 11, "satisfaction": SATISFACTION | {"question": ""}}},
            "E-AGR-SCHEMA",
        ),
        (
            {"plan": {"max_rounds": 11, "satisfaction": SATISFACTION | {"question": " "}}},
            "E-AGR-SCHEMA",
        ),
        (
            {"plan": {"max_rounds": 11, "satisfaction": SATISFACTION | {"question": "Is\nit?"}}},
            "E-AGR-SCHEMA",
        ),
        ({"plan": {"max_rounds": 11, "satisfaction": SATISFACTION | {"scale": 5}}}, "E-AGR-SCHEMA"),
        ({"privacy": {"rho": "0.027"}}, "E-DP-NOISE"),
        ({"privacy": {"epsilon": "1.1"}}, "E-DP-NOISE"),
        ({"privacy": {"delta": "0.0001", "rho": "0.0365"}}, "E-DP-NOISE"),
        ({"secure_sum": {"max_colluding": 0}}, "E-DP-NOISE"),
        ({"secure_sum": {"min_partners": 5}}, "E-PARTNERS"),
        ({"secure_sum": {"max_colluding": 4}}, "E-PARTNERS"),
        ({}, ""),
        ({"plan": {"name": "lloyd-dp", "max_rounds": 4}}, ""),
        ({"secure_sum": {"min_partners": 2, "min_atom": 1}}, ""),
    ],
)
def test_an_agreement_about_privacy_must_hold_together(
    lab: ModuleType, changes: dict[str, Any], code: str
) -> None:
    try:
        problems = [
            p.code for p in problems_of(Agreement.from_dict(agreement_values(lab, **changes)))
        ]
    except AgreementError as error:
        problems = [error.code]
    assert (problems[0] if problems else "") == code, problems


def test_exact_totals_and_plans_with_noise_do_not_go_together(lab: ModuleType) -> None:
    values = agreement_values(lab)
    values["privacy"] = "none"
    values["plan"]["name"] = "hybrid-dp"
    values["secure_sum"] |= {"min_partners": 3, "min_atom": 3}
    assert [p.code for p in problems_of(Agreement.from_dict(values))] == ["E-PLAN"]
    values["privacy"] = "some"
    with pytest.raises(RuleError, match="allowed: none"):
        Agreement.from_dict(values)


@pytest.mark.parametrize(("field", "value"), [("profile", "spread"), ("satisfaction", None)])
def test_exact_totals_have_no_profile_and_no_satisfaction(
    lab: ModuleType, field: str, value: str | None
) -> None:
    values = lab.agreement_values(4)
    assert problems_of(Agreement.from_dict(values)) == []
    values["plan"][field] = value or SATISFACTION
    (problem,) = problems_of(Agreement.from_dict(values))
    assert (problem.code, f"plan.{field} needs noise" in problem.message) == ("E-PLAN", True)


def test_exact_totals_are_signed_with_the_words_that_say_what_they_show(lab: ModuleType) -> None:
    values = lab.agreement_values(4)
    assert values["plan"]["exact_totals"] == "rows of single customers can be computed"
    said = Agreement.from_dict(values)
    assert problems_of(said) == []
    for words in ("yes", "rows of single customers", True, None):
        with pytest.raises(RuleError, match="exact_totals"):
            Agreement.from_dict(changed(values, {"plan": {"exact_totals": words}}))
    del values["plan"]["exact_totals"]
    unsaid = Agreement.from_dict(values)
    assert unsaid.hash != said.hash
    (problem,) = problems_of(unsaid)
    assert problem.code == "E-PLAN"
    assert "plan.exact_totals is missing" in problem.message
    assert "can compute single customers' values" in problem.message
    assert "agree on an epsilon" in problem.remedy
    with pytest.raises(AgreementError, match="exact_totals is missing"):
        SignedAgreement.draft(unsaid)


def test_nobody_signs_beside_noise_that_rows_can_be_computed(lab: ModuleType) -> None:
    for name in ("hybrid-dp", "lloyd-dp"):
        plan = {"name": name, "exact_totals": EXACT_TOTALS}
        (problem,) = problems_of(Agreement.from_dict(agreement_values(lab, plan=plan)))
        assert problem.code == "E-PLAN"
        assert "which noise prevents" in problem.message


def test_an_agreement_on_record_that_says_less_is_read_but_not_taken_in_again(
    lab: ModuleType,
) -> None:
    values = lab.agreement_values(4)
    del values["plan"]["exact_totals"]
    payload = Agreement.from_dict(values).to_bytes()
    envelope = Envelope(payload_type=PAYLOAD_TYPE, payload=payload, signatures={}).to_bytes()
    assert SignedAgreement.from_bytes(envelope, kept=True).agreement.to_bytes() == payload
    with pytest.raises(AgreementError, match="exact_totals is missing"):
        SignedAgreement.from_bytes(envelope)
    values["secure_sum"]["min_partners"] = 2
    payload = Agreement.from_dict(values).to_bytes()
    envelope = Envelope(payload_type=PAYLOAD_TYPE, payload=payload, signatures={}).to_bytes()
    with pytest.raises(AgreementError, match="exact totals need at least 3"):
        SignedAgreement.from_bytes(envelope, kept=True)


def test_the_question_about_satisfaction_is_part_of_what_is_signed(lab: ModuleType) -> None:
    def agreed(**changes: Any) -> Agreement:
        plan = {"satisfaction": SATISFACTION | changes, "max_rounds": 11}
        return Agreement.from_dict(agreement_values(lab, plan=plan))

    terms = agreed().plan.satisfaction
    assert terms is not None
    assert (terms.question, terms.lowest, terms.highest) == ("Happy?", 1, 5)
    assert Agreement.from_bytes(agreed().to_bytes()) == agreed()
    assert len({agreed().hash, agreed(question="Glad?").hash, agreed(highest=6).hash}) == 3


def test_a_profile_is_part_of_what_is_signed(lab: ModuleType) -> None:
    without = Agreement.from_dict(agreement_values(lab))
    agreed = Agreement.from_dict(
        agreement_values(lab, plan={"profile": "spread", "max_rounds": 12})
    )
    assert "profile" not in without.to_dict()["plan"]
    assert Agreement.from_bytes(agreed.to_bytes()) == agreed
    assert agreed.plan.profile
    assert agreed.hash != without.hash


@pytest.mark.parametrize("noised", [True, False])
def test_that_runs_start_anew_is_part_of_what_is_signed(lab: ModuleType, noised: bool) -> None:
    values = agreement_values(lab) if noised else lab.agreement_values(3)
    without = Agreement.from_dict(values)
    anew = Agreement.from_dict(changed(values, {"plan": {"start": "anew"}}))
    assert "start" not in without.to_dict()["plan"]
    assert without.plan.start == ""
    assert anew.to_dict()["plan"]["start"] == "anew"
    assert Agreement.from_bytes(anew.to_bytes()) == anew
    assert problems_of(anew) == []
    for wrong in ("", "last", 1):
        with pytest.raises(AgreementError, match="start"):
            Agreement.from_dict(changed(values, {"plan": {"start": wrong}}))


def test_features_too_narrow_for_noised_sums_are_refused(lab: ModuleType) -> None:
    values = agreement_values(lab)
    values["features"][0]["weight"] = "0.009"
    assert [p.code for p in problems_of(Agreement.from_dict(values))] == ["E-FEATURE-BOUNDS"]
    values["features"][0]["weight"] = "0.01"
    assert problems_of(Agreement.from_dict(values)) == []


def test_an_epsilon_too_small_for_anything_is_named_with_a_way_out(lab: ModuleType) -> None:
    values = agreement_values(lab, privacy={"epsilon": "0.0001", "rho": "0.000001"})
    (problem,) = problems_of(Agreement.from_dict(values))
    assert problem.code == "E-BUDGET"
    assert "larger epsilon" in problem.remedy
    assert "E-" not in problem.remedy
