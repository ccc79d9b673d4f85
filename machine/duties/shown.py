"""Duties for people: a table, the worst first, and the ways out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from machine.duties.duty import Duty, State, worst_first
from machine.duties.watching import Change
from machine.shown import Shown
from machine.tables import filled_table
from machine.text import shown

_WHOLE = ("state", "duty", "agreement", "date")


def duties_shown(duties: Sequence[Duty], *, strict: bool = False) -> Shown:
    """How every duty stands.

    Args:
        strict: Whether a duty that comes soon, or of which nothing is known, fails too.
    """
    listed = worst_first(duties)
    rows = [
        (str(one.state), one.name.replace("-", " "), shown(one.about), _date(one), shown(one.found))
        for one in listed
    ]
    ways = [
        f"{one.name.replace('-', ' ')}{_of(one)}: {shown(one.way_out)}"
        for one in listed
        if one.way_out and one.state in (State.OVERDUE, State.SOON, State.UNKNOWN)
    ]
    return Shown(
        values={
            "states": states_of(duties),
            "duties": [one.to_dict() for one in listed],
        },
        parts=[
            filled_table("Duties", (*_WHOLE, "found"), rows, whole=_WHOLE),
            summary(duties),
            *([f"What to do: {'; '.join(ways)}."] if ways else []),
        ],
        refused=fails(duties, strict=strict),
    )


def fails(duties: Sequence[Duty], *, strict: bool) -> bool:
    """Whether somebody has to act: what the exit status says."""
    failing = {State.OVERDUE, State.SOON, State.UNKNOWN} if strict else {State.OVERDUE}
    return any(one.state in failing for one in duties)


def states_of(duties: Sequence[Duty]) -> dict[str, int]:
    """How many duties are in each state, also in those that none is in."""
    counted = Counter(one.state for one in duties)
    return {str(state): counted[state] for state in State}


def summary(duties: Sequence[Duty]) -> str:
    """All of them in a sentence."""
    counts = [f"{count} {state}" for state, count in states_of(duties).items() if count]
    return f"{len(duties)} duties: {', '.join(counts)}."


def change_words(change: Change) -> str:
    """How one duty changed, in a line."""
    one = change.duty
    name = f"{one.name.replace('-', ' ')}{_of(one)}"
    if change.is_gone:
        return f"{name}: no duty here any more"
    was = "" if change.was is None else f" (was {change.was})"
    more = f"; {shown(one.way_out)}" if one.way_out and one.state is not State.OK else ""
    return f"{name}: {one.state}{was}, {shown(one.found)}{more}"


def _of(duty: Duty) -> str:
    return f" of {shown(duty.about)}" if duty.about else ""


def _date(duty: Duty) -> str:
    at: datetime | None = duty.next
    return "" if at is None else f"{at:%Y-%m-%d}"
