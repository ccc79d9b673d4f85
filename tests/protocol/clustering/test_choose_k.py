"""The choice of the number of clusters: groups with gaps, none, or the noise does not tell."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from protocol.clustering import choose_k
from protocol.clustering.choice import Choice, Gap
from protocol.clustering.choose_k import Atoms, apart, choose, keep_largest
from protocol.clustering.plane import GRID
from protocol.clustering.result import Distance
from protocol.masking import Stream
from protocol.strict import Fields


def atoms_of(
    middles: np.ndarray, width: float, *, n: int = 6_000, count: int = 24, sigma: float = 20.0,
    seed: int = 1,
) -> Atoms:  # fmt: skip
    """Atoms as a run makes them: points amid the customers, noised counts, how far they lie."""
    rng = np.random.default_rng(seed)
    d = middles.shape[1]
    rows = middles[np.arange(n) % len(middles)] + rng.normal(0, width, (n, d))
    points = rows[rng.choice(n, count, replace=False)]
    squares = ((rows[:, None] - points[None]) ** 2).sum(axis=2)
    counts = np.bincount(squares.argmin(axis=1), minlength=count) + rng.normal(0, sigma, count)
    mean = float(squares.min(axis=1).mean())
    distance = Distance(mean=round(mean * GRID), sigma=round(0.03 * mean * GRID), radius=GRID)
    grid = np.rint(points * GRID).astype(np.int64)
    return Atoms(points=grid, counts=counts, sigma=sigma, n=float(n), distance=distance, plane=0)


def chosen(atoms: Atoms, **changes: Any) -> Choice:
    wanted: dict[str, Any] = {"smallest": 2, "largest": 8, "agreed": 5} | changes
    return choose(atoms, stream=Stream(bytes(32)), **wanted)


def corners(k: int, d: int = 4) -> np.ndarray:
    """Middles 0.85 apart, one in the direction of each axis."""
    return np.eye(d)[:k] * 0.6


@pytest.mark.parametrize("k", [2, 3, 4])
def test_groups_with_gaps_are_seen_told_and_used(k: int) -> None:
    choice = chosen(atoms_of(corners(k), 0.07, seed=k))
    assert (choice.seen, choice.told, choice.used) == (k, True, k)
    assert [gap.n_clusters for gap in choice.gaps] == [*range(2, 9)]
    assert f"form {k} groups with gaps" in choice.words


@pytest.mark.parametrize("seed", range(10))
def test_one_cloud_has_no_groups_however_it_is_cut(seed: int) -> None:
    choice = chosen(atoms_of(np.zeros((1, 4)), 0.25, seed=seed))
    assert (choice.seen, choice.used) == (1, 5)
    assert all(gap.gap < 0 for gap in choice.gaps)


def test_one_cloud_is_one_segment_where_that_was_agreed() -> None:
    choice = chosen(atoms_of(np.zeros((1, 4)), 0.25, sigma=5.0), smallest=1)
    assert (choice.seen, choice.told, choice.used) == (1, True, 1)
    assert "no gaps between groups: segments divide them, they are not groups" in choice.words


def test_without_the_width_of_the_atoms_one_cloud_would_look_like_groups() -> None:
    """That the customers' distance to their atom is in the rule is what tells a cloud from groups.

    Atoms alone look like as many tight groups.
    """
    cloud = atoms_of(np.zeros((1, 2)), 0.25, count=8, sigma=5.0)
    points = replace(cloud, distance=replace(cloud.distance, mean=1))
    assert chosen(cloud).seen == 1
    assert chosen(points).seen > 1


def test_what_the_noise_hides_is_not_told() -> None:
    loud = chosen(atoms_of(corners(3), 0.07, sigma=1_500.0))
    assert (loud.told, loud.used) == (False, 5)
    assert "noise does not let us tell" in loud.words
    assert "agreed number of 5" in loud.words


@pytest.mark.parametrize(
    ("seen", "scores", "told"),
    [
        (3, {2: 5.0, 3: 2.5, 4: 0.0, 5: -3.0}, True),
        (3, {2: 5.0, 3: 2.4, 4: 0.0, 5: -3.0}, False),  # what is seen is not clear
        (3, {2: 5.0, 3: 2.5, 4: 0.1, 5: -3.0}, False),  # there may be more
        (3, {2: 0.1, 3: 2.5, 4: 0.0, 5: -3.0}, True),  # two of three groups are far apart alone
        (1, {2: -4.0, 3: -6.0}, True),
        (1, {2: -3.9, 3: -6.0}, False),  # there may be two
        (8, {2: 1.0, 8: 9.0}, True),
    ],
)
def test_a_number_is_told_when_it_is_clear_and_more_is_clearly_not_there(
    seen: int, scores: dict[int, float], told: bool
) -> None:
    gaps = [Gap(n_clusters=k, gap=round(100 * score), mass=900) for k, score in scores.items()]
    atoms = atoms_of(corners(3), 0.07)
    assert choose_k._may_be_told(atoms, gaps, seen=seen, largest=8) is told
    # Of 24 atoms each of eight clusters has three: 6,000 / 8 = 750 = 4 · 108.25 · sqrt(3), and
    # = 6 · 72.17 · sqrt(3): to tell that there are no groups takes more.
    limit = 72.17 if seen == 1 else 108.25
    for sigma, visible in ((limit - 0.05, True), (limit + 0.05, False)):
        noised = replace(atoms, sigma=sigma)
        assert choose_k._may_be_told(noised, gaps, seen=seen, largest=8) is (told and visible)


def test_a_gap_score_is_in_standard_deviations_of_the_noise_and_of_sampling() -> None:
    atoms = atoms_of(corners(2), 0.07, n=20_000, count=12, sigma=1.0)
    centres = np.rint(corners(2) * GRID).astype(np.int64)
    rng = np.random.default_rng(5)
    for sigma in (400.0, 1.0):
        drawn = [
            np.maximum(rng.poisson(np.maximum(atoms.counts, 0)), 0) + rng.normal(0, sigma, 12)
            for _ in range(300)
        ]
        scores = [
            choose_k._Cloud.of(found, np.ones(12)).gap(centres).gap / 100
            for found in (replace(atoms, counts=counts, sigma=sigma) for counts in drawn)
        ]
        assert 0.3 < np.std(scores) < 1.1  # below 1: the emptier of two ends is taken


def test_fewer_groups_than_wanted_are_said_and_the_agreed_number_is_used() -> None:
    choice = chosen(atoms_of(corners(2), 0.07), smallest=3)
    assert (choice.seen, choice.told, choice.used) == (2, True, 5)
    assert "2 groups with gaps, fewer than the partners want" in choice.words


def test_the_edge_of_the_range_is_said() -> None:
    choice = chosen(atoms_of(corners(4), 0.07), largest=4, agreed=4)
    assert choice.used == 4
    assert "largest number agreed: there may be more" in choice.words


def test_everything_in_one_place_is_no_trouble() -> None:
    atoms = replace(atoms_of(corners(2), 0.1), points=np.zeros((24, 4), dtype=np.int64))
    assert chosen(atoms).seen == 1


@pytest.mark.parametrize("counts", [np.zeros(24), np.full(24, -3.0)])
def test_nothing_above_the_noise_gives_the_agreed_number(counts: np.ndarray) -> None:
    choice = chosen(replace(atoms_of(corners(3), 0.07), counts=counts))
    assert (choice.used, choice.told) == (5, False)


def test_a_choice_is_signed_and_read_back() -> None:
    choice = chosen(atoms_of(corners(3), 0.07))
    signed = json.loads(json.dumps(choice.signed()))
    assert Choice.read(Fields(signed, "choice")) == choice


def test_the_largest_counts_are_kept_until_they_are_everybody() -> None:
    counts = np.array([5.0, -2.0, 9.0, 1.0, 4.0])
    assert keep_largest(counts, 14.0).tolist() == [5.0, 0.0, 9.0, 0.0, 0.0]
    assert keep_largest(counts, 1e9).tolist() == [5.0, 0.0, 9.0, 1.0, 4.0]


def test_how_far_points_are_apart() -> None:
    points = np.array([[0, 0], [GRID, 0], [0, GRID // 2]])
    assert apart(points, np.ones(3)) == pytest.approx((0.25 + 1.0 + 0.25) / 3)
    assert apart(points, np.array([0.0, 1.0, 0.0])) == pytest.approx(1.0)
    assert apart(points[:1], np.ones(1)) == 0.0
