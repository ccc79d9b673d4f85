"""The process that drivers are forked from: each has its own token, and none the others'."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from flwr.supercore import telemetry

from coordinator.service.driver_process import tell_nobody

pytestmark = pytest.mark.slow

#: Forks as the program does; a "driver" says what it has, and what waits ends with its input.
_PROGRAM = """
import os, signal, sys
from coordinator.service.driver_process import forked_with_token
waits = os.getpid()
token = forked_with_token(sys.stdin.buffer)
if token:
    mine = os.fork()
    if mine == 0:
        os._exit(7)
    _, status = os.waitpid(mine, 0)
    said = [token, os.getpid() != waits, os.waitstatus_to_exitcode(status),
            sys.stdin.buffer.raw.read()]
    os.write(1, (repr(said) + chr(10)).encode())
    os._exit(0)
os.write(1, b"ended\\n")
"""


def test_each_line_is_a_driver_with_that_token_and_no_input() -> None:
    """All lines at once, so that each fork has those of the others in what it has read."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        input="first\nsecond\nthird\n",
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=60,
    )
    lines = done.stdout.splitlines()
    assert sorted(lines) == sorted(
        ["ended", *(str([token, True, 7, b""]) for token in ("first", "second", "third"))]
    )


_ONE_FORK_FAILS = """
import errno, os
forks, real = [], os.fork
def fork():
    forks.append(1)
    if len(forks) == 1:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return real()
os.fork = fork
"""


def test_a_fork_that_fails_ends_neither_what_waits_nor_other_drivers() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ONE_FORK_FAILS + _PROGRAM],
        input="first\nsecond\n",
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=60,
    )
    assert sorted(done.stdout.splitlines()) == sorted(
        [
            "ended",
            "no driver could be started: Resource temporarily unavailable",
            str(["second", True, 7, b""]),
        ]
    )


def test_it_ends_with_its_input_alone() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("one\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith("['one'")
        assert process.poll() is None
        process.stdin.close()
        assert process.stdout.read() == "ended\n"
        assert process.wait(timeout=60) == 0


def test_flower_puts_no_telemetry_together_in_a_driver(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*arguments: object, **_: object) -> None:
        raise OSError(f"started {arguments}")

    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(telemetry, "create_event", telemetry.create_event)  # and put back
    monkeypatch.setattr(telemetry, "FLWR_TELEMETRY_ENABLED", "0")
    monkeypatch.setitem(telemetry.state, "source", None)
    tell_nobody()
    event = telemetry.event(telemetry.EventType.FLWR_SERVERAPP_RUN_ENTER)
    assert event.result(timeout=60) == "disabled"
    assert list(tmp_path.iterdir()) == []
