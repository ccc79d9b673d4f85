"""Features of every type: their terms, their coordinates, and what a missing value counts as."""

from __future__ import annotations

from decimal import Decimal
from math import nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.agreement.features import SHARE, Feature, coordinates_of
from protocol.errors import MalformedError
from protocol.feature_values import (
    NO_LEVEL,
    UNLISTED,
    as_counted,
    as_read,
    coordinate_values,
)
from protocol.queries import customer_vectors
from protocol.scaling import FeatureScale
from protocol.strict import Fields

ONE = 1 << 20
NUMERIC = {"min": "0", "max": "10", "transform": "none"}


def terms(name: str, kind: str, **fields: Any) -> dict[str, Any]:
    own = NUMERIC if kind == "numeric" else {}
    return {
        "name": name, "type": kind, "unit": "units", "weight": "1", "necessity": "A test.",
        **own, **fields,
    }  # fmt: skip


def feature(name: str, kind: str, **fields: Any) -> Feature:
    values = terms(name, kind, **fields)
    found = Feature.read(Fields(values, "features[0]"))
    assert found.to_dict() == values
    return found


def refusal(**fields: Any) -> str:
    with pytest.raises(MalformedError) as caught:
        Feature.read(Fields(terms("f", **fields), "features[0]"))
    return str(caught.value)


SPEND = feature("spend", "numeric")
MEMBER = feature("member", "boolean", weight="0.5")
TIER = feature("tier", "ordinal", levels=["bronze", "silver", "gold"])
CHANNEL = feature("channel", "categorical", levels=["web", "shop", "phone", "app"], other="shop")
ALL = (SPEND, MEMBER, TIER, CHANNEL)


def test_coordinates_stand_in_the_features_order_with_units_that_say_what_a_mean_is() -> None:
    assert [(c.name, c.unit, str(c.max), str(c.weight)) for c in coordinates_of(ALL)] == [
        ("spend", "units", "10", "1"),
        ("member: yes", SHARE, "1", "0.5"),
        ("tier", "units, 0 = bronze, 2 = gold", "2", "1"),
        ("channel: web", SHARE, "1", "0.500000000"),
        ("channel: shop", SHARE, "1", "0.500000000"),
        ("channel: phone", SHARE, "1", "0.500000000"),
        ("channel: app", SHARE, "1", "0.500000000"),
    ]


def test_values_become_coordinates() -> None:
    values = np.array([[3.0, 1.0, 2.0, 0.0], [12.0, 0.0, 0.0, 3.0], [-1.0, 1.0, 1.0, UNLISTED]])
    counted, found = coordinate_values(values, ALL)
    assert counted.all()
    assert found.tolist() == [
        [3, 1, 2, 1, 0, 0, 0],
        [12, 0, 0, 0, 0, 0, 1],
        [-1, 1, 1, 0, 1, 0, 0],
    ]


def test_features_of_numbers_alone_come_out_as_they_are() -> None:
    values = np.array([[3.0], [12.0]])
    counted, found = coordinate_values(values, (SPEND,))
    assert found is values
    assert counted.tolist() == [True, True]


@given(n_levels=st.integers(2, limits.MAX_LEVELS), weight=st.sampled_from(["1", "0.37", "0.1"]))
def test_a_categorical_feature_adds_its_weight_to_a_customers_norm_and_no_more(
    n_levels: int, weight: str
) -> None:
    levels = [f"l{i}" for i in range(n_levels)]
    one = feature("f", "categorical", levels=levels, weight=weight)
    scale = FeatureScale.of(one.coordinates)
    places = np.arange(n_levels, dtype=np.float64)[:, None]
    grid = scale.to_grid(coordinate_values(places, (one,))[1])
    norms = np.sqrt((grid**2).sum(axis=1)) / ONE
    assert (norms <= float(weight)).all()
    assert norms.min() > float(weight) - 1e-5
    assert (np.abs(grid) == scale.limit).all()
    assert sum(int(v) ** 2 for v in scale.limit) <= (float(weight) * ONE) ** 2


def test_a_mean_on_the_grid_is_the_share_at_each_level() -> None:
    scale = FeatureScale.of(coordinates_of(ALL))
    values = np.array([[1.0, 1.0, 2.0, 0.0], [1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 1.0, 2.0]])
    grid = scale.to_grid(coordinate_values(values, ALL)[1])
    mean = np.rint(customer_vectors(grid)[:, :-2].mean(axis=0)).astype(np.int64)
    found = scale.from_grid(mean[None, :])[0]
    assert found == pytest.approx([1, 1 / 3, 1, 2 / 3, 0, 1 / 3, 0], abs=1e-5)


def test_a_customer_without_a_value_is_left_out_or_counts_as_agreed() -> None:
    features = (
        feature("spend", "numeric", missing={"rule": "replace", "value": "2.5"}),
        feature("member", "boolean", missing={"rule": "replace", "value": "yes"}),
        feature("tier", "ordinal", levels=["low", "high"], missing={"rule": "leave-out"}),
        feature(
            "channel", "categorical", levels=["web", "shop"],
            missing={"rule": "replace", "value": "shop"},
        ),
    )  # fmt: skip
    values = np.array([[nan, nan, 1.0, nan], [1.0, 0.0, nan, 0.0], [4.0, 0.0, 0.0, 0.0]])
    counted, found = coordinate_values(values, features)
    assert counted.tolist() == [True, False, True]
    assert found.tolist() == [[2.5, 1, 1, 0, 1], [4, 0, 0, 1, 0]]


@pytest.mark.parametrize("one", ALL, ids=lambda f: f.type)
def test_what_no_rule_allows_is_never_counted(one: Feature) -> None:
    with pytest.raises(ValueError, match="missing"):
        coordinate_values(np.array([[nan]]), (one,))
    if one.levels and one.other is None:
        for value in (UNLISTED, float(len(one.levels)), 0.5):
            with pytest.raises(ValueError, match="no agreed level"):
                coordinate_values(np.array([[value]]), (one,))


def test_values_are_told_to_people_as_numbers_and_levels() -> None:
    told = [as_read(f, v) for f, v in zip(ALL, (12.0, 0.0, 2.0, UNLISTED), strict=True)]
    assert told == [12.0, "no", "gold", NO_LEVEL]
    counted = [as_counted(f, v) for f, v in zip(ALL, (12.0, 0.0, 2.0, UNLISTED), strict=True)]
    assert counted == [10.0, "no", "gold", "shop"]
    replaced = feature("spend", "numeric", missing={"rule": "replace", "value": "2.5"})
    left_out = feature("spend", "numeric", missing={"rule": "leave-out"})
    assert [as_counted(f, nan) for f in (replaced, left_out)] == [2.5, None]
    assert as_read(replaced, nan) is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "nominal"}, "allowed: numeric, boolean, ordinal, categorical"),
        ({"kind": "ordinal"}, "'levels' is missing"),
        ({"kind": "ordinal", "levels": ["one"]}, "1 entries, 2 to 50"),
        ({"kind": "ordinal", "levels": ["a", "a"]}, "lists 'a' twice"),
        ({"kind": "ordinal", "levels": ["a", " b"]}, "' b', with space around"),
        ({"kind": "ordinal", "levels": ["a", "b\nc"]}, "a line's end in it"),
        ({"kind": "ordinal", "levels": [str(i) for i in range(51)]}, "51 entries"),
        ({"kind": "ordinal", "levels": ["a", "b"], "other": "a"}, "unknown field 'other'"),
        ({"kind": "ordinal", "levels": ["a", "b"], "min": "0"}, "unknown field 'min'"),
        ({"kind": "categorical", "levels": ["a", "b"], "other": "c"}, "is 'c', allowed: a, b"),
        ({"kind": "boolean", "levels": ["a", "b"]}, "unknown field 'levels'"),
        ({"kind": "numeric", "levels": ["a", "b"]}, "unknown field 'levels'"),
        ({"kind": "numeric", "missing": {"rule": "guess"}}, "allowed: leave-out, replace"),
        ({"kind": "numeric", "missing": {"rule": "replace"}}, "'value' is missing"),
        ({"kind": "numeric", "missing": {"rule": "leave-out", "value": "1"}}, "unknown field"),
        ({"kind": "numeric", "missing": {"rule": "replace", "value": "ten"}}, "not a decimal"),
        ({"kind": "numeric", "missing": {"rule": "replace", "value": "11"}}, "beyond the bounds"),
        ({"kind": "boolean", "missing": {"rule": "replace", "value": "1"}}, "allowed: no, yes"),
    ],
)  # fmt: skip
def test_terms_that_say_nothing_sensible_are_refused(fields: dict[str, Any], words: str) -> None:
    assert words in refusal(**fields)


def test_terms_in_words() -> None:
    assert TIER.range_words == "bronze < silver < gold"
    assert CHANNEL.range_words == "web, shop, phone, app (all others: shop)"
    assert SPEND.range_words == "0 to 10"
    assert MEMBER.range_words == "no, yes"
    assert MEMBER.coordinates[0].is_share
    assert not TIER.coordinates[0].is_share
    assert TIER.max == Decimal(2)


@pytest.mark.parametrize("kind", ["ordinal", "categorical"])
def test_levels_that_look_the_same_are_refused(kind: str) -> None:
    said = refusal(kind=kind, levels=["caf\u00e9", "cafe\u0301", "bar"])
    assert "features[0].levels lists 'caf\\xe9' and 'cafe\\u0301', which look the same" in said


@pytest.mark.parametrize("kind", ["ordinal", "categorical"])
def test_levels_with_hidden_characters_are_refused(kind: str) -> None:
    said = refusal(kind=kind, levels=["gold", "gold\u200b"])
    assert "features[0].levels[1] contains the hidden character U+200B (ZERO WIDTH SPACE)" in said
