"""What customers have spent under one agreement, and under all together."""

from __future__ import annotations

from machine.shown import Shown
from partner_node.budget import budget_values, budget_words, told_exactly
from partner_node.spending import Spending
from partner_node.store.ledger import Ledger
from partner_node.store.node_store import NodeStore
from protocol.agreement.document import Agreement


def budget_shown(agreement: Agreement, store: NodeStore) -> Shown:
    """Runs left and epsilon spent, with every charge.

    Raises:
        RuleError: The agreement is about exact totals (E-NO-BUDGET).
    """
    ledger = Ledger(store)
    charges, others = ledger.charges(agreement.id), ledger.charged_under()
    others.pop(agreement.id, None)
    exact = told_exactly(store.runs_answered())
    spending = Spending.of(store)
    return Shown(
        values=budget_values(agreement, charges, others, exact)
        | {"cap": None if spending.cap is None else spending.cap.to_dict()},
        parts=[
            *budget_words(agreement, charges, others, exact),
            "" if spending.cap is None else spending.cap_words,
        ],
    )


def spending_shown(store: NodeStore) -> Shown:
    """What a customer has spent over all agreements together, with the cap."""
    found = Spending.of(store)
    return Shown(values=found.to_dict(), parts=found.words)
