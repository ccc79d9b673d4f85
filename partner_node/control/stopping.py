"""Signed stops online: a node sends its own, and takes those of the other partners."""

from __future__ import annotations

import logging
from contextlib import closing
from datetime import UTC, datetime
from functools import partial

from partner_node.agreeing import note_stop
from partner_node.control.belonging import open_channel
from partner_node.control.channel import Channel
from partner_node.control.in_force import for_each_in_force
from partner_node.control.one_by_one import one_by_one
from partner_node.home import NodeHome
from partner_node.store.waiting import WaitingVersions
from protocol.agreement.document import Agreement
from protocol.agreement.stop import SignedStop
from protocol.control.calls import STOP, STOPS
from protocol.control.v1.control_pb2 import StopReply, StopRequest, StopsReply, StopsRequest
from protocol.errors import RuleError
from protocol.signed_agreement import SignedAgreement

logger = logging.getLogger(__name__)


def send_stop(home: NodeHome, signed: SignedStop) -> None:
    """Send this node's stop to the coordinator, which ends runs and hands it on.

    Raises:
        FedsegError: It is not reached or refuses. A node that serves sends it again.
    """
    with open_channel(home) as channel:
        channel.call(STOP, StopRequest(envelope=signed.to_bytes()), StopReply)


def exchange_stops(home: NodeHome, channel: Channel) -> None:
    """Take stops of what is in force or waits, and send this node's if the coordinator lacks them.

    Raises:
        RuleError: One does not hold, as no partner signed it, the coordinator refuses one, or an
            agreement is in a bad way; the others are exchanged.
    """
    with closing(home.store(home.keystore())) as store:
        coming = WaitingVersions(store).all()
    one_by_one(
        (
            partial(for_each_in_force, home, partial(_exchange, home, channel)),
            *(partial(_exchange_coming, home, channel, one) for one in coming),
        )
    )


def _exchange_coming(home: NodeHome, channel: Channel, waiting: SignedAgreement) -> None:
    _exchange(home, channel, home.with_keys(waiting).agreement)


def _exchange(home: NodeHome, channel: Channel, agreement: Agreement) -> None:
    try:
        reply = channel.call(STOPS, StopsRequest(hash=agreement.hash), StopsReply)
    except RuleError as error:
        if error.code != "E-PROPOSAL":
            raise
        return  # it came as a file, and the coordinator has not published it
    store = home.store(home.keystore())
    known = {stop.partner: stop for stop in store.stops_of(agreement.hash)}
    store.close()
    told: set[str] = set()

    def take(envelope: bytes) -> None:
        stop = _checked(envelope, agreement)
        told.add(stop.partner)
        if stop.partner not in known:
            note_stop(home, stop, datetime.now(UTC))
            logger.info("control: %s", stop.refusal(agreement).message)

    def send_own() -> None:
        own = known.get(home.config.node.partner)
        if own is not None and own.partner not in told:
            channel.call(STOP, StopRequest(envelope=own.to_bytes()), StopReply)
            logger.info("control: the stop of agreement %s was sent", agreement.id)

    one_by_one((*(partial(take, envelope) for envelope in reply.envelopes), send_own))


def _checked(envelope: bytes, agreement: Agreement) -> SignedStop:
    stop = SignedStop.from_bytes(envelope)
    stop.verify(agreement)
    return stop
