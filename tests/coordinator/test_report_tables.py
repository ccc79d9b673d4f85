"""Tables of centres on a terminal: complete at 80 columns, whatever features are called."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from coordinator.report.tables import centre_tables, folded, range_cells
from machine.text import number_words
from partner_node.segments.tables import value_words


def shown(columns: list[tuple[str, str]], values: list[list[float]], width: int = 80) -> str:
    rows = [[str(number)] for number in range(1, len(values) + 1)]
    out = io.StringIO()
    for table in centre_tables(
        ["Their centres", "More"], ["segment"], columns, rows, values, width=width
    ):
        Console(file=out, width=width, markup=False, highlight=False).print(table)
    return out.getvalue()


RETAIL = [
    ("recency_days", "days"), ("orders", "orders"), ("net_spend", "EUR"),
    ("items_per_order", "items"), ("tenure_days", "days"), ("return_rate", ""),
]  # fmt: skip


def test_headers_fold_at_underscores_instead_of_being_cut() -> None:
    text = shown(RETAIL, [[13.0, 3.04, 224.9, 6.01, 32.9, 0.0299]] * 2)
    assert "…" not in text
    for word in ("recency_", "items_", "per_order", "net_spend", "(EUR)", "return_"):
        assert word in text
    assert text.count("Their centres") == 1
    assert "More" not in text


def test_numbers_have_up_to_four_significant_digits() -> None:
    text = shown(RETAIL, [[198.52, 1.0684, 1897.34, 0.00012346, 0.0, 0.0299]])
    for number in ("198.5", "1.068", "1,897", "0.0001235", " 0 ", "0.0299"):
        assert number in text


def test_more_features_than_fit_go_over_several_tables() -> None:
    columns = [(f"feature_number_{i}", "units") for i in range(12)]
    text = shown(columns, [[1_000.5 + i for i in range(12)]])
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("More") == text.count("segment") - 1 >= 1


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,59}", fullmatch=True), max_size=8),
    unit=st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=30),
    value=st.floats(-1e14, 1e14),
)
def test_no_name_unit_or_number_is_ever_cut(names: list[str], unit: str, value: float) -> None:
    text = shown([(name, unit) for name in names], [[value] * len(names)])
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert text.count(number_words(value)) >= len(names)


@pytest.mark.parametrize("name", ["", "_", "a_b", "___", "x" * 60, "one two"])
def test_folding_keeps_every_letter(name: str) -> None:
    assert folded(name).replace("\n", "").replace(" ", "") == name.replace(" ", "")


def test_numbers_are_written_as_a_node_writes_them() -> None:
    table = centre_tables(["t"], ["id"], [("visits", "")], [["S1"]], [[19.70]], width=80)[0]
    (column,) = [list(one.cells) for one in table.columns[1:]]
    assert column == [value_words(19.70, "units")] == ["19.7"]
    assert range_cells([[(121.0, 181.3), None]]) == [["121 – 181.3", "–"]]
