"""`staff list`: who may act here, and the training that each has or lacks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from machine.shown import Shown
from machine.tables import filled_table
from machine.text import shown
from partner_node.store.staff import Person
from protocol.agreement.document import Agreement


def staff_shown(people: Sequence[Person], in_force: Sequence[Agreement], today: date) -> Shown:
    """Everybody on record, and what agreements in force demand."""
    asked = tuple(dict.fromkeys(course for one in in_force for course in one.training))
    rows = [
        (
            one.name,
            shown(one.role),
            "; ".join(_words(one, course, today) for course in _courses(one, asked)),
        )
        for one in people
    ]
    demanded = (
        f"Agreements in force demand: {', '.join(asked)}."
        if asked
        else "No agreement in force demands training."
    )
    return Shown(
        values={
            "demanded": list(asked),
            "staff": [{**one.to_dict(), "lacking": one.lacking(asked, today)} for one in people],
        },
        parts=[
            filled_table("Staff", ("name", "role", "training"), rows, whole=("name",))
            if rows
            else "Nobody is on record: fedseg-node staff add.",
            demanded,
        ],
    )


def _courses(person: Person, asked: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*asked, *(one.course for one in person.training)]))


def _words(person: Person, course: str, today: date) -> str:
    holding = person.holding(course, today)
    if holding is not None:
        return f"{course} until {holding.until}"
    ends = [one.until for one in person.training if one.course == course]
    return f"{course} OVER since {max(ends)}" if ends else f"{course} MISSING"
