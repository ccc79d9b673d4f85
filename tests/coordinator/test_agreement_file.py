"""Agreements as files: strict YAML from people, envelopes from machines, errors that help."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coordinator.agreement_file import (
    agreement_template,
    load_signed,
    load_yaml,
    privacy_template,
    save_signed,
)
from coordinator.config import quoted
from protocol import limits
from protocol.agreement.document import Agreement
from protocol.agreement.software import Software
from protocol.agreement_rules import problems_of
from protocol.errors import AgreementError, FedsegError, UsageError
from protocol.signed_agreement import SignedAgreement
from tests.hidden_characters import CATEGORIES, UNSEEN

PARTIES = [
    {
        "id": f"shop-{i}",
        "legal_name": quoted(f'Shop "{i}": GmbH # 1'),
        "contact": quoted("office@shop.example"),
        "dpo": quoted("dpo@shop.example"),
        "jurisdictions": '"DE", "FR"',
        "public_key": f"{i:02x}" * 32,
        "max_customers": 1_000,
    }
    for i in range(3)
]


def text_of(**changes: Any) -> str:
    values: dict[str, Any] = {
        "id": quoted("our-segments"),
        "purpose": quoted("Common segments."),
        "purpose_term": quoted("fedseg:CustomerSegmentation"),
        "notice_version": quoted("1"),
        "effective": "2026-01-01T00:00:00Z",
        "review_by": "2026-07-01T00:00:00Z",
        "expires": "2027-01-01T00:00:00Z",
        "parties": PARTIES,
        "legal_name": quoted("Operator"),
        "contact": quoted("ops"),
        "public_key": "ff" * 32,
        "software": Software(version="0.1.0", sha256=bytes(32)),
        "privacy": privacy_template(None, customers=3_000, n_partners=3),
    }
    return agreement_template(**(values | changes))


def refused(folder: Path, text: str | bytes) -> FedsegError:
    path = folder / "agreement.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    with pytest.raises(AgreementError) as caught:
        load_yaml(path)
    assert caught.value.exit_code == 3
    return caught.value


def test_the_template_is_an_agreement_without_problems(tmp_path: Path) -> None:
    (tmp_path / "agreement.yaml").write_text(text_of(), encoding="utf-8")
    agreement = load_yaml(tmp_path / "agreement.yaml")
    assert problems_of(agreement) == []
    assert agreement.purpose.text == "Common segments."
    assert agreement.parties[1].legal_name == 'Shop "1": GmbH # 1'
    assert (agreement.secure_sum.min_partners, agreement.min_segment_size) == (3, 50)


@pytest.mark.parametrize(("n", "least", "smallest"), [(2, 2, 2), (3, 3, 3), (4, 3, 3), (9, 3, 6)])
def test_a_new_agreement_says_how_many_partners_a_run_needs(
    tmp_path: Path, n: int, least: int, smallest: int
) -> None:
    parties = [PARTIES[0] | {"id": f"shop-{i}", "public_key": f"{i:02x}" * 32} for i in range(n)]
    privacy = privacy_template(Decimal(1), customers=1_000 * n, n_partners=n)
    text = text_of(parties=parties, privacy=privacy)
    assert f"with {smallest} of the {n} partners at least" in text
    (tmp_path / "agreement.yaml").write_text(text, encoding="utf-8")
    agreement = load_yaml(tmp_path / "agreement.yaml")
    assert problems_of(agreement) == []
    assert (agreement.secure_sum.min_partners, agreement.smallest_set) == (least, smallest)


@pytest.mark.parametrize("epsilon", ["0.05", "0.1", "1", "2.5", "100"])
@pytest.mark.parametrize("customers", [3, 3_000, 50 << 30])
def test_a_new_agreement_has_a_budget_that_holds_together(
    tmp_path: Path, epsilon: str, customers: int
) -> None:
    text = text_of(privacy=privacy_template(Decimal(epsilon), customers=customers, n_partners=3))
    (tmp_path / "agreement.yaml").write_text(text, encoding="utf-8")
    agreement = load_yaml(tmp_path / "agreement.yaml")
    assert problems_of(agreement) == []
    assert agreement.plan.name == "hybrid-dp"
    assert agreement.privacy is not None
    assert agreement.privacy.epsilon == Decimal(epsilon)
    spent = agreement.privacy.epsilon_of(agreement.privacy.run_cost)
    assert 0.99 * float(epsilon) < spent <= float(epsilon)
    assert agreement.privacy.delta * customers < 1 or customers > 10**9


def test_the_question_about_satisfaction_can_be_added_as_a_new_agreement_says(
    tmp_path: Path,
) -> None:
    text = text_of(privacy=privacy_template(Decimal(1), customers=3_000, n_partners=3))
    said = " ".join(line.removeprefix("# ") for line in text.splitlines())
    (question,) = re.findall(r"satisfaction: (\{.*?\})", said)
    assert "raise max_rounds to 13" in said
    old = "max_rounds: 12,\n       profile: spread}"
    assert text.count(old) == 1

    def agreed(question: str) -> Agreement:
        changed = f"max_rounds: 13, profile: spread, satisfaction: {question}}}"
        (tmp_path / "a.yaml").write_text(text.replace(old, changed), encoding="utf-8")
        return load_yaml(tmp_path / "a.yaml")

    agreement = agreed(question)
    assert problems_of(agreement) == []
    assert agreement.plan.satisfaction is not None
    assert agreement.plan.satisfaction.question == "How satisfied are you with us?"
    for wrong, says in (
        (question.replace("lowest", "lowst"), "plan.satisfaction: unknown field 'lowst'; did you"),
        ('{question: "Happy?"}', "has no plan.satisfaction.highest, plan.satisfaction.lowest"),
        (question.replace("5", "1"), "plan.satisfaction.highest is 1, allowed: 2 to 1000"),
    ):
        with pytest.raises(AgreementError) as caught:
            agreed(wrong)
        assert says in caught.value.message


@pytest.mark.parametrize("epsilon", ["0", "-1", "0.049", "101"])
def test_an_epsilon_out_of_range_is_refused(epsilon: str) -> None:
    with pytest.raises(UsageError, match="--epsilon"):
        privacy_template(Decimal(epsilon), customers=100, n_partners=3)


@pytest.mark.slow
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.characters(exclude_categories=CATEGORIES, exclude_characters=UNSEEN)
        | st.sampled_from(["\n", '"', "\\", ": ", "# ", "&a ", "*a", "!!x ", "\u00a0"]),
        min_size=1,
        max_size=40,
    ).map("".join)
)
def test_any_purpose_and_name_survives_the_template(tmp_path: Path, text: str) -> None:
    path = tmp_path / "agreement.yaml"
    path.write_text(text_of(purpose=quoted(text), legal_name=quoted(text)), encoding="utf-8")
    agreement = load_yaml(path)
    assert (agreement.purpose.text, agreement.coordinator.legal_name) == (text, text)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("version: 1", "version: 1\nversion: 2", 'duplicate key "version"'),
        ('min: "0"', "min: 0", "decimal number in quotes"),
        ('max: "365"', "max: 365.5", "decimal number in quotes"),
        ('max: "365"', 'max: "1e3"', "decimal number in quotes"),
        ('max: "365"', "max: .inf", "decimal number in quotes"),
        ("version: 1", "version: 1.0", "whole number"),
        ("version: 1", "version: yes", "whole number"),
        ("version: 1", "version: 0x" + "f" * 9_000, "version is a number beyond 64 bits"),
        ("privacy: none", "privacy: nothing", "allowed: none"),
        ("min_segment_size", "min_segmentsize", "min_segment_size"),
        ("privacy: none", "privacy: none\nepsilon: 1", "unknown field 'epsilon'"),
        ('"2026-01-01T00:00:00Z"', "2026-01-01T00:00:00Z", "effective"),
        ('"2026-01-01T00:00:00Z"', '"2026-01-01"', "effective"),
        ("privacy: none", "privacy: !!python/object/apply:os.system [id]", "tags"),
        ("privacy: none", "privacy: !mine none", "tags"),
        ("privacy: none", "privacy: &a none", "anchors"),
        ("privacy: none", "privacy: none\n? [a, b]\n: none", "unknown field"),
        ("privacy: none", "---\nprivacy: none", "YAML"),
        ("privacy: none", "privacy: [", "YAML"),
    ],
)
def test_what_people_get_wrong_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = text_of()
    assert old in text
    assert said in refused(tmp_path, text.replace(old, new, 1)).message


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('max: "365"', "max: 365.5", "features[0].max"),
        ('weight: "1"', "weight: 1", "features[0].weight"),
        ('"2026-01-01T00:00:00Z"', "2026-01-01T00:00:00Z", "effective"),
        ("unit: days", "unit: 5", "features[0].unit"),
        ("unit: days", "unit: true", "features[0].unit"),
    ],
)
def test_what_yaml_takes_for_no_text_is_to_be_written_in_quotes(
    tmp_path: Path, old: str, new: str, place: str
) -> None:
    text = text_of()
    assert old in text
    error = refused(tmp_path, text.replace(old, new, 1))
    assert place in error.message
    assert error.remedy == "write it in quotes"


def test_a_misspelt_field_names_the_nearest_known(tmp_path: Path) -> None:
    text = text_of().replace("  - name: recency", "  - name: recency\n    wieght: '1'")
    message = refused(tmp_path, text).message
    assert "features[0]" in message
    assert "did you mean 'weight'?" in message


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x]\n"
        + "".join(f"b{i}: &b{i} [*{'a' if i == 0 else f'b{i - 1}'}]\n" for i in range(9)),
        "a: &a {x: 1}\nb: {<<: [*a, *a]}",
        "{a: *nothing}",
    ],
)
def test_references_are_refused_before_they_are_followed(tmp_path: Path, text: str) -> None:
    assert "anchors and aliases" in refused(tmp_path, text).message


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"text", b"null", b"\0\1\2", b"\xff\xfe\xfd", b"[" * 5_000,
     b"- " * 9_000, b"{a: " * 900, b"%YAML 9.9\n---\na: 1", b"\x89PNG\r\n\x1a\n", b"a: \x1b[31m"],
)  # fmt: skip
def test_what_is_no_agreement_is_our_error(tmp_path: Path, data: bytes) -> None:
    assert len(refused(tmp_path, data).message) < 1_000


@pytest.mark.slow
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_template_with_anything_changed_is_read_or_refused_by_us(
    tmp_path: Path, data: st.DataObject
) -> None:
    text = text_of()
    at = data.draw(st.integers(0, len(text)))
    to = min(len(text), at + data.draw(st.integers(0, 12)))
    put = data.draw(
        st.text(max_size=5) | st.sampled_from(["&a ", "*a", "!!x", "{", "[", "? ", "<<:"])
    )
    path = tmp_path / "agreement.yaml"
    path.write_bytes((text[:at] + put + text[to:]).encode("utf-8", "surrogatepass"))
    try:
        agreement = load_yaml(path)
    except AgreementError:
        return
    for problem in problems_of(agreement):
        assert isinstance(problem, AgreementError)


def test_a_byte_order_mark_and_windows_lines_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "agreement.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + text_of().replace("\n", "\r\n").encode())
    assert load_yaml(path).id == "our-segments"


def test_a_file_that_cannot_be_read_or_is_too_large_says_so(tmp_path: Path) -> None:
    for load in (load_yaml, load_signed):
        with pytest.raises(UsageError, match="directory"):
            load(tmp_path)
        with pytest.raises(UsageError, match="none"):
            load(tmp_path / "none")
    large = tmp_path / "large"
    large.write_bytes(b"#" * (2 * limits.MAX_AGREEMENT_BYTES + 1))
    for load in (load_yaml, load_signed):
        with pytest.raises(AgreementError, match="larger"):
            load(large)


@pytest.fixture
def signed(tmp_path: Path) -> SignedAgreement:
    (tmp_path / "a.yaml").write_text(text_of(), encoding="utf-8")
    return SignedAgreement.draft(load_yaml(tmp_path / "a.yaml"))


def test_an_envelope_reads_back_as_it_was_saved(tmp_path: Path, signed: SignedAgreement) -> None:
    path = tmp_path / "agreement.json"
    save_signed(path, signed)
    assert load_signed(path).to_bytes() == signed.to_bytes()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_an_envelope_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, signed: SignedAgreement
) -> None:
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "a.yaml" / "a.json"):
        with pytest.raises(UsageError, match=re.escape(str(path))) as caught:
            save_signed(path, signed)
        assert caught.value.remedy
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.yaml", "folder"]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_an_altered_envelope_is_refused_or_means_the_same(
    tmp_path: Path, signed: SignedAgreement, at: int, bit: int
) -> None:
    data = bytearray(signed.to_bytes())
    data[at % len(data)] ^= 1 << bit
    path = tmp_path / "agreement.json"
    path.write_bytes(bytes(data))
    try:
        found = load_signed(path)
    except AgreementError:
        return
    assert found.agreement.hash != signed.agreement.hash or json.loads(data)
    with pytest.raises(AgreementError):
        found.verify()


def test_everything_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    text = text_of()
    for line in (
        r"  audit: .*\n",
        r"min_segment_size: .*\n",
        r"    dpo: .*\n",
        r"retention: .*\n",
        r"    necessity: .*\n",
    ):
        text, count = re.subn(line, "", text, count=1)
        assert count == 1, line
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(AgreementError) as caught:
        load_yaml(path)
    assert caught.value.code == "E-LINT"
    assert caught.value.message == (
        f"{path}: the agreement has no min_segment_size, retention, parties[0].dpo, "
        "features[0].necessity, duties.audit"
    )
    assert "agreement draft" in caught.value.remedy


def test_everything_that_is_misspelt_is_named_at_once(tmp_path: Path) -> None:
    text = text_of()
    for right, wrong in (("audit:", "audits:"), ("max_rounds:", "max_round:"), ("dpo:", "dpa:")):
        assert right in text
        text = text.replace(right, wrong, 1)
    message = refused(tmp_path, text).message
    for place, right, wrong in (
        ("parties[0]", "dpo", "dpa"),
        ("plan", "max_rounds", "max_round"),
        ("duties", "audit", "audits"),
    ):
        assert f"agreement.{place}: unknown field '{wrong}'; did you mean '{right}'?" in message


@pytest.mark.parametrize(
    ("kind", "lacking"),
    [
        ("numeric", "features[0].max, features[0].min, features[0].transform"),
        ("ordinal", "features[0].levels"),
        ("categorical", "features[0].levels"),
    ],
)
def test_a_feature_needs_what_its_type_says(tmp_path: Path, kind: str, lacking: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text_of())
    values = load_yaml(path).to_dict()
    first = {k: values["features"][0][k] for k in ("name", "unit", "weight", "necessity")}
    path.write_text(json.dumps(values | {"features": [first | {"type": kind}]}))
    with pytest.raises(AgreementError) as caught:
        load_yaml(path)
    assert caught.value.code == "E-LINT"
    assert caught.value.message.endswith(f"the agreement has no {lacking}")
    first |= {"type": "boolean", "missing": {"rule": "replace", "value": "no"}}
    path.write_text(json.dumps(values | {"features": [first]}))
    assert load_yaml(path).features[0].to_dict() == first


def test_a_draft_names_one_kind_of_recipient(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text_of())
    recipients = load_yaml(path).results_use.recipients
    assert recipients == ("the partners, each for its own customers",)


def test_no_field_of_a_draft_can_be_left_out_unsaid(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text_of())
    values = load_yaml(path).to_dict()
    left_out = 0
    for name in values:
        path.write_text(json.dumps({k: v for k, v in values.items() if k != name}))
        with pytest.raises(AgreementError, match=f"has no {name}$") as caught:
            load_yaml(path)
        assert caught.value.code == "E-LINT"
        for part in values[name] if isinstance(values[name], dict) else ():
            inner = {k: v for k, v in values[name].items() if k != part}
            path.write_text(json.dumps(values | {name: inner}))
            with pytest.raises(AgreementError, match=part):
                SignedAgreement.draft(load_yaml(path))
            left_out += 1
    assert left_out > 25


def test_the_schedule_can_be_taken_from_a_new_agreements_comment(tmp_path: Path) -> None:
    text = text_of()
    assert "\n# schedule: {" in text
    path = tmp_path / "a.yaml"
    path.write_text(text.replace("\n# schedule: {", "\nschedule: {"))
    agreement = load_yaml(path)
    assert agreement.schedule is not None
    assert agreement.schedule.words == (
        "every month from 2026-01-31 at 03:00 UTC, within 12 hours; in a shorter month on its last "
        "day"
    )


def test_training_is_chosen_or_taken_from_a_new_agreements_comment(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    path.write_text(text_of())
    assert load_yaml(path).training == ()
    path.write_text(text_of().replace("\n# training: [", "\ntraining: ["))
    assert load_yaml(path).training == ("fedseg-basics",)
    path.write_text(text_of(training=["fedseg-basics", "privacy-2"]))
    assert load_yaml(path).training == ("fedseg-basics", "privacy-2")


def test_four_eyes_are_chosen_or_taken_from_a_new_agreements_comment(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text_of())
    assert load_yaml(path).four_eyes == ()
    assert "\n# four_eyes: [" in text_of()
    path.write_text(text_of().replace("\n# four_eyes: [", "\nfour_eyes: ["))
    assert load_yaml(path).four_eyes == ("agreement", "egress", "export")
    path.write_text(text_of(four_eyes=["egress"]))
    assert load_yaml(path).four_eyes == ("egress",)
