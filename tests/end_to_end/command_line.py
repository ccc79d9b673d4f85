"""The two command lines, called in this process as an operator and a partner call them.

Starting a process for each of the tests' two hundred commands takes longer than the commands do:
what a process is given (arguments, an empty standard input, streams that are no terminals, a log
that nobody has set up) is given to the program's entry point here. `command_process` starts the
program itself; `test_command_line.py` holds the two against each other.
"""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Final
from unittest import mock

from coordinator.cli import main as coordinator_main
from partner_node.cli import main as node_main

#: Longest time that a command may take which takes a second on an idle machine.
PATIENCE_S: Final = 90.0

_ENTRY_POINTS: Final = {"node": node_main, "coordinator": coordinator_main}


def program(side: str) -> str:
    """Path of ``fedseg-node`` or ``fedseg-coordinator`` in this environment."""
    return str(Path(sys.executable).with_name(f"fedseg-{side}"))


def command(side: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run one command in this process; its exit status and what it printed."""
    words = [program(side), *map(str, arguments)]
    out, error = _stream(), _stream()
    status: object = None
    with (
        mock.patch.object(sys, "argv", words),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(), encoding="utf-8")),
        redirect_stdout(out),
        redirect_stderr(error),
        _unattended_log(),
    ):
        try:
            _ENTRY_POINTS[side]()
        except SystemExit as ended:
            status = ended.code
    if not isinstance(status, int):
        raise TypeError(f"{words} ended with {status!r}, which is no exit status")
    return subprocess.CompletedProcess(words, status, _written(out), _written(error))


def command_process(side: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run one command in a process of its own."""
    return subprocess.run(
        [program(side), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def _stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)


def _written(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


@contextmanager
def _unattended_log() -> Iterator[None]:
    """Logging as in a process that has not set it up: warnings go to standard error."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = []
    root.setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.handlers = handlers
        root.setLevel(level)
