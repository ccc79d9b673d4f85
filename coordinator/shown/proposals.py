"""`agreement status`: what was proposed online, and what each partner answered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from coordinator.control.proposals import DECLINED, Proposal
from machine.shown import Shown
from machine.tables import Table
from machine.text import minute, shown


def proposals_shown(found: Sequence[Proposal], now: datetime) -> Shown:
    """Proposals with their answers and comments."""
    return Shown(
        values={"proposals": [one.to_dict() for one in found]},
        parts=[part for one in found for part in (_state_words(one, now), _answers_table(one))]
        or ["No agreement was proposed online."],
    )


def _state_words(proposal: Proposal, now: datetime) -> str:
    agreement = proposal.draft.agreement
    declined = [answer.partner for answer in proposal.answers if answer.kind == DECLINED]
    state = "signed by everyone" if proposal.complete else "open"
    if declined and not proposal.complete:
        state = f"declined by {', '.join(declined)}"
    if proposal.outdated:
        names = ", ".join(proposal.outdated)
        state += f"; it names a key that {names} handed over: draft it again"
    elif agreement.effective > now:
        state += f", takes effect at {agreement.effective:%Y-%m-%d %H:%M} UTC"
    name = f"{agreement.id}, version {agreement.version}, {proposal.hash.hex()[:16]}…"
    return f"{name}: {state}."


def _answers_table(proposal: Proposal) -> Table:
    table = Table("partner", "answer", "since", "comment")
    for answer in proposal.answers:
        table.add_row(
            answer.partner,
            answer.kind,
            minute(answer.at or proposal.proposed_at),
            shown(answer.comment),
        )
    return table
