"""The report's picture: circles whose areas are customers, and names that do not hide others."""

from __future__ import annotations

import re

import pytest

from machine.drawing.bubbles import Axis, Bubble, bubble_map
from machine.drawing.numbers import Scale

AXIS = Axis(title="Spend", scale=Scale(lower=0, upper=99, logarithmic=True), mean=0.25)


def bubble(x: float, y: float, size: int, label: str = "S1", name: str = "Loyal") -> Bubble:
    return Bubble(x=x, y=y, size=size, label=label, name=name, colour="#0f6b74", words="9 EUR")


def circles(svg: str) -> list[tuple[float, float, float]]:
    found = re.findall(r'<circle cx="([\d.]+)%" cy="([\d.]+)" r="([\d.]+)"', svg)
    return [(float(x), float(y), float(r)) for x, y, r in found]


def test_places_grow_rightwards_and_upwards() -> None:
    svg = bubble_map([bubble(0, 0, 5), bubble(1, 1, 5, "S2")], AXIS, AXIS)
    (x1, y1, r1), (x2, y2, r2) = circles(svg)
    assert x1 < x2
    assert y1 > y2
    assert r1 == r2


def test_the_largest_is_drawn_first_and_size_is_in_the_area() -> None:
    svg = bubble_map([bubble(0.5, 0.5, 100), bubble(0.5, 0.5, 400, "S2")], AXIS, AXIS)
    (_, _, large), (_, _, small) = circles(svg)
    assert (large - 12) / (small - 12) == pytest.approx(2, rel=0.02)


def test_two_names_at_one_place_do_not_cover_each_other() -> None:
    many = [
        bubble(0.5, 0.5 + i / 100, 50, f"S{i}", f"Customers slipping away {i}") for i in range(4)
    ]
    svg = bubble_map(many, AXIS, AXIS)
    places = re.findall(r'<text class="name" x="[\d.]+%" y="([\d.]+)" dx="([-\d.]+)" '
                        r'text-anchor="(\w+)"', svg)  # fmt: skip
    assert len(set(places)) == 4
    assert {anchor for _, _, anchor in places} >= {"start", "end", "middle"}


@pytest.mark.parametrize("apart", [0.30, 0.34, 0.38, 0.42, 0.46, 0.5, 0.54])
def test_names_do_not_cover_each_other_in_a_wide_font_either(apart: float) -> None:
    """DejaVu Sans Bold of 13 pixels, which many machines have alone, takes up to 8.4 a letter."""
    two = [
        bubble(1, 0.1, 400, "S5", "Lapsed one-time buyers"),
        bubble(1 - apart, 0.1, 195, "S6", "New one-time buyers"),
    ]
    svg = bubble_map(two, AXIS, AXIS)
    found = re.findall(
        r'<text class="name" x="([\d.]+)%" y="([\d.]+)" dx="([-\d.]+)" text-anchor="(\w+)">'
        r"([^<]+)",
        svg,
    )
    assert len(found) == 2
    spans = []
    for x, y, dx, anchor, name in found:
        width, at = 8.4 * len(name), float(x) / 100 * 1_010 + float(dx)
        start = at - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
        assert start + width <= 1_010
        spans.append((start, start + width, float(y)))
    (one, other) = spans
    assert abs(one[2] - other[2]) >= 16 or one[1] <= other[0] or other[1] <= one[0]


def test_a_name_at_the_right_edge_stands_inside() -> None:
    svg = bubble_map([bubble(1, 0.5, 50, name="Valuable customers slipping away")], AXIS, AXIS)
    assert 'text-anchor="end">Valuable customers slipping away' in svg


def test_nothing_in_a_name_becomes_markup() -> None:
    hostile = '<script>"&'
    svg = bubble_map([bubble(0.2, 0.2, 0, hostile, hostile)], AXIS, AXIS)
    assert "<script" not in svg
    assert "&lt;script&gt;&quot;&amp;" in svg


@pytest.mark.parametrize(
    ("scale", "ticks"),
    [
        (Scale(lower=3, upper=300, logarithmic=True), ["5", "10", "20", "50", "100", "200"]),
        (Scale(lower=60, upper=340, logarithmic=False), ["100", "200", "300"]),
        (Scale(lower=6, upper=9, logarithmic=True), ["6", "9"]),
    ],
)
def test_axes_have_round_values_where_there_are_any(scale: Scale, ticks: list[str]) -> None:
    axis = Axis(title="Spend", scale=scale, mean=0.5)
    svg = bubble_map([bubble(0.5, 0.5, 5)], axis, axis)
    shown = re.findall(r'text-anchor="end">([\d.,]+)<', svg)
    assert shown == ticks
