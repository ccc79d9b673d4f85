"""Prepares a run of real folders in Flower's own simulation engine, ``flwr run BUNDLE local``.

``python -m simulations.flower_engine --out FOLDER COORDINATOR NODE NODE NODE`` takes the folders
that `fedseg-coordinator init` and `fedseg-node init` made, with a signed agreement in each, asks
for a run and prints the commands that carry it out. The same two apps run as when deployed; only
the carrier is Flower's, and nothing serves. It needs the extra ``fedseg[engine]``.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from coordinator.config import CoordinatorConfig
from coordinator.service.bundle import (
    COORDINATOR_DIRECTORY_KEY,
    RUN_KEY,
    SIMULATION_DIRECTORY_KEY,
    write_bundle_project,
)
from machine.console import run
from partner_node.home import NodeHome
from protocol.agreement.document import Agreement
from protocol.errors import UsageError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRun:
    """A run that waits for Flower's engine.

    Attributes:
        run_id: Id of the requested run, 16 bytes.
        environment: Variables that the commands need: Flower's home, nothing installed at run
            time, nothing reported to anybody.
        commands: What carries the run out, one after the other.
    """

    run_id: bytes
    environment: Mapping[str, str]
    commands: tuple[tuple[str, ...], ...]

    def shell(self) -> str:
        """The commands for a shell."""
        variables = " ".join(f"{name}={shlex.quote(v)}" for name, v in self.environment.items())
        return "\n".join([f"export {variables}", *map(shlex.join, self.commands)])


def prepare_engine(out: Path, *, coordinator: Path, nodes: Sequence[Path]) -> EngineRun:
    """Make the folder that Flower's engine starts from, and ask for a run.

    Args:
        out: New folder: the bundle, Flower's home, and a link ``node-<i>`` to each node's folder.
        coordinator: The coordinator's folder; its newest agreement is used.
        nodes: The partners' node folders: one for every partner of the agreement, in any order.

    Raises:
        ConfigError: A folder is not a coordinator's, or not a node's.
        UsageError: `out` exists, the coordinator has no agreement, or the nodes are not those of
            its partners. No run was asked for then.
    """
    if out.exists():
        raise UsageError(f"{out} exists already", remedy="choose another folder")
    config = CoordinatorConfig.load(coordinator)
    partners = [NodeHome.load(node).config.node.partner for node in nodes]
    store = config.open_store()
    try:
        agreements = store.agreements()
        if not agreements:
            raise UsageError(
                f"{coordinator} has no agreement",
                remedy="publish one: fedseg-coordinator agreement publish",
            )
        agreement = agreements[0].verify()
        _check_partners(agreement, partners)
        out.mkdir(mode=0o700, parents=True)  # before the run is asked for: this may fail
        run_id = os.urandom(16)
        store.request_run(run_id, agreement)
    finally:
        store.close()
    for number, node in enumerate(nodes):
        (out / f"node-{number}").symlink_to(node.absolute(), target_is_directory=True)
    project = write_bundle_project(out)
    settings = {
        RUN_KEY: run_id.hex(),
        COORDINATOR_DIRECTORY_KEY: str(coordinator.absolute()),
        SIMULATION_DIRECTORY_KEY: str(out.absolute()),
    }
    words = " ".join(f"{key}={json.dumps(value)}" for key, value in settings.items())
    return EngineRun(
        run_id=run_id,
        environment={
            "FLWR_HOME": str(out.absolute() / "flower"),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
        },
        commands=(
            (
                *("flwr", "federation", "simulation-config", "@none/default", "local"),
                *("--num-supernodes", str(len(nodes))),
            ),
            ("flwr", "run", str(project.absolute()), "local", "--stream", "-c", words),
        ),
    )


def _check_partners(agreement: Agreement, partners: Sequence[str]) -> None:
    expected = [party.id for party in agreement.parties]
    if sorted(partners) != sorted(expected):
        raise UsageError(
            f"{len(partners)} node folders of {', '.join(partners) or 'nobody'}, but agreement "
            f"{agreement.id!r} is between {len(expected)} partners: {', '.join(expected)}",
            remedy="give one node folder for every partner of the agreement, each once",
        )


@app.command()
def prepare(
    coordinator: Annotated[Path, typer.Argument(help="The coordinator's folder.")],
    nodes: Annotated[list[Path], typer.Argument(help="The nodes' folders.")],
    out: Annotated[Path, typer.Option(help="New folder to start from.")],
) -> None:
    """Ask for a run and print the commands with which Flower's engine carries it out."""
    typer.echo(prepare_engine(out, coordinator=coordinator, nodes=nodes).shell())


def main() -> None:
    """Entry point of ``python -m simulations.flower_engine``."""
    run(app)


if __name__ == "__main__":
    main()
