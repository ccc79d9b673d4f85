"""How a run ended, for partners that do not know it yet.

A partner that was away when a run ended keeps the run's keys and lacks its release. It is told
when its node answers again: in the next run, before anything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.records import FINISHED, RunRow
from protocol.agreement.document import Agreement
from protocol.messages import Publish, Stop, sign_request
from protocol.release.document import SignedRelease

#: The reason that a node is given when a run goes on, or ended, without its partner.
LEFT_OUT: Final = "E-LEFT-OUT"
#: Runs that ended longer ago are not told of any more.
_MOST_RUNS: Final = 8


def farewells(
    store: CoordinatorStore, key: Ed25519PrivateKey, agreement: Agreement, partner: int
) -> Iterator[tuple[bytes, bytes]]:
    """Run id and signed request for each of the last runs whose end a partner does not know.

    A participant of a finished run gets its release, everybody else a STOP.
    """
    name = agreement.parties[partner].id
    for run in store.unacknowledged(agreement.hash, name, at_most=_MOST_RUNS):
        yield run.run_id, sign_request(_farewell(store, run, name), key)


def _farewell(store: CoordinatorStore, run: RunRow, name: str) -> Publish | Stop:
    if run.state != FINISHED:
        return Stop(run_id=run.run_id, reason=run.code)
    envelope = store.release(run.run_id)
    release = SignedRelease.from_bytes(envelope).release
    if name not in release.participants:
        return Stop(run_id=run.run_id, reason=LEFT_OUT)
    return Publish(run_hash=release.run_hash, release=envelope)
