"""From a release to what a report shows."""

from __future__ import annotations

import pytest

from coordinator.report.filling import report_features, report_segments
from protocol.agreement.document import Agreement
from protocol.release.document import EXACT_STATEMENT, Release, Segment
from protocol.release.lineage import lineage
from protocol.release.personas import release_names
from protocol.release.view import release_view
from protocol.scaling import FeatureScale
from tests.agreed_terms import agreed_feature, agreed_party, agreed_values

ONE = 1 << FeatureScale.of(()).fraction_bits


AGREEMENT = Agreement.from_dict(
    agreed_values(
        id="autumn",
        effective="2026-01-01T00:00:00Z",
        expires="2027-01-01T00:00:00Z",
        review_by="2026-07-01T00:00:00Z",
        parties=[
            agreed_party(f"p{i}", bytes([i] * 32), legal_name=f"Partner {i}", max_customers=1_000)
            for i in range(3)
        ],
        coordinator_key=b"\xff" * 32,
        features=[
            agreed_feature("recency_days", unit="days", max="364"),
            agreed_feature("net_spend", unit="EUR", max="9999", transform="log1p", weight="0.5"),
        ],
        secure_sum={"min_atom": 2, "max_set_changes": 3},
        min_segment_size=50,
    )
)


def release(*segments: Segment) -> Release:
    return Release(
        agreement_id="autumn", agreement_hash=AGREEMENT.hash, run_hash=b"r" * 32,
        plan="lloyd-exact", rounds=4, converged=True, participants=("p0", "p1", "p2"),
        fraction_bits=ONE.bit_length() - 1, statement=EXACT_STATEMENT, segments=segments,
        withheld=None,
    )  # fmt: skip


RELEASE = release(
    Segment(segment=1, size=300, centre=(-ONE // 2, 0), spread=0),
    Segment(segment=2, size=100, centre=(ONE // 2, -ONE // 4), spread=0),
)


def viewed(one):
    return release_view(one, AGREEMENT, lineage([(one, AGREEMENT)])[0])


def test_segments_have_names_sizes_and_centres_in_the_features_units():
    first, second = report_segments(
        release_view(RELEASE, AGREEMENT, lineage([(RELEASE, AGREEMENT)])[0])
    )
    assert (first.number, first.name, first.size) == (1, "Active customers", 300)
    assert (second.number, second.name, second.size) == (2, "Lapsed customers", 100)
    assert [(s.id, s.since, s.intervals) for s in (first, second)] == [
        ("S1", "new", ()), ("S2", "new", ()),
    ]  # fmt: skip
    assert second.use.startswith("Win back")
    assert first.centre == pytest.approx((91.0, 99.0))
    assert second.centre == pytest.approx((273.0, 9.0))
    assert release_names(AGREEMENT, RELEASE) == ["Active customers", "Lapsed customers"]


def test_features_have_labels_units_and_bounds():
    recency, spend = report_features(AGREEMENT)
    assert (recency.label, recency.unit, recency.logarithmic) == ("Recency", "days", False)
    assert (spend.label, spend.unit, spend.logarithmic) == ("Net spend", "EUR", True)
    assert (spend.minimum, spend.maximum) == (0.0, 9999.0)


def test_a_release_without_segments_has_none_to_show():
    assert report_segments(viewed(release())) == ()
