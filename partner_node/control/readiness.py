"""Readiness: what a preflight found goes to the coordinator as codes, for each agreement in force.

It says how a node stands, PASSED or codes, and nothing of why; see `protocol.control.readiness` for
the codes, and for what stands for all that may hang on a single customer.
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import closing
from datetime import UTC, datetime
from importlib import metadata
from typing import Final

from partner_node.control.belonging import open_channel
from partner_node.control.channel import Channel
from partner_node.control.in_force import for_each_in_force, sound_in_force, where_known
from partner_node.home import NodeHome
from partner_node.preflight import Report, preflight
from partner_node.store.heard import LINK, HeardRecords
from partner_node.store.node_store import NodeStore
from partner_node.store.readiness import Readiness, ReadinessRecords
from partner_node.store.records import EgressRecord
from partner_node.store.times import moment, stamp
from protocol.agreement.document import Agreement
from protocol.control.calls import READINESS
from protocol.control.readiness import OF_THE_WAY, told_codes
from protocol.control.v1.control_pb2 import ReadinessReply, ReadinessRequest
from protocol.errors import FedsegError

logger = logging.getLogger(__name__)

_DISTRIBUTION: Final = "fedseg"
#: Checks of `preflight` that read customers, or what customers said.
_READ_CUSTOMERS: Final = ("data", "consent")


def check_readiness(home: NodeHome) -> None:
    """Run the preflight and keep what it found for every agreement in force; nothing leaves."""
    if sound_in_force(home):
        now = datetime.now(UTC)
        note_readiness(home, preflight(home.directory, now=now), now=now)


def note_readiness(home: NodeHome, report: Report, *, now: datetime) -> None:
    """Keep what a preflight found of every agreement in force, as the codes that may be told."""

    def note(agreement: Agreement) -> None:
        _note(home, agreement, report.about(agreement.id), now=now)

    for_each_in_force(home, note)


def _note(home: NodeHome, agreement: Agreement, report: Report, *, now: datetime) -> None:
    failed = [(item.name, item.problem.code) for item in report.items if item.problem is not None]
    codes = told_codes(
        [code for name, code in failed if name not in _READ_CUSTOMERS],
        about_customers=[code for name, code in failed if name in _READ_CUSTOMERS],
        noised=agreement.privacy is not None,
    )
    with closing(home.store(home.keystore())) as store:
        ReadinessRecords(store).note(agreement.hash, codes, now=stamp(now))


def unchecked(home: NodeHome) -> set[bytes]:
    """The hashes of agreements in force under which nothing was ever checked."""
    with closing(home.store(home.keystore())) as store:
        records = ReadinessRecords(store)
        return {one.hash for one in sound_in_force(home) if records.of(one.hash) is None}


def reached_since(home: NodeHome) -> bool:
    """Whether the last check did not reach the coordinator, and the link has reached it since."""
    with closing(home.store(home.keystore())) as store:
        link, records = HeardRecords(store).all().get(LINK), ReadinessRecords(store)
        found = [records.of(one.hash) for one in sound_in_force(home)]
    if link is None or not link.reached:
        return False
    return any(
        one is not None
        and not OF_THE_WAY.isdisjoint(one.codes)
        and moment(link.since) >= moment(one.checked_at)
        for one in found
    )


def tell_readiness(home: NodeHome, channel: Channel) -> None:
    """Tell the coordinator what it does not know yet of each agreement in force.

    Raises:
        FedsegError: It is not reached; or refuses for one agreement, after it was told the rest.
    """
    with closing(home.store(home.keystore())) as store:
        for_each_in_force(home, lambda one: _tell(store, channel, one.hash))


def told_now(home: NodeHome) -> bool:
    """Tell it by a connection of its own; False where it will be told later, by a serving node."""
    if home.config.coordinator.control is None:
        return False
    try:
        with open_channel(home, retries=False) as channel:
            tell_readiness(home, channel)
    except FedsegError as error:
        logger.info("control: readiness is not told yet: %s", error)
        return False
    return True


def _tell(store: NodeStore, channel: Channel, agreement_hash: bytes) -> None:
    """Tell what is known under one agreement, unless it was told or nothing was checked."""
    records = ReadinessRecords(store)
    found = records.of(agreement_hash)
    if found is None or found.told:
        return
    _send(store, channel, found)
    records.note_told(found)


def _send(store: NodeStore, channel: Channel, found: Readiness) -> None:
    request = ReadinessRequest(
        hash=found.agreement_hash,
        codes=found.codes,
        since=int(moment(found.since).timestamp()),
        version=metadata.version(_DISTRIBUTION),
    )
    data = request.SerializeToString()
    with store.transaction():  # before it leaves, like everything that hangs on customers
        store.save_egress(
            EgressRecord(
                at=stamp(datetime.now(UTC)),
                run_id=b"",
                what=f"READINESS: {', '.join(found.codes) or 'PASSED'}",
                round=-1,
                n_bytes=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
                customers=None,
            )
        )
    with where_known():  # where it is not, nothing is told before the next check
        channel.call(READINESS, request, ReadinessReply)
