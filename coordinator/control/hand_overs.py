"""Hand-overs of keys online: a node sends its own, and is told those that concern it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from coordinator.control.callers import Caller
from coordinator.control.guard import RefusedError, parsed
from coordinator.control.taking_hand_overs import keep_hand_over, told_to
from coordinator.store.coordinator_store import CoordinatorStore
from machine.logs import alike
from protocol.agreement.hand_over import HandOver
from protocol.control.v1.control_pb2 import (
    HandOverReply,
    HandOverRequest,
    HandOversReply,
    HandOversRequest,
)
from protocol.errors import AgreementError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOver:
    """Answers admitted nodes.

    Attributes:
        own_key: The coordinator's key in force, 32 bytes.
    """

    store: CoordinatorStore
    own_key: bytes
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def hand_over(self, caller: Caller, request: bytes) -> HandOverReply:
        """Keep the caller's hand-over.

        Raises:
            RefusedError: It is not of the caller's key (E-KEY-PARTY).
            AgreementError: It does not hold, or does not go with those that are known.
        """
        one = HandOver.from_bytes(parsed(HandOverRequest, request).envelope)
        if one.partner != caller.partner:
            raise RefusedError("a hand-over of another's key", code="E-KEY-PARTY")
        try:
            keep_hand_over(self.store, one, own_key=self.own_key, now=self.clock())
        except AgreementError as error:  # the caller learns a code alone; people read it here
            logger.warning(
                "control: a hand-over that %s sent: %s", caller.partner, error,
                extra=alike(caller.partner, error.code),
            )  # fmt: skip
            raise
        return HandOverReply()

    def hand_overs(self, caller: Caller, request: bytes) -> HandOversReply:
        """Those that concern the caller, in the order in which they came."""
        parsed(HandOversRequest, request)
        found = told_to(self.store, caller.partner)
        return HandOversReply(envelopes=[one.to_bytes() for one in found])
