"""Second hand-overs from one key that nodes sent: one of the two was made by a thief."""

from __future__ import annotations

from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.hand_overs import KeptHandOvers
from machine.shown import Shown
from machine.text import minute


def forks_shown(store: CoordinatorStore) -> Shown:
    """What was refused with E-KEY-FORK, each once, and what to do."""
    forks = KeptHandOvers(store).forks()
    return Shown(
        values={"refused": [{**one.values, "refused_at": refused_at} for one, refused_at in forks]},
        parts=[
            f"Refused at {minute(refused_at)} (E-KEY-FORK): {one.words}. Another one from "
            f"that key is kept: ask the people of {one.whose} which one they made."
            for one, refused_at in forks
        ],
    )
