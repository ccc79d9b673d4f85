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
    told_exactly,
)
from partner_node.cli.options import HERE, Directory
from partner_node.home import NodeHome
from partner_node.store.ledger import Ledger
from partner_node.store.node_store import NodeStore
from protocol.agreement.document import Agreement
from protocol.privacy.accounting import rho_of_cost

app = typer.Typer(help="What this node's customers have spent.", no_args_is_help=True)


@app.command("show")
def show(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Runs left and epsilon spent, with every charge: what was asked, and what it cost."""
    agreement, store = _opened(directory)
    ledger = Ledger(store)
    charges, others = ledger.charges(agreement.id), ledger.charged_under()
    others.pop(agreement.id, None)
    exact = told_exactly(store.runs_answered())
    output.result(
        budget_values(agreement, charges, others, exact),
        *budget_words(agreement, charges, others, exact),
    )


@app.command("forecast")
def forecast(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """How many runs the budget still holds, and what epsilon would be after each."""
    agreement, store = _opened(directory)
    ledger = Ledger(store)
    charges, exact = ledger.charges(agreement.id), told_exactly(store.runs_answered())
    output.result(
        forecast_values(agreement, charges, exact), *forecast_words(agreement, charges, exact)
    )


@app.command("recompute")
def recompute_costs(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Compute every cost anew from what it follows from, and compare with the ledger."""
    agreement, store = _opened(directory)
    ledger = Ledger(store)
    charges = ledger.charges(agreement.id)
    total = recompute(charges)
    terms = terms_of(agreement)
    output.result(
        {"charges": len(charges), "rho": rho_of_cost(total), "epsilon": terms.epsilon_of(total)},
        f"{len(charges)} charges computed anew: rho {rho_of_cost(total):.6g}, epsilon "
        f"{terms.epsilon_of(total):.4g} at delta {terms.delta.normalize():f}; the ledger says the "
        "same.",
    )


def _opened(directory: Path) -> tuple[Agreement, NodeStore]:
    home = NodeHome.load(directory)
    agreement = home.signed_agreement().agreement
    terms_of(agreement)
    return agreement, home.store(home.keystore())
