"""The HTML report: complete, self-contained, escaped, readable without colours."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.report.charts import columns, diverging, line
from coordinator.report.data import (
    ReportCheck,
    ReportCoordinator,
    ReportData,
    ReportFeature,
    ReportHash,
    ReportPartner,
    ReportRound,
    ReportSegment,
)
from coordinator.report.page import render_report
from coordinator.report.style import STYLE
from machine.drawing.colours import SEGMENT_COLOURS
from machine.drawing.numbers import Scale, number_text

VOID = {"meta", "br", "hr", "img", "link", "input"}


def example(n_segments: int = 3, n_rounds: int = 4) -> ReportData:
    return ReportData(
        title="Shared customer segments",
        purpose="Describe groups of customers that the partners have in common.",
        agreement="Agreement autumn, version 1",
        created=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        privacy="exact totals: not anonymous",
        privacy_note="The totals carry no noise: treat the release as personal data.",
        plan="lloyd-exact",
        converged=True,
        features=(
            ReportFeature(
                label="Days since last order", unit="days", minimum=0, maximum=365,
                logarithmic=True, words="days between the last order and the observation date",
            ),
            ReportFeature(label="Share of returns", unit="", minimum=-1, maximum=1,
                          logarithmic=False),
        ),
        segments=tuple(
            ReportSegment(number=i, name=f"Segment kind {i}", size=1_000 * i,
                          centre=(float(i * 7 % 365), -0.9 + i * 1.8 / n_segments))
            for i in range(1, n_segments + 1)
        ),
        withheld="1 of 4 clusters have fewer than 50 customers",
        withheld_clusters=1,
        partners=(
            ReportPartner(name="Northlight", customers=4_321, messages_down=12, bytes_up=34_567,
                          bytes_down=45_678),
            ReportPartner(name="Harbour", customers=None, messages_down=12, bytes_up=999,
                          bytes_down=1_000_000),
        ),
        coordinator=ReportCoordinator(
            masked_vectors=8, vector_length=12, totals=4, one_bits=0.50012,
            masked_example=("0ad5e273a876d6c9",), total_example=(-1_234_567,),
        ),
        rounds=tuple(
            ReportRound(number=i, partners=2, seconds=0.25 + i / 100, inertia=0.5 / i)
            for i in range(1, n_rounds + 1)
        ),
        hashes=(ReportHash(what="Agreement", value="ab" * 32),
                ReportHash(what="Release", value="cd" * 32)),
        checks=(ReportCheck(words="Check the release.", command="fedseg-node segments list"),),
        software="fedseg 0.1.0",
    )  # fmt: skip


class Page(HTMLParser):
    """Tags, attributes and visible text of a page; fails on tags that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_the_page_says_what_was_released_with_units_sizes_and_shares():
    text = Page(render_report(example())).text
    for words in (
        "Shared customer segments",
        "Describe groups of customers",
        "Agreement autumn, version 1",
        "Segment kind 2",
        "2,000",
        "33.3 %",
        "14 days",
        "1 of 4 clusters have fewer than 50 customers",
        "fedseg-node segments list",
        "ab" * 32,
        "fedseg 0.1.0",
        "2026-01-02 03:04 UTC",
    ):
        assert words in text


def test_totals_and_averages_are_of_the_released_segments_when_clusters_are_withheld():
    page = render_report(example())
    text = Page(page).text
    for words in (
        "Segments released 3 (1 withheld)",
        "Customers in them 6,000",
        "1 cluster is withheld: totals, shares, averages and names are of the released segments",
        "33.3 % of the released",
        "Released segments only",
        "from the average of the released segments",
        "released: ",
    ):
        assert words in text
    assert text.lower().count("all customers") == text.count("not of all customers") == 1
    assert "all partners together." not in text.split("What sets each segment apart")[1]


def test_totals_and_shares_have_the_margin_that_the_noise_gives_them():
    sizes = ((1_000, 30), (3_000, 40))
    segments = tuple(
        replace(segment, size=size, margin=margin)
        for segment, (size, margin) in zip(example(2).segments, sizes, strict=True)
    )
    text = Page(render_report(replace(example(2), segments=segments))).text
    assert "Customers in them 4,000 ± 50" in text  # the root of 30² + 40²
    # a / (a + b) moves by the root of (3,000 · 30)² + (1,000 · 40)², over 4,000²
    assert "1,000 ± 30 25.0 % ± 0.7 of the released" in text
    assert "± " not in Page(render_report(example())).text


def test_a_figure_has_one_form_and_no_line_breaks_before_what_became_of_a_segment():
    segments = tuple(
        replace(segment, margin=30, since=since)
        for segment, since in zip(example(2).segments, ("new", "split from S2"), strict=True)
    )
    page = Page(render_report(replace(example(2), segments=segments)))
    told = [words for words in page.words if "\xa030 customers, " in words]
    assert [words.split(" ") for words in told] == [
        ["1,000\xa0±\xa030", "customers,", "33.3\xa0%\xa0±\xa00.8", "of", "the",
         "released\xa0·\xa0new"],
        ["2,000\xa0±\xa030", "customers,", "66.7\xa0%\xa0±\xa00.8", "of", "the",
         "released\xa0·\xa0split", "from", "S2"],
    ]  # fmt: skip
    assert re.findall(r"\d%", page.text) == []


def test_without_withheld_clusters_they_are_of_all_customers():
    text = Page(render_report(replace(example(), withheld="", withheld_clusters=0))).text
    for words in ("Customers counted 6,000", "33.3 %", "All customers", "all: "):
        assert words in text
    assert "released segments" not in text


def labels(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


@pytest.mark.parametrize("n_rounds", [1, 2, 11, 12, 13, 14, 15, 50, 99])
def test_charts_of_rounds_name_their_axis_and_mark_the_last_round(n_rounds):
    points = [(number, 1 / number) for number in range(1, n_rounds + 1)]
    for svg in (line(points, title="t"), columns(points, title="t")):
        marks = labels(svg)
        assert marks.count("round") == 1
        rounds = [int(mark) for mark in marks[marks.index("round") + 1 :]]
        assert rounds[0] == 1
        assert rounds[-1] == n_rounds
        assert len(rounds) <= 12
        gaps = [after - before for before, after in pairwise(rounds)]
        assert all(gap >= gaps[0] for gap in gaps)


@pytest.mark.parametrize(
    "values", [[0.75, 0.33, 0.13], [0.612, 0.2585, 0.1288], [0.401, 0.4], [9e4, 1e4], [0.3, 0.3]]
)
def test_the_curve_of_distances_fills_its_axis(values):
    svg = line(list(enumerate(values, start=1)), title="t")
    heights = [float(y) for y in re.findall(r'<circle [^>]*cy="([0-9.]+)"', svg)]
    if len(set(values)) > 1:
        assert min(heights) < 30
        assert max(heights) > 150
    marks = labels(svg)
    scale = marks[: marks.index("round")]
    assert len(set(scale)) == len(scale) >= 2


def test_the_curve_s_title_and_words_name_one_thing_and_say_why_it_may_rise():
    text = Page(render_report(example())).text
    assert "Mean squared distance to the nearest centroid" in text
    assert "so the curve may go up" in text
    assert "nertia" not in text
    other = Page(render_report(replace(example(), plan="another"))).text
    assert "go up" not in other


def test_a_list_of_one_check_is_not_numbered():
    data = example()
    assert "<ol class='checks'>" not in render_report(data)
    two = replace(data, checks=data.checks * 2)
    assert "<ol class='checks'>" in render_report(two)


def test_messages_have_a_direction_and_hashes_a_command_that_shows_them():
    data = example()
    hashes = tuple(replace(h, command="fedseg-node show") for h in data.hashes)
    text = Page(render_report(replace(data, hashes=hashes))).text
    assert "Messages down" in text
    assert text.count("shown by fedseg-node show") == 2
    assert "shown by" not in Page(render_report(data)).text


def test_the_time_is_that_of_the_whole_run_and_restarts_are_told():
    data = replace(example(), took_s=99.5, drivers=3)
    text = Page(render_report(data)).text
    assert "4 rounds, 99.5 s from the run's request to its release" in text
    assert "The run was driven by 3 processes" in text
    assert "counts from the restart" in text
    assert "restart" not in Page(render_report(replace(data, drivers=1))).text
    assert "4 rounds in 1.10 s." in Page(render_report(example())).text


def test_a_single_segment_is_not_set_apart_from_itself():
    text = Page(render_report(example(1))).text
    assert "What sets each segment apart" not in text


def test_the_page_says_what_each_party_saw():
    text = Page(render_report(example())).text
    for words in (
        "4,321",
        "34.6 kB",
        "known to the partner only",
        "999 B",
        "8 masked vectors of up to 12 numbers",
        "4 totals",
        "50.01 % of the bits are ones",
        "0ad5e273a876d6c9",
        "-1,234,567",
    ):
        assert words in text


def test_what_gave_a_segment_its_name_is_on_its_card_however_near_the_average():
    features = tuple(
        ReportFeature(label=f"Kind {i}", unit="", minimum=-1, maximum=1, logarithmic=False)
        for i in range(6)
    )
    centres = ((0.9, 0.8, 0.7, 0.6, 0.5, 0.1), (-0.9, -0.8, -0.7, -0.6, -0.5, -0.1))
    segments = tuple(
        replace(segment, centre=centre, named_by=named_by)
        for segment, centre, named_by in zip(
            example(2).segments, centres, ((5,), (2, 3, 4, 5)), strict=True
        )
    )
    page = render_report(replace(example(), features=features, segments=segments))
    cards = re.findall(r'<article class="card".*?</article>', page)
    assert [re.findall(r"Kind \d", card) for card in cards] == [
        ["Kind 5", "Kind 0", "Kind 1"],
        ["Kind 2", "Kind 3", "Kind 4", "Kind 5"],
    ]


def test_partners_exact_counts_are_said_to_be_shown_in_a_demo_alone():
    demo = "Own customers are counted here because this is a demo"
    assert demo in Page(render_report(example())).text
    deployed = tuple(replace(partner, customers=None) for partner in example().partners)
    assert demo not in Page(render_report(replace(example(), partners=deployed))).text


def test_privacy_is_said_only_as_given():
    text = Page(render_report(example())).text
    assert text.count("exact totals: not anonymous") == 2
    assert len(re.findall("anonym", text, re.IGNORECASE)) == 2
    other = Page(
        render_report(replace(example(), privacy="noise: epsilon 1", privacy_note=""))
    ).text
    assert "noise: epsilon 1" in other
    assert "anonym" not in other.lower()


def test_the_page_needs_no_network_and_runs_no_script():
    html = render_report(example())
    page = Page(html)
    assert "default-src 'none'" in html
    assert not {"script", "link", "iframe", "object", "img", "form"} & {t for t, _ in page.tags}
    for _, attributes in page.tags:
        assert not {"src", "srcset", "onclick", "onload", "action"} & set(attributes)
        assert attributes.get("href", "#").startswith("#")
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    assert "http" not in html.replace("http-equiv", "")


def test_headings_descend_without_gaps_and_every_chart_and_table_has_words():
    page = Page(render_report(example()))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for tag, attributes in page.tags:
        if tag == "svg":
            assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"
        if tag == "th":
            assert attributes.get("scope") in {"row", "col"}
    tags = [tag for tag, _ in page.tags]
    assert tags.count("caption") == tags.count("table") == 3
    assert dict(page.tags)["html"]["lang"] == "en"
    identifiers = [a["id"] for _, a in page.tags if "id" in a]
    assert len(identifiers) == len(set(identifiers))


def test_distance_from_the_average_is_said_in_words_beside_the_colour():
    text = Page(render_report(example())).text
    assert "far above average" in text
    assert "below average" in text


HOSTILE = "</style></title><script>alert(1)</script>\"' onload=x & <b>"


def test_every_text_is_escaped():
    data = example()
    hostile = replace(
        data,
        title=HOSTILE, purpose=HOSTILE, agreement=HOSTILE, privacy=HOSTILE, privacy_note=HOSTILE,
        plan=HOSTILE, withheld=HOSTILE, software=HOSTILE,
        features=tuple(replace(f, label=HOSTILE, unit=HOSTILE, words=HOSTILE)
                       for f in data.features),
        segments=tuple(replace(s, name=HOSTILE) for s in data.segments),
        partners=tuple(replace(p, name=HOSTILE) for p in data.partners),
        coordinator=replace(data.coordinator, masked_example=(HOSTILE,)),
        hashes=(ReportHash(what=HOSTILE, value=HOSTILE),),
        checks=(ReportCheck(words=HOSTILE, command=HOSTILE),),
    )  # fmt: skip
    html = render_report(hostile)
    page = Page(html)
    assert "<script" not in html
    assert {t for t, _ in page.tags} == {t for t, _ in Page(render_report(data)).tags}
    assert not any("onload" in attributes for _, attributes in page.tags)


@given(st.text(max_size=40))
def test_any_segment_name_leaves_the_page_whole(name):
    data = example(1)
    named = replace(data, segments=(replace(data.segments[0], name=name),))
    assert [t for t, _ in Page(render_report(named)).tags] == [
        t for t, _ in Page(render_report(data)).tags
    ]


@pytest.mark.parametrize(
    "data",
    [
        example(1, 1),
        example(30, 100),
        example(0, 0),
        replace(example(), segments=(), withheld="All clusters are too small"),
        replace(
            example(), features=(),
            segments=(ReportSegment(number=1, name="All", size=0, centre=()),),
        ),
        replace(example(), coordinator=None, hashes=(), checks=(), partners=(), converged=None),
        replace(example(), rounds=(ReportRound(number=1, partners=3, seconds=0.0),)),
        replace(example(), rounds=(ReportRound(number=1, partners=3, seconds=0.0, inertia=0.0),)),
        replace(example(), segments=tuple(replace(s, size=0) for s in example().segments)),
    ],
)  # fmt: skip
def test_unusual_runs_have_a_whole_page_too(data):
    text = Page(render_report(data)).text
    assert data.privacy in text
    assert "nan" not in text.lower().split()
    assert "inf" not in text.lower().split()


def test_the_same_data_give_the_same_bytes():
    assert render_report(example()) == render_report(example())


def test_a_centre_that_does_not_fit_the_features_is_refused():
    data = example()
    broken = replace(data, segments=(replace(data.segments[0], centre=(1.0,)),))
    with pytest.raises(ValueError, match="segment 1 has 1 values"):
        render_report(broken)


def contrast(first: str, second: str) -> float:
    """The contrast ratio of WCAG 2.2."""

    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_text_has_enough_contrast_on_every_colour():
    ink, muted, paper = "#1c2733", "#5a6570", "#fbfaf7"
    assert ink in STYLE
    assert muted in STYLE
    assert min(contrast("#ffffff", colour) for colour in SEGMENT_COLOURS) >= 4.5
    assert min(contrast(ink, diverging(s / 10)) for s in range(-10, 11)) >= 4.5
    assert (
        min(contrast(muted, paper), contrast(muted, "#eef4f3"), contrast("#4a5560", paper)) >= 4.5
    )
    assert contrast("#6b3c06", "#fdf3e1") >= 4.5


@given(
    lower=st.floats(0, 1_000), width=st.floats(0.001, 1e9), logarithmic=st.booleans(),
    part=st.floats(0, 1),
)  # fmt: skip
def test_axes_invert_and_their_ticks_rise_between_the_bounds(lower, width, logarithmic, part):
    scale = Scale(lower=lower, upper=lower + width, logarithmic=logarithmic)
    assert scale.place(scale.value(part)) == pytest.approx(part, abs=1e-4)
    ticks = scale.ticks()
    assert ticks == sorted(ticks)
    assert ticks[0] == lower
    assert ticks[-1] == lower + width
    assert len(ticks) <= 12


def test_numbers_that_are_not_finite_are_shown_as_a_dash():
    assert number_text(float("nan")) == "–"


def test_the_picture_takes_the_features_that_keep_segments_apart():
    """By the first two alone two segments would lie on one another."""
    data = example()
    features = (*data.features, replace(data.features[1], label="Basket size"))
    places = {1: (300.0, -0.8, -0.5), 2: (10.0, 0.5, -0.4), 3: (10.0, 0.5, 0.4)}
    segments = tuple(replace(s, centre=places[s.number]) for s in data.segments)
    text = render_report(replace(data, features=features, segments=segments))
    picture = text.split('id="map"')[1].split("</section>")[0]
    assert "Basket size →" in picture or "↑ Basket size" in picture
    for segment in segments:
        assert segment.name in picture


def test_one_segment_or_one_feature_makes_no_picture():
    data = example()
    assert 'id="map"' in render_report(data)
    assert 'id="map"' not in render_report(replace(data, segments=data.segments[:1]))
    narrow = tuple(replace(s, centre=s.centre[:1]) for s in data.segments)
    one = replace(data, features=data.features[:1], segments=narrow)
    assert 'id="map"' not in render_report(one)
