"""Hand-overs of keys online: a node sends its own, and takes those of whoever concerns it."""

from __future__ import annotations

import logging
from functools import partial

from partner_node.control.belonging import open_channel
from partner_node.control.channel import Channel
from partner_node.control.in_force import where_known
from partner_node.control.one_by_one import one_by_one
from partner_node.handing_over import take_up
from partner_node.home import NodeHome
from protocol.agreement.hand_over import HandOver
from protocol.control.calls import HAND_OVER, HAND_OVERS
from protocol.control.v1.control_pb2 import (
    HandOverReply,
    HandOverRequest,
    HandOversReply,
    HandOversRequest,
)

logger = logging.getLogger(__name__)


def send_own(home: NodeHome) -> None:
    """Send this node's hand-overs to the coordinator, which hands them on.

    Raises:
        FedsegError: It is not reached or refuses. A node that serves sends them again.
    """
    with open_channel(home) as channel:
        exchange_hand_overs(home, channel)


def exchange_hand_overs(home: NodeHome, channel: Channel) -> None:
    """Take those that concern this node, and send its own where the coordinator lacks them.

    Raises:
        AgreementError: One that was told does not hold, or does not go with those that are known
            here; the others are kept, and this node's own are sent.
        RuleError: The coordinator refuses this node's own. People have to find out why.
    """
    with where_known():
        reply = channel.call(HAND_OVERS, HandOversRequest(), HandOversReply)
        told: list[HandOver] = []

        def read() -> None:
            one_by_one(partial(_read, data, told) for data in reply.envelopes)

        def take() -> None:
            for one in take_up(home, told):
                logger.warning("control: took up %s", one.words)

        def send() -> None:
            _send_lacking(home, channel, {one.hash for one in told})

        # What is refused here first: where there are two from one key, that names both.
        one_by_one((read, take, send))


def _read(data: bytes, told: list[HandOver]) -> None:
    told.append(HandOver.from_bytes(data))


def _send_lacking(home: NodeHome, channel: Channel, told: set[bytes]) -> None:
    def send(one: HandOver) -> None:
        channel.call(HAND_OVER, HandOverRequest(envelope=one.to_bytes()), HandOverReply)
        logger.info("control: sent %s", one.words)

    own = [one for one in home.hand_overs.load() if one.partner == home.config.node.partner]
    one_by_one(partial(send, one) for one in own if one.hash not in told)
