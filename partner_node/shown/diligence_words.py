"""What `agreement show` says of due diligence on the parties."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from machine.text import shown
from partner_node.home import NodeHome
from protocol.agreement.document import Agreement, time_text
from protocol.errors import FedsegError


def diligence_of(
    home: NodeHome | None, agreement: Agreement, now: datetime
) -> tuple[list[dict[str, Any]] | None, list[str]]:
    """What the operator checked of each party, as JSON values and for people.

    Returns:
        None where the agreement demands nothing, or where nobody could be asked; and lines.
    """
    if not agreement.diligence:
        return None, []
    demand = (
        "Due diligence: nothing is published and no run begins unless the operator has a record "
        "on every party that holds."
    )
    if home is None or home.config.coordinator.control is None:
        return None, [f"{demand} Ask the operator for it (partner diligence list)."]
    from partner_node.control.proposals import diligence_on  # gRPC takes long to import

    try:
        records = {record.partner: record for record in diligence_on(home, agreement)}
    except FedsegError as error:
        return None, [f"{demand} It could not be asked for: {error.code}: {error.message}"]
    rows, lines, known = [], [demand], home.hand_overs.load()
    for party in agreement.parties:
        record = records.get(party.id)
        holds = record is not None and record.holds_for(party.public_key, now, known=known)
        until = None if record is None else time_text(record.expires)
        rows.append({"partner": party.id, "until": until, "holds": holds})
        if record is None:
            lines.append(f"  {party.id}: NO RECORD")
            continue
        state = f"until {record.expires:%Y-%m-%d}" if holds else "DOES NOT HOLD"
        lines.append(f"  {party.id}: {state}, by {shown(record.by)}: {shown(record.checked)}")
    return rows, lines
