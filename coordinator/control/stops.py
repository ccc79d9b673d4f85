"""Partners' signed stops online: taken, and handed on to the other parties."""

from __future__ import annotations

from dataclasses import dataclass

from coordinator.control.callers import Caller
from coordinator.control.guard import RefusedError, parsed
from coordinator.control.published import published_to
from coordinator.control.taking_stops import take_stop
from coordinator.store.coordinator_store import CoordinatorStore
from protocol.agreement.stop import SignedStop
from protocol.control.v1.control_pb2 import StopReply, StopRequest, StopsReply, StopsRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Stops:
    """Answers admitted nodes, about agreements to which they are parties."""

    store: CoordinatorStore

    def stop(self, caller: Caller, request: bytes) -> StopReply:
        """Take the caller's stop; also again, as an answer can be lost.

        Raises:
            AgreementError: It does not hold.
            RefusedError: It is another partner's, or of no agreement of the caller's (E-PROPOSAL).
        """
        stop = SignedStop.from_bytes(parsed(StopRequest, request).envelope)
        published_to(caller, stop.agreement_hash, self.store)
        if stop.partner != caller.partner:
            raise RefusedError("a stop is sent by the partner that signed it", code="E-PROPOSAL")
        if stop.to_bytes() not in self.store.stops_of(stop.agreement_hash):
            take_stop(self.store, stop)
        return StopReply()

    def stops(self, caller: Caller, request: bytes) -> StopsReply:
        """The stops of an agreement; raises RefusedError (E-PROPOSAL)."""
        agreement = published_to(caller, parsed(StopsRequest, request).hash, self.store)
        return StopsReply(envelopes=self.store.stops_of(agreement.hash))
