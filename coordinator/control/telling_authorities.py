"""Telling nodes which authorities to trust for the public ports' certificate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from coordinator.control.authorities import StatedAuthorities
from coordinator.control.callers import Caller
from coordinator.control.guard import parsed
from coordinator.store.coordinator_store import CoordinatorStore
from protocol.control.authorities import MAX_NUMBER, Authorities
from protocol.control.v1.control_pb2 import AuthoritiesReply, AuthoritiesRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldAuthorities:
    """Answers nodes that joined, and those that join.

    Attributes:
        file: The authority's certificates where nothing was stated, PEM.
        chain: The certificate that the ports show now, and those in between.
    """

    store: CoordinatorStore
    file: Path
    chain: Callable[[], Sequence[x509.Certificate]]

    def authorities(self, caller: Caller, request: bytes) -> AuthoritiesReply:
        """What was stated since the number that the caller has, which is noted."""
        has = parsed(AuthoritiesRequest, request).number
        StatedAuthorities(self.store).note_taken(caller.node_key, min(has, MAX_NUMBER))
        told = self._told()
        later = told is not None and has < told.number
        return AuthoritiesReply(envelope=told.to_bytes() if told is not None and later else b"")

    def pem(self) -> bytes:
        """What a node is to trust that joins now."""
        told = self._told()
        return self.file.read_bytes() if told is None else told.pem

    def _told(self) -> Authorities | None:
        """The last statement; None while it would cut nodes off, as the port shows another's."""
        newest = StatedAuthorities(self.store).newest()
        return newest if newest is not None and newest.certify(self.chain()) else None
