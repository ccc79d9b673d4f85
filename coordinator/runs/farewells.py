"""How a run ended, for partners that do not know it yet.

A partner that was away when a run ended keeps the run's keys and lacks its release. It is told
when its node answers again: in the next run, before anything else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.runs.exchange import Reply
from coordinator.runs.refusals import PASSING
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.records import FINISHED, RunRow
from protocol.agreement.document import Agreement
from protocol.errors import RemoteProtocolError, StoreError
from protocol.messages import Ack, Publish, Stop, sign_request
from protocol.participants import Members
from protocol.release.document import SignedRelease

logger = logging.getLogger(__name__)

#: The reason that a node is given when a run goes on, or ended, without its partner.
LEFT_OUT: Final = "E-LEFT-OUT"
#: Runs that ended longer ago are not told of any more.
MOST_RUNS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Farewell:
    """A request that says how a run ended, and to whom."""

    node: int
    run_id: bytes
    partner: int


class Farewells:
    """Tells partners how runs ended, and keeps who has taken note.

    Args:
        push: Sends a message to a node; returns the carrier's handle.
    """

    def __init__(
        self,
        store: CoordinatorStore,
        key: Ed25519PrivateKey,
        agreement: Agreement,
        push: Callable[[int, bytes], str],
    ) -> None:
        self._store = store
        self._key = key
        self._agreement = agreement
        self._push = push
        self._open: dict[str, _Farewell] = {}
        self._taken: set[tuple[bytes, int]] = set()
        self._told_of_earlier_runs: set[tuple[int, int]] = set()

    @property
    def open(self) -> Set[str]:
        """Handles of those that nobody has answered yet."""
        return self._open.keys()

    def taken(self, run_id: bytes) -> Members:
        """Partners that have taken note of how a run ended."""
        return frozenset(partner for run, partner in self._taken if run == run_id)

    def bid(self, node: int, run_id: bytes, message: bytes, partner: int) -> str:
        """Tell a partner's node how a run ended; returns the handle of the message."""
        handle = self._push(node, message)
        self._open[handle] = _Farewell(node=node, run_id=run_id, partner=partner)
        return handle

    def tell_of_earlier_runs(self, node: int, partner: int) -> None:
        """Hand out releases of earlier runs, and their ends, that the partner does not know."""
        if (node, partner) in self._told_of_earlier_runs:
            return
        self._told_of_earlier_runs.add((node, partner))
        for run_id, message in self._of_earlier_runs(partner):
            self.bid(node, run_id, message, partner)

    def take(self, handle: str, reply: Reply) -> None:
        """Note that a partner knows how a run ended; a refusal for good is an answer too."""
        farewell = self._open.pop(handle)
        if reply.node != farewell.node:
            return
        if not is_taken(reply.message, reply.error or "", partner=farewell.partner):
            return
        self._taken.add((farewell.run_id, farewell.partner))
        self.acknowledge(farewell.run_id, farewell.partner)

    def acknowledge(self, run_id: bytes, partner: int) -> None:
        """Store that a partner knows how a run ended; where that fails, the next run tells it."""
        try:
            self._store.acknowledge(run_id, self._agreement.parties[partner].id)
        except StoreError as error:
            logger.warning("not noted: %s", error)

    def _of_earlier_runs(self, partner: int) -> Iterator[tuple[bytes, bytes]]:
        """Run id and signed request for each of the last runs whose end a partner does not know.

        A participant of a finished run gets its release, everybody else a STOP.
        """
        name = self._agreement.parties[partner].id
        for run in self._store.unacknowledged(self._agreement.hash, name, at_most=MOST_RUNS):
            yield run.run_id, sign_request(farewell_of(self._store, run, name), self._key)


def is_taken(message: bytes | None, code: str, *, partner: int) -> bool:
    """Whether a partner has taken note of how a run ended; a refusal for good is an answer too.

    Args:
        message: What its node answered; None where it refused.
        code: With which code it refused.
    """
    if message is None:
        return bool(code) and not code.startswith(PASSING)
    try:
        return Ack.from_bytes(message).partner == partner
    except RemoteProtocolError:
        return False


def farewell_of(store: CoordinatorStore, run: RunRow, name: str) -> Publish | Stop:
    """What a partner is told of a run that ended: the release that it is in, or else STOP."""
    if run.state != FINISHED:
        return Stop(run_id=run.run_id, reason=run.code)
    envelope = store.release(run.run_id)
    release = SignedRelease.from_bytes(envelope).release
    if name not in release.participants:
        return Stop(run_id=run.run_id, reason=LEFT_OUT)
    return Publish(run_hash=release.run_hash, release=envelope)
