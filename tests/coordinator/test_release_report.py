"""A release as the coordinator shows it: units, names, totals; never a partner's numbers."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from decimal import Decimal
from html import escape
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from coordinator.report.page import render_report
from coordinator.report.released import (
    release_table,
    report_of,
    view_of,
    views_in,
    write_report,
)
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.records import RunRow
from protocol.agreement.document import Agreement
from protocol.agreement.satisfaction import SatisfactionTerms
from protocol.clustering.choice import Choice, Gap
from protocol.clustering.followed import Beginning
from protocol.clustering.result import Distance
from protocol.errors import StoreError
from protocol.release.document import (
    EXACT_WORDS,
    Left,
    Release,
    ReleasePrivacy,
    SignedRelease,
    Withheld,
)
from protocol.release.lineage import NEW, Gone, Living, Step
from protocol.release.row_caps import row_cap_words
from protocol.release.satisfaction import SegmentSatisfaction
from protocol.release.silhouettes import KScore, Silhouettes
from protocol.release.view import ReleaseView, release_view
from simulations.federation import FeatureTerms, Federation
from tests.release_schema import check_release

FEATURES = [
    FeatureTerms(name="visits", min="0", max="10", unit="visits"),
    FeatureTerms(name="spent", min="0", max="1000", unit="EUR", transform="log1p"),
]
CENTRES = np.array([[1.0, 20.0], [9.0, 700.0]])


def released(
    min_segment_size: int = 1,
) -> tuple[SignedRelease, Agreement, CoordinatorStore, RunRow]:
    data = [np.repeat(CENTRES, (4 + i, 3), axis=0) for i in range(3)]
    federation = Federation(data, FEATURES, n_clusters=2, seed=2, min_segment_size=min_segment_size)
    signed = federation.run().release
    return signed, federation.agreement, federation.store, federation.store.runs()[0]


@pytest.fixture(scope="module")
def example() -> tuple[SignedRelease, Agreement, CoordinatorStore, RunRow]:
    return released()


def alone(release: Release) -> Step:
    """The ids of a release that has none before it."""
    living = [Living(id=f"S{s.segment}", segment=s.segment, status=NEW) for s in release.segments]
    return Step(release=release.hash, living=tuple(living), gone=())


def viewed(release: Release, agreement: Agreement) -> ReleaseView:
    return release_view(release, agreement, alone(release))


Example = tuple[SignedRelease, Agreement, CoordinatorStore, RunRow]


def test_json_has_sizes_and_centres_in_the_features_units(example: Example) -> None:
    signed, agreement, _, _ = example
    data = check_release(viewed(signed.verify(agreement), agreement).to_dict())
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert [s["size"] for s in data["segments"]] == [15, 9]
    assert [s["number"] for s in data["segments"]] == [1, 2]
    for segment, (visits, spent) in zip(data["segments"], CENTRES, strict=True):
        first, second = segment["features"]
        assert (first["feature"], second["feature"]) == ("visits", "spent")
        assert first["centre"] == pytest.approx(visits, abs=1e-4)
        assert second["centre"] == pytest.approx(spent, rel=1e-4)
        assert second["unit"] == "EUR"
    assert data["privacy"] == EXACT_WORDS
    assert "not anonymous" in data["privacy"]
    assert data["release"] == signed.release.hash.hex()
    assert data["participants"] == ["partner-0", "partner-1", "partner-2"]
    assert data["withheld"] is None


def test_the_table_says_the_same_and_that_totals_are_exact(example: Example) -> None:
    signed, agreement, _, _ = example
    out = io.StringIO()
    for part in release_table(viewed(signed.release, agreement)):
        Console(file=out, width=160).print(part)
    for word in ("not anonymous", "15", " 9 ", "700", "(EUR)", "spent"):
        assert word in out.getvalue()


def test_a_profile_is_told_in_json_and_table_and_report(example: Example) -> None:
    signed, exact, store, row = example
    agreement = replace(exact, plan=replace(exact.plan, profile=True))
    first, second = signed.release.segments
    # A deviation of a quarter in the cube for what can be told, under the noise for the rest.
    quarter = (1 << 20) // 16
    release = replace(
        signed.release,
        segments=(
            replace(first, spreads=(quarter, 10), spread_sigma=100),
            replace(second, spreads=(quarter, quarter), spread_sigma=quarter // 4),
        ),
    )
    data = check_release(viewed(release, agreement).to_dict())
    visits, spent = data["segments"][0]["features"]
    low, high = visits["typical"]
    assert low == pytest.approx(max(0, visits["centre"] - 1.25), abs=1e-3)
    assert high == pytest.approx(visits["centre"] + 1.25, abs=1e-3)
    assert spent["typical"] is None
    visits, spent = data["segments"][1]["features"]
    assert visits["typical"][1] == pytest.approx(10.0)  # never beyond agreed bounds
    assert spent["typical"][0] < spent["centre"] < spent["typical"][1]
    out = io.StringIO()
    for part in release_table(viewed(release, agreement), width=160):
        Console(file=out, width=160).print(part)
    assert "where most of a segment's" in out.getvalue()
    assert "7.75 – 10" in out.getvalue()
    report = render_report(report_of(viewed(release, agreement), store, row))
    assert escape(row_cap_words(release, agreement)) in report
    assert "7.75 – 10" in report
    assert "one standard deviation to either side" in report
    plain = render_report(report_of(viewed(signed.release, exact), store, row))
    assert "standard deviation" not in plain


def test_satisfaction_is_told_in_json_and_table_and_report(example: Example) -> None:
    signed, exact, store, row = example
    terms = SatisfactionTerms(question="<Happy> with us?", lowest=1, highest=5)
    agreement = replace(exact, plan=replace(exact.plan, satisfaction=terms))
    first, second = signed.release.segments
    said = SegmentSatisfaction(answered=1_200, answered_sigma=20, mean=1 << 13, mean_sigma=800)
    release = replace(signed.release, segments=(replace(first, satisfaction=said), second))
    data = check_release(viewed(release, agreement).to_dict())
    assert data["satisfaction_question"] == terms.to_dict()
    found, none = (segment["satisfaction"] for segment in data["segments"])
    assert (found["score"], found["answered"], none) == (4.0, 1_200, None)
    out = io.StringIO()
    for part in release_table(viewed(release, agreement), width=160):
        Console(file=out, width=160).print(part)
    report = render_report(report_of(viewed(release, agreement), store, row))
    for words in ("4.00 ± 0.19 (1,200 ± 40 answered)", "too few answered to tell", "from 1 to 5"):
        assert words in out.getvalue()
        assert words in report
    assert "“<Happy> with us?”" in out.getvalue()
    assert "“&lt;Happy&gt; with us?”" in report
    assert check_release(viewed(signed.release, exact).to_dict())["satisfaction_question"] is None
    plain = render_report(report_of(viewed(signed.release, exact), store, row))
    assert "Satisfaction" not in plain


def test_a_release_without_a_partner_says_whom_it_leaves_out(example: Example) -> None:
    signed, agreement, store, row = example
    release = replace(signed.release, participants=("partner-0", "partner-2"))
    assert check_release(viewed(release, agreement).to_dict())["absent"] == ["partner-1"]
    assert check_release(viewed(signed.release, agreement).to_dict())["absent"] == []
    out = io.StringIO()
    for part in release_table(viewed(release, agreement), width=160):
        Console(file=out, width=160).print(part)
    assert "customers of 2 of 3 partners, without partner-1." in out.getvalue()
    report = render_report(report_of(viewed(release, agreement), store, row))
    name = agreement.parties[1].legal_name
    assert f"without {name}" in report
    assert "2 of 3" in report
    assert "who are not counted" in report
    whole = render_report(report_of(viewed(signed.release, agreement), store, row))
    assert "all partners together" in whole
    assert "not counted" not in whole.replace("is not counted", "")


def test_that_a_question_was_asked_again_is_said_wherever_the_release_is_shown(
    example: Example,
) -> None:
    signed, agreement, store, row = example
    privacy = ReleasePrivacy(
        rho=Decimal("0.1"), delta=Decimal("0.00001"), unit="one customer", asked_again=0
    )
    for times, words in (
        (0, ""),
        (1, "Asked again: partners dropped out once in this run"),
        (2, "Asked again: partners dropped out 2 times in this run"),
    ):
        release = replace(signed.release, privacy=replace(privacy, asked_again=times))
        report = render_report(report_of(viewed(release, agreement), store, row))
        for shown in (printed(release, agreement), report):
            assert ("Asked again" in shown) == bool(times)
            assert words in shown


def test_a_partner_that_dropped_out_at_the_end_is_counted_and_named(example: Example) -> None:
    signed, agreement, store, row = example
    release = replace(
        signed.release,
        participants=("partner-0", "partner-2"),
        left=(Left(id="partner-1", after="sizes"),),
    )
    found = check_release(viewed(release, agreement).to_dict())
    assert (found["absent"], found["left"]) == ([], [{"id": "partner-1", "after": "sizes"}])
    words = "Dropped out at the end: partner-1, without whose signature this is released;"
    report = render_report(report_of(viewed(release, agreement), store, row))
    for shown in (" ".join(printed(release, agreement).split()), report):
        assert f"{words} sizes count its customers." in shown
        assert "without partner-1" not in shown
        assert "partner-1 " in row_cap_words(release, agreement)
    assert "who are not counted" not in report


CHOICES = [
    (Choice(used=3, seen=3, told=True, largest=8, gaps=(Gap(n_clusters=3, gap=412, mass=980),)),
     "customers form 3 groups with gaps, so 3 segments are formed"),
    (Choice(used=8, seen=1, told=True, largest=8, gaps=()),
     "customers show no gaps between groups, so the agreed number of 8 is used"),
    (Choice(used=8, seen=4, told=False, largest=8, gaps=()),
     "The noise does not let us tell how many groups of customers there are"),
    (Silhouettes(tuple(
        KScore(n_clusters=k, silhouette=s, davies_bouldin=9_000, stability=8_000, votes=v)
        for k, s, v in ((2, 6_100, 7_500), (3, 4_000, 2_500), (4, 6_100, 0))
     )), "2 clusters of 2 to 4 had the best silhouette. That rule did not know the noise"),
]  # fmt: skip


@pytest.mark.parametrize(("choice", "words"), CHOICES)
def test_how_the_number_of_segments_was_chosen_is_said_in_one_sentence(
    example: Example, choice: Choice | Silhouettes, words: str
) -> None:
    signed, agreement, store, row = example
    release = replace(signed.release, choice=choice)
    assert Release.from_bytes(release.to_bytes()) == release
    assert check_release(viewed(release, agreement).to_dict())["choice"]["words"].count(words) == 1
    report = render_report(report_of(viewed(release, agreement), store, row))
    for shown in (printed(release, agreement), report):
        assert words in shown
        assert words not in render_report(report_of(viewed(signed.release, agreement), store, row))
        assert "resamples" not in shown


def test_the_inertia_of_what_is_released_is_said_with_its_meaning(example: Example) -> None:
    signed, agreement, store, row = example
    unit = 1 << signed.release.fraction_bits
    distance = Distance(mean=unit // 20, sigma=unit // 1_000, radius=unit)
    release = replace(signed.release, distance=distance)
    assert Release.from_bytes(release.to_bytes()) == release
    found = check_release(viewed(release, agreement).to_dict())["distance"]
    assert (found["mean_squared"], found["margin"]) == pytest.approx((0.05, 0.00196), rel=1e-3)
    words = "Inertia: customers lie 0.0500 ± 0.0020 from the nearest segment's centre"
    assert words in printed(release, agreement)
    report = render_report(report_of(viewed(release, agreement), store, row))
    assert escape(words) in report
    assert "lower with more segments" in report
    assert "Inertia" not in printed(signed.release, agreement)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (False, "segments keep their places. Their number was not chosen anew."),
        (True, "The customers counted now differ from those of then, beyond the noise:"),
    ],
)
def test_what_a_run_started_from_is_said_wherever_its_release_is_shown(
    example: Example, changed: bool, words: str
) -> None:
    signed, agreement, store, row = example
    start = Beginning(release=bytes(range(32)), changed=changed)
    release = replace(signed.release, start=start)
    assert Release.from_bytes(release.to_bytes()) == release
    found = check_release(viewed(release, agreement).to_dict())["start"]
    assert (found["release"], found["changed"]) == (bytes(range(32)).hex(), changed)
    for shown in (
        found["words"],
        " ".join(printed(release, agreement).split()),
        render_report(report_of(viewed(release, agreement), store, row)),
    ):
        assert "This run started from release 0001020304050607" in shown
        assert words in shown
        assert ("the next run starts anew" in shown) is changed
    assert check_release(viewed(signed.release, agreement).to_dict())["start"] is None
    assert "started from" not in printed(signed.release, agreement)


def printed(release: Release, agreement: Agreement) -> str:
    out = io.StringIO()
    for part in release_table(viewed(release, agreement), width=160):
        Console(file=out, width=400).print(part)
    return out.getvalue()


def test_merged_clusters_are_explained_and_leave_the_totals_whole(example: Example) -> None:
    signed, agreement, store, row = example
    merged = Withheld(clusters=1, reason="1 of 3 clusters has fewer than 50 customers")
    release = replace(signed.release, merged=merged)
    data = check_release(viewed(release, agreement).to_dict())
    assert data["merged"] == {"reason": merged.reason, "clusters": 1}
    assert data["withheld"] is None
    out = io.StringIO()
    for part in release_table(viewed(release, agreement), width=160):
        Console(file=out, width=160).print(part)
    assert f"Merged: {merged.reason}." in out.getvalue()
    assert "released segments only" not in out.getvalue()
    report = render_report(report_of(viewed(release, agreement), store, row))
    assert merged.reason in report
    assert "Customers counted" in report


def test_withheld_segments_are_explained() -> None:
    signed, agreement, _, _ = released(min_segment_size=12)
    data = check_release(viewed(signed.verify(agreement), agreement).to_dict())
    assert [s["size"] for s in data["segments"]] == [15]
    assert data["withheld"]["clusters"] == 1
    assert data["withheld"]["reason"] == signed.release.withheld.reason
    assert data["segments"][0]["name"] == "The released segment"
    out = io.StringIO()
    for part in release_table(viewed(signed.release, agreement)):
        Console(file=out, width=160).print(part)
    for words in ("Withheld: 1 of 2 clusters", "released segments only"):
        assert words in out.getvalue()
    assert "All customers" not in out.getvalue()


def test_a_report_with_withheld_clusters_never_speaks_of_all_customers(tmp_path: Path) -> None:
    *_, store, row = released(min_segment_size=12)
    write_report(tmp_path / "report.html", store, row)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "The released segment" in text
    assert "1 (1 withheld)" in text
    assert "1 cluster is withheld" in text
    assert "100.0\xa0% of the released" in text
    assert "all customers" not in text.lower().replace("only, not of all customers", "")


def test_the_report_holds_totals_and_traffic_but_no_partners_customers(example: Example) -> None:
    signed, agreement, store, row = example
    data = report_of(viewed(signed.release, agreement), store, row)
    assert [p.customers for p in data.partners] == [None] * 3
    traffic = {t.partner: t for t in store.traffic(row.run_id)}
    assert [p.bytes_up for p in data.partners] == [
        traffic[f"partner-{i}"].bytes_up for i in range(3)
    ]
    assert [p.messages_down for p in data.partners] == [
        traffic[f"partner-{i}"].messages for i in range(3)
    ]
    assert {h.command for h in data.hashes} == {"fedseg-node segments list"}
    later = replace(
        row, created_at="2026-01-01T00:00:00.5Z", updated_at="2026-01-01T00:02:00Z", attempts=2
    )
    restarted = report_of(viewed(signed.release, agreement), store, later)
    assert (restarted.took_s, restarted.drivers) == (119.5, 2)
    rounds = store.rounds(row.run_id)
    assert [r.number for r in data.rounds] == list(range(1, len(rounds) + 1))
    assert data.coordinator.masked_vectors == 3 * len(rounds)
    assert data.coordinator.vector_length == 2 * (2 + 2)
    assert {h.value for h in data.hashes} >= {agreement.hash.hex(), signed.release.hash.hex()}


def test_the_report_is_one_file_in_utf_8(example: Example, tmp_path: Path) -> None:
    *_, store, row = example
    write_report(tmp_path / "report.html", store, row)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.lower().startswith("<!doctype html>")
    assert "not anonymous" in text
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_ids_come_from_every_release_under_the_agreement() -> None:
    """Two runs of the same customers end in the same segments, in whatever order."""
    data = [np.repeat(CENTRES, (4 + i, 3), axis=0) for i in range(3)]
    federation = Federation(data, FEATURES, n_clusters=2, seed=2)
    first, second = (federation.run().release.release for _ in range(2))
    assert first.run_hash != second.run_hash
    (_, _, two), (_, _, one) = views_in(federation.store)
    assert [one.release, two.release] == [first, second]
    assert [(s.id, s.since) for s in one.segments] == [("S1", "new"), ("S2", "new")]
    assert {(s.id, s.since) for s in two.segments} == {("S1", "kept"), ("S2", "kept")}


def test_what_became_of_segments_is_in_json_table_and_report(example: Example) -> None:
    signed, agreement, store, row = example
    turned = signed.release
    living = Living(id="S2", segment=1, status="kept", absorbed=("S3",))
    step = Step(
        release=turned.hash, living=(living, replace(living, id="S1", segment=2, absorbed=())),
        gone=(Gone(id="S3", status="merged", into="S2"), Gone(id="S4", status="retired")),
    )  # fmt: skip
    data = check_release(release_view(turned, agreement, step).to_dict())
    assert [s["id"] for s in data["segments"]] == ["S2", "S1"]
    assert data["gone"] == [
        {"id": "S3", "status": "merged", "into": "S2"},
        {"id": "S4", "status": "retired", "into": None},
    ]
    out = io.StringIO()
    for part in release_table(release_view(turned, agreement, step), width=160):
        Console(file=out, width=160).print(part)
    for words in ("kept, took in S3", "S3 merged into S2.", "S4 retired"):
        assert words in out.getvalue()
    page = render_report(report_of(release_view(turned, agreement, step), store, row))
    assert "S3 merged into S2; S4 retired" in page
    assert "kept, took in S3" in page
    assert "Their ids last" in page


def test_a_run_without_a_release_has_no_view() -> None:
    _, _, store, _ = released()
    with pytest.raises(StoreError) as caught:
        view_of(store, bytes(16))
    assert caught.value.code == "E-NO-RELEASE"


def test_cards_say_what_to_try_and_what_is_forbidden(example: Example) -> None:
    signed, agreement, store, row = example
    data = report_of(viewed(signed.release, agreement), store, row)
    assert data.allowed == agreement.results_use.allowed
    page = render_report(replace(data, forbidden=("credit-decisions", "individual-pricing")))
    assert page.count("Do not use for") == 2
    assert "credit-decisions, individual-pricing." in page
    assert page.count("Suggested use") == 2
    assert "Do not use for" not in render_report(replace(data, forbidden=()))
