"""What marketers call a segment: rules over released centres."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.agreement.document import Agreement
from protocol.release.document import EXACT_STATEMENT, Release, Segment, Withheld
from protocol.release.personas import NO_USE, ONCE, PERSONAS, release_calls, release_names
from protocol.scaling import FeatureScale
from tests.protocol import counterparties

#: As in an agreement of retailers: name, unit, bounds, transform and weight.
RETAIL = (
    ("recency_days", "days", "0", "365", "log1p", "1"),
    ("orders", "orders", "1", "100", "log1p", "1"),
    ("net_spend", "EUR", "0", "20000", "log1p", "1"),
    ("items_per_order", "items", "1", "100", "log1p", "0.5"),
    ("tenure_days", "days", "0", "365", "none", "0.5"),
)


def agreed(features: Sequence[tuple[str, ...]] = RETAIL) -> Agreement:
    values = counterparties.agreement_values(3)
    keys = ("name", "unit", "min", "max", "transform", "weight")
    like = values["features"][0]
    values["features"] = [like | dict(zip(keys, f, strict=True)) for f in features]
    return Agreement.from_dict(values)


def release(
    agreement: Agreement, rows: Sequence[Sequence[float]], *, withheld: Withheld | None = None
) -> Release:
    """A release whose centres are `rows`, in the features' units."""
    grid = FeatureScale.of(agreement.coordinates).to_grid(np.array(rows, dtype=np.float64))
    return Release(
        agreement_id=agreement.id, agreement_hash=agreement.hash, run_hash=bytes(32),
        plan="lloyd-exact", rounds=1, converged=True, participants=("p",), fraction_bits=20,
        statement=EXACT_STATEMENT, withheld=withheld,
        segments=tuple(
            Segment(segment=i, size=100, centre=tuple(int(v) for v in row), spread=0)
            for i, row in enumerate(grid.tolist(), start=1)
        ),
    )  # fmt: skip


def called(rows: Sequence[Sequence[float]]) -> list[str]:
    agreement = agreed()
    return release_names(agreement, release(agreement, rows))


LOYAL = (6, 14, 7_600, 20, 338)
REGULAR = (22, 5, 2_400, 18, 300)
SLIPPING = (94, 3.3, 900, 18, 287)
NEW = (8, 2.7, 1_075, 16, 88)
ONE_NEW = (45, 1.2, 470, 16, 73)
ONE_LAPSED = (243, 1.2, 340, 10, 270)


def test_the_segments_of_a_retailer_are_called_as_retailers_do() -> None:
    assert called([LOYAL, REGULAR, SLIPPING, NEW, ONE_NEW, ONE_LAPSED]) == [
        "Loyal big spenders",
        "Valuable regulars",
        "Customers slipping away",
        "Active new customers",
        "New one-time buyers",
        "Lapsed one-time buyers",
    ]


def test_who_bought_once_is_told_by_the_number_of_orders_not_by_rank() -> None:
    many = [(10, 40, 5_000, 20, 300), (10, 20, 900, 20, 300)]
    assert "one-time" not in " ".join(called(many)).lower()
    orders = np.array([ONCE - 0.01, ONCE + 0.01])
    names = called([(240, o, 340, 10, 270) for o in orders] + [LOYAL, LOYAL])
    assert names[:2] == ["Lapsed one-time buyers", "Lapsed customers"]


def test_a_rate_of_orders_does_not_say_who_bought_once() -> None:
    features = (RETAIL[0], ("orders_per_month", "orders", "0", "100", "log1p", "1"), RETAIL[2])
    agreement = agreed(features)
    found = release(agreement, [row[:3] for row in (LOYAL, ONE_LAPSED)])
    assert release_names(agreement, found)[1] == "Lapsed customers"


def test_every_name_has_its_use_and_two_of_one_name_are_told_apart() -> None:
    agreement = agreed()
    richer = (6, 20, 9_000, 20, 338)
    found = release_calls(agreement, release(agreement, [LOYAL, richer, ONE_LAPSED, ONE_NEW]))
    assert [c.name for c in found[:2]] == [
        "Loyal big spenders (less frequent)",
        "Loyal big spenders (more frequent)",
    ]
    assert found[0].use == found[1].use
    assert found[0].use.startswith("Reward")
    assert found[2].use.startswith("Win back")


def test_a_name_says_which_features_gave_it() -> None:
    agreement = agreed()
    rows = [LOYAL, REGULAR, SLIPPING, NEW, ONE_NEW, ONE_LAPSED]
    columns = {feature.name: column for column, feature in enumerate(agreement.coordinates)}
    named_by = [
        {name for name, column in columns.items() if column in called.named_by}
        for called in release_calls(agreement, release(agreement, rows))
    ]
    recency, orders, spend, _, tenure = columns
    assert named_by == [
        {orders, spend}, {orders, spend}, {recency}, {recency, tenure},
        {recency, orders, tenure}, {recency, orders},
    ]  # fmt: skip
    richer = (6, 20, 9_000, 20, 338)  # two of one name are told apart by orders
    alike = release_calls(agreement, release(agreement, [LOYAL, richer, ONE_LAPSED, ONE_NEW]))
    assert all(columns[orders] in called.named_by for called in alike[:2])
    plain = (("fresh", "EUR", "0", "100", "none", "1"), ("milk", "EUR", "0", "100", "none", "1"))
    other = agreed(plain)
    found = release_calls(other, release(other, [(90, 50), (10, 50), (50, 50)]))
    assert [(one.name, one.named_by) for one in found] == [
        ("High fresh", (0,)), ("Low fresh", (0,)), ("Average", ()),
    ]  # fmt: skip


def test_features_of_other_trades_keep_the_plain_words() -> None:
    features = (
        ("fresh", "EUR", "0", "100", "none", "1"),
        ("milk", "EUR", "0", "100", "none", "1"),
    )
    agreement = agreed(features)
    found = release_calls(agreement, release(agreement, [(90, 10), (10, 90)]))
    assert [c.name for c in found] == ["High fresh, low milk", "Low fresh, high milk"]
    assert {c.use for c in found} == {NO_USE}


def test_two_features_of_one_kind_say_nothing_of_that_kind() -> None:
    """Nobody can tell which of them is meant."""
    features = (RETAIL[0], ("card_spend", *RETAIL[2][1:]), RETAIL[2])
    agreement = agreed(features)
    names = release_names(agreement, release(agreement, [(6, 900, 900), (243, 30, 30)]))
    assert names == [
        "Recent, high card spend, high net spend",
        "Lapsed, low card spend, low net spend",
    ]


def test_a_lone_segment_is_not_compared_and_of_none_nothing_is_said() -> None:
    agreement = agreed()
    assert [c.use for c in release_calls(agreement, release(agreement, [LOYAL]))] == [NO_USE]
    assert called([LOYAL]) == ["All customers"]
    part = release(agreement, [LOYAL], withheld=Withheld(clusters=1, reason="small"))
    assert release_names(agreement, part) == ["The released segment"]


def test_rules_have_names_of_their_own_and_end_in_a_sentence() -> None:
    names = [persona.name for persona in PERSONAS]
    assert len(set(names)) == len(names)
    assert all(persona.use.endswith(".") and ":" in persona.use for persona in PERSONAS)


@pytest.mark.parametrize("persona", PERSONAS, ids=lambda persona: persona.name)
def test_every_rule_can_be_the_first_that_fits(persona: object) -> None:
    rng = np.random.default_rng(7)
    kinds = ("absence", "frequency", "spend", "tenure", "basket size")
    for row in rng.uniform(-1, 1, (4_000, 5)):
        apart = dict(zip(kinds, row.tolist(), strict=True))
        orders = float(rng.choice([1.2, 9.0]))
        if next((p for p in PERSONAS if p.fits(apart, orders)), None) is persona:
            return
    pytest.fail("no segment is called that")


@pytest.mark.slow
@given(st.data())
def test_names_are_distinct_and_do_not_depend_on_the_order_of_features(data: st.DataObject) -> None:
    row = st.tuples(
        st.integers(0, 365), st.integers(1, 100), st.integers(0, 20_000),
        st.integers(1, 100), st.integers(0, 365),
    )  # fmt: skip
    rows = data.draw(st.lists(row, min_size=1, max_size=9))
    names = called(rows)
    assert len(set(names)) == len(names) == len(rows)
    order = data.draw(st.permutations(range(5)))
    other = agreed([RETAIL[i] for i in order])
    again = release_calls(other, release(other, [[row[i] for i in order] for row in rows]))
    uses = [c.use for c in release_calls(agreed(), release(agreed(), rows))]
    assert [c.use for c in again] == uses


def test_the_documented_table_is_that_of_the_code() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "segments.md").read_text("utf-8")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    found = [line.split(" | ") for line in lines if any(p.use in line for p in PERSONAS)]
    assert [(row[0][2:], row[2][:-2]) for row in found] == [(p.name, p.use) for p in PERSONAS]
    kinds = {"absence": "recency", "frequency": "orders", "spend": "spend", "tenure": "tenure",
             "basket size": "items per order"}  # fmt: skip
    for row, persona in zip(found, PERSONAS, strict=True):
        rules = [f"fewer than {ONCE:g} orders"] if persona.once else []
        rules += [f"{kinds[kind]} ≥ {value:+g}" for kind, value in persona.least.items()]
        rules += [f"{kinds[kind]} ≤ {value:+g}" for kind, value in persona.most.items()]
        assert row[1] == ", ".join(rules).replace("-", "−")
