"""Builds online: proposed to the parties of an agreement, and signed by them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from coordinator.control.callers import Caller
from coordinator.control.guard import RefusedError, parsed
from coordinator.control.parties import agreement_of
from coordinator.control.taking_builds import keep_build
from coordinator.store.added_builds import AddedBuilds
from coordinator.store.coordinator_store import CoordinatorStore
from protocol.control.v1.control_pb2 import (
    BuildsReply,
    BuildsRequest,
    SignBuildReply,
    SignBuildRequest,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Builds:
    """Answers admitted nodes, about published agreements to which they are parties."""

    store: CoordinatorStore
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def builds(self, caller: Caller, request: bytes) -> BuildsReply:
        """The builds of an agreement; raises RefusedError (E-PROPOSAL)."""
        agreement = agreement_of(self.store, caller, parsed(BuildsRequest, request).hash)
        found = AddedBuilds(self.store).of(agreement)
        return BuildsReply(envelopes=[one.to_bytes() for one in found])

    def sign(self, caller: Caller, request: bytes) -> SignBuildReply:
        """Keep the caller's signature.

        Raises:
            RefusedError: There is no such build for the caller (E-PROPOSAL).
            SignatureError: It is not the caller's signature over it.
        """
        asked = parsed(SignBuildRequest, request)
        agreement = agreement_of(self.store, caller, asked.hash)
        found = AddedBuilds(self.store).with_hash(agreement, asked.build)
        if found is None:
            raise RefusedError("no such build", code="E-PROPOSAL")
        index = next(i for i, p in enumerate(agreement.parties) if p.id == caller.partner)
        key = agreement.keys.of(index)
        signed = replace(found, envelope=found.envelope.with_signature(key, asked.signature))
        kept = keep_build(self.store, signed, agreement, now=self.clock())
        return SignBuildReply(complete=not kept.missing(agreement, kept=True))
