"""Releases of runs at whose end this node was away.

They come as the request that ends a run, and are answered by whatever answers requests of runs: it
checks the signatures, keeps the release, and what it replies passes the egress gate.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from partner_node.control.channel import Channel
from partner_node.control.in_force import for_each_in_force, where_known
from partner_node.control.one_by_one import one_by_one
from partner_node.home import NodeHome
from protocol.agreement.document import Agreement
from protocol.control.calls import ACKNOWLEDGE, RELEASE, RELEASES
from protocol.control.v1.control_pb2 import (
    AcknowledgeReply,
    AcknowledgeRequest,
    ReleaseReply,
    ReleaseRequest,
    ReleasesReply,
    ReleasesRequest,
)

logger = logging.getLogger(__name__)

#: Answers a request of a run: with a reply, or with the code of a refusal.
Answer = Callable[[bytes], tuple[bytes | None, str]]


def take_releases(home: NodeHome, channel: Channel, answer: Answer) -> None:
    """Take the releases that the coordinator does not know this node to have.

    Raises:
        FedsegError: The coordinator is not reached, or refuses; what it does not refuse is taken.
    """
    for_each_in_force(home, partial(_take, channel, answer))


def _take(channel: Channel, answer: Answer, agreement: Agreement) -> None:
    runs: list[bytes] = []
    with where_known():
        request = ReleasesRequest(hash=agreement.hash)
        runs.extend(channel.call(RELEASES, request, ReleasesReply).runs)
    one_by_one(partial(_take_one, channel, answer, run) for run in runs)


def _take_one(channel: Channel, answer: Answer, run: bytes) -> None:
    told = channel.call(RELEASE, ReleaseRequest(run=run), ReleaseReply)
    reply, code = answer(told.message)
    channel.call(
        ACKNOWLEDGE,
        AcknowledgeRequest(run=run, reply=reply or b"", code=code),
        AcknowledgeReply,
    )
    outcome = f"is refused: {code}" if code else "was received"
    logger.info("control: the release of run %s %s", run.hex()[:8], outcome)
