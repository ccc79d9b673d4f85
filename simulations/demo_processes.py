"""The demo's processes: commands that end, and services that end with the demo."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

from coordinator.service import process_guard
from protocol.errors import RunFailedError

_START_TIMEOUT_S: Final = 60.0
_STOP_TIMEOUT_S: Final = 10.0


def command(side: str, *arguments: object, show: bool = False) -> dict[str, Any]:
    """Run one fedseg command and return its data."""
    words = [program(side), *(str(a) for a in arguments), "--format", "json"]
    done = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=None if show else subprocess.PIPE, text=True,
        check=False, timeout=300,
    )  # fmt: skip
    if done.returncode != 0:
        raise RunFailedError(
            f"{' '.join(str(a) for a in arguments[:3])} ended with {done.returncode}: "
            f"{(done.stderr or done.stdout).strip()[-2000:]}"
        )
    data: dict[str, Any] = json.loads(done.stdout)["data"]
    return data


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Have SIGTERM end the demo as Ctrl-C does, so that what it started ends before it."""

    def interrupt(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)  # once is enough: the children are being ended
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def serving(side: str, directory: Path, log: Path, *, word: str = "serve") -> Iterator[None]:
    """A serving process, stopped at the end; its guard ends it even when the demo is killed.

    Args:
        word: The command that serves.
        log: Takes what it prints, too.
    """
    serve = [program(side), word, "--dir", str(directory)]
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-I", process_guard.__file__, f"{_STOP_TIMEOUT_S:g}", *serve],
            stdin=subprocess.PIPE,  # closes when this process ends, however it ends
            stdout=subprocess.DEVNULL,
            stderr=file,
        )
    try:
        yield
        if process.poll() is not None:
            raise RunFailedError(f"{word} of {directory.name} ended early; see {log}")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(2 * _STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()


def program(side: str) -> str:
    """The command line of a side, beside the Python that runs."""
    return str(Path(sys.executable).with_name(f"fedseg-{side}"))


def until(ready: Callable[[], bool], what: str) -> None:
    """Wait until something is ready; raises RunFailedError after a minute."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not ready():
        if time.monotonic() > deadline:
            raise RunFailedError(f"waited {_START_TIMEOUT_S:g} s for {what}")
        time.sleep(0.05)


def free_port() -> int:
    """A port of loopback that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
