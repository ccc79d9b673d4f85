"""The ServerApp finds its run and directory, and leaves the rest to `coordinator.runs.life`."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from flwr.app import Context, RecordDict
from flwr.serverapp import Grid

from coordinator import server_app
from coordinator.control.releases import announce_release, announce_run
from coordinator.runs.exchange import Exchange
from coordinator.runs.flower_exchange import FlowerExchange
from coordinator.server_app import run_target
from coordinator.service.bundle import DIRECTORY_VARIABLE
from protocol.errors import ConfigError
from tests.coordinator.test_flower_exchange import Carrier, PublicGrid


def _context(**run_config: str) -> Context:
    config = {name.replace("_", "-"): value for name, value in run_config.items()}
    return Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=config)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DIRECTORY_VARIABLE, raising=False)


def test_a_deployed_app_takes_its_directory_from_the_environment_not_from_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    context = _context(fedseg_run="ab", coordinator_directory="/elsewhere", simulation_dir="/no")
    assert run_target(context) == (tmp_path, "ab")


def test_a_simulated_app_takes_it_from_the_run_or_from_the_simulations_directory(
    tmp_path: Path,
) -> None:
    named, simulated = tmp_path / "named", tmp_path / "simulation"
    named.mkdir()
    (simulated / "coordinator").mkdir(parents=True)
    context = _context(
        fedseg_run="ab", coordinator_directory=str(named), simulation_dir=str(simulated)
    )
    assert run_target(context) == (named, "ab")
    context = _context(fedseg_run="ab", coordinator_directory="", simulation_dir=str(simulated))
    assert run_target(context) == (simulated / "coordinator", "ab")


def test_a_run_without_a_name_or_a_directory_is_a_configuration_error(tmp_path: Path) -> None:
    for context in (
        _context(fedseg_run="", coordinator_directory=str(tmp_path)),
        _context(coordinator_directory=str(tmp_path)),
        _context(fedseg_run="ab"),
        _context(fedseg_run="ab", coordinator_directory=str(tmp_path / "absent")),
    ):
        with pytest.raises(ConfigError):
            run_target(context)


def test_the_run_is_driven_over_flowers_grid_and_logged_in_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven: list[tuple[Path, str, Exchange]] = []

    def drive(directory: Path, run_id: str, exchange: Exchange, **after: object) -> None:
        assert after == {"on_release": announce_release, "on_asleep": announce_run}
        logging.getLogger("coordinator.runs.life").warning("driven")
        driven.append((directory, run_id, exchange))

    monkeypatch.setattr(server_app, "drive", drive)
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    grid: Grid = PublicGrid(Carrier())
    try:
        server_app.main(grid, _context(fedseg_run="ab"))
    finally:
        for handler in set(root.handlers) - set(before):
            root.removeHandler(handler)
            handler.close()
        root.setLevel(level)
    ((directory, run_id, exchange),) = driven
    assert (directory, run_id) == (tmp_path, "ab")
    assert isinstance(exchange, FlowerExchange)
    assert "driven" in (tmp_path / server_app.DRIVER_LOG_FILE).read_text()
