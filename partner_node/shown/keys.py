"""This node's signing key, and keys that were handed over, as far as it knows."""

from __future__ import annotations

from machine.shown import Shown
from machine.tables import filled_table
from partner_node.home import NodeHome
from partner_node.shown.refused_hand_overs import refused_words
from partner_node.store.node_store import NodeStore
from partner_node.store.refused_hand_overs import RefusedHandOvers
from protocol.agreement.hand_over import COLUMNS
from protocol.signing import key_id, public_key_words


def keys_shown(home: NodeHome, store: NodeStore) -> Shown:
    """The key, every hand-over that is known here, and those that were refused."""
    own, known = home.keystore().identity_public, home.hand_overs.load()
    refused = RefusedHandOvers(store).all()
    return Shown(
        values={
            "partner": home.config.node.partner,
            "key": key_id(own),
            "public_key": own.hex(),
            "hand_overs": [one.values for one in known],
            "refused": [one.to_dict() for one in refused],
        },
        parts=[
            f"The signing key of {home.config.node.partner} is {key_id(own)}.",
            public_key_words(own),
            filled_table("Hand-overs", COLUMNS, (one.cells for one in known))
            if known
            else "No key was handed over, as far as this node knows.",
            *refused_words(refused),
        ],
    )
