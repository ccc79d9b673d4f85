"""Deployed processes whose keys and passphrases are replaced while they serve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from protocol.release.document import Release, SignedRelease
from tests.end_to_end import deployment as deploy
from tests.end_to_end.command_line import command
from tests.end_to_end.deployment import NAMES, Deployment

pytestmark = pytest.mark.slow

ROTATED = NAMES[1]


def said(side: str, *words: object) -> dict[str, Any]:
    done = command(side, *words, "--format", "json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout)["data"])


def finished(made: Deployment) -> Release:
    row = made.await_end(made.request())
    assert row.state == "finished", row
    return made.release(row.run_id)


def test_runs_go_on_while_a_node_and_the_coordinator_replace_their_keys(tmp_path: Path) -> None:
    data = {
        name: deploy.write_customers(tmp_path / f"{name}.csv", deploy.customers(seed, 400))
        for seed, name in enumerate(NAMES)
    }
    made = deploy.make_deployment(
        tmp_path, data, n_clusters=2, max_rounds=12, epsilon="1", min_segment_size=30
    )
    node, operator = made.folder(ROTATED), made.operator_folder
    with deploy.running(made):
        first = finished(made)
        file = tmp_path / "hand-over.json"
        said("node", "key", "rotate", "--out", file, "--dir", node)
        said("node", "key", "passphrase", "--dir", node)
        said("coordinator", "key", "accept", file, "--dir", operator)
        second = finished(made)
        assert second.participants == NAMES
        assert second.start is not None
        assert second.start.release == first.hash, "it follows what the old key signed"
        said("coordinator", "key", "passphrase", "--dir", operator)
        made.stop()
        new = said("coordinator", "key", "rotate", "--dir", operator)["new_key"]
        made.start()
        third = finished(made)
    assert third.participants == NAMES
    for name in NAMES:
        known = said("node", "key", "show", "--dir", made.folder(name))["hand_overs"]
        assert [one["partner"] for one in known] == [ROTATED, None], name
        assert known[-1]["new_key"] == new
        listed = said("node", "segments", "releases", "--dir", made.folder(name))["releases"]
        assert len(listed) == 3, "those that the old key signed are valid still"
    with made.store() as store:
        agreement = made.agreement
        for row in store.runs():
            SignedRelease.from_bytes(store.release(row.run_id)).verify(
                store.agreement(agreement.hash)
            )
