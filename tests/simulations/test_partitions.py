"""Splitting rows among simulated partners."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import UsageError
from simulations.partitions import split


@given(
    n_rows=st.integers(0, 400),
    partners=st.integers(1, 50),
    seed=st.integers(0, 2**32),
    sizes=st.sampled_from(["equal", "uneven"]),
)
def test_every_row_belongs_to_exactly_one_partner(n_rows, partners, seed, sizes):
    parts = split(n_rows, partners, seed, sizes)
    assert len(parts) == partners
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(n_rows))
    if n_rows >= partners:
        assert min(part.size for part in parts) >= 1


def test_equal_sizes_differ_by_one_row_at_most():
    sizes = [part.size for part in split(1_003, 7, 5)]
    assert max(sizes) - min(sizes) <= 1


def test_uneven_sizes_differ_widely():
    sizes = [part.size for part in split(10_000, 10, 5, "uneven")]
    assert max(sizes) > 4 * min(sizes)


@pytest.mark.parametrize("sizes", ["equal", "uneven"])
def test_the_same_seed_gives_the_same_split_and_another_seed_another(sizes):
    first, again, other = (split(500, 4, seed, sizes) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_rows_are_dealt_at_random_not_in_blocks():
    part = split(10_000, 2, 1)[0]
    assert 4_800 < (part < 5_000).sum() * 2 < 5_200


@pytest.mark.parametrize(
    ("n_rows", "partners", "seed", "sizes"),
    [(-1, 2, 0, "equal"), (5, 0, 0, "equal"), (5, 2, -1, "equal"), (5, 2, 0, "odd")],
)
def test_impossible_splits_are_refused_with_a_way_out(n_rows, partners, seed, sizes):
    with pytest.raises(UsageError) as caught:
        split(n_rows, partners, seed, sizes)
    assert caught.value.remedy
