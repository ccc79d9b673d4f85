"""The coordinator's machine sleeps for longer than the grace time, and the run goes on."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.end_to_end import deployment as deploy
from tests.end_to_end.deployment import NAMES
from tests.end_to_end.transport_support import tree_of

pytestmark = pytest.mark.slow

#: Nodes try to connect again every ten seconds at least.
GRACE_S = 20


def test_a_coordinator_that_was_stopped_for_longer_than_the_grace_time_goes_on(
    tmp_path: Path,
) -> None:
    """Serve, SuperLink and driver are stopped as a lid or a snapshot stops them."""
    data = {
        name: deploy.write_customers(tmp_path / f"{name}.csv", deploy.customers(seed, 300))
        for seed, name in enumerate(NAMES)
    }
    made = deploy.make_deployment(tmp_path, data, grace_s=GRACE_S, n_clusters=8, max_rounds=20)
    with deploy.running(made):
        run_id = made.request()
        made.await_progress(run_id, lambda row: bool(row.progress) and row.progress["round"] >= 2)
        family = tree_of(made.coordinator.pid)
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(GRACE_S + 5)
        finally:
            for pid in family:
                os.kill(pid, signal.SIGCONT)
        row = made.await_end(run_id, timeout_s=120)
    assert (row.state, row.code, row.reason) == ("finished", "", "")
    assert row.progress["left_out"] == []
