"""Abuse of both public ports during a run, in small: nobody gets in, and the run finishes.

``python -m benchmarks abuse`` does the same with the full counts (docs/measurements.md).
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.abuse import KINDS, abused, scene_of
from coordinator.config import CoordinatorConfig
from tests.end_to_end.joined import joined_deployment

pytestmark = pytest.mark.slow

#: Of the full counts.
SCALE = 0.002
#: More than a run itself needs, and less than one body of a gigabyte would.
MOST_GROWN = 100 << 20
#: What whoever has no right to an answer may hear.
REFUSALS = {
    "cut off", "silence", "TLS refused", "TLS alert", "refused", "still there", "UNAVAILABLE",
    "400", "401", "403", "408", "413", "429", "503", "E-INVITATION-USED", "E-INVITATION-REFUSED",
    "E-CALLER", "RESOURCE_EXHAUSTED",
}  # fmt: skip
#: What a partner with valid keys hears: it may ask how it stands, as often as the port takes it.
PARTNERS = {"OK", "E-BUSY"}


def test_abuse_of_both_ports_lets_nobody_in_and_the_run_finishes(tmp_path: Path) -> None:
    with joined_deployment(tmp_path) as deployment:
        config = CoordinatorConfig.load(deployment.operator_folder)
        with closing(config.open_store()) as store:
            scene = scene_of(deployment, config, store, scale=SCALE)
            found = abused(
                scene, "all", *((scene.times(times), action) for _, times, action in KINDS)
            )
    before, most, _ = found.memory
    assert found.finished >= 1
    assert most - before < MOST_GROWN
    assert {*found.answers} <= REFUSALS | PARTNERS, found.answers
