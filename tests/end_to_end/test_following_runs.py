"""Several runs deployed, on customers who do not change: they keep their segments."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from protocol.release.document import Release
from tests.end_to_end import deployment as deploy
from tests.end_to_end.command_line import command
from tests.end_to_end.deployment import Deployment

pytestmark = pytest.mark.slow

NAMES = ("north", "east", "west")
EACH = 1_500
RUNS = 10
MIDDLES = np.array([[40, 12, 900], [150, 60, 4_200], [310, 25, 2_400]])
WIDTHS = np.array([25, 8, 350])


def groups(seed: int) -> np.ndarray:
    """Values of `deploy.COLUMNS` for customers in three groups that touch each other."""
    rng = np.random.default_rng(seed)
    values = MIDDLES[rng.integers(0, 3, EACH)] + rng.normal(0, 1, (EACH, 3)) * WIDTHS
    return np.rint(np.clip(values, [0, 1, 0], [365, 100, 5_000]))


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("following")
    data = {
        name: deploy.write_customers(directory / f"{name}.csv", groups(seed))
        for seed, name in enumerate(NAMES)
    }
    made = deploy.make_deployment(
        directory, data, grace_s=60, n_clusters=6, fewest=2, max_rounds=12, epsilon="1",
        min_segment_size=50,
    )  # fmt: skip
    with deploy.running(made):
        yield made


def said(deployed: Deployment, name: str, *words: object) -> Any:
    done = command("node", *words, "--dir", deployed.folder(name), "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["data"]


def assigned(deployed: Deployment) -> dict[tuple[str, str], str]:
    """The lasting id of each customer's segment, by partner and customer."""
    found = {}
    for name in NAMES:
        file = Path(said(deployed, name, "segments", "assign")["file"])
        rows = pq.read_table(file, columns=["customer_id", "segment_id"]).to_pylist()
        file.unlink()
        found |= {(name, row["customer_id"]): row["segment_id"] for row in rows}
    return found


def test_ten_runs_on_unchanged_customers_keep_the_number_of_segments_and_their_customers(
    deployed: Deployment,
) -> None:
    releases: list[Release] = []
    segments: list[dict[tuple[str, str], str]] = []
    for _ in range(RUNS):
        row = deployed.run()
        assert row.state == "finished", row
        releases.append(deployed.release(row.run_id))
        segments.append(assigned(deployed))
    assert [len(r.segments) for r in releases] == [len(releases[0].segments)] * RUNS
    assert releases[0].start is None
    for before, release in pairwise(releases):
        assert release.start is not None
        assert (release.start.release, release.start.changed) == (before.hash, False)
        assert release.rounds == 4
    assert len(segments[0]) == len(NAMES) * EACH
    for later in segments[1:]:
        kept = sum(later[customer] == segment for customer, segment in segments[0].items())
        assert kept >= 0.95 * len(segments[0])
    for name in NAMES:
        listed = said(deployed, name, "segments", "list")
        assert listed["start"]["release"] == releases[-2].hash.hex()
        assert {segment["status"] for segment in listed["segments"]} == {"kept"}
        budget = said(deployed, name, "budget", "show")
        rho = float(sum(r.privacy.rho for r in releases if r.privacy is not None))
        assert budget["rho_spent"] <= rho
        assert budget["rho_spent"] == pytest.approx(rho, rel=0.01)
        assert rho < 4.5 * float(releases[0].privacy.rho if releases[0].privacy else 0)
