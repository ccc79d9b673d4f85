"""`agreement status`: what was proposed online, and what each partner answered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from coordinator.control.proposals import Proposal
from machine.shown import Shown
from machine.tables import Table
from machine.text import minute, shown


def proposals_shown(found: Sequence[Proposal], now: datetime) -> Shown:
    """Proposals with their answers and comments."""
    return Shown(
        values={"proposals": [one.to_dict() for one in found]},
        parts=[_proposal_table(one, now) for one in found] or ["No agreement was proposed online."],
    )


def _proposal_table(proposal: Proposal, now: datetime) -> Table:
    agreement = proposal.draft.agreement
    state = "signed by everyone" if proposal.complete else "open"
    if proposal.outdated:
        names = ", ".join(proposal.outdated)
        state += f"; it names a key that {names} handed over: draft it again"
    elif agreement.effective > now:
        state += f", takes effect at {agreement.effective:%Y-%m-%d %H:%M} UTC"
    table = Table(
        "partner", "answer", "since", "comment",
        title=f"{agreement.id}, version {agreement.version}, {proposal.hash.hex()[:16]}…: {state}",
    )  # fmt: skip
    for answer in proposal.answers:
        table.add_row(
            answer.partner,
            answer.kind,
            minute(answer.at or proposal.proposed_at),
            shown(answer.comment),
        )
    return table
