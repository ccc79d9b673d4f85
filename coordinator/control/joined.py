"""The cards of partners whose nodes joined by invitation."""

from __future__ import annotations

import hmac
from dataclasses import replace

from coordinator.control.nodes import EnrolledNodes
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.hand_overs import KeptHandOvers, key_in_force
from protocol.agreement.partner_card import PartnerCard
from protocol.control.enrolment import read_code, short_code
from protocol.errors import UsageError


def joined_cards(store: CoordinatorStore) -> list[PartnerCard]:
    """The cards of admitted nodes that joined, by partner, with the keys in force."""
    nodes, known = EnrolledNodes(store), KeptHandOvers(store).load()
    waiting = {row.node_key for row in nodes.waiting()}
    cards = [PartnerCard.from_bytes(row.card) for row in nodes.all() if row.node_key not in waiting]
    return [replace(card, public_key=key_in_force(card, known)) for card in cards]


def card_with_code(store: CoordinatorStore, code: str, *, coordinator_key: bytes) -> PartnerCard:
    """The card of the node that waits under a short code.

    Raises:
        UsageError: No node waits under it (E-CONTROL-CODE).
    """
    wanted = read_code(code)
    for row in EnrolledNodes(store).waiting():
        if hmac.compare_digest(short_code(row.card, coordinator_key), wanted):
            return PartnerCard.from_bytes(row.card)
    raise UsageError(
        f"no node waits with the code {wanted}",
        code="E-CONTROL-CODE",
        remedy="ask the partner for its code again. If `partner list` shows another one for it, "
        "somebody else joined with its invitation: `partner remove`, then invite it anew",
    )
