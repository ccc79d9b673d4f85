"""What partners' nodes say of logs is passed on, and kept for the next run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from coordinator.runs.relay import Relay
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.told_of_logs import ToldOfLogs
from protocol.errors import StoreError
from protocol.log.beside import Cosigned, Passed, Told
from protocol.log.witness import Proof
from simulations.federation import Federation
from tests.federations import small_federation
from tests.store_servers import StorePlace

TOLD = Told(
    note="a note",
    proofs=(Proof(1), Proof(2)),
    cosigned=(Cosigned(party="partner-0", size=1, root=bytes(32), time=7, signature=bytes(64)),),
)


@pytest.fixture(scope="module")
def federation() -> Federation:
    return small_federation()


@pytest.fixture
def store(store_place: StorePlace) -> Iterator[CoordinatorStore]:
    with closing(store_place.open()) as found:
        yield found


def test_it_goes_to_nodes_that_sent_some_and_to_no_others(
    federation: Federation, store: CoordinatorStore
) -> None:
    relay = Relay(store, federation.agreement)
    relay.take(11, 1, TOLD.to_bytes())
    assert relay.beside(10, 0) == b"", "it may be of an earlier version"
    relay.take(10, 0, replace(TOLD, cosigned=()).to_bytes())
    passed = Passed.from_bytes(relay.beside(10, 0))
    assert [(one.party, one.note, one.proof) for one in passed.shown] == [
        ("partner-1", "a note", None)
    ]
    assert [one.party for one in passed.cosigned] == ["partner-1"]
    assert relay.beside(10, None) == b""
    relay.take(10, 0, b"")
    assert relay.beside(10, 0) == b"", "nor after it answered without, or refused"


def test_the_next_run_begins_with_what_was_said_in_the_last(
    federation: Federation, store: CoordinatorStore
) -> None:
    relay = Relay(store, federation.agreement)
    relay.take(11, 1, TOLD.to_bytes())
    relay.take(12, None, TOLD.to_bytes())
    relay.save()
    assert ToldOfLogs(store).all(federation.agreement.id) == {"partner-1": TOLD.to_bytes()}
    assert ToldOfLogs(store).all("other") == {}
    after = Relay(store, federation.agreement)
    after.take(10, 0, Told().to_bytes())
    assert [one.party for one in Passed.from_bytes(after.beside(10, 0)).shown] == ["partner-1"]


def test_what_has_another_form_is_passed_over(
    federation: Federation, store: CoordinatorStore
) -> None:
    relay = Relay(store, federation.agreement)
    relay.take(11, 1, TOLD.to_bytes())
    relay.take(11, 1, b"{}")
    relay.take(10, 0, b"no JSON")
    relay.save()
    assert list(ToldOfLogs(store).all(federation.agreement.id).values()) == [TOLD.to_bytes()]
    assert len(Passed.from_bytes(relay.beside(10, 0)).shown) == 1


def test_a_store_that_takes_nothing_costs_no_run(
    federation: Federation, store: CoordinatorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = Relay(store, federation.agreement)
    relay.take(11, 1, TOLD.to_bytes())
    with monkeypatch.context() as patch:

        def refuse(*_: object) -> None:
            raise StoreError("no room")

        patch.setattr(ToldOfLogs, "save", refuse)
        relay.save()
    relay.save()
    assert list(ToldOfLogs(store).all(federation.agreement.id)) == ["partner-1"]
