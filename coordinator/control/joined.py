"""The cards of partners whose nodes joined by invitation."""

from __future__ import annotations

import hmac
from dataclasses import replace
from datetime import datetime

from coordinator.control.nodes import EnrolledNodes, EnrolledRow
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.hand_overs import KeptHandOvers, key_in_force
from coordinator.store.times import moment
from protocol.agreement.hand_overs import HandOvers
from protocol.agreement.partner_card import PartnerCard
from protocol.control.enrolment import read_code, short_code
from protocol.errors import UsageError


def joined_cards(store: CoordinatorStore) -> list[PartnerCard]:
    """The cards of admitted nodes that joined, by partner, with the keys in force."""
    nodes, known = EnrolledNodes(store), KeptHandOvers(store).load()
    waiting = {row.node_key for row in nodes.waiting()}
    cards = [PartnerCard.from_bytes(row.card) for row in nodes.all() if row.node_key not in waiting]
    return [replace(card, public_key=key_in_force(card, known)) for card in cards]


def waiting_partners(store: CoordinatorStore) -> list[str]:
    """The partners whose nodes joined and wait until their codes are compared, by id."""
    return sorted(PartnerCard.from_bytes(row.card).id for row in EnrolledNodes(store).waiting())


def shown_code(row: EnrolledRow, known: HandOvers, *, coordinator_key: bytes) -> str:
    """The short code that the node shows: it follows from the coordinator's key when it joined.

    Args:
        known: Hand-overs; the coordinator's may have been replaced since the node joined.
        coordinator_key: A key of the coordinator's, 32 bytes: the one in force, or one before it.
    """
    own, joined_at = known.same_owner(coordinator_key), moment(row.enrolled_at)
    later = [
        one for one in known if one.old_key in own and datetime.fromisoformat(one.at) > joined_at
    ]
    first = min(later, key=lambda one: one.number, default=None)
    key = known.latest_of(coordinator_key, partner="") if first is None else first.old_key
    return short_code(row.card, key)


def card_with_code(store: CoordinatorStore, code: str, *, coordinator_key: bytes) -> PartnerCard:
    """The card of the node that waits under a short code.

    Args:
        coordinator_key: As for `shown_code`. A code by a key of before the node joined is none:
            whoever stole that key would make it.

    Raises:
        UsageError: No node waits under it (E-CONTROL-CODE).
    """
    wanted, known = read_code(code), KeptHandOvers(store).load()
    for row in EnrolledNodes(store).waiting():
        shown = shown_code(row, known, coordinator_key=coordinator_key)
        if hmac.compare_digest(shown, wanted):
            return PartnerCard.from_bytes(row.card)
    raise UsageError(
        f"no node waits with the code {wanted}",
        code="E-CONTROL-CODE",
        remedy="ask the partner for its code again. If `partner list` shows another one for it, "
        "somebody else joined with its invitation: `partner remove`, then invite it anew",
    )
