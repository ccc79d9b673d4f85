"""Taking what nodes say of how ready they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from coordinator.control.callers import Caller
from coordinator.control.guard import parsed
from coordinator.control.membership import kept_version
from coordinator.control.parties import agreement_of
from coordinator.control.readiness import ReadinessRecords, ReadinessRow
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.times import stamp
from protocol.control.readiness import CODES, known
from protocol.control.v1.control_pb2 import ReadinessReply, ReadinessRequest
from protocol.errors import MalformedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Takes what admitted nodes say, about agreements to which they are parties."""

    store: CoordinatorStore
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def readiness(self, caller: Caller, request: bytes) -> ReadinessReply:
        """Keep what a node says of itself.

        Raises:
            RefusedError: It is no agreement of the caller's (E-PROPOSAL).
            MalformedError: There are more codes than there can be.
        """
        said = parsed(ReadinessRequest, request)
        agreement = agreement_of(self.store, caller, said.hash)
        if len(said.codes) > len(CODES):
            raise MalformedError(f"{len(said.codes)} codes are more than there are")
        now = self.clock()
        since = datetime.fromtimestamp(min(said.since, int(now.timestamp())), UTC)
        ReadinessRecords(self.store).save(
            ReadinessRow(
                node_key=caller.node_key,
                agreement_hash=agreement.hash,
                codes=tuple(sorted(set(map(known, said.codes)))),
                since=stamp(since),
                told_at=stamp(now),
                version=kept_version(said.version),
            )
        )
        return ReadinessReply()
