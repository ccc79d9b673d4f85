"""A deployment whose state is in PostgreSQL, and whose server is killed in the middle of a run."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from coordinator.config import CoordinatorConfig
from coordinator.service.serving import CoordinatorService
from protocol.errors import StoreError
from tests.end_to_end import deployment as deploy
from tests.end_to_end.command_line import command
from tests.end_to_end.deployment import NAMES
from tests.end_to_end.transport_support import wait_for
from tests.store_servers import running_server

pytestmark = pytest.mark.slow


def test_a_run_goes_on_after_the_databases_server_was_killed_and_started_again(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    values = {name: deploy.customers(seed, 300) for seed, name in enumerate(NAMES)}
    data = {n: deploy.write_customers(tmp_path / f"{n}.csv", values[n]) for n in NAMES}
    with running_server(tmp_path_factory.mktemp("server")) as server:
        made = deploy.make_deployment(
            tmp_path, data, n_clusters=4, max_rounds=12, store=server.url(schema=server.schema())
        )
        with deploy.running(made):
            run_id = made.request()
            made.await_progress(
                run_id, lambda row: bool(row.progress) and row.progress["round"] >= 2
            )
            server.kill()
            wait_for(
                lambda: "will look again" in made.coordinator.said(),
                timeout_s=30,
                what="the coordinator's word that its database is away",
            )
            server.start()
            row = made.await_end(run_id)
            assert (row.state, row.code, row.reason) == ("finished", "", "")
            assert row.attempts == 1, "the driver went on by itself"
            assert made.coordinator.is_alive()
            _check_whole(made, run_id, values)
            _check_alone(made)
            backup = tmp_path / "b.tar"
            done = command("coordinator", "state", "backup", backup, "--dir", made.operator_folder)
            assert done.returncode == 0, done.stderr
        assert not list(made.operator_folder.glob("coordinator.db*"))


def _check_alone(made: deploy.Deployment) -> None:
    """From a copy of the folder, as on another machine, nobody serves the same database."""
    copy = made.directory / "copy"
    shutil.copytree(made.operator_folder, copy, ignore=shutil.ignore_patterns("locks", "superlink"))
    service = CoordinatorService(config=CoordinatorConfig.load(copy))
    with pytest.raises(StoreError) as caught:
        service.serve(threading.Event())
    assert caught.value.code == "E-STORE-IN-USE"


def _check_whole(made: deploy.Deployment, run_id: bytes, values: dict[str, np.ndarray]) -> None:
    """The release is that of one holder of all rows; no node answered a question twice."""
    release = made.release(run_id)
    with made.store() as store:
        rounds = store.rounds(run_id)
    together = np.vstack([values[name] for name in NAMES])
    assert release == deploy.pooled_release(made.agreement, release.run_hash, together)
    assert [row.round for row in rounds] == list(range(len(rounds)))
    for name in NAMES:
        assert len(made.answers(run_id, name)) == len(rounds)
