"""How a node fares: its agreements, runs, refusals, and what waits for a person."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from machine.shown import Shown
from partner_node.egress.records import WAITING, Manifests
from partner_node.egress.words import held_words
from partner_node.home import NodeHome
from partner_node.link.certificates import authority_ends_soon
from partner_node.membership import Membership
from partner_node.shown.record_tables import (
    refusal_values,
    refusal_words,
    run_values,
    run_words,
)
from partner_node.store.node_store import NodeStore
from partner_node.store.refusals import Refusals
from partner_node.store.times import stamp
from protocol.agreement.document import Agreement
from protocol.release.document import SignedRelease


def status_shown(home: NodeHome, store: NodeStore, now: datetime) -> Shown:
    """Runs, how they ended, refusals, what waits, and warnings of certificates that end soon."""
    runs, refusals = store.runs(), Refusals(store).all()
    at = stamp(now)
    waiting = [held for held in Manifests(store).held() if held.state(at) == WAITING]
    releases = [SignedRelease.from_bytes(envelope).release for _, envelope in store.releases()]
    soon = authority_ends_soon(home.config.coordinator.root_certificates, now)
    membership = Membership.load(home.directory)
    in_force = [place.signed_agreement().agreement for place in home.in_force()]
    served = home.is_served()
    return Shown(
        values={
            "partner": home.config.node.partner,
            "served": served,
            "joined": None if membership is None else membership.to_dict(),
            "agreements": [
                {"agreement": one.hash.hex(), "id": one.id, "version": one.version}
                for one in in_force
            ],
            "releases": len(releases),
            "runs": run_values(runs, releases),
            "refusals": refusal_values(refusals),
            "waiting_for_approval": [held.number for held in waiting],
            "warnings": soon,
        },
        parts=[
            "" if membership is None else membership.words,
            "A process serves this node."
            if served
            else "No process serves this node now: fedseg-node serve.",
            _in_force_words(in_force),
            *run_words(runs, releases),
            *refusal_words(refusals),
            *held_words(waiting, at),
        ],
        warnings=soon,
    )


def _in_force_words(in_force: Sequence[Agreement]) -> str:
    if not in_force:
        return "No agreement is in force here."
    named = (f"agreement {one.id}, version {one.version}" for one in in_force)
    return f"In force: {'; '.join(named)}."
