"""FastLloyd: noise enough for the promised privacy, and the steps of the paper, by hand."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import quad
from scipy.stats import norm

from protocol.errors import UsageError
from simulations.baselines import kmeans, nicv
from simulations.datasets import load_matrix
from simulations.fast_lloyd import (
    analytic_gaussian_sigma,
    fast_lloyd,
    fast_lloyd_schedule,
    fold,
    moved,
    spread_start,
    sums_within,
)

SHARED = Path(__file__).parents[3] / "shared" / "data" / "dp_kmeans"
BUDGETS = [(1.0, 1e-5), (0.1, 1e-6), (0.5, 1 / 750), (10.0, 1e-12), (0.01, 0.1), (1.0, 0.9)]


def least_delta(sigma: float, epsilon: float) -> float:
    """Balle and Wang 2018, equation 6, as it stands there."""
    here, there = 1 / (2 * sigma) - epsilon * sigma, -1 / (2 * sigma) - epsilon * sigma
    return float(norm.cdf(here) - math.exp(epsilon) * norm.cdf(there))


def blobs(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Four tight groups of 5,000 records each, and their centres."""
    centres = np.array([[-0.6, -0.5], [0.6, -0.6], [-0.5, 0.6], [0.5, 0.5]])
    return np.repeat(centres, 5_000, axis=0) + rng.uniform(-0.05, 0.05, (20_000, 2)), centres


# --- privacy -------------------------------------------------------------------------------


@pytest.mark.parametrize(("epsilon", "delta"), BUDGETS)
def test_the_noise_satisfies_its_equation_and_any_less_does_not(
    epsilon: float, delta: float
) -> None:
    sigma = analytic_gaussian_sigma(epsilon=epsilon, delta=delta)
    assert least_delta(sigma, epsilon) == pytest.approx(delta, rel=1e-9)
    assert least_delta(sigma * (1 - 1e-6), epsilon) > delta
    assert least_delta(sigma * (1 + 1e-6), epsilon) < delta


@pytest.mark.parametrize(("epsilon", "delta"), [(1.0, 1e-3), (0.1, 1e-3), (0.5, 1 / 750)])
def test_no_set_of_outputs_is_likelier_beside_a_neighbour_than_epsilon_and_delta_allow(
    epsilon: float, delta: float
) -> None:
    sigma = analytic_gaussian_sigma(epsilon=epsilon, delta=delta)

    def excess(x: float) -> float:
        likelier = norm.pdf(x, loc=1, scale=sigma) - math.exp(epsilon) * norm.pdf(x, scale=sigma)
        return max(float(likelier), 0.0)

    where_it_begins = 0.5 + epsilon * sigma**2
    worst, _ = quad(excess, where_it_begins, where_it_begins + 12 * sigma, epsabs=1e-12)
    assert worst == pytest.approx(delta, rel=1e-7)


def test_noise_for_a_huge_epsilon_is_small_and_for_a_tiny_delta_finite() -> None:
    assert analytic_gaussian_sigma(epsilon=1e9, delta=1e-5) < 1e-4
    assert analytic_gaussian_sigma(epsilon=1.0, delta=1e-300) == pytest.approx(37.5, rel=0.02)


@pytest.mark.parametrize(
    ("epsilon", "delta"),
    [(0.0, 0.1), (-1.0, 0.1), (math.inf, 0.1), (math.nan, 0.1), (1.0, 0.0), (1.0, 1.0), (1.0, 2.0)],
)
def test_privacy_parameters_outside_their_range_are_refused(epsilon: float, delta: float) -> None:
    with pytest.raises(UsageError, match="epsilon="):
        analytic_gaussian_sigma(epsilon=epsilon, delta=delta)


@pytest.mark.parametrize(("n_features", "n_clusters"), [(1, 1), (2, 3), (16, 26)])
@pytest.mark.parametrize("epsilon", [0.1, 1.0, 10.0])
def test_all_rounds_together_cost_as_much_as_one_query_with_the_whole_budget(
    n_features: int, n_clusters: int, epsilon: float
) -> None:
    schedule = fast_lloyd_schedule(2_000, n_features, n_clusters, epsilon=epsilon, delta=1e-4)
    spent = sum(
        (radius / sigma) ** 2 + (1 / schedule.count_sigma) ** 2
        for radius, sigma in zip(schedule.radii, schedule.sum_sigmas, strict=True)
    )
    assert spent == pytest.approx(analytic_gaussian_sigma(epsilon=epsilon, delta=1e-4) ** -2)


@given(
    points=arrays(float, (8, 2), elements=st.floats(-1, 1)),
    centroids=arrays(float, (3, 2), elements=st.floats(-1, 1)),
    radius=st.floats(0.01, 1.5),
    left_out=st.integers(0, 7),
)
def test_one_record_changes_one_sum_by_the_radius_and_one_count_by_one_at_most(
    points: np.ndarray, centroids: np.ndarray, radius: float, left_out: int
) -> None:
    sums, counts = sums_within(points, centroids, radius)
    fewer_sums, fewer_counts = sums_within(np.delete(points, left_out, axis=0), centroids, radius)
    changes = np.linalg.norm(sums - fewer_sums, axis=1)
    assert changes.max() <= radius + 1e-9
    assert np.count_nonzero(changes > 1e-9) <= 1
    assert np.abs(counts - fewer_counts).sum() <= 1


@pytest.mark.parametrize("value", [1.0001, -1.5, math.nan, math.inf])
def test_values_outside_the_cube_are_refused_not_clipped(value: float) -> None:
    points = np.array([[0.0, 0.5], [value, 0.0]])
    with pytest.raises(UsageError, match=r"outside \[-1, 1\]"):
        fast_lloyd(points, 2, epsilon=1.0, delta=1e-5, rng=np.random.default_rng(1))


@pytest.mark.parametrize("shape", [(0, 2), (3, 0), (3,)])
def test_no_records_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="shape"):
        fast_lloyd(np.zeros(shape), 2, epsilon=1.0, delta=1e-5, rng=np.random.default_rng(1))


def test_no_clusters_are_refused() -> None:
    with pytest.raises(UsageError, match="n_clusters=0"):
        fast_lloyd(np.zeros((3, 2)), 0, epsilon=1.0, delta=1e-5, rng=np.random.default_rng(1))


# --- rounds and noise ----------------------------------------------------------------------

# With epsilon 1 and delta 1e-5, sigma is 3.730632. With d = 4: q = sqrt(16) = 4, sqrt(d) = 2.
# With k = 16: k^(1/4) = 2, so the radius is 2 in round 0 and 2·0.8/2 = 0.8 later;
# sqrt((1+q)/q) = 1.118034 and sqrt(1+q) = 2.236068.
SIGMA = 3.730632


@pytest.mark.parametrize(
    ("n_samples", "rounds"),
    [
        # 0.016·n² / (16³·0.64·25·3.730632²) = n² · 1.754221e-8
        (10_000, 2),  # 1.75
        (13_076, 2),  # 2.9994
        (13_078, 3),  # 3.0003
        (18_000, 5),  # 5.68
        (100_000, 7),  # 175
    ],
)
def test_rounds_and_noise_are_those_worked_out_by_hand(n_samples: int, rounds: int) -> None:
    schedule = fast_lloyd_schedule(n_samples, 4, 16, epsilon=1.0, delta=1e-5)
    per_round = SIGMA * math.sqrt(rounds)
    assert schedule.radii == pytest.approx((2.0, *[0.8] * (rounds - 1)))
    assert schedule.sum_sigmas == pytest.approx(
        (per_round * 2.0 * 1.118034, *[per_round * 0.8 * 1.118034] * (rounds - 1)), rel=1e-6
    )
    assert schedule.count_sigma == pytest.approx(per_round * 2.236068, rel=1e-6)


# --- start ---------------------------------------------------------------------------------


@given(n_clusters=st.integers(1, 30), n_features=st.integers(1, 8), seed=st.integers(0, 2**32 - 1))
def test_the_start_is_balls_apart_from_each_other_and_within_the_cube(
    n_clusters: int, n_features: int, seed: int
) -> None:
    centres, radius = spread_start(n_clusters, n_features, np.random.default_rng(seed))
    gaps = np.linalg.norm(centres[:, None] - centres, axis=2)
    assert centres.shape == (n_clusters, n_features)
    assert gaps[~np.eye(n_clusters, dtype=bool)].min(initial=math.inf) >= 2 * radius
    assert np.abs(centres).max() <= 1 - radius + 1e-12


@pytest.mark.parametrize(("n_clusters", "radius"), [(1, 1.0), (2, 0.5)])
def test_the_balls_are_not_smaller_than_need_be(n_clusters: int, radius: float) -> None:
    # In eight dimensions two balls of radius a half fit easily, two of radius 1 not at all.
    assert spread_start(n_clusters, 8, np.random.default_rng(3))[1] == radius


def test_after_a_hundred_rejections_the_radius_is_halved_and_all_centres_drawn_anew() -> None:
    class Draws:
        """Radius 1 knows only the origin; at a half, a corner and then the opposite one."""

        def __init__(self) -> None:
            self.bounds: list[float] = []

        def uniform(self, low: float, high: float, size: int) -> np.ndarray:
            self.bounds.append(high)
            return np.full(size, low if self.bounds.count(high) == 1 else high)

    draws = Draws()
    centres, radius = spread_start(2, 2, draws)  # type: ignore[arg-type]
    assert draws.bounds == [0.0] * 101 + [0.5] * 2
    assert centres.tolist() == [[-0.5, -0.5], [0.5, 0.5]]
    assert radius == 0.5


def test_rejections_count_only_in_a_row() -> None:
    half = [[-0.5, -0.5]] * 61 + [[0.5, 0.5]] * 61 + [[-0.5, 0.5]]
    draws = iter([[0.0, 0.0]] * 101 + half)

    class Draws:
        """At radius a half, sixty rejections twice."""

        def uniform(self, low: float, high: float, size: int) -> np.ndarray:
            return np.array(next(draws))

    centres, radius = spread_start(3, 2, Draws())  # type: ignore[arg-type]
    assert centres.tolist() == [[-0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]
    assert radius == 0.5


# --- a round -------------------------------------------------------------------------------


def test_records_beyond_the_radius_are_dropped_and_those_on_it_count() -> None:
    points = np.array([[0.0, 0.25], [0.0, -0.5], [0.0, 0.51], [1.0, 1.0], [0.75, 1.0]])
    centroids = np.array([[0.0, 0.0], [1.0, 1.0], [-1.0, -1.0]])
    sums, counts = sums_within(points, centroids, 0.5)
    assert counts.tolist() == [2, 2, 0]
    assert sums.tolist() == [[0.0, -0.25], [-0.25, 0.0], [0.0, 0.0]]


def test_centroids_move_by_sum_over_count_and_by_the_radius_at_most() -> None:
    centroids = np.array([[0.0, 0.0], [0.5, 0.0], [0.0, 0.0], [0.0, 0.0]])
    sums = np.array([[1.0, 2.0], [-30.0, 40.0], [1.0, 0.0], [0.0, 0.0]])
    counts = np.array([10.0, 10.0, -5.0, 0.0])
    expected = [[0.1, 0.2], [0.2, 0.4], [-0.2, 0.0], [0.0, 0.0]]
    np.testing.assert_allclose(moved(centroids, sums, counts, 0.5), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("value", "folded"),
    [
        (0.0, 0.0),
        (-1.0, -1.0),
        (1.0, 1.0),
        (1.25, 0.75),
        (-1.25, -0.75),
        (2.9, -0.9),
        (3.25, -0.75),
        (5.0, 1.0),
        (-3.5, 0.5),  # -3.5 → 1.5 → 0.5
        (-5.25, -0.75),  # -5.25 → 3.25 → -1.25 → -0.75
    ],
)
def test_values_are_folded_at_the_cubes_faces(value: float, folded: float) -> None:
    assert fold(np.array([value])) == pytest.approx([folded])


# --- the whole -----------------------------------------------------------------------------


@given(
    points=arrays(float, (12, 3), elements=st.floats(-1, 1)),
    n_clusters=st.integers(1, 5),
    epsilon=st.sampled_from([0.01, 1.0, 100.0]),
    seed=st.integers(0, 99),
)
def test_centroids_stay_in_the_cube_whatever_the_noise(
    points: np.ndarray, n_clusters: int, epsilon: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    centroids = fast_lloyd(points, n_clusters, epsilon=epsilon, delta=1e-5, rng=rng)
    assert centroids.shape == (n_clusters, 3)
    assert np.abs(centroids).max() <= 1


def test_a_round_after_the_other_gives_the_centroids() -> None:
    points, _ = blobs(np.random.default_rng(1))
    rng = np.random.default_rng(7)
    schedule = fast_lloyd_schedule(len(points), 2, 4, epsilon=0.1, delta=1e-5)
    centroids, _ = spread_start(4, 2, rng)
    for radius, sigma in zip(schedule.radii, schedule.sum_sigmas, strict=True):
        sums, counts = sums_within(points, centroids, radius)
        noisy_sums = sums + rng.normal(scale=sigma, size=(4, 2))
        noisy_counts = counts + rng.normal(scale=schedule.count_sigma, size=4)
        centroids = moved(centroids, noisy_sums, noisy_counts, radius)
    found = fast_lloyd(points, 4, epsilon=0.1, delta=1e-5, rng=np.random.default_rng(7))
    np.testing.assert_array_equal(found, centroids)


def test_with_a_huge_epsilon_well_separated_groups_are_found_as_by_kmeans() -> None:
    points, centres = blobs(np.random.default_rng(1))
    by_kmeans = nicv(points, kmeans(points, 4, seed=0))
    found = fast_lloyd(points, 4, epsilon=1e6, delta=1e-5, rng=np.random.default_rng(5))
    assert nicv(points, found) == pytest.approx(by_kmeans, rel=1e-3)
    nearest = np.linalg.norm(found[:, None] - centres, axis=2).min(axis=0)
    assert nearest.max() < 0.01


def test_the_same_seed_gives_the_same_centroids_and_another_seed_others() -> None:
    points, _ = blobs(np.random.default_rng(1))
    first, again, other = (
        fast_lloyd(points, 4, epsilon=1.0, delta=1e-5, rng=np.random.default_rng(seed))
        for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_global_random_state_and_the_records_are_left_alone() -> None:
    points, _ = blobs(np.random.default_rng(1))
    points.setflags(write=False)
    before = np.random.get_state()[1].tobytes()  # type: ignore[union-attr]
    fast_lloyd(points, 4, epsilon=1.0, delta=1e-5, rng=np.random.default_rng(5))
    assert np.random.get_state()[1].tobytes() == before  # type: ignore[union-attr]


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
@pytest.mark.parametrize("epsilon", [0.5, 1.0])
@pytest.mark.parametrize(("name", "n_clusters"), [("iris", 3), ("synth_4_4", 4), ("yeast", 10)])
def test_the_mean_error_is_that_of_the_authors_code(
    name: str, n_clusters: int, epsilon: float
) -> None:
    with (SHARED / "reference.csv").open(encoding="utf-8", newline="") as file:
        (reference,) = (
            row
            for row in csv.DictReader(file)
            if row["dataset"] == name
            and row["method"] == "FastLloyd (authors)"
            and float(row["epsilon"] or 0) == epsilon
        )
    values = load_matrix(SHARED / f"{name}.csv.gz").values
    low, high = values.min(axis=0), values.max(axis=0)
    points = np.clip(2 * (values - low) / (high - low) - 1, -1, 1)
    delta = 1 / (len(points) * math.log(len(points)))
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        found.append(
            nicv(points, fast_lloyd(points, n_clusters, epsilon=epsilon, delta=delta, rng=rng))
        )
    theirs, error = float(reference["mean_nicv"]), float(reference["se"])
    allowed = 3 * math.hypot(error, np.std(found, ddof=1) / math.sqrt(20)) + 0.03 * theirs
    assert abs(np.mean(found) - theirs) <= allowed
