"""Hand-overs of keys that were refused: one of two from one key is a thief's."""

from __future__ import annotations

from collections.abc import Sequence

from machine.duties.duty import Duty, State
from machine.text import how_many
from partner_node.home import NodeHome
from partner_node.membership import Membership
from partner_node.store.node_store import NodeStore
from partner_node.store.refused_hand_overs import COORDINATOR, Refused, RefusedHandOvers
from partner_node.store.times import moment
from protocol.agreement.document import Agreement


def key_duty(home: NodeHome, store: NodeStore, in_force: Sequence[Agreement]) -> Duty:
    """Whether a hand-over that concerns a key of now was refused, here or by the coordinator."""
    refused = unsettled(home, store, in_force)
    return Duty(
        name="keys",
        state=State.OVERDUE if refused else State.OK,
        since=min((moment(one.refused_at) for one in refused), default=None),
        found=f"{how_many(len(refused), 'hand-over')} of keys refused"
        if refused
        else "no hand-over of a key was refused",
        way_out="fedseg-node status says of each what to do" if refused else "",
        source="fedseg-node key show",
    )


def unsettled(home: NodeHome, store: NodeStore, in_force: Sequence[Agreement]) -> list[Refused]:
    """Those that concern keys of now: that lead to this node's own, or that an agreement in force
    names; with a new version that names new keys they are settled.
    """
    known, membership = home.hand_overs.load(), Membership.load(home.directory)
    own = {one.hash for one in known.to_key(home.keystore().identity_public)}
    named = [party.public_key for agreement in in_force for party in agreement.parties]
    named += [agreement.coordinator.public_key for agreement in in_force]
    named += [] if membership is None else [membership.coordinator_key]
    keys = frozenset[bytes]().union(*map(known.same_owner, named))
    return [
        one
        for one in RefusedHandOvers(store).all()
        if (one.hand_over.hash in own if one.by == COORDINATOR else one.hand_over.old_key in keys)
    ]
