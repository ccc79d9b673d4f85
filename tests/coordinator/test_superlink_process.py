"""Which drivers the SuperLink's process starts, and how, without a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flwr.proto.task_pb2 import Task

from coordinator.service import superlink_process
from coordinator.service.driver_process import TOKEN_VARIABLE

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

    def finish_task(self, *words: object) -> None:
        self.finished.append(words)


class EndedError(Exception):
    """The process has ended."""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, Any]]]:
    """What is started, with its options."""
    found: list[tuple[list[str], dict[str, Any]]] = []

    def popen(command: list[str], **options: Any) -> object:
        found.append((command, options))
        return SimpleNamespace(poll=lambda: 0)

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
        superlink_process._start_drivers(states, "socket", frozenset({known}))  # type: ignore[arg-type]
    return states


def test_a_driver_is_started_for_a_known_bundle_and_its_token_is_in_no_argument(
    started: list[tuple[list[str], dict[str, Any]]],
) -> None:
    states = _look(Task(task_id=1, type="flwr-serverapp", fab_hash="ours"), known="ours")
    ((command, options),) = started
    assert command[2:] == ["-m", "coordinator.service.driver_process", "socket"]
    assert options["env"][TOKEN_VARIABLE] == TOKEN
    assert states.finished == []


@pytest.mark.parametrize("fab_hash", ["theirs", "OURS", "our", ""])
def test_no_driver_is_started_for_another_bundle_and_its_run_is_over(
    started: list[tuple[list[str], dict[str, Any]]], fab_hash: str
) -> None:
    states = _look(Task(task_id=7, type="flwr-serverapp", fab_hash=fab_hash), known="ours")
    assert started == []
    assert states.finished == [(7, "failed", "this bundle is not started here")]


@pytest.mark.parametrize(
    "kind", ["flwr-agentapp", "flwr-connector", "flwr-model", "flwr-clientapp"]
)
def test_nothing_but_a_serverapp_is_started(
    started: list[tuple[list[str], dict[str, Any]]], kind: str
) -> None:
    _look(Task(task_id=1, type=kind, fab_hash="ours"), known="ours")
    assert started == []


def test_the_process_ends_when_no_driver_can_be_started_any_more(
    started: list[tuple[list[str], dict[str, Any]]],
) -> None:
    with pytest.raises(EndedError) as caught:
        superlink_process._start_drivers(
            States(Task(type="flwr-serverapp", fab_hash="ours")),  # type: ignore[arg-type]
            "socket",
            frozenset({"ours"}),
        )
    assert caught.value.args == (1,)
    assert len(started) == 1


@pytest.mark.slow
def test_what_flower_says_goes_to_the_bounded_log_and_nowhere_else(tmp_path: Path) -> None:
    """In a process of its own, as it changes that process's logging for good."""
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            "import logging, sys, uvicorn\n"
            "from coordinator.service import superlink_process as ours\n"
            "from types import SimpleNamespace as Names\n"
            "app = Names(state=Names(linkstate_factory=None))\n"
            "ours.create_app = lambda: app\n"
            "ours._start_drivers = lambda *_: None\n"
            "uvicorn.run = lambda *_, **__: logging.getLogger('flwr').error('Invalid %s', 'run')\n"
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


def test_a_driver_imports_no_library_of_databases() -> None:
    """Flower's grid of simulations would bring both: half of a driver's start."""
    code = (
        "import runpy, sys\n"
        "sys.argv = ['driver']\n"
        "try:\n"
        "    runpy.run_module('coordinator.service.driver_process', run_name='__main__')\n"
        "except IndexError:  # no socket is named\n"
        "    import coordinator.server_app, flwr.superlink.runtime.run_serverapp\n"
        "    print(sorted({'sqlalchemy', 'alembic', 'flwr'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("['flwr']\n", "")
