"""The watch over runs: a driver for each run that has none, again when it dies, not for ever."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import replace
from datetime import date
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.config import CoordinatorConfig, template
from coordinator.patience import Patience
from coordinator.runs.life import MAX_ATTEMPTS, run_lock, serve_lock
from coordinator.service import serving as module
from coordinator.service.serving import CoordinatorService
from coordinator.service.superlink import FlowerRun
from coordinator.store.admitted_nodes import AdmittedNodes
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.records import FAILED
from machine.traces import TraceSettings
from protocol.agreement.schedule import ScheduleTerms
from protocol.agreement.software import Software
from protocol.errors import ConfigError, TransportError, UsageError
from protocol.signed_agreement import SignedAgreement
from simulations.agreement import signed_with
from tests.federations import small_federation

RUN = b"\x01" * 16


class FakeSuperLink:
    """Says what happened to submitted drivers, as a test tells it."""

    def __init__(self) -> None:
        self.submitted: list[str] = []
        self.stopped: list[int] = []
        self.states: dict[int, str] = {}
        self.restarted = False
        self.keys: list[str] = []
        self.ids: dict[bytes, int] = {}
        self.broken = False
        self.details = ""
        self.online: set[int] = set()

    def connected_nodes(self) -> set[int]:
        return self.online

    def ensure_alive(self) -> bool:
        found, self.restarted = self.restarted, False
        if found:  # the new one may use the old one's numbers for other runs
            self.states = dict.fromkeys(self.states, "running")
        return found

    def submit(self, run_id: str) -> int:
        if self.broken:
            raise TransportError("no answer")
        self.submitted.append(run_id)
        self.states[len(self.submitted)] = "pending"
        return len(self.submitted)

    def flower_run(self, number: int) -> FlowerRun:
        return FlowerRun(state=self.states.get(number, "unknown"), outcome="", details=self.details)

    def stop_run(self, number: int) -> None:
        self.stopped.append(number)
        self.states[number] = "finished"

    def admit(self, key: bytes) -> None:
        self.keys.append(f"+{key[:60]!r}")
        self.ids[key] = 100 + len(self.ids)

    def revoke(self, key: bytes) -> None:
        self.keys.append(f"-{key[:60]!r}")
        del self.ids[key]

    def node_ids(self) -> dict[bytes, int]:
        return self.ids


class Clock:
    """Stands for the module `time`."""

    def __init__(self) -> None:
        self.now = time.monotonic()

    def monotonic(self) -> float:
        return self.now


class Lab:
    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        text = template(
            legal_name="x", contact="x", host="127.0.0.1", port=0, certificate="c", key="k",
            patience=Patience(),
        )  # fmt: skip
        config = CoordinatorConfig.parse(text.encode(), folder)
        self.folder = folder
        self.service = CoordinatorService(config=config)
        self.superlink = FakeSuperLink()
        self.store = CoordinatorStore.in_file(folder / "coordinator.db")
        self.nodes = AdmittedNodes(self.store)
        self.admitted = module._Admitted(self.store)
        self.clock = Clock()
        patch.setattr(module, "time", self.clock)
        self.agreement = small_federation().signed
        self.store.add_agreement(self.agreement)

    def request(self, run_id: bytes = RUN) -> None:
        self.store.request_run(run_id, self.agreement.agreement)

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.service._look(self.superlink, self.store, self.admitted)  # type: ignore[arg-type]

    def look_for(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.now += 1
            self.look()


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return Lab(tmp_path, monkeypatch)


def test_where_spans_are_wanted_and_cannot_be_sent_nothing_is_served(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    key = Ed25519PrivateKey.generate()
    monkeypatch.setattr(CoordinatorConfig, "signing_key", lambda self: key)
    monkeypatch.setattr(CoordinatorService, "_supervise", lambda *given: None)
    lab.service._serve(threading.Event())
    traces = TraceSettings(endpoint="http://127.0.0.1:1/")
    lab.service.config = replace(lab.service.config, traces=traces)
    with pytest.raises(ConfigError) as refused:
        lab.service._serve(threading.Event())
    assert refused.value.code == "E-OTEL-MISSING"


def test_a_requested_run_gets_one_driver(lab: Lab) -> None:
    lab.look()
    assert lab.superlink.submitted == []
    lab.request()
    lab.look(10)
    assert lab.superlink.submitted == [RUN.hex()]


def test_a_run_that_ended_gets_none(lab: Lab) -> None:
    lab.request()
    lab.store.fail(RUN, "E-STOPPED", "stopped")
    lab.look(3)
    assert lab.superlink.submitted == []


def test_the_end_of_each_run_is_logged_once(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for run, end in (
        (RUN, lambda: lab.store.fail(RUN, "E-SET-QUORUM", "north did not answer")),
        (b"\x02" * 16, lambda: lab.store.finish(b"\x02" * 16, b"x", lab.agreement.agreement.hash)),
    ):
        lab.request(run)
        lab.look()
        end()
        lab.look(3)
    assert caplog.text.count("failed: E-SET-QUORUM: north did not answer") == 1
    assert caplog.text.count(" finished") == 1


def test_a_driver_that_ended_before_the_run_is_followed_by_another(lab: Lab) -> None:
    lab.request()
    lab.look()
    for state in ("finished", "unknown"):
        lab.superlink.states[len(lab.superlink.submitted)] = state
        lab.look(5)
    assert lab.superlink.submitted == [RUN.hex()] * 3
    assert lab.superlink.stopped == []


def test_while_the_lock_is_held_somebody_drives(lab: Lab) -> None:
    lab.request()
    with run_lock(lab.folder, RUN) as free:
        assert free
        lab.look(5)
        assert lab.superlink.submitted == []
    lab.look(5)
    assert lab.superlink.submitted == [RUN.hex()]


def test_a_driver_that_lost_its_lock_is_replaced_at_once(lab: Lab) -> None:
    """Killed: Flower would still call it running for a minute."""
    lab.request()
    lab.look()
    lab.superlink.states[1] = "running"
    with run_lock(lab.folder, RUN):
        lab.look(3)
    lab.look(3)
    assert lab.superlink.stopped == [1]
    assert lab.superlink.submitted == [RUN.hex()] * 2


def test_a_driver_that_never_starts_is_given_up_after_a_while(lab: Lab) -> None:
    lab.request()
    lab.look(5)
    lab.look_for(19)
    assert lab.superlink.stopped == []
    lab.look_for(3)
    assert lab.superlink.stopped == [1]
    assert len(lab.superlink.submitted) <= 2
    lab.look(5)
    assert len(lab.superlink.submitted) == 2


def test_a_pause_of_the_coordinator_is_not_held_against_a_driver_that_starts(lab: Lab) -> None:
    """It slept as well; given up thrice it would end the run."""
    lab.request()
    lab.look(5)
    lab.clock.now += 3_600
    lab.look(5)
    assert lab.superlink.stopped == []
    assert len(lab.superlink.submitted) == 1


def test_after_a_restart_of_the_superlink_runs_are_submitted_again(lab: Lab) -> None:
    lab.request()
    lab.look(3)
    lab.superlink.restarted = True
    lab.look(3)
    assert lab.superlink.submitted == [RUN.hex()] * 2
    assert lab.superlink.stopped == [], "a run of the old SuperLink is no run of the new one"


def test_a_run_whose_drivers_keep_dying_ends_with_a_reason(lab: Lab) -> None:
    lab.request()
    for _ in range(3 * MAX_ATTEMPTS):
        lab.look()
        lab.superlink.states = dict.fromkeys(lab.superlink.states, "finished")
    assert len(lab.superlink.submitted) == MAX_ATTEMPTS
    row = lab.store.run(RUN)
    assert (row.state, row.code) == (FAILED, "E-ATTEMPTS")
    assert row.reason == (
        f"the process that drives the run was lost {MAX_ATTEMPTS} times: {MAX_ATTEMPTS} times it "
        "ended by itself"
    )
    other = b"\x02" * 16
    lab.request(other)
    lab.look()
    assert lab.superlink.submitted[-1] == other.hex()


def test_attempts_are_counted_over_restarts_of_the_service(lab: Lab) -> None:
    lab.request()
    for _ in range(MAX_ATTEMPTS):
        lab.store.begin_attempt(RUN)
    lab.look()
    assert lab.superlink.submitted == []
    row = lab.store.run(RUN)
    assert row.code == "E-ATTEMPTS"
    assert row.reason.endswith(f"{MAX_ATTEMPTS} times before this coordinator was started")


def test_a_run_that_is_given_up_says_how_each_of_its_drivers_was_lost(lab: Lab) -> None:
    """Before, they had died, also where the SuperLink had, or where none had begun."""
    lab.request()
    lab.look()
    with run_lock(lab.folder, RUN):
        lab.look()  # it begins, and is then killed
    lab.look()
    lab.superlink.restarted = True
    lab.look(2)
    lab.superlink.broken = True
    lab.superlink.states = dict.fromkeys(lab.superlink.states, "finished")
    lab.superlink.details = "ServerApp failed with exception:\n" + "E-STORE " * 100
    lab.look(5)
    lab.superlink.broken = False
    lab.look()
    lab.superlink.details = ""
    lab.look_for(100)
    lab.superlink.states = dict.fromkeys(lab.superlink.states, "finished")
    lab.look(3)
    reason = lab.store.run(RUN).reason
    assert "1 time it was killed; 1 time the SuperLink had ended; 1 time it failed (" in reason
    assert "did not begin within" in reason
    assert len(reason) < 600


def test_a_run_that_is_driven_is_not_ended_however_often_it_was_begun(lab: Lab) -> None:
    lab.request()
    for _ in range(MAX_ATTEMPTS):
        lab.store.begin_attempt(RUN)
    with run_lock(lab.folder, RUN):
        lab.look(3)
    assert not lab.store.run(RUN).ended


def test_a_superlink_that_does_not_answer_is_asked_again_later(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    lab.request()
    lab.superlink.broken = True
    lab.look(3)
    assert "will look again" in caplog.text
    lab.superlink.broken = False
    lab.look(3)
    assert lab.superlink.submitted == [RUN.hex()]


def test_a_database_that_fails_for_a_moment_does_not_end_the_service(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lab.request()
    lab.store.close()
    lab.look(2)
    assert "E-STORE" in caplog.text
    lab.store = CoordinatorStore.in_file(lab.folder / "coordinator.db")
    lab.admitted = module._Admitted(lab.store)
    lab.look()
    assert lab.superlink.submitted == [RUN.hex()]


def test_a_moment_without_free_file_descriptors_does_not_end_the_service(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lab.request()

    def no_file_left(*_: object) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as moment:
        moment.setattr(module, "run_lock", no_file_left)
        lab.look(2)
    assert "will look again" in caplog.text
    lab.look()
    assert lab.superlink.submitted == [RUN.hex()]


def _node_key() -> str:
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    return key.public_bytes(*form).decode("ascii")


def test_keys_admitted_while_serving_are_registered_and_replaced_ones_shut_out(lab: Lab) -> None:
    first, second = _node_key(), _node_key()
    lab.nodes.admit({"north": first})
    lab.look(2)
    assert [word[0] for word in lab.superlink.keys] == ["+"]
    assert lab.admitted(module.node_key_bytes(first.encode()))
    assert lab.nodes.node_of_partner() == {"north": 100}
    lab.nodes.admit({"north": second}, replace=True)
    assert lab.nodes.node_of_partner() == {}, "the old node does not speak for it any more"
    lab.look(2)
    assert [word[0] for word in lab.superlink.keys] == ["+", "-", "+"]
    assert lab.nodes.node_of_partner() == {"north": 100}
    assert lab.admitted(module.node_key_bytes(second.encode()))
    assert not lab.admitted(module.node_key_bytes(first.encode()))
    assert not lab.admitted(b"")
    assert lab.admitted.name_of(module.node_key_bytes(first.encode())) == "north"
    assert lab.admitted.name_of(b"") is None


def test_a_run_that_is_due_begins_by_itself_and_is_driven(
    lab: Lab, federation_with_moments: SignedAgreement
) -> None:
    lab.store.add_agreement(federation_with_moments)
    for number, party in enumerate(federation_with_moments.agreement.parties):
        lab.nodes.admit({party.id: _node_key()})
        lab.look()
        assert lab.superlink.submitted == []
        lab.superlink.online = {100 + i for i in range(number + 1)}
    lab.look_for(3)
    (run,) = lab.store.runs()
    assert lab.superlink.submitted == [run.run_id.hex()]
    lab.store.fail(run.run_id, "E-STOPPED", "stopped")
    lab.look_for(5)
    assert len(lab.store.runs()) == 1


@pytest.fixture
def federation_with_moments() -> SignedAgreement:
    """An agreement with a moment each day, whose window is open all day."""
    federation = small_federation()
    terms = ScheduleTerms(
        every=1, unit="days", first_day=date(2026, 1, 1), at="00:00", window_hours=24
    )
    software = Software.installed(metadata.version, resources.files)
    agreement = replace(federation.agreement, schedule=terms, software=software)
    return signed_with(agreement, federation.partner_keys)


def test_a_removed_partner_is_shut_out_and_can_be_admitted_again(lab: Lab) -> None:
    key = _node_key()
    lab.nodes.admit({"north": key})
    lab.look()
    lab.nodes.remove("north")
    lab.look()
    assert not lab.admitted(module.node_key_bytes(key.encode()))
    assert lab.nodes.node_of_partner() == {}
    lab.nodes.admit({"north": key})
    lab.look()
    assert lab.admitted(module.node_key_bytes(key.encode()))


def test_nodes_that_get_new_ids_are_known_by_them(lab: Lab) -> None:
    """The SuperLink gives new ones after it was started again."""
    lab.nodes.admit({"north": _node_key()})
    lab.look()
    lab.superlink.ids = dict.fromkeys(lab.superlink.ids, 7)
    lab.look()
    assert lab.nodes.node_of_partner() == {"north": 7}


@pytest.mark.slow
def test_one_folder_is_served_once(lab: Lab) -> None:
    stop: Any = None
    with serve_lock(lab.folder) as free:
        assert free
        with pytest.raises(UsageError, match="another process serves"):
            lab.service.serve(stop)
