"""The release: what is in it, what is withheld, who has to sign."""

from __future__ import annotations

import dataclasses
import json
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from protocol.agreement.document import Agreement
from protocol.canonical import canonical_json
from protocol.clustering.result import Clustering
from protocol.errors import MalformedError, RuleError
from protocol.release.document import (
    EXACT_STATEMENT,
    Left,
    Release,
    SignedRelease,
    _left_out,
    make_release,
    promised,
    release_centres,
)

ONE = 1 << 20
CLUSTERING = Clustering(
    centroids=np.array([[0, 0], [ONE, -ONE], [ONE // 2, 0], [5, 6]]),
    counts=np.array([10, 50, 9, 50]),
    spread=np.array([1, 2, 3, 4]),
    rounds=7,
    converged=True,
)


@pytest.fixture
def agreement(lab: ModuleType) -> Agreement:
    """Four parties, clusters below ten customers are withheld."""
    return Agreement.from_dict(lab.agreement_values(4, min_segment_size=10))


@pytest.fixture
def release(agreement: Agreement) -> Release:
    """Three of the four formed it."""
    return make_release(agreement, CLUSTERING, run_hash=bytes(32), members=frozenset({0, 1, 3}))


def test_segments_are_ordered_by_size_then_by_cluster(release: Release) -> None:
    assert [(s.segment, s.size, s.centre, s.spread) for s in release.segments] == [
        (1, 50, (ONE, -ONE), 2),
        (2, 50, (5, 6), 4),
        (3, 10, (0, 0), 1),
    ]


def test_small_clusters_are_withheld_entirely(release: Release) -> None:
    assert release.withheld.clusters == 1
    assert "1 of 4 clusters has fewer than 10 customers" in release.withheld.reason
    assert str(ONE // 2) not in release.to_bytes().decode()
    assert 9 not in [s.size for s in release.segments]


@pytest.mark.parametrize(
    ("noised", "left", "released", "withheld", "merged"),
    [
        (False, 4, 2, "2 of 4 clusters have fewer than 10 customers", None),
        (False, 3, 3, None, "1 of 4 clusters has fewer than 10 customers"),
        (
            True, 3, 2,
            "1 of 4 clusters has fewer than 10 customers, or are too small to tell under the noise",
            "1 of 4 clusters has fewer than 10 customers, or are too small to tell under the noise",
        ),
        (
            True, 4, 0,
            "4 of 4 clusters have fewer than 10 customers, or are too small to tell under the "
            "noise",
            None,
        ),
    ],
)  # fmt: skip
def test_no_letter_of_what_partners_sign_about_small_clusters_changes(
    noised: bool, left: int, released: int, withheld: str | None, merged: str | None
) -> None:
    """Two builds under one agreement sign the same bytes."""
    agreement: Any = SimpleNamespace(min_segment_size=10, privacy=object() if noised else None)
    found = _left_out(agreement, 4, n_left=left, n_released=released)
    said = {name: one and one.reason for name, one in found.items()}
    assert said == {
        "withheld": withheld
        and f"{withheld}; their customers belong to the nearest released segment and are in no "
        "size",
        "merged": merged
        and f"{merged}; their customers belong to the nearest segment and are in its size",
    }


def test_only_parties_that_do_not_sign_can_have_left(
    agreement: Agreement, release: Release, lab: ModuleType
) -> None:
    def verified(*left: Left) -> Release:
        made = dataclasses.replace(release, left=left)
        assert Release.from_bytes(made.to_bytes()) == made
        return signed_by(lab, made, *made.participants).verify(agreement)

    ids = [party.id for party in agreement.parties]
    assert verified(Left(id=ids[2], after="sizes")).counted == (*release.participants, ids[2])
    assert verified(Left(id=ids[2], after="choice")).counted == release.participants
    for left in (
        [Left(id="nobody", after="sizes")],
        [Left(id=ids[0], after="sizes")],
        [Left(id=ids[2], after="sizes"), Left(id=ids[2], after="choice")],
    ):
        with pytest.raises(RuleError, match="E-RELEASE"):
            verified(*left)
    later = dataclasses.replace(release, left=(Left(id=ids[2], after="approval"),))
    with pytest.raises(MalformedError, match="after"):
        Release.from_bytes(later.to_bytes())


def test_nothing_is_withheld_when_all_are_large(lab: ModuleType) -> None:
    agreement = Agreement.from_dict(lab.agreement_values(4))
    release = make_release(agreement, CLUSTERING, run_hash=bytes(32), members=frozenset({0, 1, 2}))
    assert release.withheld is None
    assert "withheld" not in json.loads(release.to_bytes())
    assert len(release.segments) == 4


def test_all_clusters_can_be_withheld(lab: ModuleType) -> None:
    agreement = Agreement.from_dict(lab.agreement_values(4, min_segment_size=100))
    release = make_release(agreement, CLUSTERING, run_hash=bytes(32), members=frozenset({0, 1, 2}))
    assert release.segments == ()
    assert Release.from_bytes(release.to_bytes()) == release
    assert release_centres(release, agreement).shape == (0, 2)


def test_the_release_says_that_exact_totals_are_not_anonymous(
    release: Release, agreement: Agreement
) -> None:
    assert release.statement == EXACT_STATEMENT == "exact totals: not anonymous"
    for words in (release.privacy_words, promised(agreement)):
        assert words.startswith(EXACT_STATEMENT)
        assert "the coordinator and every partner can compute single customers' values" in words


def test_centres_are_shown_in_the_features_units(release: Release, agreement: Agreement) -> None:
    assert release_centres(release, agreement)[0].tolist() == [10.0, 0.0]
    assert release_centres(release, agreement)[2].tolist() == [5.0, 5.0]


def test_a_release_is_read_back(release: Release) -> None:
    again = Release.from_bytes(release.to_bytes())
    assert again == release
    assert again.hash == release.hash


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("schema", "fedseg/release/v2"),
        ("agreement_hash", "00"),
        ("run_hash", 1),
        ("rounds", 0),
        ("converged", 2),
        ("converged", True),
        ("participants", []),
        ("participants", [{"id": "p0", "x": 1}]),
        ("fraction_bits", 41),
        ("statement", ""),
        ("segments", [{}]),
        ("segments", 1),
        ("withheld", {}),
        ("extra", 1),
    ],
)
def test_a_malformed_release_is_refused(release: Release, name: str, value: Any) -> None:
    values = json.loads(release.to_bytes())
    values[name] = value
    with pytest.raises(MalformedError, match="release"):
        Release.from_bytes(canonical_json(values))


@pytest.mark.parametrize("name", ["segment", "size", "centre", "spread"])
@pytest.mark.parametrize("value", [-(1 << 52), "1", None, 1 << 52, [1.5], [True]])
def test_a_malformed_segment_is_refused(release: Release, name: str, value: Any) -> None:
    values = json.loads(release.to_bytes())
    values["segments"][0][name] = value
    data = json.dumps(values, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(MalformedError):
        Release.from_bytes(data)


def signed_by(lab: ModuleType, release: Release, *names: str) -> SignedRelease:
    envelope = SignedRelease.unsigned(release).envelope
    for name in names:
        envelope = envelope.signed_by(lab.key_of(name))
    return SignedRelease(release=release, envelope=envelope)


def test_a_release_verifies_when_every_participant_signed(
    lab: ModuleType, release: Release, agreement: Agreement
) -> None:
    signed = signed_by(lab, release, "p0", "p1", "p3")
    assert SignedRelease.from_bytes(signed.to_bytes()).verify(agreement) == release


@pytest.mark.parametrize(
    "names", [(), ("p0", "p1"), ("p0", "p1", "p2"), ("p0", "p1", "coordinator")]
)
def test_a_release_that_a_participant_did_not_sign_is_refused(
    lab: ModuleType, release: Release, agreement: Agreement, names: tuple[str, ...]
) -> None:
    with pytest.raises(RuleError, match="E-RELEASE"):
        signed_by(lab, release, *names).verify(agreement)


@pytest.mark.parametrize(
    "changes",
    [
        {"agreement_hash": bytes(32)},
        {"participants": ("p0", "p1")},
        {"participants": ("p0", "p1", "p1")},
        {"participants": ("p0", "p1", "p9")},
        {"segments": None},
    ],
)
def test_a_release_that_breaks_the_agreement_is_refused(
    lab: ModuleType, release: Release, agreement: Agreement, changes: dict[str, Any]
) -> None:
    if "segments" in changes:
        changes = {"segments": (dataclasses.replace(release.segments[0], centre=(1,)),)}
    other = dataclasses.replace(release, **changes)
    with pytest.raises(RuleError, match="E-RELEASE"):
        signed_by(lab, other, "p0", "p1", "p2", "p3").verify(agreement)
