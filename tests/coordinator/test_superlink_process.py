"""Which drivers the SuperLink's process starts, and how, without a process."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flwr.proto.task_pb2 import Task

from coordinator.service import superlink_process
from tests.end_to_end.transport_support import wait_for

TOKEN = "the token of a task"


class States:
    """One pending task in place of Flower's state, which then fails."""

    def __init__(self, task: Task) -> None:
        self.pending = [task]
        self.finished: list[tuple[object, ...]] = []

    def state(self) -> States:
        return self

    def get_tasks(self, **_: object) -> list[Task]:
        if not self.pending:
            raise OSError("the state is gone")
        return [self.pending.pop()]

    def claim_task(self, _: int) -> str:
        return TOKEN

    def get_run_status(self, _: object) -> dict[int, object]:
        return {}

    def finish_task(self, *words: object) -> None:
        self.finished.append(words)


class EndedError(Exception):
    """The process has ended."""


@dataclass
class Started:
    """A process that was started, in place of one."""

    command: list[str]
    options: dict[str, Any]
    returncode: int | None = None
    stdin: io.BytesIO = field(default_factory=io.BytesIO)
    stdout: io.BytesIO = field(default_factory=lambda: io.BytesIO(b"ready\n"))

    def poll(self) -> int | None:
        return self.returncode

    @property
    def tokens(self) -> list[str]:
        return self.stdin.getvalue().decode().splitlines()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Started]:
    """What is started."""
    found: list[Started] = []

    def popen(command: Sequence[str], **options: Any) -> Started:
        found.append(Started(list(command), options))
        return found[-1]

    def end(status: int) -> None:
        raise EndedError(status)

    monkeypatch.setattr(subprocess, "Popen", popen)
    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(superlink_process, "_LOOK_EVERY_S", 0.0)
    return found


def _look(task: Task, *, known: str) -> States:
    """Let the thread see a task, and then fail."""
    states = States(task)
    with pytest.raises(EndedError):
        superlink_process._start_drivers(states, "socket", frozenset({known}), threading.Event())  # type: ignore[arg-type]
    return states


def test_a_driver_is_started_for_a_known_bundle_and_its_token_is_in_no_argument(
    started: list[Started],
) -> None:
    states = _look(Task(task_id=1, type="flwr-serverapp", fab_hash="ours"), known="ours")
    (one,) = started
    assert one.command[2:] == ["-m", "coordinator.service.driver_process", "socket"]
    assert TOKEN not in str(one.options)
    assert one.tokens == [TOKEN]
    assert states.finished == []


@pytest.mark.parametrize("fab_hash", ["theirs", "OURS", "our", ""])
def test_no_driver_is_started_for_another_bundle_and_its_run_is_over(
    started: list[Started], fab_hash: str
) -> None:
    states = _look(Task(task_id=7, type="flwr-serverapp", fab_hash=fab_hash), known="ours")
    assert [one.tokens for one in started] == [[]]
    assert states.finished == [(7, "failed", "this bundle is not started here")]


@pytest.mark.parametrize(
    "kind", ["flwr-agentapp", "flwr-connector", "flwr-model", "flwr-clientapp"]
)
def test_nothing_but_a_serverapp_is_started(started: list[Started], kind: str) -> None:
    _look(Task(task_id=1, type=kind, fab_hash="ours"), known="ours")
    assert [one.tokens for one in started] == [[]]


def test_the_process_ends_when_no_driver_can_be_started_any_more(started: list[Started]) -> None:
    with pytest.raises(EndedError) as caught:
        superlink_process._start_drivers(
            States(Task(type="flwr-serverapp", fab_hash="ours")),  # type: ignore[arg-type]
            "socket",
            frozenset({"ours"}),
            threading.Event(),
        )
    assert caught.value.args == (1,)
    assert len(started) == 1


def test_no_task_is_acquired_before_what_starts_drivers_awaits_it(
    started: list[Started], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose task was acquired and lost has to wait until that is noticed."""
    task = Task(task_id=1, type="flwr-serverapp", fab_hash="ours")
    states, looks = States(task), iter((False, False, False))
    monkeypatch.setattr(superlink_process._Drivers, "await_tokens", lambda _: next(looks))
    with pytest.raises(EndedError):
        superlink_process._start_drivers(states, "socket", frozenset({"ours"}), threading.Event())  # type: ignore[arg-type]
    assert states.pending == [task]


def test_what_cannot_start_drivers_says_why_in_the_log_and_awaits_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    drivers = superlink_process._Drivers("socket")
    drivers._command = (sys.executable, "-c", "import no_such_module")  # type: ignore[assignment]
    assert drivers.await_tokens() is False
    process = drivers._process
    assert process is not None and process.stdout is not None and process.stdin is not None
    process.stdin.close()
    process.wait(timeout=60)
    wait_for(lambda: process.stdout.closed, timeout_s=60, what="all that it said")  # type: ignore[union-attr]
    assert "what starts drivers: ModuleNotFoundError: No module named 'no_such" in caplog.text
    assert drivers.await_tokens() is False


def test_it_awaits_tokens_once_it_says_so_and_whoever_waits_for_that_is_told(
    started: list[Started], monkeypatch: pytest.MonkeyPatch
) -> None:
    told, (reading, writing) = threading.Event(), os.pipe()
    said = os.fdopen(reading, "rb", buffering=0)
    monkeypatch.setattr(
        subprocess,
        "Popen",
        lambda command, **options: (
            started.append(Started(command, options, stdout=said))  # type: ignore[arg-type]
            or started[-1]
        ),
    )
    drivers = superlink_process._Drivers("socket", ready=told.set)
    assert [drivers.await_tokens(), drivers.await_tokens()] == [False, False]
    os.write(writing, b"ready\n")
    os.close(writing)
    assert told.wait(60)
    assert drivers.await_tokens() is True
    started[0].returncode = 1
    assert drivers.await_tokens() is False


def test_what_starts_drivers_is_started_again_when_it_ended_and_not_in_a_hurry(
    started: list[Started], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(superlink_process.time, "monotonic", lambda: now)
    drivers = superlink_process._Drivers("socket")
    drivers.await_tokens()
    drivers.await_tokens()
    assert len(started) == 1
    started[0].returncode = -9
    drivers.await_tokens()
    assert len(started) == 1, "at once it would only end again"
    now += superlink_process._START_AGAIN_S
    drivers.await_tokens()
    drivers.start(TOKEN)
    assert [one.tokens for one in started[1:]] == [[TOKEN]]
    assert started[0].stdin.closed


def test_a_token_for_a_process_that_has_just_ended_ends_nothing(
    started: list[Started], monkeypatch: pytest.MonkeyPatch
) -> None:
    drivers = superlink_process._Drivers("socket")
    drivers.await_tokens()

    def broken(_: bytes) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(started[0], "stdin", SimpleNamespace(write=broken))
    drivers.start(TOKEN)


def test_a_submitted_run_is_looked_for_at_once() -> None:
    """What looks for runs is told by the call itself, once that is answered."""
    submitted, answered = threading.Event(), []

    async def app(scope: dict[str, str], *_: object) -> None:
        answered.append((scope["path"], submitted.is_set()))

    telling = superlink_process._Telling(app, submitted)  # type: ignore[arg-type]
    for path in ("/v1/control/list-runs", superlink_process._SUBMIT):
        asyncio.run(telling({"path": path}, None, None))  # type: ignore[arg-type]
        assert submitted.is_set() == (path == superlink_process._SUBMIT)
    assert answered == [("/v1/control/list-runs", False), (superlink_process._SUBMIT, False)]


@pytest.mark.slow
def test_what_flower_says_goes_to_the_bounded_log_and_nowhere_else(tmp_path: Path) -> None:
    """In a process of its own, as it changes that process's logging for good."""
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            "import logging, sys\n"
            "from coordinator.service import superlink_process as ours\n"
            "from types import SimpleNamespace as Names\n"
            "app = Names(state=Names(linkstate_factory=None), user_middleware=[])\n"
            "ours.create_app = lambda: app\n"
            "ours._start_drivers = lambda *_: None\n"
            "ours.serve = lambda *_: logging.getLogger('flwr').error('Invalid %s', 'run')\n"
            "ours.main('socket', sys.argv[1], [])\n",
            str(tmp_path / "superlink.log"),
        ],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert "ERROR flwr: Invalid run" in (tmp_path / "superlink.log").read_text()
    assert "Invalid run" not in said.stderr
