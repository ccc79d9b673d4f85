"""fedseg-coordinator: the command line of whoever runs the coordinator, a file for each noun."""

from __future__ import annotations

import typer

from coordinator.cli import agreement, partner, release, run, service, setup
from machine import console

app = typer.Typer(
    name="fedseg-coordinator",
    help="Run the coordinator of a federation: it adds masked answers and learns totals only.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(setup.init)
app.command()(service.serve)
app.add_typer(agreement.app, name="agreement")
app.add_typer(partner.app, name="partner")
app.add_typer(run.app, name="run")
app.add_typer(release.app, name="release")


def main() -> None:
    """Entry point of ``fedseg-coordinator``."""
    console.run(app)
