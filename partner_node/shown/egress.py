"""What left a node, what waits for approval, and one message of it."""

from __future__ import annotations

from datetime import datetime

from machine.shown import Shown
from partner_node.egress.records import Manifests
from partner_node.egress.sent import (
    beside_lines,
    beside_values,
    egress_privacy,
    egress_values,
    egress_words,
)
from partner_node.egress.words import held_words, manifest_values, manifest_words
from partner_node.store.node_store import NodeStore
from partner_node.store.times import stamp


def egress_shown(store: NodeStore, now: datetime) -> Shown:
    """Every message that left this node, and every one that was held for approval."""
    records, held, at = store.egress(), Manifests(store).held(), stamp(now)
    return Shown(
        values={
            "messages": egress_values(records),
            "held": [manifest_values(written, at) for written in held],
            "privacy": egress_privacy(records),
        },
        parts=[*egress_words(records), *held_words(held, at)],
    )


def message_shown(store: NodeStore, number: int, now: datetime) -> Shown:
    """The manifest of one message; raises UsageError when there is none (E-EGRESS-UNKNOWN)."""
    written, at = Manifests(store).get(number), stamp(now)
    left = [one for one in store.egress() if one.manifest == number and one.beside_bytes]
    return Shown(
        values=manifest_values(written, at)
        | {"beside": [{"at": one.at, **beside_values(one)} for one in left]},
        parts=[*manifest_words(written, at), *beside_lines(left)],
    )


def held_shown(store: NodeStore, now: datetime) -> Shown:
    """The messages that were held for approval, oldest first."""
    held, at = Manifests(store).held(), stamp(now)
    return Shown(
        values={"held": [manifest_values(written, at) for written in held]},
        parts=held_words(held, at) or ["No message was held for approval."],
    )
