"""Builds: which may run under an agreement, and how parties add one without a new version."""

from __future__ import annotations

import json
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.agreement.added_build import AddedBuild
from protocol.agreement.document import Agreement
from protocol.agreement.software import PROTOCOL, Build, Software
from protocol.agreement_rules import problems_of
from protocol.errors import AgreementError
from protocol.signing import public_bytes

KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([i]) * 32) for i in range(1, 4)]
NEW = Build(version="0.1.1", sha256=b"\x11" * 32)
OTHER = Build(version="0.1.2", sha256=b"\x22" * 32)


def agreed(lab: ModuleType, **software: Any) -> Agreement:
    values = lab.agreement_values(3)
    for party, key in zip(values["parties"], KEYS, strict=True):
        party["public_key"] = public_bytes(key).hex()
    values["software"] |= software
    return Agreement.from_dict(values)


def adding(lab: ModuleType, added_by: Any = "parties") -> Agreement:
    return agreed(lab, protocol=PROTOCOL, added_by=added_by)


def signed(agreement: Agreement, build: Build = NEW, keys: Any = KEYS) -> AddedBuild:
    found = AddedBuild.draft(agreement, build)
    for key in keys:
        found = found.signed_by(key)
    return found


def code_of(action: Any) -> str:
    with pytest.raises(AgreementError) as caught:
        action()
    return caught.value.code


def running(build: Build) -> Software:
    return Software(version=build.version, sha256=build.sha256)


def test_an_agreement_without_builds_is_as_it_was_and_allows_one_alone(lab: ModuleType) -> None:
    agreement = agreed(lab)
    assert set(agreement.software.to_dict()) == {"package", "version", "sha256"}
    agreement.check_software(agreement.software)
    assert code_of(lambda: agreement.check_software(running(NEW))) == "E-CODE"
    assert code_of(lambda: AddedBuild.draft(agreement, NEW)) == "E-BUILD"
    assert agreement.build_signers == ()


def test_each_build_that_the_agreement_names_may_run(lab: ModuleType) -> None:
    agreement = agreed(lab, protocol=PROTOCOL, builds=[NEW.to_dict()])
    agreement.check_software(running(NEW))
    agreement.check_software(agreement.software)
    same_version = replace(NEW, sha256=b"\x33" * 32)
    assert code_of(lambda: agreement.check_software(running(same_version))) == "E-CODE"
    assert Agreement.from_bytes(agreement.to_bytes()) == agreement


def test_a_build_of_another_protocol_does_not_run_although_its_hash_is_agreed(
    lab: ModuleType,
) -> None:
    agreement = agreed(lab, protocol=PROTOCOL + 1)
    assert code_of(lambda: agreement.check_software(agreement.software)) == "E-CODE"


@pytest.mark.parametrize(
    "software",
    [
        {"protocol": 0}, {"protocol": 1_001}, {"protocol": "1"}, {"builds": [NEW.to_dict()]},
        {"added_by": "parties"}, {"protocol": 1, "added_by": "anybody"},
        {"protocol": 1, "added_by": []}, {"protocol": 1, "added_by": ["p0", "p0"]},
        {"protocol": 1, "builds": []}, {"protocol": 1, "builds": [NEW.to_dict()] * 2},
        {"protocol": 1, "builds": [NEW.to_dict() | {"protocol": 1}]},
        {"protocol": 1, "builds": [NEW.to_dict() | {"version": f"1.{i}"} for i in range(21)]},
    ],
)  # fmt: skip
def test_software_out_of_range_is_refused(lab: ModuleType, software: dict[str, Any]) -> None:
    assert code_of(lambda: agreed(lab, **software)) == "E-AGR-SCHEMA"


def test_who_adds_builds_is_a_party(lab: ModuleType) -> None:
    (problem,) = problems_of(adding(lab, ["nobody"]))
    assert problem.code == "E-AGR-PARTY"
    assert problems_of(adding(lab)) == []


def test_a_build_may_run_once_every_party_signed_it(lab: ModuleType) -> None:
    agreement = adding(lab)
    ids = [party.id for party in agreement.parties]
    for count in range(3):
        part = signed(agreement, keys=KEYS[:count])
        assert [party.id for party in part.missing(agreement)] == ids[count:]
        assert code_of(lambda part=part: part.verify(agreement)) == "E-BUILD-UNSIGNED"
    added = AddedBuild.from_bytes(signed(agreement).to_bytes())
    assert added.verify(agreement) == NEW
    agreement.check_software(running(NEW), added=lambda: {added.build})
    assert (
        code_of(lambda: agreement.check_software(running(OTHER), added=lambda: {NEW})) == "E-CODE"
    )


def test_where_roles_are_agreed_theirs_suffice_and_no_others(lab: ModuleType) -> None:
    ids = [party.id for party in adding(lab).parties]
    agreement = adding(lab, [ids[0], ids[2]])
    assert signed(agreement, keys=[KEYS[0], KEYS[2]]).verify(agreement) == NEW
    missing = signed(agreement, keys=[KEYS[0], KEYS[1]]).missing(agreement)
    assert [party.id for party in missing] == [ids[2]]


def test_a_build_holds_for_the_version_that_it_names_alone(lab: ModuleType) -> None:
    agreement = adding(lab)
    other = replace(agreement, min_segment_size=agreement.min_segment_size + 1)
    assert code_of(lambda: signed(agreement).verify(other)) == "E-BUILD"
    without = replace(agreement, software=replace(agreement.software, added_by=None))
    assert code_of(lambda: signed(agreement).verify(without)) == "E-BUILD"
    assert code_of(lambda: AddedBuild.draft(without, NEW)) == "E-BUILD"


def test_another_protocol_is_not_added(lab: ModuleType) -> None:
    agreement = adding(lab)
    later = replace(agreement, software=replace(agreement.software, protocol=2))
    values = json.loads(signed(later).envelope.payload) | {"agreement": agreement.hash.hex()}
    payload = json.dumps(values, sort_keys=True, separators=(",", ":")).encode()
    lie = replace(signed(agreement).envelope, payload=payload, signatures={})
    for key in KEYS:
        lie = lie.signed_by(key)
    found = AddedBuild.from_bytes(lie.to_bytes())
    assert found.protocol == 2
    assert code_of(lambda: found.verify(agreement)) == "E-BUILD"


def test_a_signature_by_a_stranger_or_over_another_build_is_refused(lab: ModuleType) -> None:
    agreement = adding(lab)
    stranger = signed(agreement, keys=[*KEYS, Ed25519PrivateKey.generate()])
    assert code_of(lambda: stranger.verify(agreement)) == "E-AGR-SIGNATURE"
    good, other = signed(agreement), signed(agreement, OTHER)
    moved = replace(good, envelope=replace(good.envelope, signatures=other.envelope.signatures))
    assert code_of(lambda: moved.verify(agreement)) == "E-AGR-SIGNATURE"


def test_copies_are_joined_and_only_of_the_same_build(lab: ModuleType) -> None:
    agreement = adding(lab)
    copies = [signed(agreement, keys=[key]) for key in KEYS]
    joined = copies[0].merged(copies[1], agreement).merged(copies[2], agreement)
    assert joined.verify(agreement) == NEW
    assert code_of(lambda: joined.merged(signed(agreement, OTHER), agreement)) == "E-BUILD"


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'{"payload":"","payloadType":"x","signatures":[]}', b"\xff" * 40]
)
def test_what_is_no_build_is_our_error(data: bytes) -> None:
    assert code_of(lambda: AddedBuild.from_bytes(data)) == "E-AGR-SCHEMA"


def test_every_field_of_a_build_is_checked(lab: ModuleType) -> None:
    agreement = adding(lab)
    good = json.loads(signed(agreement).envelope.payload)
    wrong: list[dict[str, Any]] = [{name: None} for name in good]
    wrong += [{"extra": 1}, {"version": "x"}, {"sha256": "11"}, {"protocol": 0}, {"package": "x"}]
    for change in wrong:
        payload = json.dumps(good | change, sort_keys=True, separators=(",", ":")).encode()
        envelope = replace(signed(agreement).envelope, payload=payload, signatures={})
        assert code_of(lambda e=envelope: AddedBuild.from_bytes(e.to_bytes())) == "E-AGR-SCHEMA"
