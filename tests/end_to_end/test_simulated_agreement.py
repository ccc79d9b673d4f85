"""A simulation of an agreement beside a deployed run of it: the same rules, the same segments.

docs/measurements.md shows what is compared side by side.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import simulations.federation
from protocol.agreement.document import Agreement
from protocol.clustering.plan import plan_seed
from protocol.clustering.result import least_size
from protocol.release.document import Release, release_centres
from tests.end_to_end import deployment as deploy
from tests.shell import Shell

pytestmark = pytest.mark.slow

NAMES = ("north", "east", "west")
#: Customers of each partner in four groups: the last one is below the agreed size, 50, in all.
MIDDLES = ((40, 20, 300), (320, 15, 1_500), (60, 85, 4_500), (330, 90, 4_800))
EACH = (200, 150, 120, 12)


def customers(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    middles = np.repeat(np.array(MIDDLES, dtype=np.float64), EACH, axis=0)
    near = middles + rng.normal(0.0, (6.0, 2.0, 60.0), middles.shape)
    return np.rint(np.clip(near, (0, 1, 0), (365, 100, 5_000)))


@pytest.fixture(params=["", "10"], ids=["exact totals", "epsilon 10"])
def epsilon(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def rules(release: Release, agreement: Agreement) -> dict[str, object]:
    """What a release says of the rules by which clusters became segments."""
    segments = [s.size_words for s in release.segments]
    sigma = max(s.size_sigma for s in release.segments)
    return {
        "participants": ", ".join(release.participants),
        "segments": len(segments),
        "merged": "none" if release.merged is None else release.merged.reason,
        "withheld": "none" if release.withheld is None else release.withheld.reason,
        "smallest size that is released": least_size(agreement.min_segment_size, sigma),
        "size ±": release.segments[0].size_margin,
    }


def simulated_rules(data: dict[str, Any]) -> dict[str, object]:
    """The same of what `cluster` says."""
    return {
        "participants": ", ".join(data["participants"]),
        "segments": len(data["released"]),
        "merged": "none" if data["merged"] is None else data["merged"]["reason"],
        "withheld": "none" if data["withheld"] is None else data["withheld"]["reason"],
        "smallest size that is released": data["least_size"],
        "size ±": data["released"][0]["size_margin"],
    }


def test_a_simulation_and_a_deployed_run_of_one_agreement_release_by_the_same_rules(
    tmp_path: Path,
    epsilon: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = {
        name: deploy.write_customers(tmp_path / f"{name}.csv", customers(seed))
        for seed, name in enumerate(NAMES)
    }
    deployed = deploy.make_deployment(
        tmp_path, data, grace_s=60, n_clusters=4, max_rounds=12 if epsilon else 50,
        epsilon=epsilon, min_segment_size=50,
    )  # fmt: skip
    with deploy.running(deployed):
        row = deployed.run()
        assert row.state == "finished", row
        release, agreement = deployed.release(row.run_id), deployed.agreement

    # A deployed run's start is drawn by all partners: the simulation gets the same one.
    start = plan_seed(release.run_hash)
    monkeypatch.setattr(simulations.federation, "simulation_seed", lambda _: start)
    shell = Shell(capsys, monkeypatch, program="fedseg-simulate")
    words = ("--id-column", "customer_id", "--agreement")
    simulated = shell.json(
        "cluster", *(data[p.id].file for p in agreement.parties), *words,
        tmp_path / "test-segments-unsigned-complete.json",
    )  # fmt: skip
    ours, theirs = rules(release, agreement), simulated_rules(simulated)
    assert ours == theirs
    small = "merged" if epsilon else "withheld"
    assert ours["segments"] == 3
    assert str(ours[small]).startswith("1 of 4 clusters has fewer than 50 customers")
    for name in ("rho", "delta", "unit"):
        if release.privacy is not None:
            assert str(simulated[name]) == str(
                float(getattr(agreement.privacy, name)) if name != "unit" else release.privacy.unit
            )
    if not epsilon:  # nothing is random but the start: the segments are the same to the bit
        assert [s.size for s in release.segments] == [s["size"] for s in simulated["released"]]
        of_segment = dict(zip(simulated["counts"], simulated["centroids"], strict=True))
        centres = release_centres(release, agreement).tolist()
        assert centres == [of_segment[s.size] for s in release.segments]
