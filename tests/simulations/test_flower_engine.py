"""Preparing a run for Flower's engine: mistakes are answered in words, before anything is done."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from protocol.errors import UsageError
from simulations.flower_engine import prepare_engine
from tests.end_to_end import deployment as deploy
from tests.end_to_end.deployment import NAMES, Deployment


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    folder = tmp_path_factory.mktemp("engine")
    data = {
        name: deploy.write_customers(folder / f"{name}.csv", deploy.customers(seed, 20))
        for seed, name in enumerate(NAMES)
    }
    return deploy.make_deployment(folder, data)


@pytest.mark.parametrize("names", [NAMES[:2], (*NAMES, "north"), ("north", "north", "south"), ()])
def test_nodes_that_are_not_those_of_the_agreements_partners_are_refused(
    made: Deployment, tmp_path: Path, names: tuple[str, ...]
) -> None:
    nodes = [made.folder(name) for name in names]
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="between 3 partners: north, middle, south"):
        prepare_engine(out, coordinator=made.operator_folder, nodes=nodes)
    assert not out.exists()
    with made.store() as store:
        assert store.runs() == []


def call(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "simulations.flower_engine", *map(str, words)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.mark.slow
def test_mistakes_are_answered_with_a_message_and_a_status_never_a_traceback(
    made: Deployment, tmp_path: Path
) -> None:
    operator, node = made.operator_folder, made.folder("north")
    for words, status, said in (
        (["--out", tmp_path / "a", operator, node], 2, "one node folder for every partner"),
        (["--out", tmp_path, operator, *map(made.folder, NAMES)], 2, "exists already"),
        (["--out", tmp_path / "a", tmp_path, node], 2, "coordinator.toml"),
        (["--out", tmp_path / "a", operator, tmp_path], 2, "node.toml"),
        (["--out", tmp_path / "a"], 2, "see --help"),
        (["--out", node / "node.toml" / "a", operator, *map(made.folder, NAMES)], 1, "E-FILE"),
    ):
        done = call(*words)
        told = "".join((done.stdout + done.stderr).split())
        assert "".join(said.split()) in told, done.stderr
        assert done.returncode == status, done.stderr
        with made.store() as store:
            assert store.runs() == []
        for never in ("Traceback", "locals", "public_key"):
            assert never not in told
