"""`partner diligence list`: what was checked of each partner, and until when it holds."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.diligence import Diligence
from machine.shown import Shown
from machine.tables import folding_table
from machine.text import shown


def diligence_shown(store: CoordinatorStore, now: datetime) -> Shown:
    """The newest record on each partner, and whether it holds."""
    table = folding_table("partner", "holds until", "by", "documents", title="Due diligence")
    rows: list[dict[str, Any]] = []
    for record in Diligence(store).newest().values():
        holds = record.holds_for(record.public_key, now)
        rows.append(record.to_dict() | {"holds": holds})
        until = f"{record.expires:%Y-%m-%d}" + ("" if holds else ", OVER")
        table.add_row(record.partner, until, shown(record.by), str(len(record.documents)))
    return Shown(values={"records": rows}, parts=[table if rows else "There is no record yet."])
