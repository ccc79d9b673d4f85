"""Commands about the privacy budget: `budget …`."""

from __future__ import annotations

from pathlib import Path

import typer

from machine.console import Format, FormatOption, output
from partner_node.budget import (
    budget_values,
    budget_words,
    forecast_values,
    forecast_words,
    recompute,
    terms_of,
)
from partner_node.cli.options import HERE, Directory
from partner_node.home import NodeHome
from partner_node.store.ledger import Ledger
from protocol.agreement.document import Agreement
from protocol.privacy.accounting import rho_of_cost

app = typer.Typer(help="What this node's customers have spent.", no_args_is_help=True)


@app.command("show")
def show(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Runs left and epsilon spent, with every charge: what was asked, and what it cost."""
    agreement, ledger = _ledger(directory)
    charges, others = ledger.charges(agreement.id), ledger.charged_under()
    others.pop(agreement.id, None)
    output.result(
        budget_values(agreement, charges, others), *budget_words(agreement, charges, others)
    )


@app.command("forecast")
def forecast(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """How many runs the budget still holds, and what epsilon would be after each."""
    agreement, ledger = _ledger(directory)
    charges = ledger.charges(agreement.id)
    output.result(forecast_values(agreement, charges), *forecast_words(agreement, charges))


@app.command("recompute")
def recompute_costs(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Compute every cost anew from what it follows from, and compare with the ledger."""
    agreement, ledger = _ledger(directory)
    charges = ledger.charges(agreement.id)
    total = recompute(charges)
    terms = terms_of(agreement)
    output.result(
        {"charges": len(charges), "rho": rho_of_cost(total), "epsilon": terms.epsilon_of(total)},
        f"{len(charges)} charges computed anew: rho {rho_of_cost(total):.6g}, epsilon "
        f"{terms.epsilon_of(total):.4g} at delta {terms.delta.normalize():f}; the ledger says the "
        "same.",
    )


def _ledger(directory: Path) -> tuple[Agreement, Ledger]:
    home = NodeHome.load(directory)
    agreement = home.signed_agreement().agreement
    terms_of(agreement)
    return agreement, Ledger(home.store(home.keystore()))
