"""Commands about the privacy budget: `budget …`."""

from __future__ import annotations

from datetime import UTC, datetime
from os import urandom
from pathlib import Path
from typing import Annotated

import typer

from machine.console import Format, FormatOption, output
from partner_node.budget import (
    forecast_values,
    forecast_words,
    recompute,
    terms_of,
    told_exactly,
)
from partner_node.cli.noting import noted
from partner_node.cli.options import HERE, Directory, Under
from partner_node.home import NodeHome
from partner_node.shown.budget import budget_shown
from partner_node.spending import DEFAULT_DELTA, Spending, new_cap
from partner_node.store.caps import Cap, Caps
from partner_node.store.ledger import Ledger
from partner_node.store.node_store import NodeStore
from partner_node.store.times import stamp
from protocol.agreement.document import Agreement
from protocol.errors import UsageError
from protocol.privacy.accounting import rho_of_cost
from protocol.privacy.ledger import Charge

app = typer.Typer(help="What this node's customers have spent.", no_args_is_help=True)


@app.command("show")
def show(under: Under = None, directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Runs left and epsilon spent, with every charge: what was asked, and what it cost."""
    output.show(budget_shown(*_opened(directory, under)))


@app.command("forecast")
def forecast(
    under: Under = None, directory: Directory = HERE, format: Format = FormatOption
) -> None:
    """How many runs the budget still holds, and what epsilon would be after each."""
    agreement, store = _opened(directory, under)
    ledger = Ledger(store)
    charges, exact = ledger.charges(agreement.id), told_exactly(store.runs_answered())
    output.result(
        forecast_values(agreement, charges, exact), *forecast_words(agreement, charges, exact)
    )


@app.command("recompute")
def recompute_costs(
    under: Under = None, directory: Directory = HERE, format: Format = FormatOption
) -> None:
    """Compute every cost anew from what it follows from, and compare with the ledger."""
    agreement, store = _opened(directory, under)
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


@app.command("cap")
def cap(
    epsilon: Annotated[
        str | None,
        typer.Option(help="The most that a customer may spend over all agreements together."),
    ] = None,
    delta: Annotated[
        str | None, typer.Option(help="At which delta; 0.000001 when left out.")
    ] = None,
    lift: Annotated[bool, typer.Option("--lift", help="Have no cap any more.")] = False,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """What a customer has spent over all agreements together; sets or lifts a cap on that."""
    if lift and (epsilon is not None or delta is not None):
        raise UsageError("--lift takes the cap away", remedy="leave --epsilon and --delta out")
    if epsilon is None and (delta is not None or (reason and not lift)):
        raise UsageError("--epsilon is missing, which sets the cap", remedy="such as --epsilon 5")
    home = NodeHome.load(directory)
    at = datetime.now(UTC)
    store, now = home.store(home.keystore()), stamp(at)
    decision = None
    if lift:
        decision = Cap(at=now, epsilon=None, delta=DEFAULT_DELTA, reason=reason)
    elif epsilon is not None:
        decision = new_cap(epsilon, delta, at=now, reason=reason)
    if decision is not None:
        about = "lifted" if lift else f"epsilon {decision.epsilon}"
        with noted(home, "budget cap", about, at), store.transaction():
            Caps(store).decide(decision)
    found = Spending.of(store)
    output.result(found.to_dict(), *found.words)


@app.command("carry")
def carry(
    runs: Annotated[
        int, typer.Option(min=1, max=1_000, help="How many runs this node has no record of.")
    ],
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it: what is charged is never given back.")
    ] = False,
    under: Under = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Charge runs that an earlier node of this partner took part in: each the most it may cost.

    For a node that was made anew, or put back from an old backup, under a new version: no chain
    names what was spent under the versions before.
    """
    agreement, store = _opened(directory, under)
    terms, ledger, now = terms_of(agreement), Ledger(store), datetime.now(UTC)
    charges = [Charge.carried(urandom(32), terms) for _ in range(runs)]
    before = ledger.carried(agreement.id)
    said = ", ".join(f"{many} at {at}" for at, many in before) or "none"
    if not yes:
        raise UsageError(
            f"{runs} runs are charged with the most that each may have cost, for good, beside "
            f"those that were carried to agreement {agreement.id} before: {said}",
            remedy="releases of earlier runs say how many there were; what was carried is not to "
            "be carried again; add --yes",
        )
    about = f"{runs} runs to {agreement.id}"
    with noted(NodeHome.load(directory), "budget carry", about, now), store.transaction():
        for charge in charges:
            ledger.record(charge, agreement, now=stamp(now))
    found = budget_shown(agreement, store)
    output.result(
        {
            **agreement.named(),
            "runs": runs,
            "rho": rho_of_cost(sum(c.cost for c in charges)),
            "carried_before": [{"at": at, "runs": many} for at, many in before],
        },
        f"Charged {runs} runs to agreement {agreement.id}; carried to it before: {said}.",
        *found.parts,
    )


def _opened(directory: Path, under: str | None) -> tuple[Agreement, NodeStore]:
    home = NodeHome.load(directory).chosen(under)
    agreement = home.signed_agreement().agreement
    terms_of(agreement)
    return agreement, home.store(home.keystore())
