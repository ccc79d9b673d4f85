"""A coordinator and a node that are put back from backups which were made while they served."""

from __future__ import annotations

from pathlib import Path

import pytest

from partner_node.store.ledger import Ledger
from protocol.release.document import Release
from tests.end_to_end import deployment as deploy
from tests.end_to_end.command_line import command
from tests.end_to_end.deployment import NAMES, Deployment

pytestmark = pytest.mark.slow

BACK, AWAY = NAMES[-1], "gone"


def said(side: str, *words: object) -> str:
    done = command(side, *words)
    assert done.returncode == 0, done.stderr
    return " ".join(done.stdout.split())


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


def test_a_coordinator_and_a_node_go_on_after_they_were_put_back(tmp_path: Path) -> None:
    data = {
        name: deploy.write_customers(tmp_path / f"{name}.csv", deploy.customers(seed, 400))
        for seed, name in enumerate(NAMES)
    }
    made = deploy.make_deployment(
        tmp_path, data, n_clusters=2, max_rounds=12, epsilon="1", min_segment_size=30
    )
    with deploy.running(made):
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
