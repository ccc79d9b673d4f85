"""fedseg-simulate: evaluate on one machine before anybody signs, a file for each command."""

from __future__ import annotations

from typing import Final

from machine import console
from machine.commands import Place, program

COMMANDS: Final = {
    "cluster": Place(
        module="simulations.cli.cluster",
        name="cluster",
        help="Cluster numeric files in a simulated federation, with the code of a real one.",
    ),
    "attack": Place(
        module="simulations.cli.attack",
        name="attack",
        help="Attack single customers with the node's own code: can anybody be singled out?",
    ),
    "generate": Place(
        module="simulations.cli.generate",
        name="generate",
        help="Generate a year of retail transactions for partners of unequal size.",
    ),
    "demo": Place(
        module="simulations.cli.demo",
        name="demo",
        help="Run a federation for real: a coordinator and three nodes as processes, TLS on "
        "loopback.",
    ),
}

app = program(
    "fedseg-simulate",
    help="Try a federation on this machine before anybody signs: generate data, run the demo, "
    "cluster your own files. Nothing leaves the machine.",
    commands=COMMANDS,
)


def main() -> None:
    """Entry point of ``fedseg-simulate``."""
    console.run(app)
