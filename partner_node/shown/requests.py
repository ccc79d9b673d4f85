"""What customers asked for, with deadlines."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final

from machine.shown import Shown
from machine.tables import Table
from partner_node.register.requests import Kind, Request, RightsRegister
from partner_node.store.node_store import NodeStore

#: What became of a request that another one settled, by the kind of that one.
_SETTLED_WORDS: Final[Mapping[Kind, str]] = {"take-back": "taken back", "correct": "corrected"}


def requests_shown(store: NodeStore, today: date) -> Shown:
    """Every request by its pseudonym, with its deadline, and what is overdue."""
    requests = RightsRegister(store).requests()
    late = [request for request in requests if request.is_overdue(today)]
    table = Table(title="Requests of customers")
    for column in ("no.", "kind", "customer", "received", "due"):
        table.add_column(column, no_wrap=True)
    table.add_column("answered", overflow="fold")
    for request in requests:
        table.add_row(
            str(request.number),
            request.kind,
            request.pseudonym[:12],
            request.received.isoformat(),
            request.due.isoformat(),
            _answered_words(request, today),
        )
    return Shown(
        values={
            "requests": [request.to_dict(today) for request in requests],
            "overdue": [request.number for request in late],
        },
        parts=[
            table if requests else "No customer has asked for anything yet.",
            *(
                f"OVERDUE: request {request.number} ({request.kind}) was due by {request.due} and "
                "is not answered."
                for request in late
            ),
        ],
    )


def _answered_words(request: Request, today: date) -> str:
    if request.is_open:
        waiting = "open" if request.extended_on is None else "extended"
        return "OVERDUE" if request.is_overdue(today) else waiting
    effects = request.receipt["effects"]
    settled = effects.get("settled_by", {}).get("kind")
    became = "refused" if "refused" in effects else _SETTLED_WORDS.get(settled, "")
    late = "late" if request.was_late else ""
    return ", ".join(filter(None, (request.done_at[:10], became, late)))
