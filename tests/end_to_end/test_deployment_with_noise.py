"""Differential privacy deployed: every process its own, TLS, ledgers on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.end_to_end import deployment as deploy
from tests.end_to_end.deployment import Deployment

pytestmark = pytest.mark.slow

NAMES = ("north", "east", "west")
EACH = 1_500


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("noised")
    data = {
        name: deploy.write_customers(directory / f"{name}.csv", deploy.customers(seed, EACH))
        for seed, name in enumerate(NAMES)
    }
    made = deploy.make_deployment(
        directory, data, grace_s=20, n_clusters=3, max_rounds=9, epsilon="2", min_segment_size=50
    )
    with deploy.running(made):
        yield made


def said(deployed: Deployment, name: str, *words: str) -> Any:
    done = deploy.command("node", *words, "--dir", deployed.folder(name), "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["data"]


def test_a_run_is_released_charged_and_stated_alike_by_everyone(deployed: Deployment) -> None:
    before = said(deployed, "north", "budget", "forecast")
    row = deployed.run()
    assert row.state == "finished", row
    release = deployed.release(row.run_id)
    assert release.privacy is not None
    assert 1.8 < release.privacy.epsilon <= 2.0
    assert sum(s.size for s in release.segments) == pytest.approx(3 * EACH, rel=0.2)
    rhos = set()
    for name in NAMES:
        budget = said(deployed, name, "budget", "show")
        assert [c["round"] for c in budget["charges"]] == list(range(release.rounds))
        assert budget["epsilon_spent"] <= 2.0
        assert budget["runs_left"] == before["runs_left"] - 1
        recomputed = said(deployed, name, "budget", "recompute")
        assert recomputed["rho"] == pytest.approx(budget["rho_spent"], rel=1e-12)
        rhos.add(budget["rho_spent"])
        assert said(deployed, name, "segments", "list")["privacy"].startswith(
            "differentially private aggregate: epsilon"
        )
        messages = said(deployed, name, "egress", "list")
        assert messages["privacy"] == "differentially private aggregate"
        noised = [m for m in messages["messages"] if m["customers"] is not None]
        assert all("noised" in m["what"] for m in noised)
        assert len(noised) == release.rounds
    assert len(rhos) == 1
    assert max(rhos) <= float(release.privacy.rho)


def test_a_second_run_draws_other_noise(deployed: Deployment) -> None:
    releases = []
    for _ in range(2):
        row = deployed.run()
        assert row.state == "finished", row
        releases.append(deployed.release(row.run_id))
    sizes = [sorted(s.size for s in release.segments) for release in releases]
    assert sizes[0] != sizes[1]
    centres = [np.array([s.centre for s in release.segments]) for release in releases]
    assert centres[0].shape != centres[1].shape or (centres[0] != centres[1]).any()


def test_own_customers_are_assigned_and_stay_here(deployed: Deployment) -> None:
    counts = [
        sum(said(deployed, name, "segments", "assign")["by_segment"].values()) for name in NAMES
    ]
    assert counts == [EACH] * 3
