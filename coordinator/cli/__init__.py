"""fedseg-coordinator: the command line of whoever runs the coordinator, a file for each noun."""

from __future__ import annotations

from typing import Final

from machine import console
from machine.commands import Place, program

COMMANDS: Final = {
    "init": Place(
        module="coordinator.cli.setup",
        name="init",
        help="Make the coordinator's folder: configuration, signing key, TLS certificate, "
        "database.",
    ),
    "serve": Place(
        module="coordinator.cli.service",
        name="serve",
        help="Open the public port and drive runs until stopped (Ctrl-C or SIGTERM).",
    ),
    "console": Place(
        module="coordinator.cli.service",
        name="console",
        help="Serve the coordinator's console on this machine until stopped (Ctrl-C or SIGTERM).",
    ),
    "agreement": Place(
        module="coordinator.cli.agreement", help="Write, check and publish the agreement."
    ),
    "partner": Place(
        module="coordinator.cli.partner", help="Invite, admit and remove partners' nodes."
    ),
    "certificate": Place(
        module="coordinator.cli.certificate", help="Show and replace the public ports' certificate."
    ),
    "key": Place(
        module="coordinator.cli.keys",
        help="The coordinator's signing key and its passphrase, and keys that partners replaced.",
    ),
    "run": Place(module="coordinator.cli.run", help="Plan, start and watch runs."),
    "state": Place(
        module="coordinator.cli.state",
        help="The coordinator's state: whether it is sound, and backups.",
    ),
    "release": Place(module="coordinator.cli.release", help="Show and export released segments."),
    "evidence": Place(
        module="coordinator.cli.evidence",
        help="Documents filled from facts, each with its source; people's judgements stay theirs.",
    ),
    "compliance": Place(
        module="coordinator.cli.compliance",
        help="Every duty with how it stands, since when, and its next date; and changes at once.",
    ),
    "log": Place(
        module="coordinator.cli.log",
        help="The audit log: what happened here, whether it is whole, proofs and copies of it.",
    ),
    "user": Place(
        module="coordinator.cli.user",
        help="People who use the console: their accounts and roles, and what they did.",
    ),
}

app = program(
    "fedseg-coordinator",
    help="Run the coordinator of a federation: it adds masked answers and learns totals only.",
    commands=COMMANDS,
)


def main() -> None:
    """Entry point of ``fedseg-coordinator``."""
    console.run(app)
