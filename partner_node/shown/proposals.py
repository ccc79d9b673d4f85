"""Agreements that the operator proposed online, and who answered what."""

from __future__ import annotations

from machine.shown import Shown
from machine.tables import folding_table
from partner_node.control.proposals import proposed
from partner_node.home import NodeHome


def proposals_shown(home: NodeHome) -> Shown:
    """What is proposed to this node, newest first; raises as `partner_node.control.proposals`."""
    found = proposed(home)
    table = folding_table("agreement", "version", "hash", "who answered", title="Proposed")
    for one in found:
        table.add_row(one.id, str(one.version), one.hash.hex()[:16], one.words)
    return Shown(
        values={"proposals": [one.to_dict() for one in found]},
        parts=[table if found else "No agreement is proposed to this node."],
    )
