"""Duties of the privacy budget: what an agreement grants, and the partner's own cap."""

from __future__ import annotations

from typing import Final

from machine.duties.duty import Duty, State
from partner_node.spending import Spending
from partner_node.store.ledger import Ledger
from partner_node.store.node_store import NodeStore
from protocol.agreement.document import Agreement
from protocol.clustering.plan import most_cost
from protocol.privacy.accounting import epsilon_of
from protocol.privacy.ledger import runs_left
from protocol.privacy.words import fuel
from protocol.release.document import SignedRelease
from protocol.release.last import begins_at

#: With so few runs left the next version has to be on its way.
_FEW: Final = 2
_NEARLY: Final = 0.8


def budget_duty(store: NodeStore, agreement: Agreement) -> Duty:
    """Whether the agreed budget holds further runs."""
    source = f"agreement {agreement.id} v{agreement.version}, privacy"
    terms = agreement.privacy
    if terms is None:
        return Duty(
            name="budget", about=agreement.id, state=State.NOT_ASKED, source=source,
            found="exact totals, which no budget limits",
        )  # fmt: skip
    spent = Ledger(store).spent(agreement)
    last = store.last_release(store.chain(agreement))
    release = None if last is None else SignedRelease.from_bytes(last).release
    cost = most_cost(agreement, follows=begins_at(agreement, release) is not None)
    state = State.OK if runs_left(terms, spent=spent) > _FEW else State.SOON
    if not runs_left(terms, spent=spent, cost=cost):
        state = State.OVERDUE
    return Duty(
        name="budget",
        about=agreement.id,
        state=state,
        found=fuel(terms, spent=spent),
        way_out="" if state is State.OK else "more runs need a new version of the agreement",
        source=source,
    )


def cap_duty(store: NodeStore) -> Duty:
    """How near this partner's own cap over all agreements is."""
    spending = Spending.of(store)
    cap = spending.cap
    if cap is None or cap.epsilon is None:
        return Duty(
            name="cap", state=State.NOT_ASKED, found="none was set over all agreements",
            source="fedseg-node budget cap",
        )  # fmt: skip
    spent, most = epsilon_of(spending.total, spending.delta), float(cap.epsilon)
    state = State.OVERDUE if spent >= most else State.OK
    if state is State.OK and spent >= _NEARLY * most:
        state = State.SOON
    return Duty(
        name="cap",
        state=state,
        found=f"epsilon {spent:.3g} of {most:.3g} is spent",
        way_out="" if state is State.OK else "runs under every agreement end there: budget show",
        source=f"the cap that was set on {cap.at[:10]}",
    )
