"""fedseg-node: the command line of a partner's node, a file for each noun."""

from __future__ import annotations

import typer

from machine.console import run
from partner_node.cli import (
    agreement,
    budget,
    consent,
    data,
    egress,
    exports,
    feedback,
    rights,
    segments,
    service,
    setup,
)

app = typer.Typer(
    name="fedseg-node",
    help="Run a partner's node: it answers sum queries on its own customers; no row leaves it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (setup.init, setup.check, service.serve, service.status):
    app.command()(command)
app.add_typer(data.app, name="data")
app.add_typer(agreement.app, name="agreement")
segments.app.command("assign")(exports.assign)
segments.app.command("export")(exports.export)
segments.app.command("exports")(exports.list_exports)
app.add_typer(segments.app, name="segments")
app.add_typer(egress.app, name="egress")
app.add_typer(budget.app, name="budget")
app.add_typer(consent.app, name="consent")
app.add_typer(rights.app, name="rights")
app.add_typer(feedback.app, name="feedback")


def main() -> None:
    """Entry point of ``fedseg-node``."""
    run(app)
