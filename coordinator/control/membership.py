"""What nodes that joined ask: where they stand, and for a new certificate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from coordinator.control.announcements import Announcements
from coordinator.control.authority import NodesAuthority
from coordinator.control.callers import Caller, Who
from coordinator.control.enrolment import certificate_for
from coordinator.control.guard import parsed
from coordinator.control.nodes import EnrolledNodes
from coordinator.store.coordinator_store import CoordinatorStore
from protocol.control.v1.control_pb2 import (
    RenewReply,
    RenewRequest,
    StandingReply,
    StandingRequest,
)

#: Letters of a version that are kept.
_MAX_VERSION: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """Answers nodes that joined."""

    store: CoordinatorStore
    authority: NodesAuthority
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def standing(self, caller: Caller, request: bytes) -> StandingReply:
        """Whether the node is admitted; notes that it was here."""
        asked, now = parsed(StandingRequest, request), self.clock()
        EnrolledNodes(self.store).note_seen(
            caller.node_key, version=kept_version(asked.version), now=now
        )
        return StandingReply(
            standing=StandingReply.ADMITTED
            if caller.who is Who.ADMITTED
            else StandingReply.WAITING,
            announced=Announcements(self.store).last(),
            clock_ms=round(1_000 * now.timestamp()),
        )

    def renew(self, caller: Caller, request: bytes) -> RenewReply:
        """Certify an admitted node's key anew; the certificate before stays good until its end."""
        parsed(RenewRequest, request)
        now = self.clock()
        return RenewReply(certificate=certificate_for(self.store, caller, self.authority, now=now))


def kept_version(said: str) -> str:
    """What is kept of a version that a node says: a short line that hides nothing.

    >>> kept_version("1.2.3\\x1b[2J" + "9" * 90)
    '1.2.3[2J99999999999999999999999999999999'
    """
    return "".join(c for c in said if c.isascii() and c.isprintable())[:_MAX_VERSION]
