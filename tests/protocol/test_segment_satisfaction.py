"""Satisfaction in a release: what it says, when it says nothing, and when it is refused."""

from __future__ import annotations

import dataclasses
import json
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from protocol.agreement.document import Agreement
from protocol.canonical import canonical_json
from protocol.clustering.result import Clustering, NoiseReport, Satisfaction, Sizes
from protocol.errors import MalformedError, RuleError
from protocol.release.document import Release, SignedRelease, make_release
from protocol.release.satisfaction import (
    TOO_FEW_WORDS,
    SegmentSatisfaction,
    satisfaction_values,
    satisfaction_words,
)
from protocol.ring import UNIT

ONE = 1 << 20
SCALE = {"question": "Happy?", "lowest": 1, "highest": 5}
#: Three clusters, the second merged; of the last one's customers too few answered.
CLUSTERING = Clustering(
    centroids=np.array([[0, 0], [ONE, -ONE], [ONE // 2, 0]]),
    counts=np.array([600, 1, 300]),
    spread=np.array([1, 2, 3]),
    rounds=9,
    converged=True,
    noise=NoiseReport(
        count_sigmas=np.array([4, 4, 4]), centre_sigmas=np.array([9, 9, 9]), cost=500, dearest=90
    ),
    sizes=Sizes(kept=(0, 2), counts=np.array([610, 290]), sigmas=np.array([5, 5])),
    satisfaction=Satisfaction(
        answered=np.array([200, 24]),
        answered_sigmas=np.array([5, 5]),
        means=np.array([UNIT // 2, -UNIT]),
        mean_sigmas=np.array([500, 4_000]),
    ),
)


def agreed(lab: ModuleType, satisfaction: dict[str, Any] | None) -> Agreement:
    """Four parties who count with noise; segments below ten customers are withheld."""
    values = lab.agreement_values(4, min_segment_size=10)
    values["plan"] = {"name": "hybrid-dp", "n_clusters": 4, "n_clusters_min": 4, "max_rounds": 11}
    if satisfaction is not None:
        values["plan"]["satisfaction"] = satisfaction
    values["privacy"] = {
        "epsilon": "1",
        "delta": "0.00001",
        "rho": "0.02",
        "runs": 3,
        "spare_rounds": 0,
        "max_partners_per_customer": 1,
    }
    return Agreement.from_dict(values)


@pytest.fixture
def agreement(lab: ModuleType) -> Agreement:
    return agreed(lab, SCALE)


@pytest.fixture
def release(agreement: Agreement) -> Release:
    return make_release(agreement, CLUSTERING, run_hash=bytes(32), members=frozenset({0, 1, 2}))


def test_a_mean_is_told_on_the_agreed_scale_with_its_noise(
    release: Release, agreement: Agreement
) -> None:
    first = release.segments[0].satisfaction
    assert first == SegmentSatisfaction(
        answered=200, answered_sigma=5, mean=UNIT // 2, mean_sigma=500
    )
    assert satisfaction_values(first, agreement) == {
        "score": 4.0,
        "score_margin": pytest.approx(2 * 1.96 * 500 / UNIT),
        "answered": 200,
        "answered_margin": 10,
    }
    assert satisfaction_words(first, agreement) == "4.00 ± 0.12 (200 ± 10 answered)"


def test_a_segment_of_whom_too_few_answered_tells_nothing_of_them(
    release: Release, agreement: Agreement
) -> None:
    """24 are fewer than 10 and three times 5."""
    assert [s.segment for s in release.segments] == [1, 2]
    assert release.segments[1].satisfaction is None
    assert satisfaction_values(None, agreement) is None
    assert satisfaction_words(None, agreement) == TOO_FEW_WORDS
    enough = dataclasses.replace(
        CLUSTERING,
        satisfaction=dataclasses.replace(CLUSTERING.satisfaction, answered=np.array([200, 25])),
    )
    told = make_release(agreement, enough, run_hash=bytes(32), members=frozenset({0, 1, 2}))
    assert told.segments[1].satisfaction is not None
    assert told.segments[1].satisfaction.mean == -UNIT


def test_where_it_was_not_asked_nothing_is_said_of_it(lab: ModuleType) -> None:
    without = agreed(lab, None)
    plain = dataclasses.replace(CLUSTERING, satisfaction=None)
    release = make_release(without, plain, run_hash=bytes(32), members=frozenset({0, 1, 2}))
    assert [s.satisfaction for s in release.segments] == [None, None]
    assert "satisfaction" not in release.to_bytes().decode()
    assert satisfaction_words(None, without) == ""


def test_it_is_signed_and_read_back(
    lab: ModuleType, release: Release, agreement: Agreement
) -> None:
    assert Release.from_bytes(release.to_bytes()) == release
    envelope = SignedRelease.unsigned(release).envelope
    for name in ("p0", "p1", "p2"):
        envelope = envelope.signed_by(lab.key_of(name))
    signed = SignedRelease(release=release, envelope=envelope)
    assert signed.verify(agreement).segments[0].satisfaction == release.segments[0].satisfaction


def test_satisfaction_that_was_not_agreed_is_refused(lab: ModuleType, release: Release) -> None:
    without = agreed(lab, None)
    changed = dataclasses.replace(release, agreement_hash=without.hash)
    envelope = SignedRelease.unsigned(changed).envelope
    for name in ("p0", "p1", "p2"):
        envelope = envelope.signed_by(lab.key_of(name))
    with pytest.raises(RuleError, match=r"E-RELEASE.*satisfied"):
        SignedRelease(release=changed, envelope=envelope).verify(without)


@pytest.mark.parametrize(
    "change",
    [
        {"answered": 24},
        {"answered_sigma": 0},
        {"mean_sigma": 0},
        {"answered": 10**9},
        {"answered_sigma": 64},
    ],
)
def test_satisfaction_of_fewer_than_agreed_or_without_noise_is_refused(
    lab: ModuleType, release: Release, agreement: Agreement, change: dict[str, int]
) -> None:
    first, *rest = release.segments
    assert first.satisfaction is not None
    told = dataclasses.replace(first.satisfaction, **change)
    changed = dataclasses.replace(
        release, segments=(dataclasses.replace(first, satisfaction=told), *rest)
    )
    envelope = SignedRelease.unsigned(changed).envelope
    for name in ("p0", "p1", "p2"):
        envelope = envelope.signed_by(lab.key_of(name))
    with pytest.raises(RuleError, match="satisfaction is not as agreed"):
        SignedRelease(release=changed, envelope=envelope).verify(agreement)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("answered", 0),
        ("answered", "200"),
        ("answered_sigma", -1),
        ("mean", UNIT + 1),
        ("mean", -UNIT - 1),
        ("mean", None),
        ("mean_sigma", 1 << 51),
        ("question", "Happy?"),
    ],
)
def test_a_malformed_one_is_refused(release: Release, name: str, value: Any) -> None:
    values = json.loads(release.to_bytes())
    values["segments"][0]["satisfaction"][name] = value
    with pytest.raises(MalformedError, match="satisfaction"):
        Release.from_bytes(
            canonical_json(values)
            if value is not None
            else json.dumps(
                values, sort_keys=True, separators=(",", ":"), ensure_ascii=False
            ).encode()
        )


def test_wide_scales_are_shown_without_digits_that_mean_nothing(lab: ModuleType) -> None:
    found = SegmentSatisfaction(answered=2_000, answered_sigma=5, mean=UNIT // 4, mean_sigma=300)
    for lowest, highest, words in (
        (0, 10, "6.2 ± 0.2"), (-100, 100, "25 ± 4"), (0, 1, "0.62 ± 0.02"),
    ):  # fmt: skip
        terms = agreed(lab, {"question": "?", "lowest": lowest, "highest": highest})
        assert satisfaction_words(found, terms) == f"{words} (2,000 ± 10 answered)"
