"""A simulation of an agreement beside a deployed run of it: the same rules, the same segments.

docs/measurements.md shows what is compared side by side.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import simulations.federation
from partner_node.cli import agreement as partner_agreement
from protocol.agreement.document import Agreement
from protocol.clustering.plan import plan_seed
from protocol.clustering.result import least_size
from protocol.release.document import Release, SignedRelease, release_centres
from tests.end_to_end import deployment as deploy
from tests.end_to_end.deployment import Deployment
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


#: The agreements in force, by their ids, with the epsilon of each.
EPSILONS = {"exact-totals": "", "with-noise": "10"}


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("simulated")
    data = {
        name: deploy.write_customers(directory / f"{name}.csv", customers(seed))
        for seed, name in enumerate(NAMES)
    }
    exact, noised = EPSILONS
    terms = {"n_clusters": 4, "min_segment_size": 50}
    made = deploy.make_deployment(
        directory, data, grace_s=60, max_rounds=50, epsilon=EPSILONS[exact], id=exact, **terms
    )
    unsigned = deploy.draft_agreement(
        directory, NAMES, features=deploy.plain_features(), max_rounds=12,
        epsilon=EPSILONS[noised], id=noised, **terms,
    )  # fmt: skip
    complete = deploy.sign_agreement(directory, unsigned, NAMES)
    for name in NAMES:
        with (made.folder(name) / "node.toml").open("a", encoding="utf-8") as file:
            file.write(f"[agreements.{noised}]\n")
        partner_agreement.install(file=complete, directory=made.folder(name))
    with deploy.running(made):
        yield made


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


@pytest.mark.parametrize("id", EPSILONS)
def test_a_simulation_and_a_deployed_run_of_one_agreement_release_by_the_same_rules(
    deployed: Deployment,
    id: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with deployed.store() as store:
        (agreement,) = (a.verify() for a in store.agreements() if a.agreement.id == id)
        run_id = os.urandom(16)
        store.request_run(run_id, agreement)
    row = deployed.await_end(run_id)
    assert row.state == "finished", row
    with deployed.store() as store:
        release = SignedRelease.from_bytes(store.release(run_id)).verify(agreement)

    # A deployed run's start is drawn by all partners: the simulation gets the same one.
    start = plan_seed(release.run_hash)
    monkeypatch.setattr(simulations.federation, "simulation_seed", lambda _: start)
    shell = Shell(capsys, monkeypatch, program="fedseg-simulate")
    words = ("--id-column", "customer_id", "--agreement")
    simulated = shell.json(
        "cluster", *(deployed.directory / f"{p.id}.csv" for p in agreement.parties), *words,
        deployed.directory / f"{id}-unsigned-complete.json",
    )  # fmt: skip
    ours, theirs = rules(release, agreement), simulated_rules(simulated)
    assert ours == theirs
    small = "merged" if EPSILONS[id] else "withheld"
    assert ours["segments"] == 3
    assert str(ours[small]).startswith("1 of 4 clusters has fewer than 50 customers")
    for name in ("rho", "delta", "unit"):
        if release.privacy is not None:
            assert str(simulated[name]) == str(
                float(getattr(agreement.privacy, name)) if name != "unit" else release.privacy.unit
            )
    if not EPSILONS[id]:  # nothing is random but the start: the segments are the same to the bit
        assert [s.size for s in release.segments] == [s["size"] for s in simulated["released"]]
        of_segment = dict(zip(simulated["counts"], simulated["centroids"], strict=True))
        centres = release_centres(release, agreement).tolist()
        assert centres == [of_segment[s.size] for s in release.segments]
