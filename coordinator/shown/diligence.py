"""`partner diligence list`: what was checked of each partner, and until when it holds.

A record holds for the key that it names and those that this one was handed over to, as an agreement
that demands it is checked (`Diligence.check`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from coordinator.control.joined import joined_cards
from coordinator.runs.in_force import in_force
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.diligence import Diligence
from coordinator.store.hand_overs import KeptHandOvers
from machine.shown import Shown
from machine.tables import folding_table
from machine.text import shown
from protocol.agreement.diligence import DiligenceRecord


def diligence_shown(store: CoordinatorStore, now: datetime) -> Shown:
    """The newest record on each partner, and whether it holds for the partner's key."""
    table = folding_table("partner", "holds until", "by", "documents", title="Due diligence")
    rows: list[dict[str, Any]] = []
    for record in Diligence(store).newest().values():
        over = not record.at <= now < record.expires
        strange = is_of_another_key(store, record, now)
        rows.append(record.to_dict() | {"holds": not over and not strange})
        until = (
            f"{record.expires:%Y-%m-%d}"
            + (", OVER" if over else "")
            + (", OF ANOTHER KEY" if strange else "")
        )
        table.add_row(record.partner, until, shown(record.by), str(len(record.documents)))
    return Shown(values={"records": rows}, parts=[table if rows else "There is no record yet."])


def is_of_another_key(store: CoordinatorStore, record: DiligenceRecord, now: datetime) -> bool:
    """Whether the partner has a key here, and the record is on another one.

    Its keys are those in the agreements in force, or where none names it, the one of its card.
    """
    known = KeptHandOvers(store).load()
    keys = [
        party.public_key
        for agreement in in_force(store, now).values()
        for party in agreement.parties
        if party.id == record.partner
    ] or [card.public_key for card in joined_cards(store) if card.id == record.partner]
    return any(not record.is_of(key, known=known) for key in keys)
