"""A run's life: whatever dies when, another process goes on with it or it ends with a reason."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection, Mapping
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from coordinator.patience import Patience
from coordinator.runs import life
from coordinator.runs.exchange import Reply
from coordinator.runs.life import execute, run_lock, serve_lock
from coordinator.runs.remedies import remedy_for
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.records import FAILED, FINISHED, RUNNING
from protocol.errors import RunFailedError, StoreError, TransportError
from protocol.messages import Announce, open_request
from protocol.release.document import SignedRelease
from simulations.federation import FeatureTerms, Federation, MemoryExchange
from tests.federations import small_federation

FEATURES = [FeatureTerms(name="visits", min="0", max="10")]


class Killed(BaseException):
    """The driver's process is gone, whatever it was about to do."""


class NotingExchange(MemoryExchange):
    """Notes every reply by node and by what it answers."""

    said: dict[tuple[int, bytes], set[bytes]]

    def _ask(self, node: int, request: bytes, beside: bytes) -> Reply | None:
        reply = super()._ask(node, request, beside)
        key = self.nodes_by_id[node].agreement.coordinator.public_key
        asked = open_request(request, coordinator_key=key)
        about = asked.context if isinstance(asked, Announce) else type(asked).__name__.encode()
        if reply is not None and reply.message is not None:
            self.said.setdefault((node, about), set()).add(reply.message)
        return reply


class DyingExchange(NotingExchange):
    """The driver dies at the n-th thing that happens between it and the nodes."""

    left: int

    def push(self, node: int, message: bytes, *, ttl_s: float, beside: bytes = b"") -> str:
        self.happen()
        handle = super().push(node, message, ttl_s=ttl_s, beside=beside)
        self.happen()
        return handle

    def pull(self, handles: Collection[str]) -> Mapping[str, Reply]:
        replies = super().pull(handles)
        if replies:
            self.happen()
        return replies

    def happen(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed


class Lab:
    """A federation whose coordinator keeps its state in a file, driver after driver."""

    def __init__(self, folder: Path, n: int = 3) -> None:
        data = [np.array([[1.0], [2.0], [8.0], [9.0]]) + i / 10 for i in range(n)]
        self.federation = Federation(
            data, FEATURES, n_clusters=2, seed=3, patience=Patience(grace_s=20, resend_s=2)
        )
        self.path = folder / "coordinator.db"
        self.run_id = os.urandom(16)
        self.said: dict[tuple[int, bytes], set[bytes]] = {}
        store = CoordinatorStore.in_file(self.path)
        store.add_agreement(self.federation.signed)
        store.request_run(self.run_id, self.federation.agreement)
        store.close()

    def drive(self, exchange: MemoryExchange | None = None) -> SignedRelease:
        """Drive the run in what could be a new process: nothing is shared but file and nodes."""
        store = CoordinatorStore.in_file(self.path)
        try:
            return execute(
                self.run_id,
                store=store,
                key=self.federation.coordinator_key,
                exchange=exchange or MemoryExchange(nodes_by_id=self.federation.nodes),
                patience=self.federation.patience,
                seed_of=self.federation.seed_of,
                clock=self.federation.clock.clock,
                sleep=self.federation.clock.sleep,
            )
        finally:
            store.close()

    def row(self) -> Any:
        store = CoordinatorStore.in_file(self.path)
        try:
            store.check()
            return store.run(self.run_id)
        finally:
            store.close()

    def exchange(self, **options: Any) -> NotingExchange:
        """An exchange that shares its notes with the others of this lab."""
        found = NotingExchange(nodes_by_id=self.federation.nodes, **options)
        found.said = self.said
        return found

    def dying(self, moment: int, **options: Any) -> DyingExchange:
        """An exchange at whose `moment`-th event the driver dies."""
        found = DyingExchange(nodes_by_id=self.federation.nodes, **options)
        found.said, found.left = self.said, moment
        return found

    def check_replies(self) -> None:
        """One reply to one question: a second mask over another answer would open both."""
        assert len(self.said) > 10
        assert {len(replies) for replies in self.said.values()} == {1}


def count_of_events(folder: Path) -> int:
    lab = Lab(folder)
    exchange = lab.dying(1 << 30)
    lab.drive(exchange)
    return (1 << 30) - exchange.left


@pytest.mark.slow
def test_a_driver_killed_at_every_single_moment_is_continued_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    events = count_of_events(tmp_path / "first")
    assert events > 40
    releases = set()
    for moment in range(1, events + 1):
        folder = tmp_path / str(moment)
        folder.mkdir()
        lab = Lab(folder)
        with pytest.raises(Killed):
            lab.drive(lab.dying(moment))
        assert lab.row().state == RUNNING
        release = lab.drive(lab.exchange()).verify(lab.federation.agreement)
        assert release.participants == ("partner-0", "partner-1", "partner-2")
        assert (lab.row().state, lab.row().attempts) == (FINISHED, 2)
        lab.check_replies()
        releases.add(tuple((s.size, s.centre) for s in release.segments))
    assert len(releases) == 1


def test_drivers_that_die_one_after_the_other_bring_the_run_to_its_end(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    for attempt in range(1, 60):
        try:
            lab.drive(lab.dying(20)).verify(lab.federation.agreement)
        except Killed:
            assert lab.row().attempts == attempt
            continue
        break
    assert lab.row().state == FINISHED
    assert lab.row().attempts > 3


@pytest.mark.slow
def test_a_driver_killed_while_the_set_shrinks_is_continued(tmp_path: Path) -> None:
    for moment in range(70, 130, 7):
        folder = tmp_path / str(moment)
        folder.mkdir()
        lab = Lab(folder, n=9)

        def silent(node: int, message: bytes) -> bytes | None:
            return None if node >= 6 and b"fedseg/v1/announce" in message else message

        with pytest.raises(Killed):
            lab.drive(lab.dying(moment, tamper_request=silent))
        release = lab.drive(lab.exchange(tamper_request=silent)).verify(lab.federation.agreement)
        assert release.participants == tuple(f"partner-{i}" for i in range(6))
        lab.check_replies()


def test_inputs_of_a_finished_run_are_deleted_and_its_release_kept(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    masked: list[bytes] = []

    def note(node: int, message: bytes) -> bytes:
        if b"fedseg/v1/masked" in message:
            masked.append(message)
        return message

    release = lab.drive(MemoryExchange(nodes_by_id=lab.federation.nodes, tamper_reply=note))
    assert len(masked) >= 6
    store = CoordinatorStore.in_file(lab.path)
    assert store.inputs(lab.run_id) == []
    assert store.release(lab.run_id) == release.to_bytes()
    on_disk = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert not any(message[-80:-8] in on_disk for message in masked)
    store.close()


def test_an_ended_run_is_not_driven_again(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.drive()
    before = lab.row()
    with pytest.raises(RunFailedError, match="E-ENDED"):
        lab.drive()
    assert lab.row() == before


def test_a_carrier_that_is_gone_does_not_end_the_run(tmp_path: Path) -> None:
    lab = Lab(tmp_path)

    class Gone(MemoryExchange):
        def pull(self, handles: Collection[str]) -> Mapping[str, Reply]:
            raise TransportError("the SuperLink is gone")

    with pytest.raises(TransportError):
        lab.drive(Gone(nodes_by_id=lab.federation.nodes))
    assert lab.row().state == RUNNING
    lab.drive().verify(lab.federation.agreement)


@pytest.mark.parametrize(
    ("call", "moment"),
    [("append_input", 1), ("append_input", 9), ("finish", 1), ("chain_at_start", 1), ("inputs", 1)],
)
def test_a_store_that_fails_for_a_moment_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, moment: int
) -> None:
    lab = Lab(tmp_path)
    with monkeypatch.context() as patch:
        failing(patch, call, moment)
        with pytest.raises(StoreError):
            lab.drive()
    assert lab.row().state == RUNNING
    lab.drive().verify(lab.federation.agreement)
    assert (lab.row().state, lab.row().attempts) == (FINISHED, 2)


@pytest.mark.parametrize("call", ["save_traffic", "save_round", "report_progress", "acknowledge"])
def test_figures_that_cannot_be_stored_end_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    lab = Lab(tmp_path)
    failing(monkeypatch, call, 1, always=True)
    lab.drive().verify(lab.federation.agreement)
    assert (lab.row().state, lab.row().attempts) == (FINISHED, 1)


def failing(patch: pytest.MonkeyPatch, call: str, moment: int, *, always: bool = False) -> None:
    """Let the store fail at the `moment`-th call of a method, or from then on."""
    method = getattr(CoordinatorStore, call)
    calls = [0]

    def fail(*arguments: Any, **more: Any) -> Any:
        calls[0] += 1
        if calls[0] == moment or (always and calls[0] > moment):
            raise StoreError("database or disk is full, for one moment")
        return method(*arguments, **more)

    patch.setattr(CoordinatorStore, call, fail)


def test_a_stored_input_that_cannot_be_replayed_ends_the_run_with_a_reason(tmp_path: Path) -> None:
    for kind, data in (("received", b"garbage"), ("dropped", b"\xff"), ("new kind", b"")):
        folder = tmp_path / kind
        folder.mkdir()
        lab = Lab(folder)
        store = CoordinatorStore.in_file(lab.path)
        chain = store.chain_at_start(lab.run_id, lab.federation.agreement)
        store.append_input(lab.run_id, kind, data, chain)
        store.close()
        with pytest.raises(RunFailedError):
            lab.drive()
        assert lab.row().state == FAILED
        assert lab.row().code
        assert lab.row().reason


def test_another_coordinators_key_ends_the_run_without_a_release(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.federation.coordinator_key = lab.federation.partner_keys[0]
    with pytest.raises(RunFailedError):
        lab.drive()
    assert lab.row().state == FAILED


# --- locks -----------------------------------------------------------------------------------


def test_a_lock_is_held_by_one_and_free_again_afterwards(tmp_path: Path) -> None:
    for lock in (
        lambda: run_lock(tmp_path, b"\1" * 16),
        lambda: serve_lock(tmp_path),
    ):
        with lock() as first:
            assert first
            with lock() as second:
                assert not second
            with lock() as third:
                assert not third, "a failed try must not release the holder's lock"
        with lock() as again:
            assert again
    with run_lock(tmp_path, b"\1" * 16) as one, run_lock(tmp_path, b"\2" * 16) as other:
        assert one
        assert other


def test_a_lock_goes_with_a_process_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from coordinator.runs.life import run_lock\n"
        "with run_lock(Path(sys.argv[1]), bytes(16)) as free:\n"
        "    print(free, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        with run_lock(tmp_path, bytes(16)) as free:
            assert not free
        process.kill()
        process.wait(10)
        with run_lock(tmp_path, bytes(16), wait_s=5) as free:
            assert free
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


def test_a_driver_waits_for_a_store_that_fails_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[bool] = []
    pauses: list[float] = []

    def fail_twice(*_: Any, first_try: bool, **__: Any) -> None:
        tries.append(first_try)
        if len(tries) < 3:
            raise StoreError("database or disk is full")

    monkeypatch.setattr(life, "_inputs_stored", lambda *_: 0)
    monkeypatch.setattr(life, "_drive_once", fail_twice)
    monkeypatch.setattr(life.CoordinatorConfig, "load", lambda _: None)
    monkeypatch.setattr(life.time, "sleep", pauses.append)
    life.drive(tmp_path, "01" * 16, MemoryExchange(nodes_by_id={}))
    assert tries == [True, False, False], "one process is one attempt"
    assert pauses == [1.0, 5.0]

    def fail(*_: Any, **__: Any) -> None:
        raise StoreError("database is damaged")

    monkeypatch.setattr(life, "_drive_once", fail)
    with pytest.raises(StoreError):
        life.drive(tmp_path, "01" * 16, MemoryExchange(nodes_by_id={}))


def test_pauses_begin_anew_once_the_run_has_gone_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab(tmp_path)
    pauses: list[float] = []

    def fails(*_: Any, **__: Any) -> None:
        if len(pauses) in (2, 3):  # it goes on for a while, twice
            with closing(CoordinatorStore.in_file(lab.path)) as store:
                chain = store.chain_at_start(lab.run_id, lab.federation.agreement)
                store.append_input(lab.run_id, "received", b"%d" % len(pauses), chain)
        raise StoreError("database or disk is full")

    config = SimpleNamespace(open_store=lambda: CoordinatorStore.in_file(lab.path))
    monkeypatch.setattr(life, "_drive_once", fails)
    monkeypatch.setattr(life.CoordinatorConfig, "load", lambda _: config)
    monkeypatch.setattr(life.time, "sleep", pauses.append)
    with pytest.raises(StoreError):
        life.drive(tmp_path, lab.run_id.hex(), MemoryExchange(nodes_by_id={}))
    assert pauses == [1.0, 5.0, 1.0, 1.0, 5.0, 15.0, 30.0, 60.0]


def test_what_cannot_be_read_for_a_moment_is_no_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def fails(*_: Any, **__: Any) -> None:
        raise StoreError("database or disk is full")

    monkeypatch.setattr(life, "_inputs_stored", lambda *_: 7 * (len(pauses) % 2))
    monkeypatch.setattr(life, "_drive_once", fails)
    monkeypatch.setattr(life.CoordinatorConfig, "load", lambda _: None)
    monkeypatch.setattr(life.time, "sleep", pauses.append)
    with pytest.raises(StoreError):
        life.drive(tmp_path, "01" * 16, MemoryExchange(nodes_by_id={}))
    assert len(pauses) == 6


@pytest.mark.parametrize("code", ["", "E-NO-PARTNERS"])
def test_a_run_that_ended_with_a_release_is_told_of_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    lab = Lab(tmp_path)
    told: list[bytes] = []

    def end(run_id: bytes, *, store: CoordinatorStore, **_: Any) -> None:
        assert told == []
        if code:
            raise RunFailedError("no partner is here", code=code)

    config = SimpleNamespace(
        open_store=lambda: CoordinatorStore.in_file(lab.path),
        signing_key=lambda: None,
        patience=None,
        traces=None,
    )
    monkeypatch.setattr(life, "execute", end)
    monkeypatch.setattr(life.CoordinatorConfig, "load", lambda _: config)
    exchange = MemoryExchange(nodes_by_id={})
    life.drive(
        tmp_path, lab.run_id.hex(), exchange, on_release=lambda _, run_id: told.append(run_id)
    )
    assert told == ([] if code else [lab.run_id])


def test_a_driver_waits_for_a_servers_database_for_as_long_as_it_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def fail_often(*_: Any, **__: Any) -> None:
        if len(pauses) < 600:
            raise StoreError("away", code="E-STORE-CONNECT")

    monkeypatch.setattr(life, "_drive_once", fail_often)
    monkeypatch.setattr(life.CoordinatorConfig, "load", lambda _: None)
    monkeypatch.setattr(life.time, "sleep", pauses.append)
    life.drive(tmp_path, "01" * 16, MemoryExchange(nodes_by_id={}))
    assert pauses == [1.0] * 600


def test_a_run_that_failed_is_no_failure_of_the_process_that_drove_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flower wrote a traceback and "unhandled exception" of a run without partners."""

    def fail(*_: Any, **__: Any) -> None:
        raise RunFailedError("no partner is here", code="E-NO-PARTNERS")

    monkeypatch.setattr(life, "_drive_once", fail)
    monkeypatch.setattr(life.CoordinatorConfig, "load", lambda _: None)
    life.drive(tmp_path, "01" * 16, MemoryExchange(nodes_by_id={}))


def test_every_failed_run_has_a_way_out() -> None:
    assert "bring the missing partners back" in remedy_for("E-NO-PARTNERS")
    assert "server_app.log" in remedy_for("E-SOMETHING-NEW")
    federation = small_federation()
    federation.exchange.down.update({0, 1, 2})
    with pytest.raises(RunFailedError) as caught:
        federation.run()
    assert federation.store.runs()[0].remedy == caught.value.remedy != ""
