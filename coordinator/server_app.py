"""The Flower ServerApp: finds its fedseg run and lets `coordinator.runs.life` drive it.

The SuperLink starts it in a process of its own for each Flower run. A fedseg run may outlive that:
after a crash, a new Flower run continues it from the coordinator's store.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from coordinator.config import DRIVER_LOG_FILE
from coordinator.control.releases import announce_release, announce_run
from coordinator.runs.flower_exchange import FlowerExchange
from coordinator.runs.life import drive
from coordinator.service.bundle import (
    COORDINATOR_DIRECTORY_KEY,
    DIRECTORY_VARIABLE,
    RUN_KEY,
    SIMULATION_DIRECTORY_KEY,
)
from machine import logs
from protocol.errors import ConfigError

logger = logging.getLogger(__name__)

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Drive the fedseg run that the run configuration names, to its end."""
    directory, run_id = run_target(context)
    logs.to_file(directory / DRIVER_LOG_FILE)  # Flower discards the output of this process
    drive(
        directory,
        run_id,
        FlowerExchange(grid),
        on_release=announce_release,
        on_asleep=announce_run,
    )


def run_target(context: Context) -> tuple[Path, str]:
    """The coordinator's directory and the run's id.

    Deployed, the directory comes from the environment that `coordinator.service.superlink` set. In
    Flower's simulation engine the run configuration names it, or it is the folder
    ``coordinator`` of the simulation's directory.

    Raises:
        ConfigError: One of the two is missing, or the directory does not exist.
    """
    run_id = context.run_config.get(RUN_KEY)
    if not isinstance(run_id, str) or not run_id:
        raise ConfigError(
            f"the run configuration does not say which run to drive ({RUN_KEY} is empty)",
            remedy="Start runs with `fedseg-coordinator run start`.",
        )
    named = os.environ.get(DIRECTORY_VARIABLE) or context.run_config.get(COORDINATOR_DIRECTORY_KEY)
    simulated = context.run_config.get(SIMULATION_DIRECTORY_KEY)
    if not named and simulated:
        named = str(Path(str(simulated)) / "coordinator")
    if not named or not Path(str(named)).is_dir():
        raise ConfigError(
            f"the coordinator's directory {str(named or '')!r} does not exist",
            remedy=f"Give {COORDINATOR_DIRECTORY_KEY} in the run configuration.",
        )
    return Path(str(named)), run_id
