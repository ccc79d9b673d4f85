"""What a deployment keeps is replaced: by backups that were made while it served, by new keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from partner_node.store.ledger import Ledger
from protocol.release.document import Release, SignedRelease
from tests.end_to_end import deployment as deploy
from tests.end_to_end.command_line import command
from tests.end_to_end.deployment import NAMES, Deployment

pytestmark = pytest.mark.slow

BACK, AWAY = NAMES[-1], "gone"
ROTATED = NAMES[1]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("replaced")
    data = {
        name: deploy.write_customers(directory / f"{name}.csv", deploy.customers(seed, 400))
        for seed, name in enumerate(NAMES)
    }
    deployed = deploy.make_deployment(
        directory, data, n_clusters=2, max_rounds=12, epsilon="1", min_segment_size=30
    )
    with deploy.running(deployed):
        yield deployed


def said(side: str, *words: object) -> dict[str, Any]:
    done = command(side, *words, "--format", "json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout)["data"])


def finished(made: Deployment) -> Release:
    row = made.await_end(made.request())
    assert row.state == "finished", row
    return made.release(row.run_id)


def put_back(side: str, folder: Path, backup: Path) -> None:
    """As on a new machine: the folder is gone, the passphrase comes from elsewhere."""
    gone = folder.rename(folder.with_name(f"{AWAY}-{folder.name}"))
    said(side, "state", "restore", backup, "--elsewhere", "--dir", folder)
    (folder / "keys" / "passphrase").write_bytes((gone / "keys" / "passphrase").read_bytes())
    (folder / "keys" / "passphrase").chmod(0o600)


def test_a_coordinator_and_a_node_go_on_after_they_were_put_back(
    made: Deployment, tmp_path: Path
) -> None:
    finished(made)
    node_file, operator_file = tmp_path / "node.tar", tmp_path / "coordinator.tar"
    said("node", "state", "backup", node_file, "--dir", made.folder(BACK))
    second = finished(made)
    said("coordinator", "state", "backup", operator_file, "--dir", made.operator_folder)
    with made.node_store(BACK) as store:
        known = {charge.run_id for charge in Ledger(store).charges()}
    made.stop()

    put_back("coordinator", made.operator_folder, operator_file)
    put_back("node", made.folder(BACK), node_file)
    with made.node_store(BACK) as store:
        kept = Ledger(store).charges()
    assert {charge.run_id for charge in kept} < known
    made.start()
    third = finished(made)
    assert third.participants == NAMES
    assert third.start is not None
    assert third.start.release == second.hash  # the coordinator's backup has it
    with made.node_store(BACK) as store:
        charges = Ledger(store).charges()
    bounds = [charge for charge in charges if charge.is_bound]
    assert len(bounds) == 1, "the second run, which the node forgot"
    assert second.privacy is not None
    # The node signed that release, so no more is charged than what it says that the run cost.
    assert 0 < bounds[0].rho <= float(second.privacy.rho) * (1 + 1e-9)


def releases_of(made: Deployment, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = said("node", "segments", "releases", "--dir", made.folder(name))[
        "releases"
    ]
    return found


def test_runs_go_on_while_a_node_and_the_coordinator_replace_their_keys(
    made: Deployment, tmp_path: Path
) -> None:
    node, operator = made.folder(ROTATED), made.operator_folder
    first = finished(made)
    before = {name: len(releases_of(made, name)) for name in NAMES}
    assert min(before.values()) >= 1
    file = tmp_path / "hand-over.json"
    with deploy.cheap_key_stores():
        said("node", "key", "rotate", "--out", file, "--dir", node)
        said("node", "key", "passphrase", "--dir", node)
        said("coordinator", "key", "accept", file, "--dir", operator)
        said("coordinator", "key", "passphrase", "--dir", operator)
        made.stop()
        new = said("coordinator", "key", "rotate", "--dir", operator)["new_key"]
    made.keystores.pop(ROTATED, None)
    made.start()
    second = finished(made)
    assert second.participants == NAMES
    assert second.start is not None
    assert second.start.release == first.hash, "it follows what the old key signed"
    for name in NAMES:
        known = said("node", "key", "show", "--dir", made.folder(name))["hand_overs"]
        assert [one["partner"] for one in known] == [ROTATED, None], name
        assert known[-1]["new_key"] == new
        listed = releases_of(made, name)
        assert len(listed) == before[name] + 1, "those that the old key signed are valid still"
    with made.store() as store:
        agreement = made.agreement
        for row in store.runs():
            SignedRelease.from_bytes(store.release(row.run_id)).verify(
                store.agreement(agreement.hash)
            )
