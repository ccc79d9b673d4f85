"""A run that follows a release: unchanged customers stay, moved are followed, new are told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from benchmarks.follow_up import (
    KINDS,
    MOVED,
    NEW_15,
    OTHERS,
    UNCHANGED,
    Case,
    outcome,
    released,
)
from protocol.release.document import Release
from protocol.release.last import begins_at
from tests import effort

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("epsilon", [0.3, 1.0])
def test_unchanged_customers_keep_their_segments(kind: str, epsilon: float) -> None:
    found = [
        outcome(Case(kind=kind, epsilon=epsilon, change=UNCHANGED, seed=seed))
        for seed in range(effort.count(2, 4))
    ]
    assert np.mean([o.alike[0] for o in found]) >= 0.95
    assert all(o.kept for o in found)
    assert np.mean([o.nicv[1] for o in found]) <= 1.02 * np.mean([o.nicv[2] for o in found])


@pytest.mark.parametrize("kind", KINDS)
def test_centres_follow_customers_who_all_moved(kind: str) -> None:
    found = [
        outcome(Case(kind=kind, epsilon=1.0, change=MOVED, seed=seed))
        for seed in range(effort.count(2, 3))
    ]
    stayed, warm, cold = np.mean([o.nicv for o in found], axis=0)
    assert warm < stayed
    assert warm - cold < 0.4 * (stayed - cold)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_group_is_said_to_be_a_change(kind: str) -> None:
    for seed in range(effort.count(2, 5)):
        assert outcome(Case(kind=kind, epsilon=1.0, change=NEW_15, seed=seed)).changed


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", [UNCHANGED, OTHERS])
@pytest.mark.parametrize("epsilon", [0.3, 3.0])
def test_noise_and_other_customers_of_the_same_kind_are_no_change(
    kind: str, change: str, epsilon: float
) -> None:
    for seed in range(effort.count(2, 5)):
        assert not outcome(Case(kind=kind, epsilon=epsilon, change=change, seed=seed)).changed


def test_segments_stay_over_several_runs() -> None:
    case = Case(kind="one cloud", epsilon=1.0, change=UNCHANGED, seed=3)
    grid, _ = case.customers()
    agreement = case.agreement()

    def labels(release: Release) -> Any:
        return ((grid[:, None] - release.centres[None]) ** 2).sum(axis=2).argmin(axis=1)

    first = last = released(agreement, grid, name="0")
    for number in range(5):
        followed = begins_at(agreement, last)
        last = released(agreement, grid, name=f"{number + 1}", followed=followed)
    assert adjusted_rand_score(labels(first), labels(last)) > 0.85
