"""Runs that ask something, and releases for partners that were away when theirs ended."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.control.announcements import RELEASED, RUN, Announcements
from coordinator.control.callers import Caller
from coordinator.control.guard import RefusedError, parsed
from coordinator.control.parties import agreement_of
from coordinator.runs.farewells import MOST_RUNS, farewell_of, is_taken
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.records import FINISHED, RunRow
from protocol.control.v1.control_pb2 import (
    AcknowledgeReply,
    AcknowledgeRequest,
    ReleaseReply,
    ReleaseRequest,
    ReleasesReply,
    ReleasesRequest,
)
from protocol.errors import StoreError
from protocol.messages import Publish, sign_request


@dataclass(frozen=True, slots=True, kw_only=True)
class Releases:
    """Answers admitted nodes, about runs in whose release their partner took part.

    Attributes:
        key: The coordinator's Ed25519 key, with which requests of runs are signed.
    """

    store: CoordinatorStore
    key: Ed25519PrivateKey

    def releases(self, caller: Caller, request: bytes) -> ReleasesReply:
        """Runs whose release the caller may lack; raises RefusedError (E-PROPOSAL)."""
        agreement = agreement_of(self.store, caller, parsed(ReleasesRequest, request).hash)
        return ReleasesReply(runs=[run.run_id for run in _open(self.store, agreement.hash, caller)])

    def release(self, caller: Caller, request: bytes) -> ReleaseReply:
        """One release, in the request that a node gets at the end of a run.

        Raises:
            RefusedError: There is no such release for the caller (E-NO-RELEASE).
        """
        _, publish = self._publish(caller, parsed(ReleaseRequest, request).run)
        return ReleaseReply(message=sign_request(publish, self.key))

    def acknowledge(self, caller: Caller, request: bytes) -> AcknowledgeReply:
        """Note that a node has its release, or refuses it for good; as `release` otherwise."""
        said = parsed(AcknowledgeRequest, request)
        run, _ = self._publish(caller, said.run)
        names = [party.id for party in self.store.agreement(run.agreement_hash).parties]
        if is_taken(said.reply or None, said.code, partner=names.index(caller.partner)):
            self.store.acknowledge(run.run_id, caller.partner)
        return AcknowledgeReply()

    def _publish(self, caller: Caller, run_id: bytes) -> tuple[RunRow, Publish]:
        try:
            run = self.store.run(run_id)
            agreement_of(self.store, caller, run.agreement_hash)
            farewell = farewell_of(self.store, run, caller.partner) if run.ended else None
        except (StoreError, RefusedError):
            farewell = None
        if not isinstance(farewell, Publish):
            raise RefusedError("no such release for this partner", code="E-NO-RELEASE")
        return run, farewell


def announce_release(store: CoordinatorStore, run_id: bytes) -> None:
    """Wake the participants of a finished run that do not have its release yet."""
    run = store.run(run_id)
    lacking = [
        party.id
        for party in store.agreement(run.agreement_hash).parties
        if isinstance(farewell_of(store, run, party.id), Publish)
        and not store.has_acknowledged(run_id, party.id)
    ]
    with store.transaction():
        Announcements(store).add(RELEASED, lacking, run.agreement_hash)


def announce_run(store: CoordinatorStore, run_id: bytes) -> None:
    """Wake the parties of a run that goes on: it asks something of them."""
    run = store.run(run_id)
    parties = [party.id for party in store.agreement(run.agreement_hash).parties]
    with store.transaction():
        Announcements(store).add(RUN, parties, run.agreement_hash)


def _open(store: CoordinatorStore, agreement_hash: bytes, caller: Caller) -> list[RunRow]:
    """Runs whose release a caller may lack, oldest first."""
    return [
        run
        for run in store.unacknowledged(agreement_hash, caller.partner, at_most=MOST_RUNS)
        if run.state == FINISHED and isinstance(farewell_of(store, run, caller.partner), Publish)
    ]
