"""What waits for a second person, in words."""

from __future__ import annotations

from machine.shown import Shown
from machine.text import minute, shown
from partner_node.four_eyes import First


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
