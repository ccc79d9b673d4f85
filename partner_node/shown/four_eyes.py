"""What waits for a second person, in words."""

from __future__ import annotations

from collections.abc import Sequence

from machine.shown import Shown
from machine.tables import folding_table
from machine.text import minute, shown
from partner_node.four_eyes import First
from partner_node.segments.wishes import WishedFile


def waits_shown(first: First, what: str) -> Shown:
    """That an act needs a second person, and is not done.

    Args:
        what: What is not done, for people.
    """
    return Shown(
        values={"waits_for_second_person": True, "first": first.who, "until": first.until},
        parts=[
            f"{what}: {shown(first.who)} agreed to it, and a second person has to do the same "
            f"before {minute(first.until)}, in the console or at this machine."
        ],
        refused=True,
    )


def waiting_files_shown(found: Sequence[tuple[WishedFile, First]]) -> Shown:
    """The files that one person asked for and a second one has to."""
    title = "Waits for a second person"
    table = folding_table("digits", "file", "asked for by", "until", title=title)
    for wish, first in found:
        table.add_row(wish.digits, wish.words, shown(first.who), minute(first.until))
    return Shown(
        values={
            "waiting": [
                {
                    "digits": wish.digits,
                    "file": wish.words,
                    "first": first.who,
                    "until": first.until,
                }
                for wish, first in found
            ]
        },
        parts=[table if found else "No file waits for a second person."],
    )
