"""Feature values to grid integers and back."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.agreement.features import Feature
from protocol.scaling import FeatureScale

ONE = 1 << 20


def feature(low: str, high: str, transform: str = "none", weight: str = "1") -> Feature:
    return Feature(
        necessity="It tells customers apart.",
        name="f",
        type="numeric",
        unit="units",
        min=Decimal(low),
        max=Decimal(high),
        transform=transform,
        weight=Decimal(weight),
    )


def test_the_bounds_are_the_ends_of_the_grid_and_values_beyond_are_clipped() -> None:
    scale = FeatureScale.of([feature("-3", "5"), feature("0", "100", "log1p", "0.25")])
    values = np.array([[-3.0, 0.0], [5.0, 100.0], [1.0, np.sqrt(101) - 1], [-99.0, 1e9]])
    expected = [[-ONE, -ONE // 4], [ONE, ONE // 4], [0, 0], [-ONE, ONE // 4]]
    assert scale.to_grid(values).tolist() == expected
    assert scale.limit.tolist() == [ONE, ONE // 4]


def test_the_input_is_left_as_it_is() -> None:
    values = np.array([[7.0]])
    FeatureScale.of([feature("0", "1")]).to_grid(values)
    assert values[0, 0] == 7.0


@pytest.mark.slow
@pytest.mark.parametrize("transform", ["none", "log1p"])
@pytest.mark.parametrize("weight", ["1", "0.3", "0.001"])
@given(fractions=st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_values_survive_the_grid_to_within_half_a_step(
    transform: str, weight: str, fractions: list[float]
) -> None:
    scale = FeatureScale.of([feature("2", "1000", transform, weight)])
    values = 2 + 998 * np.array(fractions)[:, None]
    grid = scale.to_grid(values)
    assert (grid == np.rint(grid)).all()
    assert (np.abs(grid) <= scale.limit).all()
    back = scale.from_grid(grid.astype(np.int64))
    assert (scale.to_grid(back) == grid).all()
    span = 998 if transform == "none" else 1001 * np.log(1001 / 3)
    assert np.abs(back - values).max() <= span / float(scale.limit[0]) / 2 + 1e-9


def test_a_vanishing_weight_keeps_everyone_at_zero() -> None:
    scale = FeatureScale.of([feature("0", "1", weight="0.0000001")])
    assert scale.limit.tolist() == [0]
    assert scale.to_grid(np.array([[0.0], [1.0]])).tolist() == [[0.0], [0.0]]
