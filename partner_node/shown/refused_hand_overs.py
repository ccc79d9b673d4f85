"""Hand-overs of keys that were refused: what people have to do about each."""

from __future__ import annotations

from collections.abc import Sequence

from machine.text import minute
from partner_node.control.refusals import refusal
from partner_node.home import NodeHome
from partner_node.membership import Membership
from partner_node.store.node_store import NodeStore
from partner_node.store.refused_hand_overs import COORDINATOR, Refused, RefusedHandOvers
from protocol.agreement.document import Agreement
from protocol.control.calls import HAND_OVER


def refused_words(found: Sequence[Refused]) -> list[str]:
    """A sentence each, with the way out."""
    return [_sent_words(one) if one.by == COORDINATOR else _fork_words(one) for one in found]


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


def _sent_words(one: Refused) -> str:
    error = refusal(HAND_OVER, one.code, fallback="")
    return (
        f"The coordinator refused {one.hand_over.words} at {minute(one.refused_at)} ({one.code}): "
        f"{error.message}. Way out: {error.remedy}."
    )


def _fork_words(one: Refused) -> str:
    return (
        f"Refused here at {minute(one.refused_at)} ({one.code}): {one.hand_over.words}. Another "
        f"one from that key is kept: ask {one.hand_over.whose} which one they made. Where that key "
        "was stolen, stop the agreements that name it (docs/keys.md)."
    )
