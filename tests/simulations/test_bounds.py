"""Bounds of columns: around all data, as an agreement can write them; files are read strictly."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import UsageError
from protocol.strict import parse_decimal
from simulations.bounds import ColumnBounds, bounds_from_data, bounds_to_dict, read_bounds


def of(*values: float) -> ColumnBounds:
    return bounds_from_data(np.array(values)[:, None], ["x"])[0]


def read(tmp_path: Path, text: str, columns: tuple[str, ...] = ("age", "spend")) -> object:
    path = tmp_path / "bounds.json"
    path.write_text(text, encoding="utf-8")
    return read_bounds(path, columns)


@given(
    st.lists(st.floats(-1e14, 1e14, allow_nan=False), min_size=2, max_size=5).filter(
        lambda v: max(v) == min(v) or max(v) - min(v) > 1e-5
    )
)
def test_bounds_from_data_contain_the_data_and_fit_an_agreement(values: list[float]) -> None:
    bounds = of(*values)
    low, high = parse_decimal(bounds.min, "min"), parse_decimal(bounds.max, "max")
    assert float(low) <= min(values)
    assert max(values) <= float(high)
    assert float(low) < float(high)
    if min(values) != max(values):
        assert low > Decimal(repr(min(values))) - Decimal("1e-8")
        assert high < Decimal(repr(max(values))) + Decimal("1e-8")


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        ((0.1, 4.5), "0.1", "4.5"),
        ((-3.0, 1200.0), "-3", "1200"),
        ((-0.0, 1.0), "0", "1"),
        ((1 / 3, 2 / 3), "0.333333333", "0.666666667"),
        ((-2 / 3, -1 / 3), "-0.666666667", "-0.333333333"),
        ((1e-12, 1.0), "0", "1"),
    ],
)
def test_bounds_are_the_nearest_decimals_outside(
    values: tuple[float, ...], low: str, high: str
) -> None:
    assert of(*values) == ColumnBounds(min=low, max=high)


def test_a_constant_column_gets_half_a_unit_to_either_side() -> None:
    assert of(7.0, 7.0) == ColumnBounds(min="6.5", max="7.5")


@pytest.mark.parametrize("values", [(0.0, 1e15), (-1e300, 0.0), (1e15, 1e15), (5e-324, 1e-310)])
def test_ranges_that_no_agreement_can_write_are_refused_with_a_way_out(
    values: tuple[float, ...],
) -> None:
    with pytest.raises(UsageError, match="column 'x'") as caught:
        of(*values)
    assert caught.value.code == "E-BOUNDS"
    assert "unit" in caught.value.remedy


def test_a_file_names_columns_in_any_order_with_numbers_or_decimals(tmp_path: Path) -> None:
    text = '{"spend": {"min": "0", "max": 1e4, "transform": "log1p", "weight": 0.5}, "age": '
    text += '{"min": -1.5, "max": 0.1}}'
    assert read(tmp_path, text) == (
        ColumnBounds(min="-1.5", max="0.1"),
        ColumnBounds(min="0", max="10000", transform="log1p", weight="0.5"),
    )


def test_a_file_may_list_bounds_in_the_order_of_the_columns(tmp_path: Path) -> None:
    found = read(tmp_path, '[{"min": 0, "max": 1}, {"min": 2, "max": 3}]')
    assert found == (ColumnBounds(min="0", max="1"), ColumnBounds(min="2", max="3"))


def test_what_is_printed_can_be_read_again(tmp_path: Path) -> None:
    bounds = bounds_from_data(np.array([[1 / 3, 5.0], [7.7, 5.0]]), ["age", "spend"])
    assert read(tmp_path, json.dumps(bounds_to_dict(bounds, ["age", "spend"]))) == bounds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not a JSON"),
        ('"age"', "object by column name"),
        ("[]", "0 columns, the data have 2"),
        ('{"age": {"min": 0, "max": 1}}', "'spend' has no bounds"),
        ('{"age": {}, "spent": {}, "spend": {}}', "did you mean 'spend'"),
        ('[{"min": 0}, {"min": 0, "max": 1}]', "'max' is missing"),
        ('[{"min": 0, "maxx": 1, "max": 1}, {}]', "did you mean 'max'"),
        ("[3, 4]", "must have an object"),
        ('[{"min": 1, "max": 1}, {}]', "not below"),
        ('[{"min": 999999999999999, "max": 999999999999999.000000001}, {}]', "not below"),
        ('[{"min": true, "max": 1}, {}]', "not a number"),
        ('[{"min": "x", "max": 1}, {}]', "not a number"),
        ('[{"min": "NaN", "max": 1}, {}]', "not a number"),
        ('[{"min": NaN, "max": 1}, {}]', "NaN is not a number"),
        ('[{"min": 0, "max": 1e15}, {}]', "15 digits"),
        ('[{"min": 0, "max": 1e999999999999999999999}, {}]', "not a"),
        ('[{"min": 0.0000000001, "max": 1}, {}]', "9 digits"),
        ('[{"min": 0, "max": 1, "transform": "log"}, {}]', "choose none or log1p"),
        ('[{"min": -1, "max": 1, "transform": "log1p"}, {}]', "log1p needs"),
        ('[{"min": 0, "max": 1, "weight": 0}, {}]', "weight 0"),
        ('[{"min": 0, "max": 1, "weight": "1.01"}, {}]', "weight 1.01"),
        ('[{"min": 0, "min": 2, "max": 1}, {}]', "stands twice"),
    ],
)
def test_a_faulty_file_is_refused_by_name(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        read(tmp_path, text)
    assert caught.value.code == "E-BOUNDS"
    assert caught.value.remedy


def test_a_missing_or_huge_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_bounds(tmp_path / "none.json", ["x"])
    with pytest.raises(UsageError, match="bytes"):
        read(tmp_path, " " * (1 << 20) + "[]")
