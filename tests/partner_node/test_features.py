"""From a source to customers' vectors: agreed columns only, clipped before anything else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from math import floor, nan

import numpy as np
import pytest

from partner_node.customers.source_customers import SourceCustomers
from partner_node.sources.source import Chunk, Column, Description
from protocol.agreement.features import Feature
from protocol.errors import RuleError
from protocol.strict import Fields

ONE = 1 << 20


def feature(
    name: str, low: str, high: str, *, transform: str = "none", weight: str = "1"
) -> Feature:
    return Feature(
        necessity="It tells customers apart.",
        name=name,
        type="numeric",
        unit="units",
        min=Decimal(low),
        max=Decimal(high),
        transform=transform,
        weight=Decimal(weight),
    )


class SpySource:
    """A table that notes what it is asked for."""

    def __init__(self, table: dict[str, list[float]]) -> None:
        self.table = table
        self.asked: list[tuple[tuple[str, ...], int]] = []
        self.columns_asked: list[tuple[Column, ...]] = []

    def columns(self) -> tuple[str, ...]:
        return ("id", *self.table)

    def chunks(self, columns: Sequence[Column], *, max_rows: int) -> Iterator[Chunk]:
        names = tuple(column.name for column in columns)
        self.asked.append((names, max_rows))
        self.columns_asked.append(tuple(columns))
        values = np.array([self.table[name] for name in names], dtype=np.float64).T
        ids = np.array([f"id-{i}" for i in range(values.shape[0])], dtype=object)
        for start in range(0, values.shape[0], max_rows):
            part = slice(start, start + max_rows)
            yield Chunk(ids=ids[part], values=np.ascontiguousarray(values[part]))

    def describe(self) -> Description:
        raise AssertionError("encoding reads columns and chunks alone")


def spy() -> SpySource:
    return SpySource(
        {
            "secret": [1.0, 2.0, 3.0],
            "spent_eur": [0.0, 50.0, 1e300],
            "visits": [-1e300, 5.0, 10.0],
        }
    )


FEATURES = (feature("visits", "0", "10"), feature("spent", "0", "100", weight="0.5"))


def test_only_the_agreed_columns_are_asked_for_in_the_agreements_order() -> None:
    source = spy()
    customers = SourceCustomers(
        source, FEATURES, columns={"spent": "spent_eur"}, chunk_rows=2, gate=None
    )
    list(customers.vectors())
    list(customers.identified())
    customers.report()
    assert source.asked == [(("visits", "spent_eur"), 2)] * 3


def test_values_are_clipped_to_the_agreed_bounds_before_anything_else() -> None:
    customers = SourceCustomers(
        spy(), FEATURES, columns={"spent": "spent_eur"}, chunk_rows=10, gate=None
    )
    (vectors,) = customers.vectors()
    assert vectors[:, :2].tolist() == [[-ONE, -ONE / 2], [0, 0], [ONE, ONE / 2]]
    assert vectors[:, 2].tolist() == [1.25 * ONE, 0, 1.25 * ONE]
    assert vectors[:, 3].tolist() == [1, 1, 1]


def test_a_logarithm_is_taken_of_clipped_values_only() -> None:
    source = SpySource({"spent": [-5.0, -1.0, 0.0, 1e308]})
    features = (feature("spent", "0", "1000", transform="log1p"),)
    with np.errstate(all="raise"):
        (vectors,) = SourceCustomers(
            source, features, columns={}, chunk_rows=9, gate=None
        ).vectors()
    assert vectors[:, 0].tolist() == [-ONE, -ONE, -ONE, ONE]


def test_the_source_is_left_unchanged_and_read_anew_each_time() -> None:
    source = spy()
    customers = SourceCustomers(
        source, FEATURES, columns={"spent": "spent_eur"}, chunk_rows=2, gate=None
    )
    first = np.vstack(list(customers.vectors()))
    assert source.table == spy().table
    source.table["visits"][1] = 10.0
    second = np.vstack(list(customers.vectors()))
    assert first[1, 0] == 0
    assert second[1, 0] == ONE


def test_ids_stay_beside_their_own_vector() -> None:
    customers = SourceCustomers(
        spy(), FEATURES, columns={"spent": "spent_eur"}, chunk_rows=1, gate=None
    )
    found = {ids[0]: vectors[0, 0] for ids, vectors in customers.identified()}
    assert found == {"id-0": -ONE, "id-1": 0.0, "id-2": ONE}


def test_a_mapping_for_a_feature_outside_the_agreement_is_refused_by_name() -> None:
    source = spy()
    with pytest.raises(RuleError) as caught:
        SourceCustomers(source, FEATURES, columns={"spend": "spent_eur"}, chunk_rows=2, gate=None)
    assert caught.value.code == "E-FEATURE-UNLISTED"
    assert "'spend'" in caught.value.message
    assert "visits, spent" in caught.value.remedy
    assert source.asked == []


def test_the_report_shows_what_the_data_look_like_before_clipping() -> None:
    source = SpySource({"visits": [-2.0, 0.0, 10.0, 12.0], "spent": [0.0, 1.0, 2.0, 5.0]})
    visits, spent = SourceCustomers(source, FEATURES, columns={}, chunk_rows=3, gate=None).report()
    assert visits.to_dict() == {
        "feature": "visits",
        "customers": 4,
        "lowest": -2.0,
        "highest": 12.0,
        "mean": 5.0,
        "clipped_share": 0.5,  # the bounds themselves lie within
    }
    assert (spent.clipped_share, spent.mean, spent.highest) == (0.0, 2.0, 5.0)


def test_the_report_of_an_empty_source_is_zeros_that_json_can_hold() -> None:
    reports = SourceCustomers(
        SpySource({"visits": [], "spent": []}), FEATURES, columns={}, chunk_rows=3, gate=None
    ).report()
    text = json.dumps([r.to_dict() for r in reports], allow_nan=False)
    assert [r["customers"] for r in json.loads(text)] == [0, 0]


def test_levels_are_asked_for_as_agreed_and_customers_without_a_value_left_out() -> None:
    source = SpySource(
        {"member": [1.0, 0.0, 1.0], "channel": [-1.0, 0.0, 1.0], "visits": [5.0, nan, 10.0]}
    )
    features = [
        Feature.read(Fields(values | {"unit": "u", "weight": "1", "necessity": "n"}, "f"))
        for values in (
            {"name": "member", "type": "boolean"},
            {"name": "channel", "type": "categorical", "levels": ["web", "7"], "other": "7"},
            {"name": "visits", "type": "numeric", "min": "0", "max": "10", "transform": "none",
             "missing": {"rule": "leave-out"}},
        )
    ]  # fmt: skip
    customers = SourceCustomers(source, features, columns={}, chunk_rows=9, gate=None)
    ((ids, vectors),) = customers.identified()
    assert ids.tolist() == ["id-0", "id-2"]
    root = floor(ONE * 0.707106781)
    assert vectors[:, :-2].tolist() == [[ONE, -root, root, 0], [ONE, -root, root, ONE]]
    assert [r.customers for r in customers.report()] == [2] * 4
    member, channel, visits = source.columns_asked[0]
    assert (member.folded, member.levels[1][:2], member.optional) == (True, ("true", "t"), False)
    assert channel.levels == (("web",), ("7", "7.0"))
    assert (channel.others, channel.folded) == (True, False)
    assert (visits.optional, visits.levels) == (True, ())
    found = customers.values_of("id-1")
    assert found is not None
    assert found[:2].tolist() == [0.0, 0.0]
    assert np.isnan(found[2])
