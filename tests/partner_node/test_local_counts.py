"""Counts of own customers that are printed: ranges that nothing narrows."""

from __future__ import annotations

import itertools
from collections import defaultdict
from contextlib import closing
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partner_node.segments.count_ranges import (
    HIDDEN,
    LEAST_STEP,
    CountRange,
    agreed_step,
    ranges_of,
)
from partner_node.segments.told_ranges import Told, ToldRanges
from partner_node.store.node_store import NodeStore
from protocol.agreement.document import Agreement
from simulations.federation import EphemeralSealer
from tests.protocol import counterparties


@pytest.mark.parametrize(("smallest", "step"), [(1, LEAST_STEP), (10, 10), (50, 50)])
def test_ranges_are_as_wide_as_the_smallest_agreed_segment_and_ten_at_least(
    smallest: int, step: int
) -> None:
    values = counterparties.agreement_values(3, min_segment_size=smallest)
    assert agreed_step(Agreement.from_dict(values)) == step


def test_nobody_and_a_few_look_the_same() -> None:
    assert ranges_of([0, 200, 300], step=50) == ranges_of([49, 200, 300], step=50)


def test_a_second_count_is_hidden_beside_a_small_one() -> None:
    words = [found.words for found in ranges_of([1_250, 4, 700], step=50)]
    assert words == ["1,250 – 1,299", "fewer than 50", "hidden"]


def test_a_lone_segment_is_told_as_a_range() -> None:
    assert [found.words for found in ranges_of([3], step=50)] == ["fewer than 50"]
    assert [found.words for found in ranges_of([], step=50)] == []


def test_all_are_hidden_where_one_more_would_not_be_enough() -> None:
    """Else 50 customers in all, one count hidden as it is 50 or more: the other would be none."""
    assert ranges_of([50, 0], step=50) == [HIDDEN] * 2
    assert ranges_of([3, 4], step=50) == [HIDDEN] * 2


def test_a_hidden_count_is_told_as_before_and_of_its_own_kind_and_segment_alone() -> None:
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    many, more = CountRange(least=50, most=99), CountRange(least=100, most=149)
    store = NodeStore(":memory:", EphemeralSealer())
    complaints = ToldRanges(store, "ours", "complaint")
    with closing(store), store.transaction():
        assert complaints.tell("S1", many, now) == Told(range=many)
        assert complaints.tell("S1", HIDDEN, now) == Told(range=many, on="2026-11-24")
        assert complaints.tell("S2", HIDDEN, now) == Told(range=HIDDEN)
        assert complaints.tell("S1", more, now) == Told(range=more)
        assert ToldRanges(store, "ours", "opt-out").tell("S1", HIDDEN, now) == Told(range=HIDDEN)


STEP = 4


@pytest.mark.parametrize("n", [2, 3, 4])
def test_whoever_knows_total_and_rule_finds_every_value_of_a_range_possible(n: int) -> None:
    """By trying every table of counts: what is printed and the total leave the range as it is."""
    possible = defaultdict(list)
    most = {2: 30, 3: 18, 4: 14}[n]
    for counts in itertools.product(range(most), repeat=n):
        shown = tuple(found.words for found in ranges_of(counts, step=STEP))
        possible[(shown, sum(counts))].append(counts)
    checked = 0
    for (shown, total), tables in possible.items():
        if total >= most:  # tables with larger counts were not tried
            continue
        for place, words in enumerate(shown):
            values = {table[place] for table in tables}
            if words == f"fewer than {STEP}":
                assert values == set(range(STEP)), (shown, total)
                checked += 1
            elif words == "hidden" and total > 0:
                # All hidden: a total of next to none, or of next to the most that small ones add
                # up to, says by itself what each is.
                inherent = [total, n * (STEP - 1) - total] if {*shown} == {"hidden"} else []
                wide = min([STEP - 1, *(left for left in inherent if left >= 0)])
                assert max(values) - min(values) >= wide, (shown, total)
                checked += 1
    assert checked > 10


@given(st.lists(st.integers(0, 10_000), max_size=12), st.integers(1, 200))
def test_a_range_holds_its_count_and_is_never_narrower(counts: list[int], step: int) -> None:
    found = ranges_of(counts, step=step)
    assert len(found) == len(counts)
    for count, shown in zip(counts, found, strict=True):
        if shown.least is not None and shown.most is not None:
            assert shown.least <= count <= shown.most
            assert shown.most - shown.least == step - 1
    if len(counts) > 1 and any(count < step for count in counts):
        assert HIDDEN in found
