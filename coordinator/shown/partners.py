"""`partner list`: how each partner stands, and how ready it is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from coordinator.control.authorities import outstanding
from coordinator.control.standing import PartnerStanding, standings
from coordinator.shown.diligence import is_of_another_key
from coordinator.store.admitted_nodes import AdmittedNodes, key_end
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.diligence import Diligence
from coordinator.store.hand_overs import KeptHandOvers
from machine.shown import Shown
from machine.tables import Table
from machine.text import minute
from protocol.agreement.document import time_text


def partners_shown(store: CoordinatorStore, *, coordinator_key: bytes, now: datetime) -> Shown:
    """Who is invited, joined and admitted, with short codes, and who is ready.

    Args:
        coordinator_key: The public key of the coordinator, which short codes follow from.
    """
    admitted = AdmittedNodes(store).key_of_partner()
    found = standings(store, coordinator_key=coordinator_key, now=now)
    records = Diligence(store).newest()
    replaced = {one.partner: one for one in KeptHandOvers(store).load()}  # the last of each
    rows, until_of = [], []
    for one in found:
        record = records.get(one.partner)
        if record is not None and is_of_another_key(store, record, now):
            record = None
        until_of.append("" if record is None else f"{record.expires:%Y-%m-%d}")
        until = None if record is None else time_text(record.expires)
        at = replaced[one.partner].at if one.partner in replaced else None
        rows.append(one.to_dict() | {"diligence_until": until, "key_handed_over_at": at})
    return Shown(
        values={"admitted": admitted, "partners": rows},
        parts=[
            _standing_table(found),
            *_readiness_table(found),
            *_node_table(found, until_of),
            _trust_words(store),
            *(
                f"{one.partner} handed its signing key over, last at {minute(one.at)}: `key show`."
                for one in replaced.values()
                if one.partner
            ),
        ],
    )


def _standing_table(found: Sequence[PartnerStanding]) -> Table:
    """What an operator looks for first; a code that is compared over the telephone is one word."""
    table = Table("partner", "stands")
    table.add_column("code", no_wrap=True)
    table.add_column("seen last")
    table.add_column("version")
    for one in found:
        until = f", until {minute(one.expires_at)}" if one.expires_at else ""
        table.add_row(one.partner, one.state + until, one.code, _seen_words(one), one.version)
    return table


def _node_table(found: Sequence[PartnerStanding], until_of: Sequence[str]) -> list[object]:
    """Keys of nodes, and until when certificates and records of due diligence hold."""
    table = Table(
        "partner", "node key", "certificate until", "diligence until", title="Nodes and records"
    )
    for one, until in zip(found, until_of, strict=True):
        key = key_end(one.node_key) if one.node_key else ""
        if key or until:
            table.add_row(one.partner, key, one.certificate_until[:10], until)
    return [table] if table.rows else []


def _trust_words(store: CoordinatorStore) -> str:
    """Who has not taken the authorities that nodes are told to trust; empty where all have."""
    left = outstanding(store).all
    return (
        f"The authorities that nodes are told to trust are not taken by {', '.join(left)}: "
        "`certificate show`."
        if left
        else ""
    )


def _readiness_table(found: Sequence[PartnerStanding]) -> list[object]:
    table = Table("partner", "agreement", "ready", "since", "told last", title="Readiness")
    for one in found:
        for agreement, row in one.readiness:
            table.add_row(
                one.partner,
                f"{agreement.id}, version {agreement.version}",
                row.words,
                minute(row.since),
                minute(row.told_at),
            )
    return [table] if table.rows else []


def _seen_words(one: PartnerStanding) -> str:
    if one.listens:
        return "listens now"
    return minute(one.seen_at) if one.seen_at else ""
