"""Hand-overs of keys online: a node sends its own, and takes those of whoever concerns it."""

from __future__ import annotations

import logging
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from partner_node.control.belonging import open_channel
from partner_node.control.channel import Channel
from partner_node.control.in_force import where_known
from partner_node.control.one_by_one import one_by_one
from partner_node.control.refusals import refusal
from partner_node.handing_over import take_up
from partner_node.home import NodeHome
from partner_node.store.refused_hand_overs import RefusedHandOvers
from partner_node.store.times import moment, stamp
from protocol.agreement.hand_over import HandOver
from protocol.control.calls import HAND_OVER, HAND_OVERS
from protocol.control.v1.control_pb2 import (
    HandOverReply,
    HandOverRequest,
    HandOversReply,
    HandOversRequest,
)
from protocol.errors import RuleError

logger = logging.getLogger(__name__)

_AGAIN_AFTER: Final = timedelta(days=1)
#: Codes that say what is wrong with a hand-over, not with its sender.
_OF_HAND_OVERS: Final = ("E-KEY-", "E-HAND-OVER")


def send_own(home: NodeHome) -> None:
    """Send this node's hand-overs to the coordinator, which hands them on.

    Raises:
        FedsegError: It is not reached or refuses. A node that serves sends them again.
    """
    with open_channel(home) as channel:
        exchange_hand_overs(home, channel, now=datetime.now(UTC), at_once=True)


def exchange_hand_overs(
    home: NodeHome, channel: Channel, *, now: datetime, at_once: bool = False
) -> None:
    """Take those that concern this node, and send its own where the coordinator lacks them.

    Its own are those that lead to the key in force. What the coordinator refused is on record, and
    sent again after a day: people may have settled it meanwhile.

    Args:
        at_once: Whether what was refused is sent again now.

    Raises:
        AgreementError: One that was told does not hold, or does not go with those that are known
            here; the others are kept, and this node's own are sent.
        RuleError: The coordinator refuses, or refused, this node's own. People have to find out
            why.
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
            own = home.hand_overs.load().to_key(home.keystore().identity_public)
            there, since = {one.hash for one in told}, now if at_once else now - _AGAIN_AFTER
            with closing(home.store(home.keystore())) as store:
                one_by_one(
                    partial(_send, channel, RefusedHandOvers(store), one, now=now, since=since)
                    for one in own
                    if one.hash not in there
                )
                for one in own:
                    if one.hash in there:
                        RefusedHandOvers(store).forget_sent(one)

        # What is refused here first: where there are two from one key, that names both.
        one_by_one((read, take, send))


def _read(data: bytes, told: list[HandOver]) -> None:
    told.append(HandOver.from_bytes(data))


def _send(
    channel: Channel, refused: RefusedHandOvers, one: HandOver, *, now: datetime, since: datetime
) -> None:
    """Send one, unless it was refused after `since`; raises RuleError where it is or was.

    A refusal that is to come was noted under a clock that was ahead, and keeps nothing back.
    """
    before = refused.sent(one)
    if before is not None and since < moment(before.refused_at) <= now:
        raise refusal(HAND_OVER, before.code, fallback="")
    try:
        channel.call(HAND_OVER, HandOverRequest(envelope=one.to_bytes()), HandOverReply)
    except RuleError as error:
        if error.code.startswith(_OF_HAND_OVERS):
            refused.note_sent(one, error, now=stamp(now))
        raise
    refused.forget_sent(one)
    logger.info("control: sent %s", one.words)
