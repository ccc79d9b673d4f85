"""`key show`: the coordinator's signing key, and every key that was handed over."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.table import Table

from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.hand_overs import KeptHandOvers
from machine.shown import Shown
from machine.tables import folding_table
from machine.text import minute
from protocol.agreement.hand_over import HandOver
from protocol.signing import key_id


def keys_shown(store: CoordinatorStore, coordinator_key: bytes) -> Shown:
    """The key, and all hand-overs that are known, in the order in which they came.

    Args:
        coordinator_key: The coordinator's public key in force.
    """
    known = KeptHandOvers(store).load()
    return Shown(
        values={
            "key": key_id(coordinator_key),
            "public_key": coordinator_key.hex(),
            "hand_overs": [hand_over_values(one) for one in known],
        },
        parts=[
            f"The coordinator's signing key is {key_id(coordinator_key)}.",
            hand_overs_table(known) if known else "No key was handed over.",
        ],
    )


def hand_over_values(one: HandOver) -> dict[str, Any]:
    """A hand-over as JSON values; no partner where it is the coordinator's."""
    return {
        "partner": one.partner or None,
        "number": one.number,
        "old_key": key_id(one.old_key),
        "new_key": key_id(one.new_key),
        "at": one.at,
    }


def hand_overs_table(found: Iterable[HandOver], title: str = "Hand-overs") -> Table:
    """Hand-overs for people."""
    table = folding_table("whose", "number", "made at", "old key", "new key", title=title)
    for one in found:
        table.add_row(
            one.whose, str(one.number), minute(one.at), key_id(one.old_key), key_id(one.new_key)
        )
    return table
