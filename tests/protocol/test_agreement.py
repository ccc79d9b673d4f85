"""The agreement: strict to parse, lint, signatures, dates."""

from __future__ import annotations

import copy
import dataclasses
import json
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.agreement.document import Agreement
from protocol.agreement_rules import problems_of
from protocol.canonical import canonical_json
from protocol.errors import AgreementError
from protocol.signed_agreement import PAYLOAD_TYPE, SignedAgreement
from protocol.signing import Envelope, key_id, public_bytes


def paths(values: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where every field of the agreement stands."""
    found = [here] if here else []
    items = values.items() if isinstance(values, dict) else ()
    items = enumerate(values) if isinstance(values, list) else items
    for key, value in items:
        found += paths(value, (*here, key))
    return found


def at(values: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        values = values[key]
    return values


def refused(values: Any, code: str = "E-AGR-SCHEMA") -> AgreementError:
    with pytest.raises(AgreementError) as caught:
        Agreement.from_dict(values)
    assert caught.value.code == code
    return caught.value


def name_of(path: tuple[Any, ...]) -> str:
    return "agreement" + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path)


def test_an_agreement_is_read_back_from_its_signed_bytes(lab: ModuleType) -> None:
    agreement = Agreement.from_dict(lab.agreement_values(4))
    assert Agreement.from_bytes(agreement.to_bytes()) == agreement
    assert agreement.to_bytes() == canonical_json(lab.agreement_values(4))
    assert problems_of(agreement) == []


def test_every_missing_field_is_named(lab: ModuleType) -> None:
    original = lab.agreement_values(3)
    fields = [p for p in paths(original) if isinstance(p[-1], str)]
    fields.remove(("plan", "exact_totals"))  # asked for by a rule, not by the schema
    assert len(fields) > 40
    for path in fields:
        values = copy.deepcopy(original)
        del at(values, path[:-1])[path[-1]]
        error = refused(values)
        assert f"{name_of(path[:-1])}: field {path[-1]!r} is missing" in error.message


def test_an_unknown_field_is_refused_wherever_it_stands(lab: ModuleType) -> None:
    original = lab.agreement_values(3)
    objects = [p for p in [(), *paths(original)] if isinstance(at(original, p), dict)]
    assert len(objects) == 21
    for path in objects:
        values = copy.deepcopy(original)
        at(values, path)["extra"] = 1
        assert f"{name_of(path)}: unknown field 'extra'" in refused(values).message


def test_every_field_of_another_type_is_refused(lab: ModuleType) -> None:
    original = lab.agreement_values(3)
    for path in paths(original):
        for wrong in (None, True, 1.5, -1, "\0", "", [], {}, [None], "1" * 5_000):
            values = copy.deepcopy(original)
            at(values, path[:-1])[path[-1]] = wrong
            if wrong == -1 and path[-1] in ("min", "max"):
                continue
            if wrong == [] and path[-1] in ("special", "proxies", "forbidden", "documents"):
                continue
            assert name_of(path).rsplit(".", 1)[0] in refused(values).message


OUT_OF_RANGE: list[tuple[tuple[Any, ...], Any]] = [
    (("schema",), "fedseg/agreement/v2"),
    (("id",), "Test"),
    (("id",), "a" * 41),
    (("version",), 0),
    (("version",), 1_000_001),
    (("purpose",), "Form segments."),
    (("purpose", "text"), "a" * 4_001),
    (("purpose", "term"), "segmentation"),
    (("purpose", "term"), "Dpv:Marketing"),
    (("purpose", "notice_version"), ""),
    (("purpose", "notice_version"), "version 1"),
    (("parties", 0, "legal_basis"), "consent"),
    (("parties", 0, "legal_basis", "basis"), "eu-gdpr:A6-1-b"),
    (("parties", 0, "legal_basis", "reference"), ""),
    (("parties", 0, "legal_basis"), {"basis": "eu-gdpr:A6-1-f", "reference": "see our file"}),
    (("consent", "max_age_hours"), 0),
    (("consent", "max_age_hours"), 24 * 366 + 1),
    (("effective",), "2026-01-01"),
    (("effective",), "2026-1-1T0:0:0Z"),
    (("effective",), "2026-01-01T00:00:00+00:00"),
    (("effective",), "0099-01-01T00:00:00Z"),
    (("expires",), "2026-02-30T00:00:00Z"),
    (("parties",), []),
    (("parties", 0, "id"), "-a"),
    (("parties", 0, "id"), "a\n"),
    (("parties", 0, "public_key"), "00" * 31),
    (("parties", 0, "public_key"), "AA" * 32),
    (("parties", 0, "max_customers"), 0),
    (("parties", 0, "max_customers"), (1 << 30) + 1),
    (("coordinator", "public_key"), "00" * 33),
    (("features",), []),
    (("features", 0, "name"), "1a"),
    (("features", 0, "type"), "text"),
    (("features", 0, "min"), "1e3"),
    (("features", 0, "min"), 0),
    (("features", 0, "max"), "0x10"),
    (("features", 0, "transform"), "log"),
    (("features", 0, "weight"), 1),
    (("plan", "name"), "lloyd"),
    (("plan", "n_clusters"), 0),
    (("plan", "n_clusters"), 1_001),
    (("plan", "max_rounds"), 0),
    (("plan", "max_rounds"), 1_001),
    (("privacy",), "yes"),
    (("secure_sum", "min_partners"), 1),
    (("secure_sum", "min_partners"), 51),
    (("secure_sum", "max_colluding"), -1),
    (("secure_sum", "min_atom"), 0),
    (("secure_sum", "max_set_changes"), -1),
    (("secure_sum", "max_set_changes"), 1_001),
    (("min_segment_size",), 0),
    (("software", "version"), "latest"),
    (("software", "package"), "flwr"),
    (("software", "sha256"), "00"),
    (("supersedes",), "nothing"),
    (("supersedes",), "00" * 31),
    (("review_by",), "soon"),
    (("parties", 0, "role"), "processor"),
    (("parties", 0, "dpo"), ""),
    (("parties", 0, "jurisdictions"), []),
    (("parties", 0, "jurisdictions"), ["de"]),
    (("parties", 0, "jurisdictions"), ["DE", "DE"]),
    (("features", 0, "necessity"), ""),
    (("features", 0, "category"), "User Data"),
    (("excluded", "special"), ["healthy"]),
    (("excluded", "special"), ["health", "health"]),
    (("excluded", "children_under"), 12),
    (("excluded", "children_under"), 22),
    (("excluded", "proxies"), ["post code"]),
    (("min_customers_per_partner",), -1),
    (("results_use", "allowed"), []),
    (("results_use", "allowed"), ["Own marketing"]),
    (("results_use", "recipients"), []),
    (("retention", "assignments_days"), 0),
    (("retention", "records_days"), 3_661),
    (("duties", "breach"), ""),
    (("documents",), {}),
    (("documents", 0, "sha256"), "see file"),
]


@pytest.mark.parametrize(("path", "wrong"), OUT_OF_RANGE)
def test_a_value_out_of_range_is_refused(
    lab: ModuleType, path: tuple[Any, ...], wrong: Any
) -> None:
    values = lab.agreement_values(3)
    at(values, path[:-1])[path[-1]] = wrong
    assert name_of(path) in refused(values).message


def test_more_than_fifty_parties_are_refused(lab: ModuleType) -> None:
    Agreement.from_dict(lab.agreement_values(50))
    refused(lab.agreement_values(51))


def lint(lab: ModuleType, path: tuple[Any, ...], value: Any, n: int = 4) -> list[str]:
    values = lab.agreement_values(n)
    at(values, path[:-1])[path[-1]] = value
    return [problem.code for problem in problems_of(Agreement.from_dict(values))]


PROBLEMS: list[tuple[tuple[Any, ...], Any, str]] = [
    (("review_by",), "2026-01-01T00:00:00Z", "E-AGR-REVIEW"),
    (("review_by",), "2027-01-01T00:00:01Z", "E-AGR-REVIEW"),
    (("supersedes",), "00" * 32, "E-AGR-ROLLBACK"),
    (("version",), 2, "E-AGR-ROLLBACK"),
    (("parties", 1, "id"), "p0", "E-AGR-PARTY"),
    (("features", 1, "name"), "f0", "E-FEATURE-BOUNDS"),
    (("features", 1, "name"), "F0", "E-FEATURE-BOUNDS"),
    (("duties", "audit"), "TODO", "E-LINT"),
    (("duties", "breach"), "to be decided.", "E-LINT"),
    (("features", 0, "necessity"), " … ", "E-LINT"),
    (("population", "inclusion"), "<whom?>", "E-LINT"),
    (("parties", 0, "dpo"), "tbd", "E-LINT"),
    (("purpose", "text"), "XXX", "E-LINT"),
    (("duties", "audit"), "Todos los años.", ""),
    (("duties", "audit"), "One line.\nAnother line.", ""),
    (("parties", 0, "legal_name"), "North\n  public key  00ff", "E-AGR-SCHEMA"),
    (("coordinator", "contact"), "a\nb", "E-AGR-SCHEMA"),
    (("features", 0, "unit"), "a\nb", "E-AGR-SCHEMA"),
    (("results_use", "forbidden"), ["assortment"], "E-USE"),
    (("excluded", "proxies"), ["f1"], "E-SPECIAL"),
    (("features", 0, "min"), "10", "E-FEATURE-BOUNDS"),
    (("features", 0, "max"), "-1", "E-FEATURE-BOUNDS"),
    (("features", 0, "weight"), "0", "E-FEATURE-BOUNDS"),
    (("features", 0, "weight"), "1.000000001", "E-FEATURE-BOUNDS"),
    (("features", 0, "weight"), "-0.5", "E-FEATURE-BOUNDS"),
    (("secure_sum", "min_partners"), 2, "E-PARTNERS"),
    (("secure_sum", "min_partners"), 5, "E-PARTNERS"),
    (("secure_sum", "min_atom"), 2, "E-PARTNERS"),
    (("secure_sum", "min_atom"), 5, "E-PARTNERS"),
    (("secure_sum", "max_colluding"), 2, "E-PARTNERS"),
    (("plan", "n_clusters"), 1_000, ""),
    (("parties", 0, "max_customers"), 1 << 30, ""),
]


@pytest.mark.parametrize(("path", "value", "code"), PROBLEMS)
def test_lint_names_each_problem(
    lab: ModuleType, path: tuple[Any, ...], value: Any, code: str
) -> None:
    found = lint(lab, path, value)
    assert (set(found) == {code}) if code else (found == [])


def test_a_name_over_two_lines_on_record_stays_readable(lab: ModuleType) -> None:
    values = lab.agreement_values(3)
    values["parties"][0]["legal_name"] = "North\nGmbH"
    agreement = Agreement.from_dict(values)
    assert [p.code for p in problems_of(agreement)] == ["E-AGR-SCHEMA"]
    assert problems_of(agreement, kept=True) == []


def test_one_key_for_two_parties_is_refused(lab: ModuleType) -> None:
    for other in ("p1", "coordinator"):
        key = public_bytes(lab.key_of(other)).hex()
        assert "E-AGR-DUPKEY" in lint(lab, ("parties", 0, "public_key"), key)


def test_log1p_of_negative_values_is_refused(lab: ModuleType) -> None:
    values = lab.agreement_values(3)
    values["features"][0].update(transform="log1p", min="-0.5")
    assert [p.code for p in problems_of(Agreement.from_dict(values))] == ["E-FEATURE-BOUNDS"]


def test_a_transcript_that_would_not_fit_a_message_is_refused(lab: ModuleType) -> None:
    values = lab.agreement_values(50, features=19, clusters=1_000)
    assert [p.code for p in problems_of(Agreement.from_dict(values))] == ["E-AGR-SIZE"]
    values["plan"]["n_clusters"] = 990
    assert problems_of(Agreement.from_dict(values)) == []


def test_row_caps_under_which_totals_could_overflow_are_refused(lab: ModuleType) -> None:
    values = lab.agreement_values(16, features=256, cap=1 << 30, clusters=1)
    assert [p.code for p in problems_of(Agreement.from_dict(values))] == ["E-AGR-SIZE"]
    values = lab.agreement_values(15, features=256, cap=1 << 30, clusters=1)
    assert problems_of(Agreement.from_dict(values)) == []


def test_two_partners_cannot_agree_on_exact_totals(lab: ModuleType) -> None:
    values = lab.agreement_values(2)
    for min_partners, min_atom, colluding in ((2, 2, 0), (2, 3, 1), (2, 1, 0), (3, 3, 1)):
        values["secure_sum"].update(
            min_partners=min_partners, min_atom=min_atom, max_colluding=colluding
        )
        agreement = Agreement.from_dict(values)
        assert "E-PARTNERS" in {p.code for p in problems_of(agreement)}
        with pytest.raises(AgreementError):
            SignedAgreement.draft(agreement)
        payload = agreement.to_bytes()
        envelope = Envelope(payload_type=PAYLOAD_TYPE, payload=payload, signatures={})
        for i in range(2):
            envelope = envelope.signed_by(lab.key_of(f"p{i}"))
        with pytest.raises(AgreementError):
            SignedAgreement.from_bytes(envelope.to_bytes())


@given(n=st.integers(3, 50), t=st.integers(0, 48))
def test_any_two_sets_share_an_honest_partner(lab: ModuleType, n: int, t: int) -> None:
    agreement = Agreement.from_dict(lab.agreement_values(n, colluding=t))
    if problems_of(agreement):
        return
    smallest = agreement.smallest_set
    assert 2 * smallest - n > t
    assert smallest >= max(3, t + 2)
    assert agreement.secure_sum.min_atom >= max(3, t + 2)


# --- signatures ---


@pytest.fixture
def signed(lab: ModuleType) -> SignedAgreement:
    """An agreement of three, signed by all."""
    return sign(lab, SignedAgreement.draft(Agreement.from_dict(lab.agreement_values(3))), 0, 1, 2)


def sign(lab: ModuleType, document: SignedAgreement, *numbers: int) -> SignedAgreement:
    envelope = document.envelope
    for i in numbers:
        envelope = envelope.signed_by(lab.key_of(f"p{i}"))
    return dataclasses.replace(document, envelope=envelope)


def test_an_agreement_signed_by_every_party_verifies(signed: SignedAgreement) -> None:
    again = SignedAgreement.from_bytes(signed.to_bytes())
    assert again.verify() == signed.agreement
    assert again == signed


@pytest.mark.parametrize("who", [(), (0,), (0, 1), (0, 2)])
def test_an_unsigned_agreement_is_refused(lab: ModuleType, who: tuple[int, ...]) -> None:
    draft = SignedAgreement.draft(Agreement.from_dict(lab.agreement_values(3)))
    document = sign(lab, draft, *who)
    assert [p.id for p in document.missing()] == [f"p{i}" for i in range(3) if i not in who]
    with pytest.raises(AgreementError, match="E-AGR-UNSIGNED"):
        document.verify()


def test_an_agreement_altered_after_signing_is_refused(signed: SignedAgreement) -> None:
    values = signed.agreement.to_dict()
    values["parties"][0]["max_customers"] += 1
    other = SignedAgreement.draft(Agreement.from_dict(values))
    envelope = dataclasses.replace(other.envelope, signatures=signed.envelope.signatures)
    altered = SignedAgreement.from_bytes(envelope.to_bytes())
    with pytest.raises(AgreementError, match="E-AGR-SIGNATURE"):
        altered.verify()


def test_a_signature_by_a_stranger_is_refused(lab: ModuleType, signed: SignedAgreement) -> None:
    for stranger in ("stranger", "coordinator"):
        envelope = signed.envelope.signed_by(lab.key_of(stranger))
        with pytest.raises(AgreementError, match="E-AGR-SIGNATURE"):
            dataclasses.replace(signed, envelope=envelope).verify()


def test_one_partys_signature_under_anothers_name_is_refused(
    lab: ModuleType, signed: SignedAgreement
) -> None:
    names = [key_id(public_bytes(lab.key_of(f"p{i}"))) for i in range(2)]
    signatures = dict(signed.envelope.signatures)
    signatures[names[1]] = signatures[names[0]]
    envelope = dataclasses.replace(signed.envelope, signatures=signatures)
    with pytest.raises(AgreementError, match="E-AGR-SIGNATURE"):
        dataclasses.replace(signed, envelope=envelope).verify()


def test_signatures_collected_apart_are_joined(lab: ModuleType, signed: SignedAgreement) -> None:
    draft = SignedAgreement.draft(signed.agreement)
    joined = sign(lab, draft, 0).merged(sign(lab, draft, 1)).merged(sign(lab, draft, 2))
    assert joined.verify() == signed.agreement


def test_signatures_over_another_agreement_are_not_joined(
    lab: ModuleType, signed: SignedAgreement
) -> None:
    other = SignedAgreement.draft(Agreement.from_dict(lab.agreement_values(3, rounds=9)))
    with pytest.raises(AgreementError, match="E-AGR-SIGNATURE"):
        signed.merged(other)


def test_an_agreement_that_is_not_in_canonical_form_is_refused(signed: SignedAgreement) -> None:
    payload = json.dumps(signed.agreement.to_dict()).encode()
    with pytest.raises(AgreementError, match="canonical"):
        Agreement.from_bytes(payload)
    with pytest.raises(AgreementError):
        Agreement.from_bytes(signed.agreement.to_bytes() + b" ")
    envelope = Envelope(payload_type="application/json", payload=payload, signatures={})
    with pytest.raises(AgreementError, match="expected"):
        SignedAgreement.from_bytes(envelope.to_bytes())


decimal_texts = st.builds(
    lambda sign, whole, rest: f"{sign}{whole}" + (f".{rest}" if rest else ""),
    st.sampled_from(["", "-"]),
    st.integers(0, 10**15 - 1),
    st.text("0123456789", max_size=9),
)


@given(text=decimal_texts)
def test_the_hash_is_always_that_of_the_signed_bytes(lab: ModuleType, text: str) -> None:
    values = lab.agreement_values(3)
    values["features"][0]["min"] = text
    agreement = Agreement.from_dict(values)
    assert agreement.to_bytes() == canonical_json(values)
    assert Agreement.from_bytes(agreement.to_bytes()).hash == agreement.hash


def test_a_changed_field_changes_the_hash(lab: ModuleType) -> None:
    original = Agreement.from_dict(lab.agreement_values(3))
    for term in ({"rounds": 9}, {"colluding": 0}, {"identity": "other"}, {"cap": 9}):
        assert Agreement.from_dict(lab.agreement_values(3, **term)).hash != original.hash


# --- use ---


@pytest.mark.parametrize(
    ("low", "high", "transform"),
    [
        ("99999999999999.99999", "99999999999999.999991", "none"),
        ("99999999999999", "99999999999999.01", "log1p"),
    ],
)
def test_bounds_that_are_the_same_number_to_a_computer_are_refused(
    lab: ModuleType, low: str, high: str, transform: str
) -> None:
    values = lab.agreement_values(3)
    values["features"][0] |= {"min": low, "max": high, "transform": transform}
    assert [p.code for p in problems_of(Agreement.from_dict(values))] == ["E-FEATURE-BOUNDS"]


def test_an_agreement_holds_between_its_dates_with_five_minutes_for_clocks(
    signed: SignedAgreement,
) -> None:
    agreement = signed.agreement
    start = datetime(2026, 1, 1, tzinfo=UTC)
    end = datetime(2027, 1, 1, tzinfo=UTC)
    for now in (start - timedelta(minutes=5), start, end, end + timedelta(minutes=5)):
        agreement.check_time(now)
    for now in (start - timedelta(seconds=301), end + timedelta(seconds=301)):
        with pytest.raises(AgreementError, match="E-AGR-EXPIRED"):
            agreement.check_time(now)


def test_an_agreement_may_end_on_the_last_day_that_there_is(lab: ModuleType) -> None:
    values = lab.agreement_values(3)
    values["expires"] = "9999-12-31T23:59:59Z"
    agreement = Agreement.from_dict(values)
    assert problems_of(agreement) == []
    agreement.check_time(datetime(2026, 1, 1, tzinfo=UTC))


def test_no_run_begins_after_the_day_of_review(signed: SignedAgreement) -> None:
    agreement = signed.agreement
    agreement.check_review(agreement.review_by + timedelta(minutes=5))
    with pytest.raises(AgreementError, match="E-AGR-REVIEW"):
        agreement.check_review(agreement.review_by + timedelta(minutes=6))


def test_other_software_is_refused(signed: SignedAgreement) -> None:
    agreed = signed.agreement.software
    signed.agreement.check_software(agreed)
    for version in ("0.1.1", "0.1.0rc1", ""):
        with pytest.raises(AgreementError, match="E-CODE"):
            signed.agreement.check_software(dataclasses.replace(agreed, version=version))
    with pytest.raises(AgreementError, match=r"E-CODE.*other code"):
        signed.agreement.check_software(dataclasses.replace(agreed, sha256=bytes(32)))


def test_a_key_of_no_party_has_no_number(lab: ModuleType, signed: SignedAgreement) -> None:
    assert signed.agreement.index_of_key(public_bytes(lab.key_of("p2"))) == 2
    for stranger in ("stranger", "coordinator"):
        with pytest.raises(AgreementError, match="E-AGR-PARTY"):
            signed.agreement.index_of_key(public_bytes(lab.key_of(stranger)))
