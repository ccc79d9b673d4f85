"""`key show`: the coordinator's signing key, and every key that was handed over."""

from __future__ import annotations

from collections.abc import Iterable

from coordinator.shown.forks import forks_shown
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.hand_overs import KeptHandOvers
from machine.shown import Shown
from machine.tables import Table, filled_table
from protocol.agreement.hand_over import COLUMNS, HandOver
from protocol.signing import key_id, public_key_words


def keys_shown(store: CoordinatorStore, coordinator_key: bytes) -> Shown:
    """The key, all hand-overs that are known, in the order in which they came, and refused ones.

    Args:
        coordinator_key: The coordinator's public key in force.
    """
    known, forks = KeptHandOvers(store).load(), forks_shown(store)
    return Shown(
        values={
            "key": key_id(coordinator_key),
            "public_key": coordinator_key.hex(),
            "hand_overs": [one.values for one in known],
            **forks.values,
        },
        parts=[
            f"The coordinator's signing key is {key_id(coordinator_key)}.",
            public_key_words(coordinator_key),
            hand_overs_table(known) if known else "No key was handed over.",
            *forks.parts,
        ],
    )


def hand_overs_table(found: Iterable[HandOver], title: str = "Hand-overs") -> Table:
    """Hand-overs for people."""
    return filled_table(title, COLUMNS, (one.cells for one in found))
